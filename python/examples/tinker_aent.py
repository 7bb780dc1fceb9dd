"""A file as a custom loss of Tinker: answers are sampled, scored, and compared with the other answers to their prompt.

pip install tinker; TINKER_API_KEY=... python3 tinker_aent.py
"""

from __future__ import annotations

from typing import Any

import tinker
import torch
from tinker import types

import aent.tinker

SPEC = """
import "std/advantages.aent"

loss = token_mean(clip_ppo(advantages = grpo_advantages()))
metric reward = batch_mean(rewards)
"""


def datum(prompt: list[int], answer: list[int], logprobs: list[float], reward: float, group: int) -> types.Datum:
    """An answer as Tinker trains on it: each place says what comes next, and the answer counts."""
    tokens, before = prompt + answer, len(prompt) - 1
    columns = {
        "target_tokens": torch.tensor(tokens[1:]),
        "logprobs": torch.tensor([0.0] * before + logprobs),
        "mask": torch.tensor([0.0] * before + [1.0] * len(answer)),
        "rewards": torch.tensor([reward]),
        "group": torch.tensor([group]),
    }
    return types.Datum(
        model_input=types.ModelInput.from_ints(tokens[:-1]),
        loss_fn_inputs={name: types.TensorData.from_torch(column) for name, column in columns.items()},
    )


def train(client: Any, data: list[types.Datum], loss_fn: aent.tinker.CustomLoss) -> dict[str, float]:
    """A step of the optimizer; its metrics."""
    forward_backward = client.forward_backward_custom(data, loss_fn)
    step = client.optim_step(types.AdamParams(learning_rate=1e-4))
    forward_backward.result(), step.result()
    return loss_fn.update()


def main(steps: int = 10, samples: int = 8) -> None:
    """Trains a model to answer in few tokens."""
    client = tinker.ServiceClient().create_lora_training_client(base_model="Qwen/Qwen3-8B", rank=32)
    tokenizer, loss_fn = client.get_tokenizer(), aent.tinker.CustomLoss(SPEC)
    prompts = [tokenizer.encode(f"What is {a} + {a}? Answer with a number.\n") for a in range(8)]
    how = types.SamplingParams(max_tokens=32, temperature=1.0)
    for _ in range(steps):
        sampler, data = client.save_weights_and_get_sampling_client(), []
        asked = [sampler.sample(types.ModelInput.from_ints(prompt), samples, how) for prompt in prompts]
        for group, (prompt, future) in enumerate(zip(prompts, asked, strict=True)):
            for of in future.result().sequences:
                data.append(datum(prompt, of.tokens, of.logprobs or [], -len(of.tokens) / 32, group))
        print(train(client, data, loss_fn))


if __name__ == "__main__":
    main()
