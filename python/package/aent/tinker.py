"""A program as a custom loss of Tinker (``pip install tinker``; see docs/trainers.md).

loss_fn = aent.tinker.CustomLoss("loss.aent")
future, step = client.forward_backward_custom(data, loss_fn), client.optim_step(types.AdamParams(...))
future.result(), step.result()
loss_fn.update()
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ._aent import Program
from .adapters import NAMES, StepLoss
from .compiler import program_of
from .errors import BatchError
from .temperature import refuse_unread

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["CustomLoss"]

_OF_THE_MODEL = {"log_prob", "logits", "actions"}


class CustomLoss:
    """A file as the ``loss_fn`` of ``TrainingClient.forward_backward_custom``, whose data are the whole step.

    What the file reads comes from each datum's ``loss_fn_inputs``: ``logprobs`` of the sampler are ``old_log_prob`` and
    ``rollout_log_prob``, ``mask`` is ``response_mask``; other fields have their own names. A field of sequences is one number.

    Args:
        spec: a file, the text of one, or what ``aent.compile`` gave.
        params: values for ``param``s of a file or text.

    Raises:
        SpecError: the file is wrong.
        BatchError: it reads more of the model than ``log_prob``, which is all that Tinker gives.
        StepError: it sets a temperature that changes nothing.
    """

    def __init__(
        self, spec: str | os.PathLike[str] | Program, params: Mapping[str, float | bool | str] | None = None
    ) -> None:
        self.program = program_of(spec, params, 3)
        if self.program.fields & {"logits", "values"} and not self.program.takes_log_prob:
            raise BatchError("the program reads more of the model than `log_prob`, which is all that Tinker gives")
        self._check_temperature()
        self._step_loss = StepLoss(self.program, "tinker", cut="step", hook=False)

    def _check_temperature(self) -> None:
        refuse_unread(self.program, "the file", "Tinker", "leave the line out")

    def __call__(self, data: Sequence[Any], logprobs: Sequence[Tensor]) -> tuple[Tensor, dict[str, float]]:
        """The loss of all data; and, of the last step that ``update`` ended, metrics, signals and coefficients under ``aent/``.

        Raises:
            BatchError: a datum lacks what the file reads.
            StepError: ``update`` was not called since the last step.
        """
        import torch

        self._check_temperature()
        batch: dict[str, Any] = {"log_prob": list(logprobs)}
        for field in sorted(self.program.fields - _OF_THE_MODEL):
            name = NAMES["tinker"].get(field, field)
            columns = [datum.loss_fn_inputs.get(name) for datum in data]
            if any(column is None for column in columns):
                has = sorted(data[columns.index(None)].loss_fn_inputs)
                raise BatchError(
                    f"the program reads `{field}`, which is `{name}` here; a datum's `loss_fn_inputs` have {has}"
                )
            tensors = [column.to_torch() for column in columns]
            of_sequences = all(of.numel() == 1 for of in tensors) and any(len(of) != 1 for of in logprobs)
            batch[name] = torch.stack(tensors).flatten() if of_sequences else tensors
        loss = self._step_loss(batch)
        return loss, {f"aent/{name}": value for name, value in self._step_loss.metrics.items()}

    def update(self) -> dict[str, float]:
        """Ends the step, behind ``optim_step``: the controllers move. Its metrics, signals and coefficients."""
        return self._step_loss.end()
