"""What ``diagnose`` says of a loss, against a step computed for each summand."""

from __future__ import annotations

import pytest
import torch

import aent

FILE = """
input head: token grad
let policy = clip_ppo(low = 0.1, high = 0.1)
loss = token_mean(policy - 0.05 * entropy()) + 2 * token_mean((head - returns) ^ 2)
"""


def batch() -> dict[str, torch.Tensor]:
    """Two sequences of three tokens, of which one does not count."""
    torch.manual_seed(1)
    return {
        "logits": torch.randn(2, 3, 7, dtype=torch.float64, requires_grad=True),
        "head": torch.randn(2, 3, dtype=torch.float64, requires_grad=True),
        "actions": torch.randint(7, (2, 3)),
        "response_mask": torch.tensor([[1, 1, 1], [1, 1, 0]]),
        "old_log_prob": torch.randn(2, 3, dtype=torch.float64) * 0.1 - 2,
        "advantages": torch.randn(2, 3, dtype=torch.float64),
        "returns": torch.randn(2, 3, dtype=torch.float64),
    }


@pytest.mark.parametrize(
    ("formula", "loss", "field"),
    [
        ("policy", "token_mean(clip_ppo(low = 0.1, high = 0.1))", "logits"),
        ("0.05 * entropy()", "-token_mean(0.05 * entropy())", "logits"),
        ("2 * token_mean((head - returns) ^ 2)", "2 * token_mean((head - returns) ^ 2)", "head"),
    ],
)
def test_a_summand_has_the_value_and_gradient_that_it_has_alone(formula: str, loss: str, field: str) -> None:
    fields = batch()
    found = aent.compile(FILE).diagnose(fields)
    assert len(found["summands"]) == 3
    assert abs(sum(of["value"] for of in found["summands"]) - found["loss"]) < 1e-12
    assert fields["logits"].grad is None, "the caller's gradients are its own"
    assert fields["head"].grad is None
    [summand] = [of for of in found["summands"] if formula in (of["formula"], (of["name"] or "").removeprefix("let "))]
    with pytest.warns(aent.SpecWarning) if field == "head" else pytest.MonkeyPatch.context():
        alone = aent.compile(f"input head: token grad\nloss = {loss}" if field == "head" else f"loss = {loss}")
    output = alone(fields)
    output.loss.backward()
    gradient = fields[field].grad
    assert gradient is not None
    assert summand["value"] == pytest.approx(output.total, abs=1e-12)
    assert summand["gradients"][field] == pytest.approx(gradient.norm().item(), abs=1e-12)
    other = "head" if field == "logits" else "logits"
    assert summand["gradients"][other] == 0


def test_bounds_and_causes_are_told() -> None:
    fields = batch()
    found = aent.compile("loss = token_mean(clip_ppo()) + token_mean(log_prob / (returns - returns))").diagnose(fields)
    assert {of["bound"] for of in found["bounds"]} >= {"clipped"}
    assert all(0 <= of["share"] <= 1 for of in found["bounds"])
    assert found["nonfinite"][0]["result"] == "loss"
    assert "division" in found["nonfinite"][0]["cause"]
