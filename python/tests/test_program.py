"""The surface: compile, forward, update, save, restore, explain."""

from __future__ import annotations

import re
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import aent
from batches import batch

RECIPES = Path(__file__).resolve().parents[2] / "examples" / "recipes"

GRPO = "loss = token_mean(clip_ppo(low = 0.2, high = 0.28))"
STEERED = """
param target = 0.5 in 0 .. 10
let entropy = entropy()
controller beta = band(signal = token_mean(entropy), target = target, step = 0.1, bounds = 0 .. 1, init = 0.01)
loss = token_mean(clip_ppo()) - beta * token_mean(entropy)
metric h = token_mean(entropy)
"""


def clip_ppo_by_hand(fields: dict[str, torch.Tensor], low: float, high: float) -> torch.Tensor:
    log_prob = fields["logits"].log_softmax(-1).gather(-1, fields["actions"][..., None])[..., 0]
    ratio = (log_prob - fields["old_log_prob"]).exp()
    clipped = ratio.clamp(1 - low, 1 + high)
    losses = torch.maximum(-fields["advantages"] * ratio, -fields["advantages"] * clipped)
    return losses[fields["response_mask"]].mean()


def test_the_loss_is_a_tensor_under_the_callers_autograd() -> None:
    fields = batch()
    output = aent.compile(GRPO)(**fields)
    expected = clip_ppo_by_hand(fields, 0.2, 0.28)
    torch.testing.assert_close(output.loss, expected, rtol=1e-12, atol=1e-12)
    weight = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    found = torch.autograd.grad(output.loss * weight, [fields["logits"], weight])
    wanted = torch.autograd.grad(expected * weight, [fields["logits"], weight])
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)


def test_softplus_has_all_digits_of_large_numbers() -> None:
    values = torch.tensor([[-30.0, 0.5, 19.9, 20.1, 25.0]], dtype=torch.float64, requires_grad=True)
    program = aent.compile(
        "loss = token_sum(softplus(values))  # aent: allow(gradient-misses-policy, sum-grows-with-batch)"
    )
    loss = program(values=values, response_mask=torch.ones(1, 5, dtype=torch.bool)).loss
    torch.testing.assert_close(loss, values.exp().log1p().sum(), rtol=1e-15, atol=0)
    loss.backward()
    assert values.grad is not None
    torch.testing.assert_close(values.grad, values.detach().sigmoid(), rtol=1e-15, atol=0)


def test_tensors_are_shared_and_not_copied() -> None:
    fields = batch()
    program = aent.compile(GRPO, overwrite_logits=True)
    address = fields["logits"].data_ptr()
    logits = fields["logits"].detach().clone().requires_grad_()
    given_up = logits * 1
    output = program(fields, logits=given_up)
    output.loss.backward()
    # Their gradient was written over them: what torch handed on is the storage that we gave.
    expected = torch.autograd.grad(clip_ppo_by_hand(fields, 0.2, 0.28), fields["logits"])[0]
    torch.testing.assert_close(given_up.detach(), expected, rtol=1e-10, atol=1e-12)
    assert fields["logits"].data_ptr() == address


def test_hidden_states_stand_in_for_logits() -> None:
    fields = batch()
    hidden = torch.arange(3 * 5 * 4, dtype=torch.float64).sin().view(3, 5, 4).requires_grad_()
    lm_head = torch.arange(17 * 4, dtype=torch.float64).cos().view(17, 4).requires_grad_()
    del fields["logits"]
    output = aent.compile(GRPO)(fields, hidden=hidden, lm_head=lm_head)
    expected = clip_ppo_by_hand({**fields, "logits": hidden @ lm_head.T}, 0.2, 0.28)
    found = torch.autograd.grad(output.loss, [hidden, lm_head])
    wanted = torch.autograd.grad(expected, [hidden, lm_head])
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kernels", ["auto", "reference"])
def test_a_head_may_cap_and_scale_its_product(kernels: str) -> None:
    fields = batch()
    del fields["logits"]
    hidden = torch.arange(3 * 5 * 4, dtype=torch.float64).sin().view(3, 5, 4).requires_grad_()
    lm_head = torch.arange(17 * 4, dtype=torch.float64).cos().view(17, 4).requires_grad_()
    head = {"hidden": hidden, "lm_head": lm_head, "logit_softcap": 1.5, "logit_scale": torch.tensor(0.7).item()}
    logits = ((hidden @ lm_head.T) * head["logit_scale"] / 1.5).tanh() * 1.5
    expected = clip_ppo_by_hand({**fields, "logits": logits}, 0.2, 0.28)
    wanted = torch.autograd.grad(expected, [hidden, lm_head])
    program = aent.compile(GRPO, kernels=kernels)
    # Among a trainer's own names, by name, and through rows.
    rows = program.rows(head, actions=fields["actions"])
    for output in (program(fields | head), program(fields, **head), program(fields, actions=None, rows=rows)):
        torch.testing.assert_close(output.loss, expected, rtol=1e-12, atol=1e-12)
        found = torch.autograd.grad(output.loss, [hidden, lm_head])
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ({"logit_softcap": 0}, "`logit_softcap`: expected a finite number above 0, found 0"),
        ({"logit_scale": torch.ones(())}, "`logit_scale`: expected a number, found a `Tensor`"),
        ({"head_dtype": "f32"}, "`head_dtype`: expected a `torch.dtype` or its name, such as `float32`, found a `str`"),
        ({"head_dtype": torch.int64}, "`head_dtype`: expected f32, f64, bf16 or f16, found i64"),
        ({"logit_scales": 2.0}, "there is no batch field `logit_scales`; did you mean `logit_scale`?"),
    ],
)
def test_a_head_that_makes_no_logits_is_refused(head: dict[str, Any], message: str) -> None:
    fields = batch()
    del fields["logits"]
    with pytest.raises(aent.BatchError, match=re.escape(message)):
        aent.compile(GRPO)(fields, hidden=torch.ones(3, 5, 4), lm_head=torch.ones(17, 4), **head)
    if message.startswith("`logit_softcap`"):
        with pytest.raises(aent.BatchError, match="`logit_softcap`: expected `hidden` with `lm_head`"):
            aent.compile(GRPO)(batch(), logit_softcap=2.0)


