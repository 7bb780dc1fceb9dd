"""What one of several processes does in ``test_ranks.py``: steps over gloo on its rows of one batch."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

import aent

B, T, D, V = 8, 6, 5, 19

#: A loss for each way to reduce, and for each thing that spans a step.
LOSSES = {
    "token_mean": "token_mean(clip_ppo())",
    "token_sum": "token_sum(clip_ppo())  # aent: allow(extensive-loss)",
    "seq_mean_token_sum": "seq_mean_token_sum(clip_ppo())",
    "seq_mean_token_mean": "seq_mean_token_mean(clip_ppo())",
    "seq_mean_token_sum_norm": "seq_mean_token_sum_norm(clip_ppo())",
    "batch_mean": "batch_mean(seq_mean(clip_ppo()))",
    "batch_sum": "batch_sum(seq_sum(clip_ppo()))  # aent: allow(extensive-loss)",
    "group_mean": "-token_mean((rewards - group_mean(rewards)) / (group_std(rewards) + 1e-6) * log_prob)",
    "top_fraction": "token_mean(where(top_fraction(entropy(), 0.3), clip_ppo(), 0))",
    "product": "token_mean(clip_ppo()) * exp(-token_mean(entropy()))",
}
STEERED = """
let entropy = clamped_entropy(drop = 30%)
controller beta = band(signal = token_mean(entropy), target = 0.1 .. 0.2, step = 0.1, bounds = 0 .. 1, init = 0.01)
loss = token_mean(clip_ppo()) - beta * token_mean(entropy)
metric entropy = token_mean(entropy)
metric spread = quantile(entropy, 0.9) - quantile(entropy, 0.1)
"""


def whole_batch() -> dict[str, torch.Tensor]:
    """Eight sequences; the last three have no valid token at all."""
    at = torch.arange(B * T, dtype=torch.float64)
    lengths = torch.tensor([6, 4, 1, 5, 3, 0, 0, 0])
    return {
        "states": torch.arange(B * T * D, dtype=torch.float64).mul(0.37).sin().view(B, T, D),
        "actions": (at * 11 % V).long().view(B, T),
        "response_mask": torch.arange(T) < lengths[:, None],
        "old_log_prob": at.mul(1.3).sin().sub(3).view(B, T),
        "advantages": at.mul(0.9).cos().view(B, T),
        "rewards": torch.arange(B, dtype=torch.float64).mul(2.1).sin(),
        "group": torch.tensor([0, 0, 1, 1, 0, 1, 2, 2]),
    }


def policy() -> torch.nn.Linear:
    """A policy that all processes begin with alike."""
    layer = torch.nn.Linear(D, V, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.arange(V * D, dtype=torch.float64).cos().view(V, D))
        layer.bias.copy_(torch.arange(V, dtype=torch.float64).sin())
    return layer


def step(
    program: aent.Program, model: Callable[[torch.Tensor], Any], rows: dict[str, torch.Tensor], **options: Any
) -> aent.Output:
    """A step on some rows."""
    fields = {name: tensor for name, tensor in rows.items() if name != "states"}
    return program(fields, logits=model(rows["states"]), **options)


def rows_of(rank: int, size: int) -> slice:
    """Uneven cuts: with four ranks the last has no valid token."""
    ends = {2: [0, 3, 8], 4: [0, 1, 3, 5, 8]}[size]
    return slice(ends[rank], ends[rank + 1])


def gradients(layer: torch.nn.Module) -> list[torch.Tensor]:
    """The gradients of a layer, put together where they are sharded."""
    found = []
    for parameter in layer.parameters():
        gradient = parameter.grad
        assert gradient is not None
        found.append(gradient.full_tensor() if hasattr(gradient, "full_tensor") else gradient.clone())
    return found


def results(rank: int, size: int) -> dict[str, Any]:
    """Everything that the tests look at, as this rank has it."""
    world = dist.group.WORLD
    mine = {name: tensor[rows_of(rank, size)] for name, tensor in whole_batch().items()}
    found: dict[str, Any] = {}
    for name, loss in LOSSES.items():
        layer = policy()
        model = DistributedDataParallel(layer)  # it joins gradients as long as it lives
        output = step(aent.compile(f"loss = {loss}"), model, mine, process_group=world)
        output.loss.backward()
        found[name] = (output.total, gradients(layer))

    program, layer = aent.compile(STEERED), policy()
    model = DistributedDataParallel(layer)
    for _ in range(3):
        output = step(program, model, mine, process_group=world)
        program.update(output)
    found["steered"] = (output.metrics, output.signals, program.coefficients, output.tokens)

    # Each rank cuts its rows into micro-batches of one sequence: their numbers differ.
    layer, parts = policy(), []
    for row in range(mine["actions"].shape[0]):
        part = {name: tensor[row : row + 1] for name, tensor in mine.items()}
        states = part.pop("states")
        parts.append({**part, "logits": layer(states)})
    cut = aent.compile(STEERED).accumulate(group=world, gradients="sum")
    for part in parts:
        cut.measure(part)
    for part in parts:
        cut(part).backward()
    for parameter in layer.parameters():
        dist.all_reduce(parameter.grad)
    found["parts"] = (cut.finish().metrics, gradients(layer))

    mesh = init_device_mesh("cpu", (size,))
    sharded = policy()
    fully_shard(sharded, mesh=mesh)
    output = step(aent.compile(f"loss = {LOSSES['token_mean']}"), sharded, mine, process_group=mesh)
    output.loss.backward()
    found["fsdp"] = (output.total, gradients(sharded))

    wrong = dict(mine)
    if rank == 1:
        wrong["actions"] = wrong["actions"] + V
    for name, rows, text in [
        ("wrong batch", wrong, "loss = token_mean(clip_ppo())"),
        ("wrong program", mine, f"loss = token_mean(clip_ppo(low = 0.{rank + 1}))"),
    ]:
        try:
            step(aent.compile(text), policy(), rows, process_group=world)
        except aent.Error as error:
            found[name] = (type(error).__name__, str(error))
    return found


def main(rank: int, size: int, folder: str) -> None:
    """Joins the others, and leaves what it found in a file."""
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(size))
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=size)
    torch.save(results(rank, size), Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()
