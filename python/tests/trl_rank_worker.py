"""One of several processes of ``test_trl_ranks.py``: a run of the trainer whose samples follow from their number."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from trl import GRPOTrainer

from trl_tiny import LONGEST, arguments, trainer

#: Something of each kind that spans a step: counts, what comes from the batch, what comes from the model, a controller.
SPEC = """
import "std/advantages.aent"
import "std/entropy.aent"
let entropy = entropy()
let policy = clip_ppo(advantages = grpo_advantages())
controller beta = band(signal = token_mean(entropy), target = 0 .. 2.5, step = 0.1, bounds = 0 .. 1, init = 0.1)
loss = token_mean(where(top_entropy(50%), policy, 0)) - beta * token_mean(entropy)
metric spread = quantile(entropy, 0.9) - quantile(entropy, 0.1)
metric prompts = batch_sum(1 / group_sum(1))
"""


def rollouts(prompts: list[str], made: GRPOTrainer) -> dict[str, list[Any]]:
    """Completions of uneven lengths, by their numbers among those of all ranks."""
    first = made.accelerator.process_index * len(prompts)
    numbers = range(first, first + len(prompts))
    answers = [[2 + (5 * number + 7 * place) % 26 for place in range(1 + number % LONGEST)] for number in numbers]
    return {
        "prompt_ids": made.processing_class(prompts)["input_ids"],
        "completion_ids": answers,
        "logprobs": [[-1.0] * len(answer) for answer in answers],
    }


def run(folder: Path, ranks: int) -> dict[str, Any]:
    """Two steps, in two micro-batches on each rank. All samples of a step answer one prompt, so ranks share a group."""
    args = arguments(folder, num_generations=16, per_device_train_batch_size=8 // ranks, gradient_accumulation_steps=2)
    made = trainer(folder, args, SPEC, rollout_func=rollouts)
    made.train()
    weights = torch.cat([parameter.detach().flatten() for parameter in made.model.parameters()])
    lines = [line for line in made.state.log_history if "loss" in line]
    return {"weights": weights, "log": lines, "state": made.program.state_dict()}


if __name__ == "__main__":
    found = run(Path(sys.argv[1]), int(sys.argv[2]))
    torch.save(found, sys.argv[3])
