"""What the example computes once for the samples of a prompt is what each of them computes for itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

from shared_prefixes import share_prefixes, shared


def made() -> LlamaForCausalLM:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=31, num_key_value_heads=1, initializer_range=0.3, **sizes)).double()


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Two prompts of 7 and 5 tokens, three samples each in any order, padded on the left and on the right."""
    prompts = [[0, 0, 5, 6, 7, 8, 9], [3, 4, 5, 6, 7, 8, 9]]
    answers = [[1, 2, 3], [4, 5, 0], [1, 9, 0]]
    rows = [prompts[row % 2] + answers[row % 3] for row in range(6)]
    ids = torch.tensor(rows)
    return ids, (ids != 0).long()


def test_states_and_gradients_are_those_of_each_sequence() -> None:
    plain, sharing = made(), made()
    share_prefixes(sharing.get_decoder())
    ids, mask = batch()
    length, first, of = shared(ids.masked_fill(mask == 0, -1))
    assert (length, len(first)) == (7, 2)
    assert of.tolist() == [of[0].item(), of[1].item()] * 3
    found, expected = (model(ids, attention_mask=mask, use_cache=False) for model in (sharing, plain))
    counted = mask.bool()
    torch.testing.assert_close(found.logits[counted], expected.logits[counted], rtol=1e-9, atol=1e-9)
    for output in (found, expected):
        (output.logits.log_softmax(-1)[counted] ** 2).mean().backward()
    # Llama's norms are computed in f32 whatever the weights are.
    for one, other in zip(sharing.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("samples", [1, 3])
def test_generation_goes_on_from_copies_of_the_prefix(samples: int) -> None:
    plain, sharing = made().eval(), made().eval()
    share_prefixes(sharing.get_decoder())
    ids, mask = (tensor[:2, :7].repeat_interleave(samples, 0) for tensor in batch())
    asked = {"attention_mask": mask, "max_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
    assert sharing.generate(ids, **asked).equal(plain.generate(ids, **asked))


def test_nothing_is_shared_where_it_spares_nothing() -> None:
    assert shared(torch.arange(12).view(3, 4))[0] == 0
    assert shared(torch.ones(1, 4, dtype=torch.long))[0] == 0
