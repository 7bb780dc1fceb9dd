"""The temperature of a file whose log-probabilities a trainer computes."""

from __future__ import annotations

from ._aent import Program
from .errors import StepError


def refuse_unread(program: Program, name: str, trainer: str, way: str) -> None:
    """Refuses a temperature that changes nothing. A file that reads only ``log_prob`` of the logits takes the trainer's as it is,
    and its own temperature never applies. A temperature that moves is checked at its present value.

    Args:
        name: the file's, in the message.
        trainer: who computes ``log_prob``.
        way: what to do.

    Raises:
        StepError: it is not 1.
    """
    if program.takes_log_prob and not isinstance(program.temperature, str) and program.temperature != 1:
        raise StepError(
            f"{name}: `set temperature` changes nothing where only `log_prob` is read, which {trainer} computes; "
            f"expected 1, found {program.temperature:g}: {way}"
        )
