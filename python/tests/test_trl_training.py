"""Whole runs of the trainer: generation, accumulation, controllers, checkpoints, evaluation; and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, TrainerCallback
from trl import GRPOTrainer

from aent.trl import AentGRPOTrainer
from trl_tiny import arguments, dataset, reward, save_model, trainer

RECIPES = Path(__file__).resolve().parents[2] / "examples" / "recipes"
GRPO = "loss = seq_mean_token_mean(clip_ppo())"
STEERED = """
let entropy = entropy()
controller beta = band(signal = token_mean(entropy), target = 0 .. 2.5, step = 0.1, bounds = 0 .. 1, init = 0.1)
loss = token_mean(clip_ppo()) - beta * token_mean(entropy)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


class Gradients(TrainerCallback):
    """Every gradient that an optimizer was given."""

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Before any of them is put back to zero."""
        self.seen.append(torch.cat([parameter.grad.flatten().clone() for parameter in model.parameters()]))


def weights(made: GRPOTrainer) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in made.model.parameters()])


def logged(made: GRPOTrainer, name: str) -> list[float]:
    return [line[name] for line in made.state.log_history if name in line]


def test_a_run_with_a_file_is_trls_run(folder: Path) -> None:
    # Two optimizer steps for each generation, so that the second has ratios away from one.
    args = {"gradient_accumulation_steps": 2, "steps_per_generation": 4, "max_steps": 4}
    theirs = trainer(folder, arguments(folder, loss_type="grpo", **args))
    theirs.train()
    ours = trainer(folder, arguments(folder, **args), GRPO + " metric ratio = token_mean(exp(log_prob - old_log_prob))")
    ours.train()
    torch.testing.assert_close(weights(ours), weights(theirs), rtol=1e-4, atol=1e-5)
    assert logged(ours, "loss") == pytest.approx(logged(theirs, "loss"), rel=1e-3, abs=1e-5)
    assert logged(ours, "aent/ratio")[0] == pytest.approx(1.0, abs=1e-6)
    assert abs(logged(ours, "aent/ratio")[1] - 1) > 1e-4


SPANS_THE_MODEL = """
import "std/surrogates.aent"
loss = token_mean(kl_cov(share = 20%))
"""


@pytest.mark.parametrize("spec", [GRPO, STEERED, SPANS_THE_MODEL, RECIPES / "cispo.aent"])
def test_the_optimizer_sees_the_gradient_of_one_batch(spec: Any, folder: Path) -> None:
    seen = []
    for parts in (1, 4):
        args = arguments(folder, max_steps=1, per_device_train_batch_size=8 // parts, gradient_accumulation_steps=parts)
        gradients = Gradients()
        made = trainer(folder, args, spec, callbacks=[gradients])
        made.train()
        seen.append((gradients.seen[0], logged(made, "loss"), made.program.coefficients))
    torch.testing.assert_close(seen[1][0], seen[0][0], rtol=1e-4, atol=1e-6)
    assert seen[1][1] == pytest.approx(seen[0][1], rel=1e-4, abs=1e-6)
    assert seen[1][2] == pytest.approx(seen[0][2], rel=1e-5)


def test_rewards_and_groups_arrive_beside_the_advantages(folder: Path) -> None:
    spec = """
    import "std/advantages.aent"
    metric gap = token_mean(abs(advantages - grpo_advantages(eps = 1e-4)))
    metric size = token_mean(abs(advantages))
    loss = token_mean(clip_ppo())
    """
    made = trainer(folder, arguments(folder, gradient_accumulation_steps=2), spec)
    made.train()
    assert max(logged(made, "aent/gap")) < 1e-4
    assert min(logged(made, "aent/size")) > 0.1


def test_the_coefficient_of_aent_follows_the_published_rule(folder: Path) -> None:
    params = {"low": 2.7, "high": 3.0, "gain": 0.1, "drop": 0.3}
    made = trainer(folder, arguments(folder, max_steps=3), RECIPES.parent / "arithmetic" / "aent.aent", params=params)
    made.train()
    beta, signal = logged(made, "aent/coefficient/beta"), logged(made, "aent/signal/beta")
    assert beta[0] == 0.005
    for step in range(3):
        after = [*beta, made.program.coefficients["beta"]][step + 1]
        outside = min(0.0, signal[step] - 2.7) + max(0.0, signal[step] - 3.0)
        assert after == pytest.approx(min(0.2, max(1e-4, beta[step] - 0.1 * outside)), rel=1e-9)
    assert beta[1] != beta[0]
    assert made.program.steps == 3


def test_a_resumed_run_is_the_unbroken_one(folder: Path, tmp_path: Path) -> None:
    args = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2, "gradient_accumulation_steps": 2}
    whole = trainer(folder, arguments(tmp_path, **args), STEERED)
    whole.train()
    resumed = trainer(folder, arguments(tmp_path, **args), STEERED)
    resumed.train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-2"))
    assert resumed.program.state_dict() == whole.program.state_dict()
    assert resumed.program.steps == 4
    assert logged(resumed, "aent/coefficient/beta") == logged(whole, "aent/coefficient/beta")
    torch.testing.assert_close(weights(resumed), weights(whole), rtol=0, atol=0)
    assert len(set(logged(whole, "aent/coefficient/beta"))) > 2


def test_evaluation_has_trls_loss_and_moves_nothing(folder: Path) -> None:
    args = {"per_device_eval_batch_size": 8, "num_generations_eval": 2}
    theirs = trainer(folder, arguments(folder, loss_type="dapo", entropy_coef=0.1, **args), eval_dataset=dataset())
    expected = theirs.evaluate()
    spec = STEERED + "metric size = token_mean(abs(advantages))"  # The coefficient begins at 0.1.
    ours = trainer(folder, arguments(folder, **args), spec, eval_dataset=dataset())
    before = ours.program.state_dict()
    found = ours.evaluate()
    assert found["eval_loss"] == pytest.approx(expected["eval_loss"], rel=1e-4)
    assert abs(expected["eval_loss"]) > 1e-3
    assert logged(ours, "eval_aent/size")[0] > 0.1
    assert ours.program.state_dict() == before


def test_evaluation_between_steps_changes_no_coefficient(folder: Path) -> None:
    runs = []
    for args in ({}, {"eval_strategy": "steps", "eval_steps": 1, "per_device_eval_batch_size": 8}):
        made = trainer(folder, arguments(folder, **args), STEERED, eval_dataset=dataset())
        made.train()
        runs.append(logged(made, "aent/coefficient/beta"))
        assert made.program.steps == 2
    # What evaluation samples moves the generator, and so the second step, but not the coefficient that it is given.
    assert runs[0] == runs[1]
    assert runs[0][0] != runs[0][1]


def test_what_an_inference_engine_reports_arrives(folder: Path) -> None:
    spec = """
    metric sampled = token_sum(rollout_log_prob)
    metric old = token_sum(old_log_prob)
    metric tokens = token_sum(response_mask)
    loss = token_mean(clip_ppo())
    """
    asked: list[str] = []

    def rollouts(prompts: list[str], made: GRPOTrainer) -> dict[str, list[Any]]:
        """An environment's token at the third place, and at the second one a log-probability that is unknown."""
        asked.extend(prompts)
        return {
            "prompt_ids": made.processing_class(prompts)["input_ids"],
            "completion_ids": [[2 + 3 * index, 5, 9 + index, 1] for index in range(len(prompts))],
            "logprobs": [[-1.0, None, -2.0, -0.5] for _ in prompts],
            "env_mask": [[1, 1, 0, 1] for _ in prompts],
        }

    made = trainer(folder, arguments(folder, max_steps=1), spec, rollout_func=rollouts)
    made.train()
    ids = torch.tensor(
        [[*made.processing_class(text)["input_ids"], 2 + 3 * row, 5, 9 + row, 1] for row, text in enumerate(asked)]
    )
    policy = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        scores = policy(ids).logits[:, -5:-1].log_softmax(-1).gather(-1, ids[:, -4:, None])[..., 0]
    assert logged(made, "aent/tokens") == [12.0]
    assert logged(made, "aent/old") == [pytest.approx(float(scores[:, [0, 1, 3]].sum()), rel=1e-5)]
    assert logged(made, "aent/sampled") == [pytest.approx(-1.5 * 4 + float(scores[:, 1].sum()), rel=1e-5)]


