"""A step from packed logits, from hidden states and from a vocabulary in shards, beside verl's and Liger's functions.

    pip install liger-kernel
    PYTHONPATH=target/python/site python python/benches/row_forms.py [packed] [hidden] [shards]

Each line is a process of its own, its time the median of three steps forward and backward, its memory the most that one step adds
to what the process holds before it. Loss and gradient of all lines of a table are found equal first.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

V, D = 151_936, 896
LENGTHS = [78, 16, 11, 8, 7, 5, 3]  # Seven answers, of which one is long.
CLIP = "loss = token_mean(clip_ppo())"
WITH_ENTROPY = CLIP + " - 0.01 * token_mean(entropy())"
TABLES = {
    "packed": [
        "file, packed",
        "file, padded for it",
        "verl's functions, packed",
        "verl's functions, entropy in chunks",
    ],
    "hidden": [
        "file, hidden states",
        "Liger, chunks of a sequence",
        "torch, logits as a whole",
        "the four products alone",
    ],
    "shards": ["file, packed", "two ranks, one thread each"],
}
Step = Callable[[], torch.Tensor]


def main() -> None:
    """Runs the tables that are asked for, or all of them; a worker where the parent asks for one."""
    if sys.argv[1:2] == ["--line"]:
        line(*sys.argv[2:4])
        return
    for table in sys.argv[1:] or TABLES:
        print(f"\n{table}: {sum(LENGTHS)} tokens of {len(LENGTHS)} sequences, V = {V:,}, D = {D}, f32, two cores\n")
        print("| | time | memory |\n| --- | --- | --- |")
        reference: dict[str, Any] = {}
        for name in TABLES[table]:
            command = [sys.executable, __file__, "--line", table, name]
            done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603 - this very file
            if done.returncode:
                print(f"| {name} | does not run here: {done.stderr.strip().splitlines()[-1]} | |", flush=True)
                continue
            found = json.loads(done.stdout.strip().splitlines()[-1])
            reference = reference or found
            for what in ("loss", "norm") if name != "the four products alone" else ():
                apart = abs(found[what] - reference[what])
                assert apart <= 1e-4 * abs(reference[what]), f"{name}: {what} {found[what]} for {reference[what]}"
            print(f"| {name} | {found['seconds']:.2f} s | {found['mib']:,.0f} MiB |", flush=True)


def resident(what: str) -> float:
    """``VmRSS``, the memory of this process, or ``VmHWM``, the most since it was forgotten, in MiB."""
    status = Path("/proc/self/status").read_text()
    return int(next(row for row in status.splitlines() if row.startswith(what)).split()[1]) / 1024


def fields() -> dict[str, torch.Tensor]:
    """A packed batch without its logits."""
    torch.manual_seed(0)
    count = sum(LENGTHS)
    return {
        "cu_seqlens": torch.tensor([0, *LENGTHS]).cumsum(0),
        "actions": torch.randint(V, (count,)),
        "old_log_prob": torch.full((count,), -12.5) + 0.1 * torch.randn(count),
        "advantages": torch.randn(len(LENGTHS)).repeat_interleave(torch.tensor(LENGTHS)),
        "response_mask": torch.ones(count, dtype=torch.bool),
    }


def padded(packed: torch.Tensor, fill: float = 0) -> torch.Tensor:
    """``[N, ...]`` as ``[B, longest, ...]``."""
    return torch.nn.utils.rnn.pad_sequence(list(packed.split(LENGTHS)), batch_first=True, padding_value=fill)


def clipped(log_prob: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Clip PPO over all tokens."""
    ratio = (log_prob - batch["old_log_prob"]).clamp(-20, 20).exp()
    gain = -batch["advantages"]
    return torch.maximum(gain * ratio, gain * ratio.clamp(0.8, 1.2)).mean()


def line(table: str, name: str) -> None:
    """Measures one line and prints it as JSON."""
    if table == "shards" and name.startswith("two ranks"):
        ranks(name)
        return
    leaf, step = {"packed": packed_step, "hidden": hidden_step, "shards": packed_step}[table](name)
    print(json.dumps(measured(leaf, step)))


