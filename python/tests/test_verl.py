"""Files as policy losses of verl, against verl's own on the same batches."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from verl.trainer.ppo.core_algos import POLICY_LOSS_REGISTRY, agg_loss, get_policy_loss_fn
from verl.workers.config import ActorConfig, PolicyLossConfig

import aent
import aent.verl
from aent.verl.state import registered

REDUCTIONS = {
    "token-mean": "token_mean",
    "token-sum": "token_sum",
    "seq-mean-token-sum": "seq_mean_token_sum",
    "seq-mean-token-mean": "seq_mean_token_mean",
    "seq-mean-token-sum-norm": "seq_mean_token_sum_norm",
}


def clip(low: float, high: float, **more: float) -> dict[str, float]:
    return {"clip_ratio_low": low, "clip_ratio_high": high} | more


# verl's name, our expression, verl's configuration.
TOKEN_LOSSES = [
    ("vanilla", "clip_ppo(low = 0.2, high = 0.28, dual = 3)", clip(0.2, 0.28)),
    ("vanilla", "clip_ppo(low = 0.3, high = 0.1, dual = 1.5)", clip(0.3, 0.1, clip_ratio_c=1.5)),
    ("gspo", 'gspo(level = "token", low = 0.03, high = 0.04)', clip(0.03, 0.04)),
    ("cispo", "cispo(bounds = 0.8 .. 1.3)", clip(0.2, 0.3)),
    ("dppo_tv", 'dppo(divergence = "tv", low = 0.1, high = 0.15, cap = 3)', clip(0.1, 0.15)),
    ("dppo_kl", 'dppo(divergence = "kl", low = 0.05, high = 0.08, cap = 3)', clip(0.05, 0.08)),
    ("gpg", "reinforce()", {}),
    ("dro", "dro(0.1)", {"policy_loss": {"dro_beta": 0.1}}),
]
IMPORT = 'import "std/surrogates.aent"\n'
GLOBAL = {"dp_size": 1, "batch_num_tokens": 22, "global_batch_size": 6, "loss_scale_factor": None}
EQUAL = {"rtol": 1e-9, "atol": 1e-12}


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    """Begins with no file, and leaves verl's registry and ours as they were."""
    before, files = dict(POLICY_LOSS_REGISTRY), dict(registered)
    registered.clear()
    yield
    POLICY_LOSS_REGISTRY.clear()
    POLICY_LOSS_REGISTRY.update(before)
    registered.clear()
    registered.update(files)


def batch(rows: int = 6, width: int = 6) -> dict[str, torch.Tensor]:
    """Six sequences with 22 tokens, one of them with none; log-ratios on both sides of every bound."""
    places = torch.arange(rows * width, dtype=torch.float64).view(rows, width)
    old = -1.5 + places.mul(1.3).sin()
    lengths = torch.tensor([6, 3, 0, 5, 2, 6][:rows])
    return {
        "old_log_prob": old,
        "log_prob": (old + 1.4 * places.mul(2.1).cos()).clamp(max=-0.05),
        "advantages": places.mul(0.9).cos() * 2,
        "response_mask": torch.arange(width) < lengths[:, None],
    }


def config(
    info: dict[str, Any] | None = None, policy_loss: dict[str, Any] | None = None, **settings: Any
) -> ActorConfig:
    made = ActorConfig(
        strategy="fsdp",
        rollout_n=1,
        ppo_micro_batch_size_per_gpu=1,
        policy_loss=PolicyLossConfig(**(policy_loss or {})),
        **settings,
    )
    made.global_batch_info.update(info or {})
    return made


