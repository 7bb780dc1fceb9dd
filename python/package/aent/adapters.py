"""A program as a policy loss under a trainer's own names, in any framework.

loss_fn = aent.adapters.policy_loss(program, names="skyrl")
output = loss_fn(log_probs=..., old_log_probs=..., advantages=..., loss_mask=...)
output.loss.backward()
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from ._aent import Accumulation, Output, Program
from .errors import BatchError, StepError
from .figures import figures

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["NAMES", "StepLoss", "fields", "policy_loss"]

NAMES: dict[str, dict[str, str]] = {
    "verl": {
        "old_log_prob": "old_log_probs",
        "rollout_log_prob": "rollout_log_probs",
        "old_values": "values",
    },
    "trl": {
        "log_prob": "per_token_logps",
        "old_log_prob": "old_per_token_logps",
        "ref_log_prob": "ref_per_token_logps",
        "rollout_log_prob": "sampling_per_token_logps",
        "response_mask": "completion_mask",
        "actions": "completion_ids",
    },
    "openrlhf": {
        "log_prob": "log_probs",
        "old_log_prob": "old_log_probs",
        "rollout_log_prob": "rollout_log_probs",
        "response_mask": "action_mask",
    },
    "areal": {
        "old_log_prob": "prox_logp",
        "rollout_log_prob": "logprobs",
        "response_mask": "loss_mask",
    },
    "skyrl": {
        "log_prob": "log_probs",
        "old_log_prob": "old_log_probs",
        "rollout_log_prob": "rollout_logprobs",
        "response_mask": "loss_mask",
    },
    "slime": {
        "old_log_prob": "log_probs",
        "ref_log_prob": "ref_log_probs",
        "rollout_log_prob": "rollout_log_probs",
        "response_mask": "loss_masks",
    },
    "nemo-rl": {
        "log_prob": "next_token_logprobs",
        "old_log_prob": "prev_logprobs",
        "ref_log_prob": "reference_policy_logprobs",
        "rollout_log_prob": "generation_logprobs",
        "response_mask": "token_mask",
    },
    "ms-swift": {
        "log_prob": "per_token_logps",
        "old_log_prob": "old_per_token_logps",
        "ref_log_prob": "ref_per_token_logps",
        "rollout_log_prob": "rollout_per_token_logps",
        "response_mask": "completion_mask",
    },
    "tinker": {
        "old_log_prob": "logprobs",
        "rollout_log_prob": "logprobs",
        "response_mask": "mask",
        "actions": "target_tokens",
    },
    "prime-rl": {
        "log_prob": "trainer_logprobs",
        "old_log_prob": "inference_logprobs",
        "ref_log_prob": "ref_logprobs",
        "rollout_log_prob": "inference_logprobs",
        "response_mask": "loss_mask",
    },
}
"""By trainer and field of the language: the trainer's name for it. Fields that are not here have the same name there."""

_OF_THE_MODEL = {"actions", "log_prob", "logits"}


def policy_loss(program: Program, names: str | Mapping[str, str]) -> Callable[..., Output]:
    """A function that takes a trainer's batch and gives the program's output.

    Args:
        program: what ``aent.compile`` gave.
        names: a trainer of ``NAMES``, or the trainer's name for each field that it calls otherwise, as in
            ``aent.adapters.NAMES["verl"] | {"difficulty": "my_column"}``.

    Returns:
        ``loss(batch, **columns)``, which takes what ``fields`` takes, and a ``process_group`` where ranks share the step.

    Raises:
        ValueError: there is no such trainer.
    """
    renamed = _names(names)

    def loss(batch: Mapping[str, Any] | None = None, /, *, process_group: Any = None, **columns: Any) -> Output:
        return program(fields(program, renamed, batch, **columns), process_group=process_group)

    return loss


