"""Under ``torch.autocast`` logits are made as ``torch.nn.functional.linear`` makes them there, forward and backward."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

import aent
from batches import batch

GRPO = "loss = token_mean(clip_ppo()) - 0.1 * token_mean(entropy())"
B, T, D, V = 3, 5, 8, 17

#: The relative error that a matrix product in a kind may have against f64: its rounding, times four for the two products
#: and the rounding of what goes in and out.
ERROR = {torch.float32: 4 * 2.0**-24 * D, torch.bfloat16: 4 * 2.0**-8, torch.float16: 4 * 2.0**-11}
BOTH = [(False, False), (True, False), (False, True), (True, True)]


def fields() -> dict[str, torch.Tensor]:
    given = batch(B, T, V)
    del given["logits"]
    return given


def layer(hidden: torch.dtype, head: torch.dtype, bias: torch.dtype | None = None) -> dict[str, torch.Tensor]:
    wave = lambda *size: torch.arange(torch.Size(size).numel(), dtype=torch.float64).mul(0.7).sin().view(size)  # noqa: E731
    given = {"hidden": wave(B, T, D).to(hidden), "lm_head": wave(V, D).to(head)}
    if bias is not None:
        given["lm_head_bias"] = wave(V).to(bias)
    return {name: tensor.requires_grad_() for name, tensor in given.items()}


def in_f64(given: dict[str, torch.Tensor]) -> tuple[float, list[torch.Tensor]]:
    """Loss and gradients by the formula, of the same numbers in f64."""
    wide = {name: tensor.detach().double().requires_grad_() for name, tensor in given.items()}
    rest = fields()
    log_probs = F.linear(wide["hidden"], wide["lm_head"], wide.get("lm_head_bias")).log_softmax(-1)
    log_prob = log_probs.gather(-1, rest["actions"][..., None])[..., 0]
    ratio = (log_prob - rest["old_log_prob"]).exp()
    policy = torch.maximum(-rest["advantages"] * ratio, -rest["advantages"] * ratio.clamp(0.8, 1.2))
    loss = (policy + 0.1 * (log_probs.exp() * log_probs).sum(-1))[rest["response_mask"]].mean()
    return loss.item(), list(torch.autograd.grad(loss, list(wide.values())))


def cast(kind: torch.dtype, on: bool) -> torch.autocast:
    return torch.autocast("cpu", kind, enabled=on)


def assert_near(found: torch.Tensor, expected: torch.Tensor, error: float) -> None:
    assert (found.double() - expected).norm() <= error * expected.norm(), (
        found.double() - expected
    ).norm() / expected.norm()


@pytest.mark.parametrize("kernels", ["auto", "reference"])
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("forward", "backward"), BOTH)
def test_hidden_states_have_their_gradient_wherever_autocast_is_on(
    forward: bool, backward: bool, kind: torch.dtype, kernels: str
) -> None:
    program = aent.compile(GRPO, kernels=kernels)
    given = layer(torch.float32, torch.float32, torch.float32)
    with cast(kind, forward):
        output = program(fields(), **given)
    with cast(kind, backward):
        output.loss.backward()
    total, expected = in_f64(given)
    # What torch differentiates by itself, as the reference kernels do, rounds in the backward pass what autocast makes it.
    rounded = forward or (backward and kernels == "reference")
    error = ERROR[kind if rounded else torch.float32]
    assert abs(output.total - total) <= ERROR[kind if forward else torch.float32] * max(1, abs(total))
    for tensor, wanted in zip(given.values(), expected, strict=True):
        assert tensor.grad is not None and tensor.grad.dtype == tensor.dtype
        assert_near(tensor.grad, wanted, error)


@pytest.mark.parametrize(("forward", "backward"), BOTH)
def test_probabilities_of_both_passes_add_up_to_one(forward: bool, backward: bool) -> None:
    """The gradient of a log-probability by logits sums to zero over the vocabulary, if both passes have the same logits."""
    program = aent.compile("loss = token_sum(log_prob)  # aent: allow(sum-grows-with-batch)")
    given = layer(torch.float32, torch.float32)
    with cast(torch.bfloat16, forward):
        loss = program(fields(), **given).loss
    with cast(torch.bfloat16, backward):
        loss.backward()
    gradient = given["lm_head"].grad
    assert gradient is not None
    left = gradient.double().sum(0).norm() / gradient.double().norm()
    # The gradient of 17 logits is rounded to the kind of the logits, each by at most half a unit in the last place.
    assert left <= V**0.5 * (2.0**-8 if forward else 2.0**-22)


def test_a_step_under_autocast_has_the_logits_of_linear() -> None:
    program, given = aent.compile(GRPO), layer(torch.float32, torch.float32, torch.float32)
    with cast(torch.bfloat16, True):
        logits = F.linear(given["hidden"], given["lm_head"], given["lm_head_bias"])
        assert logits.dtype == torch.bfloat16
        expected, found = program(fields(), logits=logits), program(fields(), **given)
    assert found.total == pytest.approx(expected.total, rel=1e-6)


@pytest.mark.parametrize(
    ("hidden", "head", "bias"), list(product([torch.bfloat16, torch.float16, torch.float32], repeat=3))
)
def test_kinds_may_differ_under_autocast(hidden: torch.dtype, head: torch.dtype, bias: torch.dtype) -> None:
    program, given = aent.compile(GRPO), layer(hidden, head, bias)
    with cast(torch.bfloat16, True):
        output = program(fields(), **given)
        output.loss.backward()
    total, expected = in_f64(given)
    assert abs(output.total - total) <= ERROR[torch.bfloat16] * max(1, abs(total))
    for tensor, wanted in zip(given.values(), expected, strict=True):
        assert tensor.grad is not None and tensor.grad.dtype == tensor.dtype
        assert_near(tensor.grad, wanted, ERROR[torch.bfloat16])


def test_a_linear_layer_under_autocast_goes_into_a_head_in_f32() -> None:
    program = aent.compile(GRPO)
    head, before = layer(torch.float32, torch.float32)["lm_head"], torch.nn.Linear(D, D)
    with cast(torch.bfloat16, True):
        hidden = before(torch.ones(B, T, D))
        assert hidden.dtype == torch.bfloat16
        program(fields(), hidden=hidden, lm_head=head).loss.backward()
    assert head.grad is not None and head.grad.dtype == torch.float32
    assert before.weight.grad is not None and before.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("kernels", ["auto", "reference"])
@pytest.mark.parametrize("autocast", [False, True])
def test_a_head_with_a_kind_of_its_own_computes_in_it(autocast: bool, kernels: str) -> None:
    program, given = aent.compile(GRPO, kernels=kernels), layer(torch.bfloat16, torch.float32, torch.float32)
    with cast(torch.bfloat16, autocast):
        output = program(fields(), **given, head_dtype="float32")
    # As above, what torch differentiates by itself would be rounded under autocast.
    with cast(torch.bfloat16, autocast and kernels == "auto"):
        output.loss.backward()
    total, expected = in_f64(given)
    assert abs(output.total - total) <= ERROR[torch.float32] * max(1, abs(total))
    for tensor, wanted in zip(given.values(), expected, strict=True):
        assert tensor.grad is not None and tensor.grad.dtype == tensor.dtype
        assert_near(tensor.grad, wanted, max(2.0**-8 if tensor.dtype == torch.bfloat16 else 0, ERROR[torch.float32]))


def test_without_autocast_kinds_that_differ_are_refused_with_a_way_out() -> None:
    program = aent.compile(GRPO)
    with pytest.raises(
        aent.BatchError, match=r"`lm_head`: expected bf16, as `hidden`, found f32; `head_dtype`, or `torch.autocast`"
    ):
        program(fields(), **layer(torch.bfloat16, torch.float32))
    for given in (layer(torch.float64, torch.float32), layer(torch.float32, torch.float64)):
        with pytest.raises(aent.BatchError, match="`lm_head`: expected"), cast(torch.bfloat16, True):
            program(fields(), **given)


def test_autocast_leaves_f64_alone() -> None:
    program, given = aent.compile(GRPO), layer(torch.float64, torch.float64)
    with cast(torch.bfloat16, True):
        output = program(fields(), **given)
        output.loss.backward()
    total, expected = in_f64(given)
    assert output.total == pytest.approx(total, rel=1e-12)
    for tensor, wanted in zip(given.values(), expected, strict=True):
        torch.testing.assert_close(tensor.grad, wanted, rtol=1e-9, atol=1e-12)


def test_a_reference_in_f32_is_compared_under_autocast() -> None:
    program = aent.compile("loss = token_mean(reverse_kl())")
    given: dict[str, Any] = layer(torch.bfloat16, torch.float32)
    reference = layer(torch.float32, torch.float32)
    with cast(torch.bfloat16, True):
        output = program(
            fields(), **given, ref_hidden=reference["hidden"].detach() + 1, ref_lm_head=reference["lm_head"].detach()
        )
        output.loss.backward()
    policy = F.linear(given["hidden"].double(), given["lm_head"].double()).log_softmax(-1)
    other = F.linear(reference["hidden"].double() + 1, reference["lm_head"].double()).log_softmax(-1)
    expected = (policy.exp() * (policy - other)).sum(-1)[fields()["response_mask"]].mean().item()
    assert output.total == pytest.approx(expected, rel=ERROR[torch.bfloat16] * 4)


def test_a_whole_training_step_under_autocast_in_micro_batches() -> None:
    given, rest = layer(torch.float32, torch.float32), fields()
    program = aent.compile(f"{GRPO}\nmetric q = quantile(entropy(), 0.5)")
    parts = [{name: tensor[row : row + 1] for name, tensor in rest.items()} for row in range(B)]
    with cast(torch.bfloat16, True):
        step = program.accumulate()
        for part in parts:
            step.measure(part)
        for row, part in enumerate(parts):
            share = step(part, hidden=given["hidden"][row : row + 1], lm_head=given["lm_head"])
            share.backward()
        total = step.finish().total
    expected_total, expected = in_f64(given)
    assert abs(total - expected_total) <= ERROR[torch.bfloat16] * max(1, abs(expected_total))
    for tensor, wanted in zip(given.values(), expected, strict=True):
        assert tensor.grad is not None
        assert_near(tensor.grad, wanted, ERROR[torch.bfloat16])