def test_a_modules_parameters_get_their_gradient() -> None:
    fields = batch(dtype=torch.float32)
    layer = torch.nn.Linear(6, 17, bias=False)
    hidden = torch.arange(3 * 5 * 6, dtype=torch.float32).sin().view(3, 5, 6)
    del fields["logits"]
    aent.compile(GRPO)(fields, hidden=hidden, lm_head=layer.weight).loss.backward()
    assert layer.weight.grad is not None and layer.weight.grad.abs().sum() > 0


def test_micro_batches_add_up_to_the_whole() -> None:
    fields = batch(b=4)
    program = aent.compile(STEERED)
    whole = program(fields)
    (expected,) = torch.autograd.grad(whole.loss, fields["logits"])
    parts = [{name: tensor[rows] for name, tensor in fields.items()} for rows in (slice(0, 1), slice(1, 4))]
    step = program.accumulate()
    for part in parts:
        step.measure(part)
    for part in parts:
        step(part).backward()
    output = step.finish()
    torch.testing.assert_close(fields["logits"].grad, expected, rtol=1e-10, atol=1e-12)
    assert output.metrics == pytest.approx(whole.metrics, rel=1e-12)
    assert output.signals == pytest.approx(whole.signals, rel=1e-12)
    with pytest.raises(aent.StepError, match="the step is finished"):
        step(parts[0])


def test_counts_that_are_known_need_no_measuring() -> None:
    fields = batch(b=2)
    program = aent.compile(GRPO)
    (expected,) = torch.autograd.grad(program(fields).loss, fields["logits"])
    tokens = int(fields["response_mask"].sum())
    step = program.accumulate(tokens=tokens, sequences=2, width=5)
    for row in range(2):
        step({name: tensor[row : row + 1] for name, tensor in fields.items()}).backward()
    torch.testing.assert_close(fields["logits"].grad, expected, rtol=1e-10, atol=1e-12)


def test_controllers_move_when_a_step_is_observed() -> None:
    program = aent.compile(STEERED)
    output = program(batch())
    before = program.coefficients["beta"]
    assert program(batch()).loss == output.loss
    program.update(output)
    # The published rule: down by `step` times what the signal is above the target.
    expected = before - 0.1 * max(0.0, output.signals["beta"] - 0.5) + 0.1 * max(0.0, 0.5 - output.signals["beta"])
    assert program.coefficients["beta"] == pytest.approx(min(1.0, max(0.0, expected)), abs=1e-12)
    assert program.steps == 1
    assert output.metrics["h"] == output.signals["beta"]


def test_parameters_are_set_and_checked() -> None:
    assert aent.compile(STEERED, params={"target": 0.7}).params == {"target": 0.7}
    with pytest.raises(aent.SpecError, match="0 .. 10"):
        aent.compile(STEERED, params={"target": 11.0})
    with pytest.raises(aent.SpecError, match="targe"):
        aent.compile(STEERED, params={"targe": 1.0})


def test_a_wrong_text_is_drawn_where_it_is_wrong() -> None:
    with pytest.raises(aent.SpecError) as caught:
        aent.compile("loss = tokn_mean(clip_ppo())")
    assert "^^^^^^^^^" in str(caught.value) and "did you mean `token_mean`?" in str(caught.value)
    assert caught.value.diagnostics[0]["id"] == "unknown-name"
    assert caught.value.diagnostics[0]["span"]["column"] == 8


