"""Our loss and gradient against those of TRL's own ``_compute_loss``, on the same inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

import aent
from aent.heads import needs_logits
from trl_tiny import LONGEST, arguments, batch, halves, loss_and_gradient, save_model, trainer

BETA = 0.3
KL = "kl(input_clamp = 1e9, output_clamp = 1e9)"  # TRL has no guards.
IMPORTS = 'import "std/surrogates.aent" import "std/kl.aent" import "std/entropy.aent"\n'

# By name: what TRL is told, and the same in the language; `$` is the place of the divergence from the reference.
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "grpo": ({"loss_type": "grpo"}, "loss = seq_mean_token_mean(clip_ppo() + $)"),
    "bnpo": ({"loss_type": "bnpo"}, "loss = token_mean(clip_ppo() + $)"),
    "dapo": (
        {"loss_type": "dapo", "epsilon_high": 0.28},
        "loss = token_mean(clip_ppo(low = 0.2, high = 0.28) + $)",
    ),
    "dr_grpo": ({"loss_type": "dr_grpo"}, f"loss = seq_mean_token_sum_norm(clip_ppo() + $, length = {LONGEST})"),
    "cispo": (
        {"loss_type": "cispo", "epsilon_high": 1.2},
        "loss = token_mean(cispo(bounds = 0 .. 1.2) + $)",
    ),
    "sapo": ({"loss_type": "sapo"}, "loss = seq_mean_token_mean(sapo() + $)"),
    "vespo": ({"loss_type": "vespo"}, "loss = token_mean(vespo() + $)"),
    "luspo": (
        {"loss_type": "luspo", "importance_sampling_level": "sequence", "use_bias_correction_kl": False},
        "loss = luspo(low = 0.2, high = 0.2) + seq_mean_token_sum($)",
    ),
    "gspo": (
        {"loss_type": "grpo", "importance_sampling_level": "sequence", "use_bias_correction_kl": False},
        "loss = seq_mean_token_mean(gspo(low = 0.2, high = 0.2) + $)",
    ),
    "delta": ({"loss_type": "grpo", "delta": 1.3}, "loss = seq_mean_token_mean(clip_ppo(delta = 1.3) + $)"),
    "off_policy_mask_threshold": (
        {"loss_type": "grpo", "off_policy_mask_threshold": 0.05},
        "loss = seq_mean_token_mean(where(off_policy_kept(0.05, rollout = old_log_prob), clip_ppo(), 0) + $)",
    ),
    "top_entropy_quantile": (
        {"loss_type": "dapo", "top_entropy_quantile": 0.4},
        "let entropy = entropy() loss = token_mean(where(top_entropy(40%), clip_ppo(), 0) + $)",
    ),
    "entropy_coef": (
        {"loss_type": "grpo", "entropy_coef": 0.1},
        "loss = seq_mean_token_mean(clip_ppo() + $) - 0.1 * token_mean(entropy())",
    ),
}


# What TRL reduces inside of a micro-batch, so that its result depends on how a step is cut.
OF_A_MICRO_BATCH = {"bnpo", "entropy_coef", "top_entropy_quantile"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


def file(name: str, beta: float) -> str:
    divergence = KL if CASES[name][0].get("use_bias_correction_kl") is False else f"ratio_corrected({KL})"
    return IMPORTS + CASES[name][1].replace("$", f"{beta} * {divergence}" if beta else "0 * log_prob")


@pytest.mark.parametrize("beta", [0.0, BETA], ids=["", "with_a_reference"])
@pytest.mark.parametrize("name", CASES)
def test_a_file_equals_trls_loss(name: str, beta: float, folder: Path) -> None:
    theirs = trainer(folder, arguments(folder, beta=beta, **CASES[name][0]))
    ours = trainer(folder, arguments(folder, beta=beta), file(name, beta))
    inputs = batch(theirs)
    expected = loss_and_gradient(theirs, [inputs])
    found = loss_and_gradient(ours, [inputs])
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    torch.testing.assert_close(found[1], expected[1], rtol=1e-4, atol=1e-6)
    assert expected[1].norm() > 1e-2


@pytest.mark.parametrize("name", CASES)
def test_a_step_in_micro_batches_has_the_gradient_of_the_whole(name: str, folder: Path) -> None:
    args = arguments(folder, gradient_accumulation_steps=2)
    theirs = trainer(folder, arguments(folder, gradient_accumulation_steps=2, **CASES[name][0]))
    ours = trainer(folder, args, file(name, 0.0))
    inputs = batch(theirs)
    # With one micro-batch in the window, TRL is told that the window is the generation batch.
    theirs.args.steps_per_generation = 1
    expected = loss_and_gradient(theirs, [inputs])
    theirs.args.steps_per_generation = 2
    split = loss_and_gradient(theirs, halves(inputs))
    found = loss_and_gradient(ours, halves(inputs))
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    torch.testing.assert_close(found[1], expected[1], rtol=1e-4, atol=1e-6)
    apart = float((split[1] - expected[1]).norm() / expected[1].norm())
    assert apart > 1e-3 if name in OF_A_MICRO_BATCH else apart < 1e-4


def test_trl_divides_by_the_tokens_of_all_steps_of_a_generation_and_we_by_those_of_the_step(folder: Path) -> None:
    args = {"gradient_accumulation_steps": 2, "steps_per_generation": 4}
    theirs = trainer(folder, arguments(folder, loss_type="dapo", **args))
    ours = trainer(folder, arguments(folder, **args), "loss = token_mean(clip_ppo())")
    inputs = batch(theirs)
    inputs["num_items_in_batch"] = 3 * inputs["completion_mask"].sum()  # The other step has twice as many.
    expected = loss_and_gradient(theirs, halves(inputs))
    found = loss_and_gradient(ours, halves(inputs))
    torch.testing.assert_close(found[1], 1.5 * expected[1], rtol=1e-4, atol=1e-6)


def test_trl_counts_a_completion_without_tokens_and_we_do_not(folder: Path) -> None:
    theirs = trainer(folder, arguments(folder, loss_type="grpo"))
    ours = trainer(folder, arguments(folder), "loss = seq_mean_token_mean(clip_ppo())")
    inputs = batch(theirs, lengths=(6, 3, 5, 0))
    expected = loss_and_gradient(theirs, [inputs])
    found = loss_and_gradient(ours, [inputs])
    torch.testing.assert_close(found[1], 4 / 3 * expected[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["grpo", "entropy_coef"])
def test_a_policy_that_has_not_moved_has_a_ratio_of_one(name: str, folder: Path) -> None:
    theirs = trainer(folder, arguments(folder, **CASES[name][0]))
    spec = file(name, 0.0) + " metric moved = token_mean(abs(log_prob - old_log_prob))"
    ours = trainer(folder, arguments(folder), spec)
    inputs = batch(theirs)
    del inputs["old_per_token_logps"]  # TRL leaves it out where it generates for every step.
    expected = loss_and_gradient(theirs, [inputs])
    found = loss_and_gradient(ours, [inputs])
    torch.testing.assert_close(found[1], expected[1], rtol=1e-4, atol=1e-6)
    assert ours._metrics["train"]["aent/moved"] == [0.0]


@pytest.mark.parametrize("said", ["set temperature = 0.6", "input heat: seq set temperature = heat"])
def test_logits_are_read_at_trls_temperature(folder: Path, said: str) -> None:
    theirs = trainer(folder, arguments(folder, temperature=0.6, **CASES["entropy_coef"][0]))
    ours = trainer(folder, arguments(folder, temperature=0.6), f"{file('entropy_coef', 0.0)} {said}")
    inputs = batch(theirs)
    expected = loss_and_gradient(theirs, [inputs])
    found = loss_and_gradient(ours, [inputs])
    torch.testing.assert_close(found[1], expected[1], rtol=1e-4, atol=1e-6)


def test_a_temperature_that_moves_away_from_trls_is_refused_at_the_step(folder: Path) -> None:
    spec = "controller heat = linear(from = 1, to = 2, steps = 1) set temperature = heat loss = token_mean(clip_ppo())"
    ours = trainer(folder, arguments(folder, temperature=1.0), spec)
    inputs = batch(ours)
    loss_and_gradient(ours, [inputs])
    with pytest.raises(ValueError, match="the file has a temperature of 2.0, and TRL samples at 1.0"):
        loss_and_gradient(ours, [inputs])


def test_rows_of_hidden_states_are_those_of_the_logits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = file("entropy_coef", 0.0)
    hidden, logits = [trainer(folder, arguments(folder), spec) for _ in range(2)]
    seen: list[set[str]] = []

    class Spied:
        """A program that tells what its rows were made of."""

        def __init__(self, program: aent.Program) -> None:
            self._program = program

        def __getattr__(self, name: str) -> object:
            return getattr(self._program, name)

        def rows(self, fields: dict[str, object], **given: object) -> object:
            seen.append({*fields, *given})
            return self._program.rows(fields, **given)

    for made in (hidden, logits):
        made.program = Spied(made.program)
    found = loss_and_gradient(hidden, [batch(hidden)])
    assert seen and all("hidden" in given and "logits" not in given for given in seen)
    seen.clear()
    monkeypatch.setattr("aent.trl.needs_logits", lambda _: "it is asked for")
    expected = loss_and_gradient(logits, [batch(logits)])
    assert seen and all("logits" in given and "hidden" not in given for given in seen)
    assert found[0] == pytest.approx(expected[0], rel=1e-6)
    torch.testing.assert_close(found[1], expected[1], rtol=1e-4, atol=1e-6)


def test_a_head_that_is_more_than_a_weight_is_named(folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert needs_logits(model) is None
    model.set_output_embeddings(torch.nn.Sequential(model.get_output_embeddings()))
    assert needs_logits(model) == "its head is a `Sequential`"


@pytest.mark.parametrize("family", ["gemma2", "cohere", "granite"])
def test_a_capped_or_scaled_head_goes_through_hidden_states(family: str, tmp_path: Path) -> None:
    folder = save_model(tmp_path, family=family)
    theirs = trainer(folder, arguments(folder, **CASES["entropy_coef"][0]))
    ours = trainer(folder, arguments(folder), file("entropy_coef", 0.0))
    assert needs_logits(ours._base_model()) is None
    inputs = batch(theirs)
    expected = loss_and_gradient(theirs, [inputs])
    found = loss_and_gradient(ours, [inputs])
    assert found[0] == pytest.approx(expected[0], rel=1e-4)
    torch.testing.assert_close(found[1], expected[1], rtol=1e-3, atol=1e-5)


def test_a_head_in_f32_has_the_hidden_states_in_f32(folder: Path) -> None:
    args = {"cast_lm_head_to_fp32": True}
    theirs = trainer(folder, arguments(folder, **args, **CASES["entropy_coef"][0]), dtype=torch.bfloat16)
    ours = trainer(folder, arguments(folder, **args), file("entropy_coef", 0.0), dtype=torch.bfloat16)
    head = ours.model.get_output_embeddings()
    assert head.weight.dtype == torch.float32 and ours.model.model.norm.weight.dtype == torch.bfloat16
    inputs = batch(theirs)
    expected = loss_and_gradient(theirs, [inputs])
    found = loss_and_gradient(ours, [inputs])
    assert found[0] == pytest.approx(expected[0], rel=1e-4)
    torch.testing.assert_close(found[1].float(), expected[1].float(), rtol=2e-2, atol=2e-3)


@pytest.mark.parametrize("name", ["grpo", "entropy_coef"])
def test_the_balance_of_a_router_stays_in_the_loss(name: str, tmp_path: Path) -> None:
    folder = save_model(tmp_path, experts=4)
    args = {"router_aux_loss_coef": 0.5, "gradient_accumulation_steps": 2}
    theirs = trainer(folder, arguments(folder, **args, **CASES[name][0] | {"loss_type": "grpo"}))
    ours = trainer(folder, arguments(folder, **args), file(name, 0.0))
    # Two halves alike, because TRL takes its entropy bonus of each.
    halved = [batch(theirs), batch(theirs)]
    expected = loss_and_gradient(theirs, halved)
    found = loss_and_gradient(ours, halved)
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    torch.testing.assert_close(found[1], expected[1], rtol=1e-4, atol=1e-5)


def test_tokens_of_a_tool_do_not_count(folder: Path) -> None:
    theirs = trainer(folder, arguments(folder, loss_type="dapo"))
    ours = trainer(folder, arguments(folder), "loss = token_mean(clip_ppo())")
    inputs = batch(theirs)
    inputs["tool_mask"] = inputs["completion_mask"].clone()
    inputs["tool_mask"][:, 1] = 0
    inputs["num_items_in_batch"] = inputs["tool_mask"].sum()
    expected = loss_and_gradient(theirs, [inputs])
    found = loss_and_gradient(ours, [inputs])
    torch.testing.assert_close(found[1], expected[1], rtol=1e-4, atol=1e-6)


def test_a_log_prob_that_vllm_could_not_tell_weighs_one(folder: Path) -> None:
    weighted = IMPORTS + "loss = token_mean(token_tis(cap = 3) * clip_ppo())"
    ours = trainer(folder, arguments(folder), weighted, rollout_func=lambda prompts, made: {})
    inputs = batch(ours)
    sampled = inputs["old_per_token_logps"] - 0.2
    expected = loss_and_gradient(ours, [inputs | {"sampling_per_token_logps": sampled}])
    unknown = torch.where(inputs["completion_mask"].cumsum(1) == 2, torch.nan, sampled)
    found = loss_and_gradient(ours, [inputs | {"sampling_per_token_logps": unknown}])
    known = torch.where(unknown.isnan(), inputs["old_per_token_logps"], sampled)
    wanted = loss_and_gradient(ours, [inputs | {"sampling_per_token_logps": known}])
    torch.testing.assert_close(found[1], wanted[1], rtol=0, atol=0)
    assert (found[1] - expected[1]).norm() > 1e-3
