"""A program as a policy loss under a trainer's own names, in any framework.

loss_fn = aent.adapters.policy_loss(program, names="skyrl")
output = loss_fn(log_probs=..., old_log_probs=..., advantages=..., loss_mask=...)
output.loss.backward()
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ._aent import Output, Program
from .errors import BatchError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["NAMES", "fields", "policy_loss"]

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
    renamed, given = _names(names), {**(batch or {}), **columns}
    taken = {renamed.get(field, field) for field in program.fields}
    found: dict[str, Tensor] = {}
    for field in sorted(program.fields | {"log_prob", "rows", "hidden", "lm_head", "cu_seqlens"}):
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
        found["cu_seqlens"] = mask.new_tensor([0, mask.shape[0]]).long()
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
