"""What one of several processes does in ``test_shards.py``: steps on its shard of the vocabulary, over gloo."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

import aent

B, T, D, V = 3, 5, 4, 23

#: A program for each way in which a row is read.
TEXTS = {
    "log_prob": "loss = token_mean(clip_ppo())",
    "sets": """
let inside = clamped_entropy(top_p = 0.8) + clamped_entropy(top_k = 5) + clamped_entropy(min_p = 0.1)
loss = token_mean(clip_ppo()) - 0.1 * token_mean(clamped_entropy(drop = 30%)) - 0.01 * token_mean(inside)
metric entropy = token_mean(entropy())
""",
    "reference": "loss = token_mean(forward_kl() + reverse_kl() + jensen_shannon(beta = 0.3))",
    "model": "loss = token_mean(clip_ppo()) * exp(-token_mean(clamped_entropy(top_p = 0.9)))",
}


def wave(size: list[int], by: float, scale: float = 1.0) -> torch.Tensor:
    """Numbers that every process makes alike."""
    count = torch.Size(size).numel()
    return torch.arange(count, dtype=torch.float64).mul(by).sin().mul(scale).view(size)


def whole() -> dict[str, torch.Tensor]:
    """A batch with the whole vocabulary: ties, banned tokens, and what is no number where nothing counts."""
    logits, reference = wave([B, T, V], 1.7, 3.0), wave([B, T, V], 0.9, 2.0)
    logits[0, 0] = 0.5
    logits[0, 1, :12] = reference[0, 1, :12] = -torch.inf
    logits[2, 4] = torch.nan
    mask = torch.ones(B, T, dtype=torch.bool)
    mask[2, 3:] = False
    return {
        "logits": logits,
        "ref_logits": reference,
        "actions": torch.arange(B * T).mul(7).add(12).remainder(V).view(B, T),
        "response_mask": mask,
        "old_log_prob": wave([B, T], 1.3).sub(3),
        "advantages": wave([B, T], 0.9),
    }


def shard(rank: int, size: int) -> slice:
    """The tokens of a rank: uneven shards."""
    ends = {1: [0, V], 2: [0, 9, V], 4: [0, 1, 9, 15, V]}[size]
    return slice(ends[rank], ends[rank + 1])


def part(batch: dict[str, torch.Tensor], tokens: slice) -> dict[str, torch.Tensor]:
    """The batch with these tokens."""
    return {name: x[..., tokens].clone() if name.endswith("logits") else x for name, x in batch.items()}


def results(rank: int, size: int, **options: Any) -> dict[str, Any]:
    """Everything that the tests look at, as this rank has it."""
    tokens, found = shard(rank, size), {}
    for name, text in TEXTS.items():
        batch = part(whole(), tokens)
        logits = batch["logits"].requires_grad_()
        output = aent.compile(text)(batch, **options)
        output.loss.backward()
        found[name] = (output.total, output.metrics, logits.grad)

    program = aent.compile(TEXTS["sets"])
    for kind in [torch.float64, torch.bfloat16]:
        rows = {name: x.to(kind) if name.endswith("logits") else x for name, x in part(whole(), tokens).items()}
        values = program.rows(rows, more=["log_prob", "entropy"], **options)
        found[f"rows in {kind}"] = values.detach()

    hidden, layer = wave([B, T, D], 0.7), wave([V, D], 1.9)
    hidden.requires_grad_()
    mine = layer[tokens].clone().requires_grad_()
    fields = {name: x for name, x in whole().items() if not name.endswith("logits")}
    output = program(fields, hidden=hidden, lm_head=mine, **options)
    output.loss.backward()
    found["hidden"] = (output.total, hidden.grad, mine.grad)

    batch = part(whole(), tokens)
    logits = batch.pop("logits").requires_grad_()
    step = aent.compile(TEXTS["model"]).accumulate(**options)
    cut = [{name: x[row : row + 1] for name, x in batch.items()} for row in range(B)]
    for row, fields in enumerate(cut):
        step.measure(fields, logits=logits[row : row + 1])
    for row, fields in enumerate(cut):
        step(fields, logits=logits[row : row + 1]).backward()
    found["parts"] = (step.finish().total, logits.grad)
    return found


def refusals(rank: int, size: int) -> dict[str, tuple[str, str]]:
    """What each rank raises where one of them is wrong; each goes on with the next."""
    world, found = dist.group.WORLD, {}

    def says(name: str, text: str, batch: dict[str, Any], **options: Any) -> None:
        try:
            aent.compile(text, **options)(batch, vocab_group=world)
        except aent.Error as error:
            found[name] = (type(error).__name__, str(error))

    right, text = part(whole(), shard(rank, size)), TEXTS["sets"]
    wrong = rank == size - 1
    says("shape", text, {**right, "advantages": right["advantages"][:1]} if wrong else right)
    says("mapping", text, 5 if wrong else right)  # type: ignore[arg-type]
    says("action", text, {**right, "actions": right["actions"] + V})
    says("rows", text, {**right, "actions": right["actions"].flip(0)} if wrong else right)
    says("statistics", TEXTS["log_prob"] if wrong else text, right)
    says("row", text, {**right, "logits": right["logits"].clone().fill_(torch.inf)} if wrong else right)
    says("kernels", text, right, kernels="reference")
    assert aent.compile(text)(right, vocab_group=world).total == aent.compile(text)(right, vocab_group=world).total
    return found


def both(rank: int) -> tuple[float, torch.Tensor]:
    """Four processes: two that share the rows of a step, times two that share the vocabulary."""
    groups = {of: dist.new_group(list(of)) for of in [(0, 1), (2, 3), (0, 2), (1, 3)]}
    shards, data = groups[(0, 1) if rank < 2 else (2, 3)], groups[(0, 2) if rank % 2 == 0 else (1, 3)]
    rows = slice(0, 1) if rank < 2 else slice(1, B)
    batch = {name: x[rows].clone() for name, x in part(whole(), shard(rank % 2, 2)).items()}
    logits = batch["logits"].requires_grad_()
    output = aent.compile(TEXTS["sets"])(batch, group=data, vocab_group=shards, gradients="sum")
    output.loss.backward()
    assert logits.grad is not None
    return output.total, logits.grad


def main(rank: int, size: int, folder: str) -> None:
    """Joins the others, and leaves what it found in a file."""
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(size))
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=size)
    found = results(rank, size, vocab_group=dist.group.WORLD)
    found["refusals"] = refusals(rank, size)
    if size == 4:
        found["both"] = both(rank)
    torch.save(found, Path(folder) / f"{rank}.pt")
