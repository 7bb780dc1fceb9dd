"""Divergences from several references, against torch's own operations."""

from __future__ import annotations

import pytest
import torch

import aent
from batches import batch

BOTH = """
input math: logits
loss = token_mean(forward_kl(of = math)) + 0.5 * token_mean(reverse_kl)
"""


def kl(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """`KL(p‖q)` of log-probabilities."""
    return (p.exp() * (p - q)).sum(-1)


def layer(width: int, vocabulary: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(3)
    hidden = torch.randn(width, 5, generator=draw, dtype=torch.float64)
    head = torch.randn(vocabulary, 5, generator=draw, dtype=torch.float64)
    return hidden, head, torch.randn(vocabulary, generator=draw, dtype=torch.float64)


def test_a_step_compares_with_two_references_at_once() -> None:
    fields = batch()
    logits, mask = fields["logits"], fields["response_mask"].bool()
    hidden, head, bias = layer(logits.shape[1], logits.shape[-1])
    hidden = hidden.expand(logits.shape[0], -1, -1)
    math, start = hidden @ head.T + bias, logits.detach().flip(-1)
    policy = logits.log_softmax(-1)
    expected = kl(math.log_softmax(-1), policy)[mask].mean() + 0.5 * kl(policy, start.log_softmax(-1))[mask].mean()
    slope = torch.autograd.grad(expected, logits)

    program = aent.compile(BOTH)
    assert {"math", "ref_logits", "logits"} <= set(program.fields)
    made = {"math_hidden": hidden, "math_lm_head": head, "math_lm_head_bias": bias}
    for given in ({"math": math}, made):
        output = program(fields, ref_logits=start, **given)
        torch.testing.assert_close(output.loss, expected, rtol=1e-10, atol=1e-10)
        found = torch.autograd.grad(output.loss, logits)
        torch.testing.assert_close(found, slope, rtol=1e-9, atol=1e-9)
        rows = program.rows(fields, ref_logits=start, **given)
        rest = {name: value for name, value in fields.items() if name != "logits"}
        output = program(rest, rows=rows)
        torch.testing.assert_close(torch.autograd.grad(output.loss, logits), slope, rtol=1e-9, atol=1e-9)


def test_a_reference_that_is_missing_is_named() -> None:
    program = aent.compile(BOTH)
    with pytest.raises(aent.BatchError, match="`math`, which this program needs.*or `math_hidden` with `math_lm_head`"):
        program(batch(), ref_logits=batch()["logits"].detach())
