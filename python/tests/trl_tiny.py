"""A world for TRL without a network: a tiny random model, a tokenizer of letters, prompts, a reward, and one batch by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)
from trl import GRPOConfig, GRPOTrainer

from aent.trl import AentGRPOTrainer

MARKS = {"pad_token": "<pad>", "eos_token": "<eos>"}
WORDS = [*MARKS.values(), *"abcdefghijklmnopqrstuvwxyz"]
LONGEST = 6

torch.set_num_threads(1)  # For tensors as small as these, threads only wait for each other.


def tokenizer() -> PreTrainedTokenizerFast:
    words = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=words, **MARKS, padding_side="left")


# Families whose logits are more than a product.
FAMILIES: dict[str, dict[str, Any]] = {
    "gemma2": {"final_logit_softcapping": 3.0, "query_pre_attn_scalar": 8, "head_dim": 8},
    "cohere": {"logit_scale": 0.25},
    "granite": {"logits_scaling": 4.0},
}


def save_model(folder: Path, experts: int = 0, family: str | None = None) -> Path:
    """A random model on disk, because TRL loads its reference from where the policy came from; with a router if asked."""
    sizes = {
        "vocab_size": len(WORDS),
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "initializer_range": 0.3,
        "pad_token_id": 0,
        "eos_token_id": 1,
    }
    torch.manual_seed(0)
    if experts:
        routed = {"num_experts": experts, "num_experts_per_tok": 2, "moe_intermediate_size": 8, "head_dim": 8}
        Qwen3MoeForCausalLM(Qwen3MoeConfig(**sizes, **routed)).save_pretrained(folder)
    elif family:
        config = AutoConfig.for_model(family, **sizes, **FAMILIES[family])
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    else:
        Qwen2ForCausalLM(Qwen2Config(**sizes)).save_pretrained(folder)
    return folder


def dataset() -> Dataset:
    return Dataset.from_list([{"prompt": " ".join("abcdefgh"[start : start + 3])} for start in range(6)])


def reward(completion_ids: list[list[int]], **_: Any) -> list[float]:
    """The share of letters that a third of the alphabet likes."""
    return [sum(token % 3 == 0 for token in ids) / len(ids) for ids in completion_ids]


def arguments(folder: Path, **changes: Any) -> GRPOConfig:
    defaults = {
        "output_dir": str(folder / "out"),
        "per_device_train_batch_size": 4,
        "num_generations": 4,
        "max_completion_length": LONGEST,
        "max_steps": 2,
        "learning_rate": 1e-2,
        "max_grad_norm": 0.0,
        "report_to": [],
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "logging_steps": 1,
        "save_strategy": "no",
        "disable_tqdm": True,
    }
    return GRPOConfig(**defaults | changes)


def halves(inputs: dict[str, torch.Tensor]) -> list[dict[str, torch.Tensor]]:
    """Two micro-batches; what is no tensor of sequences goes into both."""
    rows = len(inputs["completion_ids"]) // 2
    cut = [slice(None, rows), slice(rows, None)]
    return [{name: x[part] if x.dim() else x for name, x in inputs.items()} for part in cut]


def trainer(
    folder: Path, args: GRPOConfig, spec: Any = None, dtype: torch.dtype = torch.float32, **others: Any
) -> GRPOTrainer:
    """TRL's own trainer, or ours where there is a file."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    given = {"reward_funcs": reward, "train_dataset": dataset(), "processing_class": tokenizer()} | others
    if spec is None:
        return GRPOTrainer(model, args=args, **given)
    return AentGRPOTrainer(model, args=args, spec=spec, **given)


def batch(made: GRPOTrainer, lengths: tuple[int, ...] = (6, 3, 5, 1)) -> dict[str, torch.Tensor]:
    """What TRL prepares, with completions of these lengths and an old policy and a reference that are some way off."""
    count = len(lengths)
    steps = torch.arange(count * LONGEST).view(count, LONGEST)
    mask = (torch.arange(LONGEST) < torch.tensor(lengths)[:, None]).long()
    inputs = {
        "prompt_ids": torch.tensor([[0, 2, 3]] + [[4, 5, 6]] * (count - 1)),
        "prompt_mask": torch.tensor([[0, 1, 1]] + [[1, 1, 1]] * (count - 1)),
        "completion_ids": (2 + steps * 7 % 26) * mask,
        "completion_mask": mask,
        "advantages": torch.tensor([1.2, -0.7, 0.3, -1.5])[:count],
        "rewards": torch.tensor([1.0, 0.1, 0.6, 0.0])[:count],
        "group": torch.arange(count) // 2,
        "num_items_in_batch": mask.sum(),
    }
    with torch.no_grad():
        made.model.train()
        ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1)
        attention = torch.cat([inputs["prompt_mask"], mask], dim=1)
        now = made._get_per_token_logps_and_entropies(made.model, ids, attention, LONGEST)[0]
    inputs["old_per_token_logps"] = now + 0.4 * (1.7 * steps).sin()
    inputs["ref_per_token_logps"] = now + 0.3 * (0.9 * steps).cos()
    return inputs


def loss_and_gradient(made: GRPOTrainer, parts: list[dict[str, torch.Tensor]]) -> tuple[float, torch.Tensor]:
    """Of one optimizer's step over these micro-batches, as ``Trainer`` would add them up."""
    made.model.train()
    made.model.zero_grad()
    made.current_gradient_accumulation_steps = len(parts)
    made._buffered_inputs, total = parts, 0.0
    for made._step, part in enumerate(parts):
        loss = made._compute_loss(made.model, part)
        loss.backward()
        total += float(loss.detach())
    made.callback_handler.on_optimizer_step(made.args, made.state, made.control)
    return total, torch.cat([weight.grad.flatten() for weight in made.model.parameters() if weight.requires_grad])
