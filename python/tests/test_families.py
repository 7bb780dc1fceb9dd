"""Rows of a model's hidden states and head are those of its logits, whatever its family does to them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

import aent
from aent.heads import add_rows, head_options

PROGRAM = "loss = token_mean(log_prob) - 0.1 * token_mean(entropy())"
SIZES = {
    "vocab_size": 31,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "initializer_range": 0.4,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}

# By family: what it does to its logits, in its own words and in ours.
FAMILIES: dict[str, tuple[dict[str, Any], dict[str, float]]] = {
    "gemma2": ({"final_logit_softcapping": 3.0, "query_pre_attn_scalar": 8}, {"logit_softcap": 3.0}),
    "gemma3_text": ({"final_logit_softcapping": 2.0, "query_pre_attn_scalar": 8}, {"logit_softcap": 2.0}),
    "cohere": ({"logit_scale": 0.0625}, {"logit_scale": 0.0625}),
    "cohere2": ({"logit_scale": 0.25}, {"logit_scale": 0.25}),
    "granite": ({"logits_scaling": 8.0}, {"logit_scale": 0.125}),
    "hyperclovax": ({"logits_scaling": 0.3}, {"logit_scale": 0.3}),
    # Every third of its layers is attention.
    "recurrent_gemma": ({"logits_soft_cap": 4.0, "num_hidden_layers": 3}, {"logit_softcap": 4.0}),
    "mpt": ({"logit_scale": 3.0, "d_model": 16, "n_heads": 2, "n_layers": 2, "max_seq_len": 64}, {}),
    "qwen2": ({}, {}),
}


def tiny(family: str) -> PreTrainedModel:
    torch.manual_seed(0)
    sizes = {"vocab_size": 31} if family == "mpt" else SIZES
    config = AutoConfig.for_model(family, **sizes | FAMILIES[family][0])
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    return model.eval()


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_of_a_family_are_those_of_its_logits(family: str) -> None:
    model, program = tiny(family), aent.compile(PROGRAM)
    assert head_options(model) == FAMILIES[family][1]
    ids = torch.arange(12).view(2, 6) * 7 % 29 + 2
    log_probs = model(ids).logits.double().log_softmax(-1)
    expected = [log_probs.gather(-1, ids[..., None])[..., 0], -(log_probs.exp() * log_probs).sum(-1)]
    weight = model.get_output_embeddings().weight
    wanted = torch.autograd.grad(sum(one.sum() for one in expected), weight)[0]
    add_rows(model)

    def rows(hidden: torch.Tensor, lm_head: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        given = {"hidden": hidden, "lm_head": lm_head, "lm_head_bias": bias}
        return program.rows(given, actions=ids, **head_options(model))

    found = model(ids, aent_rows=rows).log_probs
    assert found is not None
    names = ["log_prob", *(name for name in program.row_names if name != "log_prob")]
    assert names == program.row_names
    for column, one in enumerate(expected):
        torch.testing.assert_close(found[..., column].double(), one, rtol=1e-4, atol=1e-5)
    gradient = torch.autograd.grad(found.sum(), weight)[0]
    torch.testing.assert_close(gradient, wanted, rtol=1e-3, atol=1e-4)
