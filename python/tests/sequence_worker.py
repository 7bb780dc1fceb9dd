"""What one of several processes does in ``test_sequences_in_shards.py``: steps over gloo on its tokens of one batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh

import aent
from aent import sequence_parallel

B, T, D, V = 4, 16, 5, 19
ORDERS: tuple[Literal["contiguous", "zigzag"], ...] = ("contiguous", "zigzag")

#: What adds up along sequences, scans them, or spans the step.
LOSSES = {
    "token_mean": "loss = token_mean(clip_ppo())",
    "seq_mean_token_mean": "loss = seq_mean_token_mean(clip_ppo())",
    "gspo": "loss = token_mean(gspo())",
    "gae": "loss = token_mean(-detach(gae()) * log_prob + (values - returns)^2)",
    "cumsum": "loss = token_mean(cumsum(log_prob) * reverse_cumsum(advantages, discount = 0.9))",
    "segments": """input turn: token int
        loss = segment_mean_token_mean(clip_ppo(), by = turn) - token_mean(segment_max(log_prob, by = turn))""",
    "entropy": "loss = token_mean(clip_ppo()) - 0.1 * seq_mean_token_sum_norm(clamped_entropy(drop = 30%))",
    "top": "loss = token_mean(where(top_fraction(entropy(), 30%), clip_ppo(), 0))",
    "quotient": "loss = token_mean(log_prob) / (token_mean(entropy()) + 1)",
    "tempered": "input heat: seq\nset temperature = heat\nloss = token_mean(clip_ppo())",
}
STEERED = """
controller beta = band(signal = token_mean(entropy()), target = 0.1 .. 0.2, step = 0.1, bounds = 0 .. 1, init = 0.01)
loss = token_mean(clip_ppo()) - beta * token_mean(entropy())
metric longest = batch_mean(length)
"""


def text_of(name: str) -> str:
    text = LOSSES[name]
    return 'import "std/averages.aent"\n' + text if "segment_mean_token" in text else text


def whole_batch() -> dict[str, torch.Tensor]:
    """Four sequences of up to sixteen tokens."""
    at = torch.arange(B * T, dtype=torch.float64)
    lengths = torch.tensor([16, 9, 3, 12])
    return {
        "states": torch.arange(B * T * D, dtype=torch.float64).mul(0.37).sin().view(B, T, D),
        "actions": (at * 11 % V).long().view(B, T),
        "response_mask": torch.arange(T) < lengths[:, None],
        "old_log_prob": at.mul(1.3).sin().sub(3).view(B, T),
        "advantages": at.mul(0.9).cos().view(B, T),
        "returns": at.mul(1.7).cos().view(B, T),
        "old_values": at.mul(0.4).sin().view(B, T),
        "turn": (at // 5 % 3).long().view(B, T),
        "rewards": torch.arange(B, dtype=torch.float64).mul(2.1).sin(),
        "heat": torch.arange(B, dtype=torch.float64).mul(0.7).cos().add(1.5),
        "group": torch.tensor([0, 0, 1, 1]),
    }


def policy() -> torch.nn.Linear:
    """A policy with a critic as its last output, alike on all processes."""
    layer = torch.nn.Linear(D, V + 1, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.arange((V + 1) * D, dtype=torch.float64).cos().view(V + 1, D))
        layer.bias.copy_(torch.arange(V + 1, dtype=torch.float64).sin())
    return layer


def brought(layer: torch.nn.Linear, rows: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A batch with what the model says of it."""
    out = layer(rows["states"])
    rest = {name: tensor for name, tensor in rows.items() if name != "states"}
    return {**rest, "logits": out[..., :-1], "values": out[..., -1]}


def columns(order: str, rank: int, size: int, width: int) -> torch.Tensor:
    """The tokens of a sequence that a rank has."""
    at = torch.arange(width)
    if order == "contiguous":
        return at.chunk(size)[rank]
    parts = at.chunk(2 * size)
    return torch.cat([parts[rank], parts[2 * size - 1 - rank]])


def own(rows: dict[str, torch.Tensor], order: str, rank: int, size: int) -> dict[str, torch.Tensor]:
    """A rank's tokens of a padded batch."""
    index = columns(order, rank, size, T)
    return {name: tensor[:, index] if tensor.dim() > 1 else tensor for name, tensor in rows.items()}


