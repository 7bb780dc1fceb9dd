"""A file as the loss of torchrl, on the CPU: a small random model learns to say what is rewarded.

    pip install torchrl transformers; python3 torchrl_aent.py

The actor is torchrl's `TransformersWrapper`; rollouts are sampled by the model itself, four answers to each of two prompts. The
file compares the answers of a prompt, so each batch is a whole step.
"""

from __future__ import annotations

import torch
from tensordict import TensorDict
from tokenizers import Tokenizer, models
from torchrl.modules.llm import TransformersWrapper  # type: ignore[import-untyped]
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

import aent.torchrl

SPEC = """
import "std/advantages.aent"

loss = token_mean(clip_ppo(advantages = grpo_advantages())) - 0.001 * token_mean(entropy())
metric reward = batch_mean(rewards)
"""
VOCABULARY, PROMPT, ANSWER, SAMPLES = 16, 3, 5, 4
MARKS = {"pad_token": "0", "eos_token": "1"}


def rollouts(model: Qwen2ForCausalLM) -> TensorDict:
    """Answers to two prompts; the share of even tokens is rewarded."""
    prompts = torch.tensor([[2, 3, 4], [5, 6, 7]]).repeat_interleave(SAMPLES, 0)
    tokens = model.generate(
        prompts,
        attention_mask=torch.ones_like(prompts),
        max_new_tokens=ANSWER,
        min_new_tokens=ANSWER,
        do_sample=True,
        top_k=0,
    )
    of_answer = torch.arange(PROMPT + ANSWER).expand_as(tokens) >= PROMPT
    with torch.no_grad():
        scores = model(tokens).logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]
    return TensorDict(
        {
            "tokens": {"full": tokens},
            "masks": {"all_attention_mask": torch.ones_like(of_answer), "all_assistant_mask": of_answer},
            "log_probs": {"full": torch.nn.functional.pad(scores, (1, 0))},
            "rewards": (tokens[:, PROMPT:] % 2 == 0).float().mean(-1),
            "group": torch.arange(len(tokens)) // SAMPLES,
        },
        batch_size=[len(tokens)],
    )


def main(steps: int = 30) -> list[float]:
    """Trains, and tells the mean reward of each step."""
    torch.manual_seed(0)
    sizes = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
    }
    model = Qwen2ForCausalLM(Qwen2Config(vocab_size=VOCABULARY, eos_token_id=1, pad_token_id=0, **sizes)).eval()
    words = Tokenizer(models.WordLevel({str(token): token for token in range(VOCABULARY)}))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, **MARKS)
    actor = TransformersWrapper(model, tokenizer=tokenizer, input_mode="tokens", generate=False, pad_output=True)
    loss_fn = aent.torchrl.AentLoss(actor, spec=SPEC, masking_strategy="rlhf", whole_step=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    rewards = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss_fn(rollouts(model))["loss_objective"].backward()
        optimizer.step()
        rewards.append(loss_fn.step_loss.metrics["reward"])
    return rewards


if __name__ == "__main__":
    for number, reward in enumerate(main()):
        print(f"step {number}: reward {reward:.2f}")