CONTRADICTIONS = {
    "values": (
        "loss = token_mean((values - returns)^2) + token_mean(clip_ppo())",
        {},
        "'returns', 'values'.*TRL feeds.*advantages",
    ),
    "a_reference": ("loss = token_mean(kl())", {}, "ref_log_prob.*takes a `beta` that is not 0"),
    "rollouts": (
        "loss = token_mean(clip_ppo(old_log_prob = rollout_log_prob))",
        {},
        "rollout_log_prob.*takes `use_vllm` or a `rollout_func`",
    ),
    "logits_of_the_reference": ("loss = token_mean(reverse_kl())", {"beta": 0.1}, "ref_logits"),
    "an_input": ("input bonus: seq loss = token_mean(bonus * clip_ppo())", {}, "bonus.*TRL feeds"),
    "beta": (GRPO, {"beta": 0.1}, "`beta`: .*expected 0.0, found 0.1"),
    "loss_type": (GRPO, {"loss_type": "grpo"}, "`loss_type`: .*expected 'dapo', found 'grpo'"),
    "epsilon": (GRPO, {"epsilon": 0.3}, "`epsilon`: .*expected 0.2, found 0.3"),
    "entropy": (GRPO, {"entropy_coef": 0.1}, "`entropy_coef`"),
    "temperature": (GRPO, {"temperature": 0.7}, "write `set temperature = 0.7`"),
    "temperatures_of_the_data_set": (
        f"input prompt: seq set temperature = prompt {GRPO}",
        {},
        "`set temperature = prompt` is a column of the data set",
    ),
    "a_torn_step": (
        GRPO,
        {"gradient_accumulation_steps": 2, "steps_per_generation": 3},
        "`steps_per_generation`: expected 2, as `gradient_accumulation_steps`, or a multiple, found 3",
    ),
    "torn_groups": (
        'import "std/advantages.aent" loss = token_mean(clip_ppo(advantages = grpo_advantages()))',
        {"gradient_accumulation_steps": 2, "steps_per_generation": 4},
        "`steps_per_generation`: expected 2, as `gradient_accumulation_steps`, found 4",
    ),
    "no_program": ("loss = token_mean(clip_pqo())", {}, "did you mean `clip_ppo`"),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_file_that_does_not_fit_is_refused_before_a_model_is_loaded(name: str, folder: Path) -> None:
    spec, args, message = CONTRADICTIONS[name]
    with pytest.raises(ValueError, match=message):
        AentGRPOTrainer("no/model", reward, arguments(folder, **args), train_dataset=dataset(), spec=spec)


def test_importing_aent_imports_no_trl() -> None:
    code = "import sys, aent; sys.exit('trl' in sys.modules or 'transformers' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
