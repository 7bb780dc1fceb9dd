"""A step so small that only its overhead counts, beside the same formula in torch.

    PYTHONPATH=target/python/site python python/benches/tiny_step.py

Loss and gradient are compared first; both run in turns, and the medians are printed with the operations that torch dispatches.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

import aent

B, T, V = 4, 16, 100
ROUNDS = 1500
FILE = """
let policy = clip_ppo(low = 0.2, high = 0.2)
loss = token_mean(policy)
"""


class Count(TorchDispatchMode):
    """How many operations torch dispatches."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Counts one."""
        self.operations += 1
        return function(*args, **(kwargs or {}))


def main() -> None:
    """Measures a batch without padding, which is not masked, and one with it."""
    print(f"[{B}, {T}, {V}], f32, torch {torch.__version__}, {torch.get_num_threads()} threads")
    mask = torch.ones(B, T, dtype=torch.bool)
    print("\nwithout padding\n")
    measure(mask)
    mask[0, T // 2 :] = False
    print("\nwith padding\n")
    measure(mask)


def measure(mask: torch.Tensor) -> None:
    """Compares, measures and prints."""
    torch.manual_seed(0)
    random.seed(0)
    logits, advantages = torch.randn(B, T, V), torch.randn(B, T)
    actions, old = torch.randint(V, (B, T)), torch.randn(B, T) * 0.1 - 4.6

    def with_aent(program: aent.Program) -> Callable[[torch.Tensor], torch.Tensor]:
        fields = {"actions": actions, "response_mask": mask, "old_log_prob": old, "advantages": advantages}
        return lambda leaf: program(fields | {"logits": leaf}).loss

    def with_torch(leaf: torch.Tensor) -> torch.Tensor:
        log_prob = torch.log_softmax(leaf, -1).gather(-1, actions.unsqueeze(-1)).squeeze(-1)
        ratio = (log_prob - old).exp()
        loss = torch.max(-advantages * ratio, -advantages * ratio.clamp(0.8, 1.2))
        return (loss * mask).sum() / mask.sum()

    losses = {
        "aent": with_aent(aent.compile(FILE)),
        "aent, validate=False": with_aent(aent.compile(FILE, validate=False)),
        "torch": with_torch,
    }

    def step(loss: Callable[[torch.Tensor], torch.Tensor]) -> tuple[float, torch.Tensor]:
        leaf = logits.detach().requires_grad_()
        value = loss(leaf)
        value.backward()
        assert leaf.grad is not None
        return value.item(), leaf.grad

    value, gradient = step(with_torch)
    for name, loss in losses.items():
        found, found_gradient = step(loss)
        assert abs(found - value) < 1e-4 * abs(value), name
        torch.testing.assert_close(found_gradient, gradient, rtol=1e-4, atol=1e-7)
    seconds: dict[str, list[float]] = {name: [] for name in losses}
    for turn in range(ROUNDS + 200):
        # In an order that changes: what runs second finds torch's code in the processor's caches.
        for name, loss in random.sample(list(losses.items()), len(losses)):
            start = time.perf_counter()
            step(loss)
            if turn >= 200:
                seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(of) for name, of in seconds.items()}
    print("| | median | of torch's | operations forward | backward |\n| --- | --- | --- | --- | --- |")
    for name, loss in losses.items():
        leaf = logits.detach().requires_grad_()
        with Count() as forward:
            value_ = loss(leaf)
        with Count() as backward:
            value_.backward()
        ratio = medians[name] / medians["torch"]
        operations = f"{forward.operations} | {backward.operations}"
        print(f"| {name} | {1e6 * medians[name]:.0f} µs | {ratio:.2f} | {operations} |")


if __name__ == "__main__":
    main()
