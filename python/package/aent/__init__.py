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

from .version import require_torch

# Before the extension is loaded: against another torch it would crash instead of complaining.
require_torch()

from ._aent import Accumulation, Output, Program, Restored, __version__, catalog, terms  # noqa: E402
from .compiler import Report, check, compile  # noqa: E402
from .definition import Scalar, Seq, SeqBool, Token, TokenBool, term  # noqa: E402
from .errors import BatchError, Error, SpecError, SpecWarning, StateError, StepError  # noqa: E402

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
    "SpecError",
    "SpecWarning",
    "StateError",
    "StepError",
    "Token",
    "TokenBool",
    "__version__",
    "catalog",
    "check",
    "compile",
    "term",
    "terms",
]
