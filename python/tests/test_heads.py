"""Rows where the output layer is: in shards, beside adapters, of a model that sees."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import PreTrainedModel, Qwen2VLConfig, Qwen2VLForConditionalGeneration

import aent
from aent.heads import add_rows, needs_logits
from heads_worker import SPEC, VOCABULARY, made

WORKER = Path(__file__).with_name("heads_worker.py")


def test_an_output_layer_in_shards_is_gathered_for_the_moment_of_use(tmp_path: Path) -> None:
    workers = [subprocess.Popen([sys.executable, str(WORKER), str(tmp_path), str(rank)]) for rank in range(2)]
    assert [worker.wait(timeout=240) for worker in workers] == [0, 0]
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt")
        assert found["whole"]["lm_head.weight"].norm() > 0.1
        for case in ("with the model", "by itself", "kept"):
            for name, gradient in found["whole"].items():
                torch.testing.assert_close(found[case][name], gradient, rtol=1e-4, atol=1e-6)


def check(model: PreTrainedModel, **inputs: torch.Tensor) -> None:
    """Rows of hidden states against those of the model's own logits."""
    program, tokens = aent.compile(SPEC), inputs["input_ids"]
    actions, mask = tokens[:, 1:], torch.ones(tokens[:, 1:].shape)

    def rows(hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        return program.rows(hidden=hidden[:, :-1], lm_head=weight, lm_head_bias=bias, actions=actions)

    given = {"response_mask": mask, "advantages": actions.float().cos()}
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    found = torch.autograd.grad(program(rows=model(**inputs, aent_rows=rows).log_probs, **given).loss, trained)
    logits = model(**inputs).logits[:, :-1]
    expected = torch.autograd.grad(program(logits=logits, actions=actions, **given).loss, trained)
    assert sum(gradient.norm() for gradient in expected) > 0.1
    for one, other in zip(found, expected):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


TOKENS = (2 + torch.arange(14).view(2, 7) * 5) % VOCABULARY


@pytest.mark.parametrize("recomputed", [False, True])
def test_adapters_and_recomputed_layers_have_the_gradient_of_the_logits(recomputed: bool) -> None:
    model = made().train()
    if recomputed:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    adapted = get_peft_model(model, LoraConfig(target_modules=["q_proj", "v_proj"], init_lora_weights=False))
    assert needs_logits(model) is None
    check(adapted, input_ids=TOKENS)


def test_an_adapter_on_the_output_layer_takes_the_logits() -> None:
    model = made()
    get_peft_model(model, LoraConfig(target_modules=["lm_head"]))
    assert needs_logits(model) == "its head is a `Linear`"


def test_a_model_that_sees_has_the_gradient_of_its_logits() -> None:
    torch.manual_seed(0)
    text = {
        "vocab_size": VOCABULARY,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    text |= {"num_key_value_heads": 2, "rope_parameters": {"rope_type": "default", "mrope_section": [2, 1, 1]}}
    sight = {"embed_dim": 16, "hidden_size": 16, "depth": 1, "num_heads": 2, "patch_size": 2, "mlp_ratio": 2}
    marks = {"image_token_id": 3, "vision_start_token_id": 2, "vision_end_token_id": 4}
    config = Qwen2VLConfig(text_config=text, vision_config=sight, video_token_id=5, **marks)
    model = Qwen2VLForConditionalGeneration(config)
    add_rows(model)
    assert needs_logits(model) is None
    tokens = torch.tensor([[2, 3, 4, 9, 12, 7, 20]])  # An image of four patches is one token.
    pixels = torch.arange(4 * 3 * 2 * 2 * 2).view(4, -1).mul(0.7).sin()
    seen = {
        "pixel_values": pixels,
        "image_grid_thw": torch.tensor([[1, 2, 2]]),
        "mm_token_type_ids": (tokens == 3).int(),
    }
    check(model, input_ids=tokens, attention_mask=torch.ones_like(tokens), **seen)
