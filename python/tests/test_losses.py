"""Several losses, assertions, and params of any kind."""

from __future__ import annotations

import copy
import pickle
import warnings

import pytest
import torch

import aent
from aent.figures import figures
from batches import batch

BOTH = """
loss policy = token_mean(clip_ppo())
loss critic = token_mean((values - returns) ^ 2)
"""


def with_critic() -> dict[str, torch.Tensor]:
    fields = batch()
    waves = torch.arange(fields["advantages"].numel(), dtype=torch.float64).view_as(fields["advantages"])
    return fields | {"values": waves.sin().requires_grad_(), "returns": waves.mul(2).cos()}


def test_each_loss_is_a_tensor_with_its_own_gradient() -> None:
    fields = with_critic()
    output = aent.compile(BOTH)(fields)
    assert list(output.losses) == ["policy", "critic"]
    mask = fields["response_mask"]
    critic = (fields["values"] - fields["returns"]).square()[mask].mean()
    torch.testing.assert_close(output.losses["critic"], critic, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(output.loss, output.losses["policy"] + output.losses["critic"], rtol=1e-12, atol=1e-12)
    output.losses["critic"].backward()
    assert fields["logits"].grad is None
    expected = torch.autograd.grad(critic, fields["values"])[0]
    torch.testing.assert_close(fields["values"].grad, expected, rtol=1e-12, atol=1e-12)
    output.losses["policy"].backward()
    policy = aent.compile("loss = token_mean(clip_ppo())")(with_critic()).loss
    torch.testing.assert_close(output.losses["policy"].detach(), policy.detach(), rtol=1e-12, atol=1e-12)


def test_a_file_with_one_loss_has_no_names() -> None:
    assert aent.compile("loss = token_mean(clip_ppo())")(batch()).losses == {}


def test_shares_of_losses_come_by_name() -> None:
    program = aent.compile(BOTH)
    fields, whole = with_critic(), with_critic()
    program(whole).loss.backward()
    leaves = {name: fields[name] for name in ("logits", "values")}
    parts = [{name: tensor[rows] for name, tensor in fields.items()} for rows in (slice(0, 1), slice(1, 3))]
    step = program.accumulate()
    for part in parts:
        step.measure(part)
    for part in parts:
        shares = step.losses(part)
        assert list(shares) == ["policy", "critic"]
        sum(shares.values()).backward()
    for name, leaf in leaves.items():
        torch.testing.assert_close(leaf.grad, whole[name].grad, rtol=1e-12, atol=1e-12)
    output = step.finish()
    assert output.losses.keys() == output.totals.keys() == {"policy", "critic"}
    assert sum(output.totals.values()) == pytest.approx(output.total, rel=1e-12)
    assert output.totals == pytest.approx({name: loss.item() for name, loss in program(whole).losses.items()}, rel=1e-9)
    logged = {name: number for name, number in figures(output, program).items() if name.startswith("loss/")}
    assert logged == {f"loss/{name}": number for name, number in output.totals.items()}


def test_a_copy_keeps_losses_and_findings() -> None:
    program = aent.compile(BOTH + 'assert token_mean(values) > 100, "values are low"')
    output = program(with_critic())
    for other in (copy.deepcopy(output), pickle.loads(pickle.dumps(output))):  # noqa: S301 - our own
        assert other.findings == output.findings
        assert other.totals == output.totals
        assert not other.losses["critic"].requires_grad
        torch.testing.assert_close(other.losses["critic"], output.losses["critic"].detach(), rtol=0, atol=0)


def test_an_assertion_that_fails_is_a_warning_of_the_step() -> None:
    text = 'loss = token_mean(clip_ppo())\nassert token_max(advantages) < 0.5, "advantages explode"\n'
    program = aent.compile(text)
    fields = batch()
    output = program(fields)
    (finding,) = output.findings
    words, _, rest = finding.partition(", found ")
    assert words == "advantages explode: expected `token_max(advantages) < 0.5`"
    number, place = rest.split(", ")
    assert float(number) == fields["advantages"][fields["response_mask"]].max().item()
    assert place.endswith(":2:8")
    with pytest.warns(aent.StepWarning, match="advantages explode"):
        program.update(output)
    assert program.steps == 1
    quiet = program(fields | {"advantages": fields["advantages"] * 0.1})
    assert quiet.findings == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        program.update(quiet)


SWITCHED = """
param estimator = "k3" in "k1", "k2", "k3"
param use_kl = true
param eps = 0.2
loss = token_mean(clip_ppo(low = eps) + where(use_kl, kl(estimator = estimator), 0))
"""


def test_params_are_numbers_truth_values_and_strings() -> None:
    assert aent.compile(SWITCHED).params == {"estimator": "k3", "use_kl": True, "eps": 0.2}
    program = aent.compile(SWITCHED, params={"use_kl": False, "eps": 0.1})
    assert program.params["use_kl"] is False
    assert "ref_log_prob" not in program.fields
    again = pickle.loads(pickle.dumps(program))  # noqa: S301 - our own
    assert again.params == program.params
    fields = batch()
    expected = aent.compile("loss = token_mean(clip_ppo(low = 0.1))")(fields)
    assert program(fields).total == pytest.approx(expected.total, abs=1e-15)


def test_a_param_of_another_kind_is_refused() -> None:
    for params, words in [
        ({"estimator": "k9"}, 'expected `estimator` to be one of "k1", "k2", "k3", found "k9"'),
        ({"estimator": 3}, "expected `estimator` to be a string, found 3"),
        ({"use_kl": 1}, "expected `use_kl` to be a truth value, found 1"),
        ({"eps": True}, "expected `eps` to be a number, found true"),
    ]:
        with pytest.raises(aent.SpecError, match=words):
            aent.compile(SWITCHED, params=params)
