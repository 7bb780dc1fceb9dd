"""Losses of reinforcement learning on language models, in files of ten lines.

    program = aent.compile("grpo.aent")
    output = program(logits=logits, actions=actions, response_mask=mask,
                     old_log_prob=old, advantages=advantages)
    output.loss.backward()
    optimizer.step()
    program.update(output)        # the controllers move between optimizer steps

The loss is an ordinary tensor under torch's autograd; tensors are shared with the core, never copied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._aent import Accumulation, Output, Program, Restored, __version__, catalog, terms
from .compiler import Report, check, compile
from .errors import BatchError, Error, SpecError, SpecWarning, StateError, StepError, StepWarning

if TYPE_CHECKING:
    from .definition import Scalar, Seq, SeqBool, SeqInt, Token, TokenBool, TokenInt, term

__all__ = [
    "Accumulation",
    "BatchError",
    "Error",
    "Output",
    "Program",
    "Report",
    "Restored",
    "Scalar",
    "Seq",
    "SeqBool",
    "SeqInt",
    "SpecError",
    "SpecWarning",
    "StateError",
    "StepError",
    "StepWarning",
    "Token",
    "TokenBool",
    "TokenInt",
    "__version__",
    "catalog",
    "check",
    "compile",
    "term",
    "terms",
]


def __getattr__(name: str) -> Any:
    """What terms in Python are written with needs torch, which a file can be checked without."""
    if name in ("Scalar", "Seq", "SeqBool", "SeqInt", "Token", "TokenBool", "TokenInt", "term"):
        from . import definition

        return getattr(definition, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext aent``: cells that begin with ``%%aent NAME`` are files."""
    from .magic import load

    load(shell)


def __dir__() -> list[str]:
    return sorted(__all__)