def own_packed(rows: dict[str, torch.Tensor], order: str, rank: int, size: int) -> dict[str, torch.Tensor]:
    """A rank's tokens of the batch without padding, or with as much of it as zigzag order needs."""
    lengths = rows["response_mask"].sum(-1)
    lengths = lengths if order == "contiguous" else -(-lengths // (2 * size)) * 2 * size
    ends = torch.cat([torch.zeros(1, dtype=torch.long), lengths.cumsum(0)])
    inside = torch.arange(T) < lengths[:, None]
    flat = {name: tensor[inside] if tensor.dim() > 1 else tensor for name, tensor in rows.items()}
    if order == "contiguous":
        tokens = int(ends[-1])
        whole = -(-tokens // size) * size
        index = columns(order, rank, size, whole).clamp(max=tokens - 1)
    else:
        index = torch.cat(
            [start + columns(order, rank, size, int(length)) for start, length in zip(ends, lengths, strict=False)]
        )
    return {name: tensor[index] if rows[name].dim() > 1 else tensor for name, tensor in flat.items()} | {
        "cu_seqlens": ends
    }


def summed(layer: torch.nn.Linear) -> list[torch.Tensor]:
    """The gradients of all ranks, added up."""
    found = []
    for parameter in layer.parameters():
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.clone()
        dist.all_reduce(gradient)
        found.append(gradient)
    return found


def results(rank: int, size: int) -> dict[str, Any]:
    """Everything that the tests look at, as this rank has it."""
    world, rows = dist.group.WORLD, whole_batch()
    found: dict[str, Any] = {}
    for order in ORDERS:
        for name in LOSSES:
            program = aent.compile(text_of(name))
            for form, mine in (
                ("padded", own(rows, order, rank, size)),
                ("packed", own_packed(rows, order, rank, size)),
            ):
                layer = policy()
                output = program(brought(layer, mine), sequence_group=world, sequence_order=order, gradients="sum")
                output.loss.backward()
                found[f"{name} {order} {form}"] = (output.total, output.loss.item(), summed(layer))

        # Micro-batches, one sequence each, and the mean of the ranks' gradients.
        layer, program = policy(), aent.compile(STEERED)
        step = program.accumulate(sequence_group=world, sequence_order=order)
        mine = own(rows, order, rank, size)
        parts = [{name: tensor[at : at + 1] for name, tensor in mine.items()} for at in range(B)]
        for part in parts:
            step.measure(brought(layer, part))
        for part in parts:
            step(brought(layer, part)).backward()
        output = step.finish()
        program.update(output)
        gradients = [gradient / size for gradient in summed(layer)]
        found[f"steered {order}"] = (output.metrics, output.signals, program.coefficients, gradients)

        # The helpers: the whole, the own part of it, and the own sequences, all with gradient.
        x = mine["old_log_prob"].clone().requires_grad_()
        whole = sequence_parallel.gather(x, world, order=order)
        weights = torch.arange(B * T, dtype=torch.float64).view(B, T)
        (whole * weights).sum().div(size).backward()
        back = sequence_parallel.own(whole, world, order=order)
        rest = sequence_parallel.sequences(mine["states"], world, order=order)
        y = mine["old_log_prob"].clone().requires_grad_()
        share = sequence_parallel.sequences(y, world, order=order)
        (share * weights[rank * B // size : (rank + 1) * B // size]).sum().backward()
        found[f"helpers {order}"] = [whole.detach(), x.grad, back.detach(), x.detach(), rest, y.grad]
        packed = own_packed(rows, order, rank, size)
        ends = packed["cu_seqlens"]
        flat = sequence_parallel.gather(packed["turn"], world, order=order, cu_seqlens=ends)
        found[f"packed helpers {order}"] = [
            flat,
            sequence_parallel.own(flat, world, order=order, cu_seqlens=ends),
            packed["turn"],
        ]

    if size == 4:
        mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("data", "sequence"))
        data, sequence = mesh["data"], mesh["sequence"]
        half = {name: tensor.chunk(2)[data.get_local_rank()] for name, tensor in rows.items()}
        mine = own(half, "zigzag", sequence.get_local_rank(), 2)
        layer = policy()
        output = aent.compile(STEERED)(
            brought(layer, mine), process_group=data, sequence_group=sequence, sequence_order="zigzag"
        )
        output.loss.backward()
        found["mesh"] = (output.total, output.loss.item(), [gradient / 4 for gradient in summed(layer)])

        # The first axis holds shards of the vocabulary instead, of ten tokens and of nine.
        mine, layer = own(rows, "zigzag", sequence.get_local_rank(), 2), policy()
        batch = brought(layer, mine)
        batch["logits"] = batch["logits"].split([10, 9], -1)[data.get_local_rank()]
        step = aent.compile(STEERED).accumulate(
            vocab_group=data, sequence_group=sequence, sequence_order="zigzag", gradients="sum", tokens=40, sequences=4
        )
        step(batch).backward()
        found["both sorts of shards"] = (step.finish().metrics, summed(layer))

    program, mine = aent.compile("loss = token_mean(clip_ppo())"), own(rows, "contiguous", rank, size)
    wrong = dict(mine)
    if rank == 1:
        wrong["actions"] = wrong["actions"] + V
    unlike = dict(mine) | {"rewards": mine["rewards"] + rank}
    with_rewards = aent.compile("loss = token_mean(clip_ppo() * rewards)")
    missing = {name: tensor for name, tensor in mine.items() if name != "old_log_prob" or rank == 0}
    for name, of, given in [("wrong", program, wrong), ("unlike", with_rewards, unlike), ("missing", program, missing)]:
        try:
            of(brought(policy(), given), sequence_group=world)
        except aent.Error as error:
            found[name] = (type(error).__name__, str(error))
    step = program.accumulate(sequence_group=world)
    try:
        if rank == 1:
            step.fail("no such file")
        else:
            step.measure(brought(policy(), mine))
    except aent.Error as error:
        found["failed"] = (type(error).__name__, str(error))
    return found


def main(rank: int, size: int, folder: str) -> None:
    """Joins the others, and leaves what it found in a file."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=size)
    torch.save(results(rank, size), Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()
