"""Tokens that the batch lists for each token, against torch's own operations."""

from __future__ import annotations

import pytest
import torch

import aent
from batches import batch

KEPT = """
input kept: candidates id
let x = log_prob(within = kept)
loss = -token_mean(x * advantages) - 0.1 * token_mean(entropy(within = kept))
metric mass = token_mean(mass(within = kept))
"""

TAUGHT = """
input ids: candidates id
input of_them: candidates
loss = token_mean(forward_kl(within = ids, of = of_them, rest = "bucket"))
"""


def listed(fields: dict[str, torch.Tensor]) -> torch.Tensor:
    """The action, the token after it and a pad."""
    vocabulary = fields["logits"].shape[-1]
    actions = fields["actions"].clamp(0, vocabulary - 1)
    return torch.stack([(actions + 1) % vocabulary, torch.full_like(actions, -1), actions], dim=-1)


def test_listed_tokens_are_those_of_torchs_own_operations() -> None:
    fields = batch()
    ids = listed(fields)
    program = aent.compile(KEPT)
    assert {"kept", "actions", "logits"} <= set(program.fields)
    output = program(fields, kept=ids)
    found = torch.autograd.grad(output.loss, fields["logits"])

    mask = fields["response_mask"].bool()
    log_prob = fields["logits"].log_softmax(-1)
    on_list = log_prob.gather(-1, ids.clamp(min=0)).masked_fill(ids < 0, -torch.inf)
    within = on_list.log_softmax(-1)
    entropy = -(within.exp() * within.masked_fill(ids < 0, 0)).sum(-1)
    loss = -(within[..., 2] * fields["advantages"])[mask].mean() - 0.1 * entropy[mask].mean()
    torch.testing.assert_close(output.loss, loss, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(found, torch.autograd.grad(loss, fields["logits"]), rtol=1e-9, atol=1e-9)
    mass = on_list.logsumexp(-1).exp()[mask].mean().item()
    assert output.metrics["mass"] == pytest.approx(mass, rel=1e-10)


def test_a_teachers_top_k_has_its_rest_as_a_bucket() -> None:
    fields = batch()
    ids = listed(fields)
    teacher = torch.tensor([0.2, float("nan"), 0.5], dtype=torch.float64).log().expand(ids.shape)
    output = aent.compile(TAUGHT)(fields, ids=ids, of_them=teacher)
    mask = fields["response_mask"].bool()
    policy = fields["logits"].log_softmax(-1).gather(-1, ids[..., [0, 2]]).exp()
    p = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    q = torch.cat([policy, 1 - policy.sum(-1, keepdim=True)], dim=-1)
    expected = (p * (p / q).log()).sum(-1)[mask].mean()
    torch.testing.assert_close(output.loss, expected, rtol=1e-9, atol=1e-9)


def test_a_list_that_is_wrong_is_refused_by_name() -> None:
    fields = batch()
    ids = listed(fields)
    ids[..., 1] = ids[..., 0]
    with pytest.raises(aent.BatchError, match="`kept` at .* different token ids"):
        aent.compile(KEPT)(fields, kept=ids)
    with pytest.raises(aent.BatchError, match="the batch has no `kept`"):
        aent.compile(KEPT)(fields)


def test_the_memory_of_lists_is_explained() -> None:
    assert "Each list has 20 tokens" in aent.compile(KEPT).explain(candidates=20)