def run(
    name: str,
    fields: dict[str, torch.Tensor],
    mode: str,
    of: ActorConfig,
    cuts: list[slice] | None = None,
    **more: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss and its gradient for `log_prob`, summed over micro-batches, as verl's engine calls it."""
    leaf = fields["log_prob"].clone().requires_grad_()
    total = torch.zeros((), dtype=leaf.dtype)
    for rows in cuts or [slice(None)]:
        part = {field: tensor[rows] for field, tensor in (fields | more | {"log_prob": leaf}).items()}
        loss, _ = get_policy_loss_fn(name)(loss_agg_mode=mode, config=of, **part)
        loss.backward()
        total += loss.detach()
    return total, leaf.grad


def register(spec: str, **settings: Any) -> aent.Program:
    return aent.verl.register("file", IMPORT + spec, engines=[], **settings)


@pytest.mark.parametrize("mode", REDUCTIONS)
@pytest.mark.parametrize(("name", "expression", "settings"), TOKEN_LOSSES)
def test_a_file_equals_verls_own_loss(name: str, expression: str, settings: dict[str, Any], mode: str) -> None:
    register(f"loss = {REDUCTIONS[mode]}({expression})  # aent: allow(sum-grows-with-batch)")
    fields = batch()
    cuts = [slice(0, 1), slice(1, 3), slice(3, 6)]
    for info, split in (({}, None), (GLOBAL, None), (GLOBAL, cuts), (GLOBAL | {"dp_size": 2}, cuts)):
        expected = run(name, fields, mode, config(info, **settings), split)
        found = run("file", fields, mode, config(info, **settings), split)
        torch.testing.assert_close(found, expected, **EQUAL)
    assert expected[1].abs().sum() > 0


@pytest.mark.parametrize(("name", "expression", "settings"), TOKEN_LOSSES)
def test_verls_correction_for_what_sampled_is_a_factor_in_the_file(
    name: str, expression: str, settings: dict[str, Any]
) -> None:
    fields = batch()
    weights = fields["old_log_prob"].mul(5).cos() + 1.2
    register(f"input rollout_is_weights: token\nloss = token_mean(rollout_is_weights * {expression})")
    expected = run(name, fields, "token-mean", config(GLOBAL, **settings), rollout_is_weights=weights)
    found = run("file", fields, "token-mean", config(GLOBAL, **settings), rollout_is_weights=weights)
    torch.testing.assert_close(found, expected, **EQUAL)


def test_sapo_is_a_mean_of_sequences_whatever_verl_is_set_to() -> None:
    register("loss = seq_mean_token_mean(sapo(tau_pos = 1, tau_neg = 1.4))")
    settings = config(GLOBAL, tau_pos=1.0, tau_neg=1.4)
    for mode in REDUCTIONS:
        expected = run("sapo", batch(), mode, settings, [slice(0, 2), slice(2, 6)])
        torch.testing.assert_close(run("file", batch(), mode, settings, [slice(0, 2), slice(2, 6)]), expected, **EQUAL)


def test_kl_cov_and_clip_cov_equal_verls_where_the_mini_batch_is_whole() -> None:
    fields = batch()
    whole = GLOBAL | {"global_batch_size": 5}
    fields = {field: tensor[[0, 1, 3, 4, 5]] for field, tensor in fields.items()}
    aent.verl.register("kl", IMPORT + "loss = token_mean(kl_cov(share = 0.2, coef = 0.7))", engines=[])
    settings = config(whole, policy_loss={"kl_cov_ratio": 0.2, "ppo_kl_coef": 0.7})
    torch.testing.assert_close(
        run("kl", fields, "token-mean", settings), run("kl_cov", fields, "token-mean", settings), **EQUAL
    )
    # With a share of 1 every token within the bounds is taken, so that nothing is left to chance.
    text = "loss = token_mean(clip_cov(share = 1, bounds = 0.1 .. 1.2, low = 0.2, high = 0.2))"
    aent.verl.register("clip", text, engines=[])
    settings = config(whole, policy_loss={"clip_cov_ratio": 1.0, "clip_cov_lb": 0.1, "clip_cov_ub": 1.2})
    torch.testing.assert_close(
        run("clip", fields, "token-mean", settings), run("clip_cov", fields, "token-mean", settings), **EQUAL
    )


def test_geo_mean_equals_verls_of_one_micro_batch_whose_gradient_grows_with_their_number() -> None:
    fields = {field: tensor[[0, 1, 3, 5]] for field, tensor in batch().items()}
    # verl averages the advantages of a sequence.
    fields["advantages"] = fields["advantages"][:, :1].expand(-1, 6).contiguous()
    info = GLOBAL | {"batch_num_tokens": 20, "global_batch_size": 4}
    settings = config(info, clip_ratio_low=0.4, clip_ratio_high=0.3)
    register("loss = batch_mean(gmpo(low = 0.4, high = 0.3))")
    expected = run("geo_mean", fields, "token-mean", settings)
    torch.testing.assert_close(run("file", fields, "token-mean", settings), expected, rtol=1e-7, atol=1e-9)
    halves = [slice(0, 2), slice(2, 4)]
    torch.testing.assert_close(run("file", fields, "token-mean", settings, halves), expected, rtol=1e-7, atol=1e-9)
    grown = run("geo_mean", fields, "token-mean", settings, halves)
    torch.testing.assert_close(grown, tuple(2 * it for it in expected), rtol=1e-7, atol=1e-9)


def test_the_scale_factor_is_the_length_of_the_norm() -> None:
    register("loss = seq_mean_token_sum_norm(clip_ppo(dual = 3))")
    settings = config(GLOBAL | {"loss_scale_factor": 17})
    cuts = [slice(0, 4), slice(4, 6)]
    expected = run("vanilla", batch(), "seq-mean-token-sum-norm", settings, cuts)
    torch.testing.assert_close(run("file", batch(), "seq-mean-token-sum-norm", settings, cuts), expected, **EQUAL)


def test_padding_reaches_neither_loss_nor_gradient() -> None:
    register("loss = token_mean(clip_ppo())")
    fields = batch()
    expected = run("file", fields, "token-mean", config(GLOBAL))
    for field in ("old_log_prob", "log_prob", "advantages"):
        fields[field] = fields[field].masked_fill(~fields["response_mask"], math.nan)
    torch.testing.assert_close(run("file", fields, "token-mean", config(GLOBAL)), expected, **EQUAL)


def test_metrics_come_in_verls_way_and_detached() -> None:
    register("loss = token_mean(clip_ppo())\nmetric moved = token_mean(old_log_prob - log_prob)")
    fields = batch()
    fields["log_prob"].requires_grad_()
    _, metrics = get_policy_loss_fn("file")(config=config(GLOBAL), loss_agg_mode="token-mean", **fields)
    _, verls = get_policy_loss_fn("vanilla")(config=config(GLOBAL), loss_agg_mode="token-mean", **fields)
    assert metrics == {"actor/aent/moved": pytest.approx(verls["actor/ppo_kl"], rel=1e-6)}
    assert isinstance(metrics["actor/aent/moved"], float)


STEERED = """
let moved = token_mean(abs(log_prob - old_log_prob))
controller beta = step(signal = moved, target = 0.1, step = 0.25, bounds = 0 .. 1, init = 0.5)
loss = token_mean(clip_ppo()) + beta * moved
metric moved = moved
"""


def test_controllers_move_once_for_all_micro_batches_of_a_step() -> None:
    program = register(STEERED)
    fields = batch()
    expected = agg_loss((fields["log_prob"] - fields["old_log_prob"]).abs(), fields["response_mask"], "token-mean")
    with aent.verl.step() as step:
        run("file", fields, "token-mean", config(GLOBAL), [slice(0, 1), slice(1, 4), slice(4, 6)])
        assert program.steps == 0
    assert program.steps == 1
    # The signal is above the target: one step of a quarter down.
    assert program.coefficients == {"beta": 0.25}
    assert step.metrics == {
        "actor/aent/moved": pytest.approx(expected.item(), rel=1e-12),
        "actor/aent/signal/beta": pytest.approx(expected.item(), rel=1e-12),
        "actor/aent/coefficient/beta": 0.5,
    }


def test_a_step_that_fails_moves_nothing() -> None:
    program = register(STEERED)
    with pytest.raises(KeyError, match="optimizer"), aent.verl.step():  # noqa: PT012 - the step fails in the middle
        run("file", batch(), "token-mean", config(GLOBAL))
        raise KeyError("optimizer")
    assert program.steps == 0
    with aent.verl.step():
        run("file", batch(), "token-mean", config(GLOBAL))
    assert program.steps == 1


def test_rows_of_logits_are_handed_over_for_a_file_that_reads_them() -> None:
    program = register(
        "let h = entropy()\nloss = token_mean(clip_ppo(dual = 3)) - 0.1 * token_mean(h)\nmetric h = token_mean(h)"
    )
    fields, settings = batch(), config(GLOBAL, **clip(0.2, 0.2))
    logits = torch.arange(6 * 6 * 9, dtype=torch.float64).mul(0.7).sin().mul(3).view(6, 6, 9).requires_grad_()
    actions = torch.arange(36).view(6, 6) % 9
    with aent.verl.step() as step:
        for rows in (slice(0, 2), slice(2, 6)):
            step.hand_over(program.rows(logits=logits[rows], actions=actions[rows]))
            part = {field: tensor[rows] for field, tensor in fields.items()}
            loss, _ = get_policy_loss_fn("file")(config=settings, **part)
            loss.backward()
    # verl's own way: its loss for the log-probabilities of these logits, and their entropy, averaged as the loss is.
    log_p = logits.log_softmax(-1)
    fields["log_prob"] = log_p.gather(-1, actions[..., None]).squeeze(-1)
    entropy = agg_loss(-(log_p.exp() * log_p).sum(-1), fields["response_mask"], "token-mean")
    assert step.metrics["actor/aent/h"] == pytest.approx(entropy.item(), rel=1e-12)
    policy, _ = get_policy_loss_fn("vanilla")(config=settings, loss_agg_mode="token-mean", **fields)
    (gradient,) = torch.autograd.grad(policy - 0.1 * entropy, logits)
    torch.testing.assert_close(logits.grad, gradient, **EQUAL)


def test_fields_are_handed_over_for_a_file_that_reads_what_verl_hands_to_no_policy_loss() -> None:
    register("loss = batch_mean(-rewards * seq_sum(log_prob)) + token_mean(kl())")
    fields = batch()
    reference, rewards = fields["old_log_prob"] - 0.3, torch.tensor([1.0, 0, 0, 0.5, 2, 1], dtype=torch.float64)
    found = 0.0
    with aent.verl.step() as step:
        for rows in (slice(0, 2), slice(2, 6)):
            step.hand_over(ref_log_prob=reference[rows], rewards=rewards[rows])
            part = {field: tensor[rows] for field, tensor in fields.items()}
            found += call(**part, config=config(GLOBAL | {"global_batch_size": 5}))()[0]
    program = aent.compile("loss = batch_mean(-rewards * seq_sum(log_prob)) + token_mean(kl())")
    assert found.item() == pytest.approx(program(fields, ref_log_prob=reference, rewards=rewards).total, rel=1e-12)


def test_widths_that_differ_are_refused_where_a_loss_divides_by_them() -> None:
    register("loss = seq_mean_token_sum_norm(clip_ppo())")
    narrow = {field: tensor[1:2, :3] for field, tensor in batch().items()}
    with aent.verl.step():
        call()()
        with pytest.raises(aent.StepError, match="width=6.*width=3"):
            call(**narrow)()


def test_widths_that_differ_do_not_matter_to_other_losses() -> None:
    register("loss = token_mean(clip_ppo(dual = 3))\nmetric moved = token_mean(old_log_prob - log_prob)")
    fields = batch()
    parts = [{field: tensor[:1] for field, tensor in fields.items()}]
    parts += [{field: tensor[1:2, :3] for field, tensor in fields.items()}]
    counts = GLOBAL | {"batch_num_tokens": 9, "global_batch_size": 2}
    with aent.verl.step() as step:
        found = sum(call(**part, config=config(counts))()[0] for part in parts)
    both = {field: tensor[:2] for field, tensor in fields.items()}
    expected, metrics = get_policy_loss_fn("vanilla")(config=config(), loss_agg_mode="token-mean", **both)
    torch.testing.assert_close(found, expected, **EQUAL)
    assert step.metrics == {"actor/aent/moved": pytest.approx(metrics["actor/ppo_kl"], rel=1e-6)}


def call(**changes: Any) -> Callable[[], Any]:
    return lambda: get_policy_loss_fn("file")(**({"config": config(GLOBAL)} | batch() | changes))


@pytest.mark.parametrize(
    ("spec", "settings", "error", "words"),
    [
        ("loss = token_mean(values - returns)", {}, aent.BatchError, "reads `values`.*critic.*`old_values`"),
        ("loss = token_mean(reverse_kl())", {}, aent.BatchError, "reads `ref_logits`.*`ref_log_prob`"),
        (
            "input math: logits loss = token_mean(forward_kl(of = math))",
            {},
            aent.BatchError,
            "reads `math`.*policy's logits",
        ),
        ("set temperature = 0.7\nloss = token_mean(clip_ppo())", {}, aent.StepError, "rollout.temperature"),
        ("loss = token_mean(clip_pp())", {}, aent.SpecError, "did you mean `clip_ppo`"),
        ("param a = 1 in 0 .. 2\nloss = a * token_mean(clip_ppo())", {"params": {"a": 3}}, aent.SpecError, "0 .. 2"),
    ],
)
def test_what_could_never_run_is_refused_when_it_is_registered(
    spec: str, settings: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=f"(?s){words}"):
        register(spec, **settings)
    assert "file" not in POLICY_LOSS_REGISTRY


def test_a_name_of_verl_stays_verls() -> None:
    with pytest.raises(ValueError, match="`vanilla`"):
        aent.verl.register("vanilla", "loss = token_mean(clip_ppo())", engines=[])
    with pytest.raises(ValueError, match="`params`: this program is compiled already"):
        aent.verl.register("other", aent.compile("loss = token_mean(clip_ppo())"), params={"a": 1}, engines=[])


def test_what_a_call_lacks_is_said() -> None:
    register("loss = token_mean(clip_ppo())")
    with pytest.raises(aent.BatchError, match="does not read the `rollout_is_weights` that verl computed"):
        call(rollout_is_weights=torch.ones(6, 6))()
    with pytest.raises(aent.StepError, match="of all 2 ranks, found None and 6"):
        call(config=config({"dp_size": 2, "global_batch_size": 6}))()
    with pytest.raises(aent.StepError, match="verl counts 2 ranks, the step has 1"), aent.verl.step():
        call(config=config(GLOBAL | {"dp_size": 2}))()
    with aent.verl.step():
        call()()
        with pytest.raises(aent.StepError, match="second micro-batch.*tokens=22.*tokens=23"):
            call(config=config(GLOBAL | {"batch_num_tokens": 23}))()
        with pytest.raises(aent.StepError, match="a step is open already"), aent.verl.step():
            pass
    with aent.verl.step():
        call(config=config())()
        with pytest.raises(aent.StepError, match="needs the counts of the mini-batch"):
            call(config=config())()


@pytest.mark.parametrize(
    ("spec", "settings", "words"),
    [
        ("input rollout_is_weights: token\nloss = token_mean(rollout_is_weights * log_prob)", {}, "verl has none: set"),
        ("loss = token_mean(clip_ppo()) - 0.1 * token_mean(entropy())", {}, "reads the logits: an engine that"),
        (STEERED, {}, "has controllers, which move between steps: an engine that"),
        (
            "loss = token_mean(where(top_fraction(advantages, 20%), log_prob, 0))",
            {},
            "must be one micro-batch on one rank",
        ),
        ("loss = token_mean(clip_ppo() + kl())", {}, "reads `ref_log_prob`.*use_kl_loss=True"),
        ("loss = batch_mean(-rewards * seq_sum(log_prob))", {}, "reads `rewards`.*`hand_over`"),
        ("input mine: token\nloss = token_mean(mine * log_prob)", {}, "reads `mine`.*a column `mine`"),
    ],
)
def test_what_a_micro_batch_alone_cannot_give_is_said(spec: str, settings: dict[str, Any], words: str) -> None:
    register(spec, **settings)
    part = {field: tensor[:2] for field, tensor in batch().items()}
    with pytest.raises((aent.BatchError, aent.StepError), match=words):
        call(**part)()


def test_a_step_without_handed_logits_is_refused() -> None:
    register("loss = token_mean(clip_ppo()) - 0.1 * token_mean(entropy())")
    with pytest.raises(aent.StepError, match="nobody handed them over"), aent.verl.step():
        call()()


def test_verl_is_imported_when_a_file_is_registered_and_not_before() -> None:
    code = "import sys, aent, aent.verl; assert not any(name.split('.')[0] == 'verl' for name in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent)