def fields(
    program: Program, names: str | Mapping[str, str], batch: Mapping[str, Any] | None = None, /, **columns: Any
) -> dict[str, Tensor]:
    """What a program reads of a trainer's batch, under the names of the language: for ``program.accumulate`` and the like.

    A field is taken under the trainer's name for it, or else under its own. A list of one tensor for each sequence is a
    packed batch, and so is a batch of one sequence that has no dimension for sequences.

    Args:
        program: what ``aent.compile`` gave.
        names: as for ``policy_loss``.
        batch: the trainer's batch; what is not read of it is passed over.
        columns: the same by name, first.

    Raises:
        BatchError: a column is not there.
        ValueError: there is no such trainer.
    """
    import torch

    renamed, given = _names(names), {**(batch or {}), **columns}
    taken = {renamed.get(field, field) for field in program.fields}
    found: dict[str, Tensor] = {}
    for field in sorted(program.fields | {"log_prob", "rows", "hidden", "lm_head", "lm_head_bias", "cu_seqlens"}):
        column = renamed.get(field, field)
        # A name of the language that is another field's name here is that field: slime's `log_probs` are the old ones.
        value = given.get(column)
        if value is None and (field == column or field not in taken):
            value = given.get(field)
        if value is not None:
            found[field] = _tensor(value)
        elif field in program.fields - _OF_THE_MODEL:
            called = "" if column == field else f", which is `{column}` here"
            raise BatchError(f"the program reads `{field}`{called}; the batch has {sorted(map(str, given))}")
    mask = found.get("response_mask")
    if mask is not None and not mask.is_nested and mask.dim() == 1 and "cu_seqlens" not in found:
        found["cu_seqlens"] = torch.tensor([0, mask.shape[0]], device=mask.device)
    return found


def _names(names: str | Mapping[str, str]) -> Mapping[str, str]:
    if not isinstance(names, str):
        return names
    if names not in NAMES:
        raise ValueError(f"`{names}` is no trainer that is known; there are {', '.join(f'`{name}`' for name in NAMES)}")
    return NAMES[names]


def _tensor(value: Any) -> Tensor:
    """A tensor as it is, and a list of those of sequences as a nested one, which shares autograd."""
    import torch

    if not isinstance(value, (list, tuple)):
        return value  # type: ignore[no-any-return]
    if all(isinstance(it, torch.Tensor) and it.dim() for it in value):
        return torch.nested.as_nested_tensor(list(value), layout=torch.jagged)
    return torch.as_tensor([float(it) for it in value])