def measured(leaf: torch.Tensor, step: Step, rounds: int = 3) -> dict[str, float]:
    """Of one step memory, loss and the gradient's norm, of several the time."""
    Path("/proc/self/clear_refs").write_text("5")  # Forgets the most so far.
    before = resident("VmRSS")
    loss = step()
    loss.backward()
    mib = resident("VmHWM") - before
    assert leaf.grad is not None
    norm = leaf.grad.double().norm().item()
    seconds = []
    for _ in range(rounds):
        leaf.grad = None
        start = time.perf_counter()
        step().backward()
        seconds.append(time.perf_counter() - start)
    return {"seconds": statistics.median(seconds), "mib": mib, "loss": loss.item(), "norm": norm}


def packed_step(name: str) -> tuple[torch.Tensor, Step]:
    """A step from packed logits."""
    batch = fields()
    logits = torch.randn(sum(LENGTHS), V).requires_grad_()
    if name.startswith("file"):
        import aent

        program = aent.compile(WITH_ENTROPY)
        if name == "file, packed":
            return logits, lambda: program(batch, logits=logits).loss
        wide = {of: padded(value) for of, value in batch.items() if of != "cu_seqlens"}
        return logits, lambda: program(wide, logits=padded(logits)).loss
    from verl.utils import torch_functional as verl

    entropies = verl.entropy_from_logits_with_chunking if name.endswith("chunks") else verl.entropy_from_logits

    def step() -> torch.Tensor:
        log_prob = verl.logprobs_from_logits(logits, batch["actions"])
        loss: torch.Tensor = clipped(log_prob, batch) - 0.01 * entropies(logits).mean()
        return loss

    return logits, step


def hidden_step(name: str) -> tuple[torch.Tensor, Step]:
    """A step from hidden states, with a gradient for both of them and the output layer."""
    batch = fields()
    states = torch.randn(sum(LENGTHS), D).requires_grad_()
    head = (torch.randn(V, D) / D**0.5).requires_grad_()
    if name == "the four products alone":
        slope = torch.randn(sum(LENGTHS), V) / V

        def products() -> torch.Tensor:
            # Forward, again backward, and the two gradients.
            torch.mm(states.detach(), head.detach().t())
            return (torch.mm(states, head.t()) * slope).sum()

        return states, products
    if name.startswith("file"):
        import aent

        program = aent.compile(CLIP)
        return states, lambda: program(batch, hidden=states, lm_head=head).loss
    if name.startswith("Liger"):
        from liger_kernel.chunked_loss import LigerFusedLinearGRPOLoss

        fused = LigerFusedLinearGRPOLoss(beta=0.0, compiled=False, use_ref_model=False, loss_type="bnpo")
        wide = {of: padded(value) for of, value in batch.items() if of != "cu_seqlens"}

        def liger() -> torch.Tensor:
            loss, *_ = fused(
                padded(states),
                head,
                wide["actions"],
                wide["response_mask"].float(),
                wide["advantages"][:, 0],
                old_per_token_logps=wide["old_log_prob"],
            )
            return torch.as_tensor(loss)

        return states, liger

    def plain() -> torch.Tensor:
        log_prob = torch.log_softmax(states @ head.t(), -1).gather(-1, batch["actions"].unsqueeze(-1)).squeeze(-1)
        return clipped(log_prob, batch)

    return states, plain


def ranks(name: str) -> None:
    """The same on two gloo processes, each with half of the vocabulary."""
    if "RANK" not in os.environ:
        environment = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511", "WORLD_SIZE": "2"}
        command = [sys.executable, __file__, "--line", "shards", name]
        workers = [
            subprocess.Popen(command, env=environment | {"RANK": str(rank)}, stdout=subprocess.PIPE, text=True)  # noqa: S603
            for rank in range(2)
        ]
        told = [worker.communicate()[0] for worker in workers]
        found = [json.loads(text.strip().splitlines()[-1]) for text in told]
        norm = sum(of["norm"] ** 2 for of in found) ** 0.5
        worst = {of: max(rank[of] for rank in found) for of in ("seconds", "mib")}
        print(json.dumps(found[0] | worst | {"norm": norm}))
        return
    import torch.distributed as dist

    import aent

    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank, group = dist.get_rank(), dist.group.WORLD
    batch, program = fields(), aent.compile(WITH_ENTROPY)
    logits = torch.randn(sum(LENGTHS), V).chunk(2, -1)[rank].clone().requires_grad_()
    print(json.dumps(measured(logits, lambda: program(batch, logits=logits, vocab_group=group).loss)))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
