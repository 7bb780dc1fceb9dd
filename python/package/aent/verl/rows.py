"""Row statistics of a micro-batch where its logits are, brought into verl's layout of a response.

What this file and ``engine.py`` know of verl beyond its documented interface is listed there, with the tested versions.
"""

from __future__ import annotations

from typing import Any

import torch

from aent._aent import Program
from aent.errors import BatchError, StepError

from .columns import column, temperatures
from .mini_batch import Loss

# What verl computes of the logits besides log-probabilities, where a micro-batch says so.
OF_LOGITS = ("calculate_entropy", "calculate_sum_pi_squared", "distillation_use_topk")


def packed_rows(
    engine: Any,
    output: Any,
    output_args: dict[str, Any],
    micro_batch: Any,
    loss: Loss,
    fused: torch.Tensor | None,
) -> torch.Tensor:
    """``[N, R]``: the rows of all N tokens of a micro-batch, one sequence behind the other, zero where none counts.

    Each rank of a sequence-parallel group computes those of its own tokens, for the labels that verl has for its own
    log-probabilities, and gathers them as verl gathers those.

    Args:
        fused: rows of the model's layout that were made where hidden states met the output layer, in place of logits.
    """
    from torch.distributed.tensor import DTensor

    program = loss.program
    labels, offsets = output_args["input_ids_rmpad_rolled"], micro_batch["input_ids"].offsets()
    logits: Any = getattr(output, "logits", None)
    if logits is None and fused is None:
        raise StepError(
            "the model gave no logits, and its fused forward pass is none of those that verl has for "
            "`fused_kernel_options.impl_backend=torch`: set `actor_rollout_ref.model.use_fused_kernels=False`"
        )
    if isinstance(logits, DTensor):
        logits = logits.full_tensor()
    if (padding := output_args.get("pad_size")) is not None:
        if fused is None:
            given = {
                name: _own_part(engine, of, padding, len(labels)) for name, of in of_tokens(micro_batch, loss).items()
            }
            given |= tempered(program, output_args.get("temperature_rmpad"), labels)
            rows = program.rows(given, logits=logits.squeeze(0), actions=labels)
        else:
            rows = fused.squeeze(0)
        gathered: torch.Tensor = engine._gather_and_unpad_packed(rows, padding)
        return gathered
    if fused is None:
        shape = logits.shape[:2]
        given = of_tokens(micro_batch, loss) | {"actions": labels}
        rows = program.rows(
            {name: _padded(of, offsets, shape) for name, of in given.items()},
            logits=logits,
            **tempered(program, output_args.get("temperature"), logits[..., 0]),
        )
    else:
        rows = fused
    lengths = offsets.diff().tolist()
    return torch.cat([row[:length] for row, length in zip(rows, lengths, strict=True)])


def tempered(program: Program, temperature: Any, like: torch.Tensor) -> dict[str, Any]:
    """What a file reads of verl's temperatures: one for each row, of the shape of ``like``, or nothing."""
    if not isinstance(program.temperature, str):
        return {}
    given = torch.as_tensor(temperature, dtype=torch.float32, device=like.device)
    return {
        program.temperature: (given if given.dim() == 0 else given.view(-1, *[1] * (like.dim() - 1))).expand(like.shape)
    }


def of_tokens(micro_batch: Any, loss: Loss) -> dict[str, torch.Tensor]:
    """``[N]`` and ``[N, K]``: which tokens' rows a response is made of, and count in it, and what is listed for those."""
    from verl.workers.utils.padding import no_padding_2_padding

    total = micro_batch["input_ids"].values().shape[0]
    mask = micro_batch["response_mask"]
    mask = (torch.nested.to_padded_tensor(mask, 0) if mask.is_nested else mask).bool()
    places = no_padding_2_padding(torch.arange(total, device=mask.device), micro_batch)[mask]
    found = {"response_mask": torch.zeros(total, dtype=torch.bool, device=mask.device)}
    found["response_mask"][places] = True
    for field in sorted(loss.program.candidate_fields):
        listed = column(loss.name, field, micro_batch)
        if listed.dim() != 3 or listed.shape[:2] != mask.shape:
            raise BatchError(
                f"`{loss.name}` reads `{field}`: expected `[B, T, K]` of the responses, {[*mask.shape]} and any K, found "
                f"{[*listed.shape]}"
            )
        listed = listed if listed.is_floating_point() else listed.long()
        found[field] = listed.new_full((total, listed.shape[-1]), -1)
        found[field][places] = listed[mask]
    return found


def _own_part(engine: Any, packed: torch.Tensor, padding: int, length: int) -> torch.Tensor:
    """What of a packed batch is this rank's."""
    packed = torch.cat([packed, packed.new_zeros(padding, *packed.shape[1:])])
    if not engine.use_ulysses_sp:
        return packed
    from verl.utils.ulysses import get_ulysses_sequence_parallel_rank

    start = get_ulysses_sequence_parallel_rank() * length
    return packed[start : start + length]


def _padded(packed: torch.Tensor, offsets: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """``[B, T, ...]`` of what is packed, with zeros."""
    nested = torch.nested.nested_tensor_from_jagged(
        packed.to(torch.int64) if packed.dtype == torch.bool else packed, offsets
    )
    padded: torch.Tensor = torch.nested.to_padded_tensor(nested, 0, output_size=(*shape, *packed.shape[1:]))
    return padded.to(packed.dtype)


def check_temperature(data: Any, program: Program) -> None:
    """Refuses a file whose temperature is not verl's."""
    theirs, own = temperatures(data), program.temperature
    if isinstance(own, str) or torch.allclose(theirs, torch.full_like(theirs, own)):
        return
    low, high = theirs.min().item(), theirs.max().item()
    if low == high:
        raise StepError(f"verl divides the logits by {low:g}, the file by {own:g}: write `set temperature = {low:g}`")
    raise StepError(
        f"verl divides the logits by {low:g} to {high:g}, as its column `temperature` says, the file by {own:g}: "
        "write `input temperature: seq` and `set temperature = temperature`"
    )
