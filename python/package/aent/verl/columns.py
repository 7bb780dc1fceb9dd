"""Which columns of verl's data are which fields of a file, and what verl must be configured to bring."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import torch

from aent._aent import Program
from aent.errors import BatchError

# What the model gives. Everything else is a column of the mini-batch.
OF_THE_MODEL = {"actions", "log_prob", "logits"}
# verl's names, the first that is there. A field that is not here is a column of its own name.
COLUMNS = {
    "old_log_prob": ("old_log_probs",),
    "rollout_log_prob": ("rollout_log_probs",),
    "old_values": ("values",),
    # What verl makes its own advantages from: with the price of the reference where it is in the reward.
    "rewards": ("token_level_rewards", "token_level_scores", "rm_scores"),
    "token_rewards": ("token_rewards", "token_level_rewards", "token_level_scores", "rm_scores"),
    "group": ("uid",),
    "teacher_log_prob": ("teacher_log_prob", "teacher_logprobs"),
}
# What verl's defaults do not bring, and what does.
CONFIGURATION = {
    "ref_log_prob": "`actor_rollout_ref.actor.use_kl_loss=True` with `actor_rollout_ref.actor.kl_loss_coef=0`, so that verl "
    "adds no divergence of its own",
    "rollout_log_prob": "`actor_rollout_ref.rollout.calculate_log_probs=True`, verl's default",
    "rollout_is_weights": "`algorithm.rollout_correction.rollout_is=token` or `sequence`",
    "old_values": "a critic: `algorithm.adv_estimator=gae`",
    "teacher_ids": "`distillation.enabled=True`, and under `distillation.distillation_loss`: `loss_mode=forward_kl_topk`, "
    "`use_policy_gradient=False`, `distillation_loss_coef=0`. verl then brings the teacher's tokens and adds no loss of its own",
    "teacher_log_prob": "the same as for `teacher_ids`",
}
# What no configuration brings.
NEVER = {
    "values": "verl's critic is a model of its own with a loss of its own; the policy's loss may read what it gave as "
    "`old_values`, as `gae()` does",
    "ref_logits": "verl's reference gives log-probabilities alone: read `ref_log_prob`",
}
_ALWAYS = {
    "advantages",
    "group",
    "old_log_prob",
    "response_mask",
    "returns",
    "rewards",
    "rollout_log_prob",
    "token_rewards",
}


def needs(program: Program) -> dict[str, str]:
    """What verl must be configured to bring for a program, beyond its defaults: a sentence for each field."""
    return {
        field: NEVER.get(field) or CONFIGURATION.get(field) or f"a column `{field}` of verl's data"
        for field in sorted(program.fields - OF_THE_MODEL - _ALWAYS - {program.temperature})
    }


def temperatures(data: Any) -> torch.Tensor:
    """``[B]``: what verl divides the logits of each sequence of a micro-batch by; it has one for all, or a column."""
    given = torch.as_tensor(data["temperature"], dtype=torch.float32, device=data["input_ids"].device)
    return given.flatten().expand(data["input_ids"].shape[0])


def fields_of(name: str, program: Program, data: Any) -> dict[str, torch.Tensor]:
    """The fields of a program that are columns of a micro-batch, padded to the longest response as verl pads them. What
    ``set temperature`` names is verl's temperature.

    Raises:
        BatchError: a column is not there, with what brings it.
    """
    read = program.fields - OF_THE_MODEL - program.candidate_fields
    return {
        field: temperatures(data) if field == program.temperature else column(name, field, data)
        for field in sorted(read)
    }


def refuse_missing(name: str, program: Program, data: Any) -> None:
    """Refuses a batch without a column that the program reads.

    Raises:
        BatchError: as ``column`` does.
    """
    for field in sorted(program.fields - OF_THE_MODEL - {program.temperature}):
        _found(name, field, data)


def column(name: str, field: str, data: Any) -> torch.Tensor:
    """A field of a program that is a column of a micro-batch.

    Raises:
        BatchError: it is not there.
    """
    value, device = _found(name, field, data), data["input_ids"].device
    if field == "group":
        return _ids(value).to(device)
    tensor = value if isinstance(value, torch.Tensor) else torch.as_tensor(value)
    if tensor.is_nested:
        tensor = _padded(tensor, data)
    if field == "response_mask":
        return tensor.to(device, torch.bool)
    if tensor.dtype == torch.bool:  # 0 and 1 are a number and a truth value.
        tensor = tensor.long()
    if field == "rewards" and tensor.dim() == 2:
        tensor = tensor.sum(-1)
    return tensor.to(device)


def _found(name: str, field: str, data: Any) -> Any:
    """A column as verl has it."""
    from verl.utils import tensordict_utils as tu

    columns = COLUMNS.get(field, (field,))
    for of in columns:
        value = tu.get(data, of) if of in data else _extra(data, of)
        if value is not None:
            return value
    names, brings = " or ".join(f"`{of}`" for of in columns), CONFIGURATION.get(field)
    raise BatchError(
        f"`{name}` reads `{field}`, and verl's data has no {names}"
        + (f": set {brings}" if brings else f"; it has {sorted(map(str, data.keys()))}")
    )


def _padded(tensor: torch.Tensor, data: Any) -> torch.Tensor:
    """A nested column, padded to the responses. verl's teacher columns cover the prompts, too, and say of each token at the one
    before it."""
    from verl.workers.utils.padding import no_padding_2_padding

    of_sequences = tensor.dim() == 3 and len(tensor.values()) == len(data["input_ids"].values())
    padded: torch.Tensor = (
        no_padding_2_padding(tensor, data) if of_sequences else torch.nested.to_padded_tensor(tensor, 0)
    )
    return padded


def _extra(data: Any, name: str) -> list[Any] | None:
    """What a reward function gave besides, which verl keeps as a dictionary of each sample."""
    from verl.utils import tensordict_utils as tu

    rows = tu.get(data, "extra_fields") if "extra_fields" in data else None
    if rows is None:
        return None
    found = [{**_dictionary(row, "reward_extra_info"), **row}.get(name) for row in rows]
    return None if any(value is None for value in found) else found


def _dictionary(row: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    inner = row.get(name)
    return inner if isinstance(inner, Mapping) else {}


def _ids(names: Any) -> torch.Tensor:
    """Names of prompts as int64, the same on every rank: integers as they are, the others by a hash."""
    if isinstance(names, torch.Tensor):
        return names.flatten().long()
    return torch.tensor([name if isinstance(name, int) else _hash(str(name)) for name in names])


def _hash(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big") >> 1
