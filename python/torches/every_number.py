"""Every number that the package gives on seeded batches, for comparison between two torches.

python every_number.py record FILE              what this torch gives
python every_number.py compare REFERENCE FILE   how far two recordings are apart
"""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

import aent

ROOT = Path(__file__).resolve().parents[2]
B, T, D, V = 6, 7, 5, 23
#: How far apart two torches may be where they sum in another order, as part of the larger of 1 and the largest number.
BOUND = {"f64": 1e-12, "f32": 2e-5}
TERM = "loss = token_mean(torches::scaled(clip_ppo(), factor = 3))"
STEERED = """
let entropy = clamped_entropy(drop = 30%)
controller beta = band(signal = token_mean(entropy), target = 0.1 .. 0.2, step = 0.1, bounds = 0 .. 1, init = 0.01)
loss = token_mean(clip_ppo()) - beta * token_mean(entropy)
metric spread = quantile(entropy, 0.9)
"""


@aent.term(name="torches::scaled")
def scaled(x: aent.Token, *, factor: float) -> aent.Token:
    """A term in Python."""
    return torch.sigmoid(x) * factor


def wave(count: int, by: float, size: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Numbers that no generator of torch makes: those differ between versions."""
    return torch.tensor([math.sin(by * (i + 1)) for i in range(count)], dtype=torch.float64).view(size).to(dtype)


def batch(dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """All fields that a recipe may read."""
    mask = torch.ones(B, T, dtype=torch.bool)
    for row in range(B):
        mask[row, 2 + row % 5 :] = False
    tokens = {name: wave(B * T, 0.3 + 0.1 * at, (B, T), dtype) for at, name in enumerate(TOKENS)}
    for name in tokens:
        if "log_prob" in name:
            tokens[name] = tokens[name] * 0.3 - 2.5
    tokens["old_entropy"] = tokens["old_entropy"].abs()
    actions = torch.tensor([i * 7 % V for i in range(B * T)]).view(B, T)
    # The action and two others, with a pad among them.
    lists = torch.stack([(actions + 3) % V, torch.full_like(actions, -1), actions, (actions + 1) % V], dim=-1)
    ids = {"turn": torch.arange(T).div(2, rounding_mode="floor").expand(B, T), "rollout": torch.arange(B) // 3}
    pairs = {
        "chosen": torch.arange(B) % 2 == 0,
        "tempered": torch.arange(B) % 4 == 0,
    }
    sequences = {name: (wave(B, 1.7 + at, (B,), dtype) > 0).to(dtype) for at, name in enumerate(SEQUENCES)}
    return {
        "logits": (2 * wave(B * T * V, 0.7, (B, T, V), dtype)).requires_grad_(),
        "ref_logits": 2 * wave(B * T * V, 0.9, (B, T, V), dtype),
        "actions": actions,
        "kept": lists,
        "teacher_ids": lists,
        "teacher_log_prob": wave(B * T * 4, 0.6, (B, T, 4), dtype) * 0.3 - 2.5,
        **ids,
        **pairs,
        "response_mask": mask,
        "group": torch.tensor([i // 2 for i in range(B)]),
        **tokens,
        **sequences,
        "values": tokens["values"].requires_grad_(),
    }


TOKENS = [
    "old_log_prob",
    "ref_log_prob",
    "rollout_log_prob",
    "advantages",
    "values",
    "old_values",
    "returns",
    "old_entropy",
    "token_rewards",
    "proxy_log_prob",
]
SEQUENCES = ["rewards", "correct", "greedy", "well_formed", "log_z", "mismatched"]


def flat(tensor: torch.Tensor | None) -> list[float]:
    """The numbers of a tensor."""
    return [] if tensor is None else [float(x) for x in tensor.detach().double().flatten().tolist()]


def step(program: aent.Program, fields: dict[str, torch.Tensor]) -> dict[str, list[float]]:
    """Loss, gradients, metrics and the controllers after a step."""
    output = program(fields)
    output.loss.backward()
    found = {"loss": flat(output.loss), "metrics": list(output.metrics.values())}
    found |= {f"grad.{name}": flat(fields[name].grad) for name in fields if fields[name].requires_grad}
    program.update(output)
    return found | {"coefficients": list(program.coefficients.values())}


def in_parts(program: aent.Program, fields: dict[str, torch.Tensor]) -> dict[str, list[float]]:
    """The same in three micro-batches."""
    parts = [{name: tensor[rows : rows + 2] for name, tensor in fields.items()} for rows in range(0, B, 2)]
    accumulation = program.accumulate()
    for part in parts:
        accumulation.measure(part)
    for part in parts:
        accumulation(part).backward()
    output = accumulation.finish()
    return {
        "total": [output.total],
        "metrics": list(output.metrics.values()),
        "grad.logits": flat(fields["logits"].grad),
    }


def hidden(dtype: torch.dtype) -> dict[str, list[float]]:
    """Logits that are made from hidden states."""
    fields = batch(dtype)
    del fields["logits"]
    layer = {
        "hidden": wave(B * T * D, 0.8, (B, T, D), dtype).requires_grad_(),
        "lm_head": wave(V * D, 1.1, (V, D), dtype).requires_grad_(),
    }
    return step(aent.compile(STEERED, chunk_bytes=4096), fields | layer)


def on_a_rank(rank: int, size: int, where: str) -> None:
    """A rank of a step over gloo."""
    dist.init_process_group("gloo", init_method=f"file://{where}/meet", rank=rank, world_size=size)
    fields = {name: tensor[rank * B // size : (rank + 1) * B // size] for name, tensor in batch(torch.float64).items()}
    fields = {name: tensor.detach().requires_grad_(tensor.requires_grad) for name, tensor in fields.items()}
    output = aent.compile(STEERED)(fields, process_group=dist.group.WORLD)
    output.loss.backward()
    found = {
        "total": [output.total],
        "metrics": list(output.metrics.values()),
        "grad.logits": flat(fields["logits"].grad),
    }
    Path(where, f"rank{rank}").write_text(json.dumps(found))
    dist.destroy_process_group()


def ranks() -> dict[str, list[float]]:
    """The same over two processes."""
    with tempfile.TemporaryDirectory() as where:
        spawn(on_a_rank, args=(2, where), nprocs=2)
        both = [json.loads(Path(where, f"rank{rank}").read_text()) for rank in range(2)]
    return {f"rank{rank}.{name}": numbers for rank, of in enumerate(both) for name, numbers in of.items()}


def record() -> dict[str, Any]:
    """All of it."""
    found: dict[str, dict[str, list[float]]] = {}
    for kind, dtype in (("f64", torch.float64), ("f32", torch.float32)):
        for recipe in sorted((ROOT / "examples" / "recipes").glob("*.aent")):
            fields = batch(dtype)
            program = aent.compile(recipe)
            wanted = {name: tensor for name, tensor in fields.items() if name in program.fields or name == "values"}
            found[f"{recipe.stem}.{kind}"] = step(program, wanted)
        found[f"micro-batches.{kind}"] = in_parts(aent.compile(STEERED), batch(dtype))
        found[f"hidden states.{kind}"] = hidden(dtype)
        found[f"a term in Python.{kind}"] = step(aent.compile(TERM), batch(dtype))
    found["two gloo ranks.f64"] = ranks()
    return {"torch": torch.__version__, "python": sys.version.split()[0], "aent": aent.__version__, "numbers": found}


def compare(reference: dict[str, Any], other: dict[str, Any]) -> int:
    """Prints one row of a table, and what is too far apart."""
    here, there = reference["numbers"], other["numbers"]
    wrong = [f"only one of both has `{name}`" for name in here.keys() ^ there.keys()]
    same, count, worst = 0, 0, {"f64": 0.0, "f32": 0.0}
    for name in here.keys() & there.keys():
        kind = name.rsplit(".", 1)[1]
        for what, numbers in here[name].items():
            others = there[name].get(what, [])
            if len(numbers) != len(others):
                wrong.append(f"`{name}`, {what}: {len(numbers)} numbers and {len(others)}")
                continue
            scale = max([1.0, *(abs(x) for x in numbers if math.isfinite(x))])
            for a, b in zip(numbers, others, strict=True):
                equal = a == b or (math.isnan(a) and math.isnan(b))
                apart = 0.0 if equal else abs(a - b) / scale
                same, count = same + equal, count + 1
                if not apart <= BOUND[kind]:
                    wrong.append(f"`{name}`, {what}: {a} and {b}")
                    break
                worst[kind] = max(worst[kind], apart)
    print(
        f"| {other['torch']} | {other['python']} | {count} | {100 * same / max(count, 1):.1f}% "
        f"| {worst['f64']:.1e} | {worst['f32']:.1e} |"
    )
    for sentence in wrong[:20]:
        print(f"  {sentence}", file=sys.stderr)
    return 1 if wrong else 0


def main() -> int:
    """Records, or compares."""
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    match sys.argv[1:]:
        case ["record", file]:
            Path(file).write_text(json.dumps(record()))
            return 0
        case ["compare", reference, file]:
            return compare(*(json.loads(Path(name).read_text()) for name in (reference, file)))
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main())
