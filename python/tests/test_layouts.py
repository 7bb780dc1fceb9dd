"""Packed batches, nested tensors, and rows made before the step: the numbers of the padded batch in one call."""

from __future__ import annotations

import pytest
import torch

import aent
from batches import batch

SPEC = """
let e = clamped_entropy(top_k = 5)
loss = token_mean(clip_ppo()) - 0.1 * seq_mean_token_mean(e)
metric h = token_mean(entropy)
"""
LENGTHS = [5, 5, 2]
OF_TOKENS = ["logits", "actions", "response_mask", "old_log_prob", "advantages"]


def packed(fields: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    rows = {
        name: torch.cat([row[:length] for row, length in zip(fields[name], LENGTHS, strict=True)]) for name in OF_TOKENS
    }
    return rows | {"cu_seqlens": torch.tensor([0, *LENGTHS]).cumsum(0)}


def told(output: aent.Output, leaf: torch.Tensor) -> tuple[float, float, torch.Tensor]:
    output.loss.backward()
    return output.total, output.metrics["h"], leaf.grad


def assert_same(found: tuple[float, float, torch.Tensor], expected: tuple[float, float, torch.Tensor]) -> None:
    assert found[:2] == expected[:2]
    torch.testing.assert_close(found[2], expected[2], rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_packed_and_nested_and_padded_give_the_same_bits(dtype: torch.dtype) -> None:
    program = aent.compile(SPEC)
    fields = batch(dtype=dtype)
    expected = told(program(fields), fields["logits"])
    fields = batch(dtype=dtype)
    assert_same(told(program(packed(fields)), fields["logits"]), expected)
    fields = batch(dtype=dtype)
    flat = packed(fields)
    offsets = flat.pop("cu_seqlens")
    nested = {name: torch.nested.nested_tensor_from_jagged(tensor, offsets) for name, tensor in flat.items()}
    assert_same(told(program(nested), fields["logits"]), expected)


def test_rows_are_made_where_the_logits_are() -> None:
    program = aent.compile(SPEC)
    assert program.row_names[0] == "log_prob"
    fields = batch()
    expected = told(program(fields), fields["logits"])
    fields = batch()
    rows = program.rows(logits=fields["logits"], actions=fields["actions"])
    assert rows.shape == (3, 5, len(program.row_names))
    assert rows.requires_grad
    rest = {name: tensor for name, tensor in fields.items() if name != "logits"}
    assert_same(told(program(rest, rows=rows), fields["logits"]), expected)
    log_prob = fields["logits"].log_softmax(-1).gather(-1, fields["actions"][..., None])[..., 0]
    torch.testing.assert_close(rows[..., 0], log_prob, rtol=1e-12, atol=1e-12)


def test_what_a_trainer_logs_comes_with_the_rows() -> None:
    program = aent.compile("loss = -token_mean(clamped_entropy(top_k = 5))")
    fields = batch()
    rows = program.rows(fields, more=["log_prob", "entropy"])
    assert rows.shape == (3, 5, 3)
    log_probs = fields["logits"].log_softmax(-1)
    mask = fields["response_mask"]
    torch.testing.assert_close(
        rows[..., 1][mask], log_probs.gather(-1, fields["actions"][..., None])[..., 0][mask], rtol=1e-12, atol=1e-12
    )
    entropy = -(log_probs.exp() * log_probs).sum(-1)
    torch.testing.assert_close(rows[..., 2][mask], entropy[mask], rtol=1e-12, atol=1e-12)
    assert program(fields | {"logits": None}, rows=rows[..., :1]).total == program(fields).total
    with pytest.raises(ValueError, match="`more`: expected `log_prob` or `entropy`, found `mass`"):
        program.rows(fields, more=["mass"])


def test_rows_of_packed_hidden_states_go_through_the_head_in_chunks() -> None:
    program = aent.compile(SPEC)
    fields = batch()
    flat = packed(fields)
    hidden = torch.randn(12, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    head = torch.randn(17, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    rows = program.rows(hidden=hidden, lm_head=head, actions=flat["actions"])
    rest = {name: tensor for name, tensor in flat.items() if name != "logits"}
    program(rest, rows=rows).loss.backward()
    found = hidden.grad, head.grad
    hidden.grad = head.grad = None
    program(rest, logits=hidden @ head.T).loss.backward()
    torch.testing.assert_close(found, (hidden.grad, head.grad), rtol=1e-9, atol=1e-12)


def test_nested_fields_of_other_lengths_are_refused() -> None:
    program = aent.compile("loss = token_mean(clip_ppo())")
    flat = packed(batch())
    flat.pop("cu_seqlens")
    offsets = torch.tensor([0, 5, 10, 12]), torch.tensor([0, 4, 10, 12])
    nested = {
        name: torch.nested.nested_tensor_from_jagged(tensor, offsets[name == "actions"])
        for name, tensor in flat.items()
    }
    with pytest.raises(aent.BatchError, match="expected sequences as long as those of the other fields"):
        program(nested)


def test_rows_of_another_file_are_refused() -> None:
    fields = batch()
    rest = {name: tensor for name, tensor in fields.items() if name != "logits"}
    rows = aent.compile("loss = -token_mean(entropy())").rows(fields)
    with pytest.raises(aent.BatchError, match="one number for each of the program's row names"):
        aent.compile(SPEC)(rest, rows=rows)
