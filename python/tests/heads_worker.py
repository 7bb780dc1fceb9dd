"""A rank that computes rows of a model whose output layer FSDP2 has in shards, and says the gradients."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

import aent
from aent.heads import add_rows, needs_logits

VOCABULARY = 28
SPEC = "loss = -token_mean(log_prob * advantages) - 0.1 * token_mean(entropy())"


def made() -> Qwen2ForCausalLM:
    """The same small model on every rank."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = Qwen2ForCausalLM(Qwen2Config(vocab_size=VOCABULARY, num_key_value_heads=2, initializer_range=0.3, **sizes))
    add_rows(model)
    return model


def gradients(model: PreTrainedModel, rank: int) -> dict[str, torch.Tensor]:
    """Of the mean over ranks, each with tokens of its own."""
    program = aent.compile(SPEC)
    tokens = (2 + torch.arange(14).view(2, 7) * (5 + rank)) % VOCABULARY
    actions, mask = tokens[:, 1:], torch.ones(2, 6)

    def rows(hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        assert not isinstance(weight, DTensor) and weight.shape[0] == VOCABULARY
        return program.rows(hidden=hidden[:, :-1], lm_head=weight, lm_head_bias=bias, actions=actions)

    assert needs_logits(model) is None
    found = model(tokens, aent_rows=rows).log_probs
    program(rows=found, response_mask=mask, advantages=tokens[:, 1:].float().cos()).loss.backward()
    each = {}
    for name, weight in model.named_parameters():
        gradient = weight.grad
        if isinstance(gradient, DTensor):
            gradient = gradient.full_tensor()
        else:  # DDP's work.
            dist.all_reduce(gradient)
            gradient = gradient / dist.get_world_size()
        each[name] = gradient
    return each


def main(folder: Path, rank: int) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    mesh = init_device_mesh("cpu", (2,))
    found: dict[str, Any] = {}
    for case in ("whole", "with the model", "by itself", "kept"):
        model = made()
        if case != "whole":
            again = case != "kept"  # Whether weights are given back after the forward pass.
            if case != "with the model":
                fully_shard(model.lm_head, mesh=mesh, reshard_after_forward=again)
            fully_shard(model, mesh=mesh, reshard_after_forward=again)
            assert isinstance(model.lm_head.weight, DTensor)
        found[case] = gradients(model, rank)
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
