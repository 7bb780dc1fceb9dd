"""Times of the row kernels with the gradient written over the logits, against the speed of a copy.

    PYTHONPATH=target/python/site python python/benches/row_speed.py [--rows 256]

For each kind of logits and each request: rows of 151,936 logits, and as many logits in rows of 4,096. The median of eleven
steps, forward and backward, and how many times that of two reads and a write at the speed of a copy it is. torch's own threads
look for work for some milliseconds after each of its operations, so each pass waits until they have ended.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

import aent

LONG, SHORT = 151_936, 4_096
REQUESTS = {
    "log-prob and full entropy": "entropy()",
    "log-prob and entropy without the lowest 30%": "clamped_entropy(drop = 30%)",
}
ROUNDS, IDLE = 11, 0.02


def copied(logits: torch.Tensor) -> float:
    """Seconds of two reads and a write at the speed of a copy, which is a read and a write."""
    to, times = torch.empty_like(logits), []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        to.copy_(logits)
        times.append(time.perf_counter() - start)
    return 1.5 * statistics.median(times)


def stepped(entropy: str, logits: torch.Tensor) -> float:
    """Seconds of a step, forward and backward."""
    program = aent.compile(f"loss = -token_mean(log_prob) - 0.01 * token_mean({entropy})", overwrite_logits=True)
    actions = torch.randint(logits.shape[-1], logits.shape[:-1])
    memory, times = torch.empty_like(logits), []
    for _ in range(ROUNDS):
        leaf = memory.copy_(logits).detach().requires_grad_()
        time.sleep(IDLE)
        start = time.perf_counter()
        rows = program.rows(logits=leaf, actions=actions)
        forward = time.perf_counter() - start
        ones = torch.ones_like(rows)
        time.sleep(IDLE)
        start = time.perf_counter()
        rows.backward(ones)
        times.append(forward + time.perf_counter() - start)
        if leaf.grad is None or leaf.grad.data_ptr() != leaf.data_ptr():
            raise AssertionError("the gradient is not where the logits were")
    return statistics.median(times)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=256, help=f"rows of {LONG:,} logits")
    asked = parser.parse_args()
    torch.manual_seed(0)
    count = asked.rows * LONG
    print(f"{asked.rows} rows of {LONG:,} logits, {torch.get_num_threads()} threads")
    print(
        "| request | kind | step | of a copy's time | as many logits in rows of 4,096 |\n| --- | --- | --- | --- | --- |"
    )
    for request, entropy in REQUESTS.items():
        for kind in (torch.float32, torch.bfloat16):
            logits = (torch.randn(asked.rows, LONG) * 3).to(kind)
            step, copy = stepped(entropy, logits), copied(logits)
            short = stepped(entropy, logits.flatten()[: count // SHORT * SHORT].view(-1, SHORT))
            name = str(kind).removeprefix("torch.")
            print(
                f"| {request} | {name} | {step * 1e3:.1f} ms | {step / copy:.2f}× | {short / step - 1:+.0%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