class StepLoss:
    """A program as a loss that a trainer calls for each micro-batch, with controllers and metrics of the optimizer's whole step.

        step_loss = aent.adapters.StepLoss(program, "openrlhf", group=torch.distributed.group.WORLD)
        share = step_loss(log_probs=..., ..., tokens=tokens_of_the_step, sequences=sequences_of_the_step)

    When an optimizer of this process has stepped, ``metrics`` are those of its whole step and the controllers move; with
    ``hook=False`` the caller says so with ``end``. Without gradient, as in an evaluation, a call is no part of a step.

    Args:
        program: what ``aent.compile`` gave.
        names: as for ``policy_loss``.
        cut: what the trainer makes of the shares, where it tells no counts of the step. It may *sum* them and average by itself,
            or take their mean with the *tokens* of each as its weight; a program whose gradient would then depend on the cut is
            refused. Or a call brings the whole *step*. Otherwise a micro-batch has its own denominators.
        group: the data-parallel ranks, over which metrics and signals are taken.
        hook: whether any optimizer's step of this process ends the step.

    Raises:
        StepError: the program needs more of the step than a micro-batch shows.
    """

    def __init__(
        self,
        program: Program,
        names: str | Mapping[str, str],
        *,
        cut: Literal["sum", "tokens", "step"] | None = None,
        group: Any = None,
        hook: bool = True,
    ) -> None:
        if program.first_pass != "counts" and cut != "step":
            raise StepError(
                "the program needs more of the step than its counts before the first micro-batch, which this trainer does not "
                'show: take the whole step as one batch (`cut="step"`), or `program.accumulate()`; `aent explain FILE` says why'
            )
        if program.reads_width and cut != "step":
            raise StepError(
                "the program divides by the width of its batch, which micro-batches do not share: write `length = ...`"
            )
        self.program, self.metrics = program, dict[str, float]()
        self._names, self._cut, self._group = _names(names), cut, group
        self._hook, self._hooked_in = hook, 0
        self._parts: list[dict[str, Tensor]] = []
        self._counts: dict[str, Any] = {}
        self._shares: Accumulation | None = None
        self._whole: Output | None = None
        self._checked = cut not in ("sum", "tokens")

    def __call__(
        self, batch: Mapping[str, Any] | None = None, /, *, tokens: Any = None, sequences: Any = None, **columns: Any
    ) -> Tensor:
        """A micro-batch's share of the loss.

        Args:
            batch, columns: what ``fields`` takes.
            tokens, sequences: those of the whole step over all ranks, where the trainer tells them; the shares then add up to its
                loss.

        Raises:
            StepError: the micro-batches are no such step as ``cut`` or the counts say.
        """
        import torch

        found = fields(self.program, self._names, batch, **columns)
        if not torch.is_grad_enabled():
            return self.program(found).loss
        self._follow()
        if self._cut == "step":
            if self._whole is not None:
                raise StepError(
                    "a step came in a second batch, or was not ended: call `end()` behind the optimizer's step"
                )
            self._whole = self.program(found, process_group=self._group)
            return self._whole.loss
        if found.keys() & {"logits", "hidden"}:  # What is kept until the step ends has no vocabulary.
            found["rows"] = self.program.rows(found)
            replaced = self.program.logit_fields | self.program.candidate_fields
            found = {name: value for name, value in found.items() if name not in replaced}
        if tokens is None:
            self._check(found)
            share = self.program(found).loss
        else:
            if self._shares is None:
                self._counts = {"tokens": int(tokens), "sequences": int(sequences), "width": 1}
                self._shares = self.program.accumulate(gradients="sum", **self._counts)
            share = self._shares(found)
        self._parts.append({name: value.detach().clone() for name, value in found.items()})
        return share

    def end(self) -> dict[str, float]:
        """Ends the step on every rank of the group: the controllers move, and ``metrics`` become those of the step.

        Raises:
            StepError: the micro-batches were not what the trainer's counts say, or controllers would go apart on ranks without a
                group.
        """
        import torch

        parts, counts, output = self._parts, self._counts, self._whole
        self._parts, self._counts, self._shares, self._whole = [], {}, None, None
        if output is None and not parts:
            return self.metrics
        alone = self._group is None and torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1
        if alone and self.program.coefficients:
            raise StepError("controllers would go apart on the ranks: give `StepLoss` the data-parallel `group`")
        if output is None:
            with torch.no_grad():
                step = self.program.accumulate(group=self._group, gradients="sum", **counts)
                for part in parts if not counts else []:
                    step.measure(part)
                for part in parts:
                    step(part)
                output = step.finish()
        self.metrics = figures(output, self.program)
        self.program.update(output)
        return self.metrics

    def _follow(self) -> None:
        from torch.optim.optimizer import register_optimizer_step_post_hook

        if self._hook and self._hooked_in != os.getpid():  # A copy in another process has no hook yet.
            this = weakref.ref(self)

            def ended(*_: Any) -> None:
                if (of := this()) is not None:
                    of.end()

            register_optimizer_step_post_hook(ended)
            self._hooked_in = os.getpid()

    def _check(self, batch: dict[str, Tensor]) -> None:
        """Whether shares depend on the counts of their micro-batch, which the trainer divides by once more or not at all."""
        if self._checked:
            return
        import torch

        mask = batch["response_mask"]
        counts: dict[str, Any] = {"tokens": int(mask.sum()), "sequences": len(mask) + 1, "width": 1}
        changes = (
            {"tokens": 2 * counts["tokens"]} if self._cut == "tokens" else {name: 2 * of for name, of in counts.items()}
        )
        with torch.no_grad():
            once = self.program.accumulate(**counts)(batch)
            twice = self.program.accumulate(**counts | changes)(batch)
        if not once:  # It tells nothing; the next micro-batch may.
            return
        if not torch.allclose(once, twice * 2 if self._cut == "tokens" else twice, rtol=1e-4, atol=0.0):
            takes = "averages over tokens by itself" if self._cut == "tokens" else "adds up what it is given"
            write = "`token_mean(...)`" if self._cut == "tokens" else "`token_sum(...)` or `batch_sum(...)`"
            raise StepError(
                f"this trainer {takes}, and the file has denominators of another kind: write {write} around every summand"
            )
        self._checked = True