def test_a_report_is_true_when_nothing_is_an_error() -> None:
    assert aent.check(GRPO)
    report = aent.check("loss = token_mean(a < b & c)")
    assert not report
    page = report._repr_html_()
    assert "&lt;" in page and "a < b" not in page and "#c62828" in page


def test_files_and_texts_are_told_apart(tmp_path: Path) -> None:
    file = tmp_path / "a=b.aent"
    file.write_text(GRPO)
    assert aent.compile(file).fields == aent.compile(str(file)).fields == aent.compile(GRPO).fields
    with pytest.raises(FileNotFoundError, match="missing.aent"):
        aent.compile("missing.aent")


def test_every_recipe_compiles() -> None:
    recipes = sorted(RECIPES.glob("*.aent"))
    assert len(recipes) > 50
    for recipe in recipes:
        assert "response_mask" in aent.compile(recipe).fields


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"old_log_prob": None}, "has no `old_log_prob`"),
        ({"old_logprob": torch.zeros(3, 5)}, "did you mean `old_log_prob`"),
        ({"advantages": torch.zeros(3, 6)}, "`advantages`: expected"),
        ({"actions": torch.full((3, 5), 17)}, "`actions` at"),
        ({"actions": [1, 2]}, "expected a `torch.Tensor`, found a `list`"),
    ],
)
def test_a_wrong_batch_is_refused_by_field(change: dict[str, torch.Tensor], sentence: str) -> None:
    with pytest.raises(aent.BatchError, match=sentence):
        aent.compile(GRPO)(**{**batch(), **change})


def test_a_trainers_dictionary_may_hold_more() -> None:
    extra = {**batch(), "input_ids": torch.zeros(3), 7: "seven", "prompts": ["a"]}
    assert aent.compile(GRPO)(extra).loss == aent.compile(GRPO)(batch()).loss


def test_lets_are_given_out_on_request() -> None:
    output = aent.compile("let r = log_prob - old_log_prob\nloss = token_mean(r * r)", lets=True)(batch())
    assert output.lets["r"].shape == (3, 5)
    assert output.lets["r"][-1, -1] == 0


def test_explain_tells_what_a_step_costs() -> None:
    text = aent.compile(STEERED).explain(sequences=2, length=100, vocabulary=1000)
    assert "the logits are read once" in text and "2 sequences of 100 tokens, a vocabulary of 1,000" in text


def test_the_gil_is_free_while_a_step_runs() -> None:
    fields = batch(b=8, t=64, v=20_000, dtype=torch.float32)
    program = aent.compile(STEERED)
    ticks, stop = 0, False

    def count() -> None:
        nonlocal ticks
        while not stop:
            ticks += 1
            time.sleep(0)

    interval = sys.getswitchinterval()
    # Nobody is made to hand the GIL over: the other thread runs only while it is given up.
    sys.setswitchinterval(30)
    try:
        counter = threading.Thread(target=count)
        counter.start()
        before = ticks
        program(fields)
        during = ticks - before
    finally:
        stop = True
        sys.setswitchinterval(interval)
        counter.join()
    assert during > 0


def test_an_older_torch_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from aent.version import require_torch

    monkeypatch.setattr(torch, "__version__", "2.7.1+cu126")
    with pytest.raises(ImportError, match="torch 2.8 or newer, found torch 2.7.1"):
        require_torch()


def test_the_output_of_another_program_is_refused() -> None:
    foreign = aent.compile(STEERED)(batch())
    program = aent.compile(STEERED)
    with pytest.raises(aent.StepError, match="found that of another"):
        program.update(foreign)
    assert program.steps == 0


def test_what_must_be_seen_first_is_told() -> None:
    assert aent.compile(GRPO).first_pass == "counts"
    assert aent.compile("loss = token_mean(log_prob * (rewards - group_mean(rewards)))").first_pass == "fields"
    assert aent.compile("loss = token_mean(clip_ppo()) * exp(token_mean(entropy()))").first_pass == "model"


def test_the_terms_of_a_file_are_told_with_what_they_read() -> None:
    program = aent.compile(
        """
        controller widen = linear(from = 0.1, to = 0.3, steps = 100)
        let wide = clip_ppo(advantages = advantages - 1, high = widen)
        loss = token_mean(wide) + token_mean(wide) * 0.5 + token_mean(clip_ppo(low = 0.1))
        """
    )
    wide, narrow = program.terms
    assert wide["name"] == narrow["name"] == "clip_ppo"
    assert wide["reads"] == {
        "log_prob": "log_prob",
        "old_log_prob": "old_log_prob",
        "advantages": "advantages - 1",
    }
    assert wide["args"] | {"low": 0.2, "high": {"moving": "widen"}} == wide["args"]
    assert narrow["reads"]["advantages"] == "advantages"
    assert narrow["args"] | {"low": 0.1, "high": 0.2} == narrow["args"]
