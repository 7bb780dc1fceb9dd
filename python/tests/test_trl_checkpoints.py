"""Checkpoints of the trainer: what goes on, what is refused and with which words, and a run that was interrupted."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerCallback
from trl import GRPOTrainer

import aent
from aent.trl import AentGRPOTrainer, AentLoss
from trl_tiny import arguments, dataset, reward, save_model, trainer

GRPO = "loss = seq_mean_token_mean(clip_ppo())"
STEERED = """
let entropy = entropy()
controller beta = band(signal = token_mean(entropy), target = 0 .. 2.5, step = 0.1, bounds = 0 .. 1, init = 0.1)
loss = token_mean(clip_ppo()) - beta * token_mean(entropy)
"""
SAVING: dict[str, Any] = {"max_steps": 1, "save_strategy": "steps", "save_steps": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


def logged(made: GRPOTrainer, name: str) -> list[float]:
    return [line[name] for line in made.state.log_history if name in line]


def resume(folder: Path, out: Path, spec: Any, **others: Any) -> GRPOTrainer:
    made = trainer(folder, arguments(out, **SAVING | {"max_steps": 2}), spec, **others)
    made.train(resume_from_checkpoint=str(out / "out" / "checkpoint-1"))
    return made


def test_a_file_without_controllers_goes_on_from_a_checkpoint_of_plain_trl(folder: Path, tmp_path: Path) -> None:
    trainer(folder, arguments(tmp_path, **SAVING)).train()
    assert resume(folder, tmp_path, GRPO).state.global_step == 2


def test_a_checkpoint_without_the_state_is_refused_with_what_to_do(folder: Path, tmp_path: Path) -> None:
    trainer(folder, arguments(tmp_path, **SAVING)).train()
    words = r"checkpoint-1/aent.json` has no state of the controllers `beta`.*`strict=False` in `AentGRPOTrainer"
    with pytest.raises(aent.StateError, match=words):
        resume(folder, tmp_path, STEERED)
    with pytest.warns(
        UserWarning, match="controller `beta` is not in the saved state: what was not restored begins anew"
    ):
        made = resume(folder, tmp_path, STEERED, strict=False)
    assert logged(made, "aent/coefficient/beta")[-1] == 0.1


def test_a_checkpoint_of_the_model_alone_has_the_state_too(folder: Path, tmp_path: Path) -> None:
    first = trainer(folder, arguments(tmp_path, save_only_model=True, **SAVING), STEERED)
    first.train()
    moved = first.program.coefficients["beta"]
    assert moved != 0.1
    assert logged(resume(folder, tmp_path, STEERED), "aent/coefficient/beta")[-1] == moved


@pytest.mark.parametrize("torn", ["", '{"format": 2, "ste', "[]", "null"])
def test_a_torn_state_is_refused_with_what_to_do(torn: str, folder: Path, tmp_path: Path) -> None:
    trainer(folder, arguments(tmp_path, **SAVING), STEERED).train()
    file = tmp_path / "out" / "checkpoint-1" / "aent.json"
    assert json.loads(file.read_text())
    file.write_text(torn)
    with pytest.raises(aent.StateError, match="aent.json` is"):
        resume(folder, tmp_path, STEERED)
    # A file that has nothing to restore does not need it.
    assert resume(folder, tmp_path, GRPO).state.global_step == 2


def test_a_metric_may_be_added_on_resume_and_another_controller_is_refused(folder: Path, tmp_path: Path) -> None:
    first = trainer(folder, arguments(tmp_path, **SAVING), STEERED)
    first.train()
    moved = first.program.coefficients["beta"]
    for spec in (STEERED + "metric size = token_mean(abs(advantages))", STEERED.replace("loss =", "loss = 2 *")):
        assert logged(resume(folder, tmp_path, spec), "aent/coefficient/beta")[-1] == moved
    with pytest.raises(
        aent.StateError, match=r"aent.json`: controller `beta`: `step` is 0.2 here and 0.1 in the saved"
    ):
        resume(folder, tmp_path, STEERED.replace("step = 0.1", "step = 0.2"))
    with pytest.warns(UserWarning, match="`step` is 0.2 here"):
        other = resume(folder, tmp_path, STEERED.replace("step = 0.1", "step = 0.2"), strict=False)
    assert logged(other, "aent/coefficient/beta")[-1] == 0.1


class Interrupts(TrainerCallback):
    """Ctrl-C between the micro-batches of a step."""

    def __init__(self) -> None:
        self.left = 1

    def on_substep_end(self, *_: Any, **__: Any) -> None:
        """After a micro-batch that is not the last."""
        if self.left:
            self.left -= 1
            raise KeyboardInterrupt


def test_an_interrupted_step_is_given_up_and_training_goes_on(folder: Path) -> None:
    args = arguments(folder, gradient_accumulation_steps=2, per_device_eval_batch_size=8)
    made = trainer(folder, args, STEERED, callbacks=[Interrupts()], eval_dataset=dataset())
    with pytest.raises(KeyboardInterrupt):
        made.train()
    assert made.program.steps == 0
    assert "eval_loss" in made.evaluate()
    assert made.program.steps == 0
    made.train()
    assert (made.program.steps, made.state.global_step) == (2, 2)
    # The same without evaluation between them.
    made = trainer(folder, args, STEERED, callbacks=[Interrupts()])
    with pytest.raises(KeyboardInterrupt):
        made.train()
    made.train()
    assert made.program.steps == 2


def test_the_constructor_says_what_it_takes() -> None:
    ours = inspect.signature(AentGRPOTrainer.__init__).parameters
    theirs = inspect.signature(GRPOTrainer.__init__).parameters
    assert list(ours) == [*theirs, "spec", "params", "strict"]
    assert all(ours[name].default == theirs[name].default for name in theirs)
    assert ours["spec"].kind is inspect.Parameter.KEYWORD_ONLY and ours["spec"].default is inspect.Parameter.empty


def test_a_compiled_program_is_a_spec(folder: Path) -> None:
    program = aent.compile(STEERED, overwrite_logits=True)
    made = trainer(folder, arguments(folder), program)
    made.train()
    assert made.program is program and program.steps == 2
    by_text = trainer(folder, arguments(folder), STEERED)
    by_text.train()
    assert logged(by_text, "loss") == pytest.approx(logged(made, "loss"), rel=1e-5)
    with pytest.raises(ValueError, match="`params`: this program is compiled already"):
        trainer(folder, arguments(folder), program, params={"a": 1.0})


def test_a_trainer_of_ones_own_takes_a_file(folder: Path) -> None:
    class Mine(GRPOTrainer):
        def __init__(self, *args: Any, my_arg: int = 0, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.my_arg = my_arg

    class MineWithAFile(AentLoss, Mine):
        pass

    theirs = trainer(folder, arguments(folder), STEERED)
    theirs.train()
    model = theirs.model.__class__.from_pretrained(folder, dtype=torch.float32)
    args, words = arguments(folder), theirs.processing_class
    made = MineWithAFile(
        model, reward, args=args, train_dataset=dataset(), processing_class=words, spec=STEERED, my_arg=3
    )
    made.train()
    assert made.my_arg == 3
    assert logged(made, "loss") == logged(theirs, "loss")
    with pytest.raises(ValueError, match="`loss_type`"):
        MineWithAFile("no/model", reward, arguments(folder, loss_type="grpo"), spec=GRPO)


def test_a_lint_warns_where_the_trainer_is_made(folder: Path) -> None:
    wrong = "loss = token_mean(clip_ppo()) + 0.1 * token_mean(entropy())"
    with pytest.warns(aent.SpecWarning, match="entropy-sign") as found:
        AentGRPOTrainer(
            trainer(folder, arguments(folder)).model, reward, arguments(folder), train_dataset=dataset(), spec=wrong
        )
    lines = [warning.filename for warning in found if issubclass(warning.category, aent.SpecWarning)]
    assert [Path(line).name for line in lines] == [Path(__file__).name]


TRLS = ("entropy", "clip_ratio/low_mean", "clip_ratio/high_mean", "clip_ratio/region_mean", "clip_ratio/low_min")
TRLS += ("clip_ratio/high_max",)


@pytest.mark.parametrize("extra", ["", " - 0 * token_mean(entropy())"], ids=["log_prob", "logits"])
def test_trls_own_numbers_are_kept(extra: str, folder: Path) -> None:
    args = {"gradient_accumulation_steps": 2, "steps_per_generation": 4, "max_steps": 2, "learning_rate": 5e-2}
    theirs = trainer(folder, arguments(folder, loss_type="grpo", epsilon=0.1, epsilon_high=0.05, **args))
    theirs.train()
    spec = f"loss = seq_mean_token_mean(clip_ppo(low = 0.1, high = 0.05)){extra}  # aent: allow-file(unused-let)"
    ours = trainer(folder, arguments(folder, **args), spec)
    ours.train()
    for name in TRLS:
        assert logged(ours, name) == pytest.approx(logged(theirs, name), rel=1e-3, abs=1e-4), name
    assert logged(theirs, "clip_ratio/region_mean")[1] > 0


MOVING = """
controller widen = linear(from = 0.1, to = 0.3, steps = 100)
loss = token_mean(clip_ppo(low = 0.2, high = widen))
"""


@pytest.mark.parametrize("spec", ["loss = token_mean(cispo(bounds = 0 .. 5))", MOVING], ids=["cispo", "moving"])
def test_what_trl_would_have_clipped_is_not_told_where_the_file_clips_otherwise(spec: str, folder: Path) -> None:
    made = trainer(folder, arguments(folder, max_steps=1), spec)
    made.train()
    assert logged(made, "entropy") and not logged(made, "clip_ratio/region_mean")


def test_a_metric_and_a_controller_of_one_name_are_both_logged(folder: Path) -> None:
    made = trainer(folder, arguments(folder, max_steps=1), STEERED + "metric beta = token_mean(entropy)")
    made.train()
    (signal,) = logged(made, "aent/signal/beta")
    assert logged(made, "aent/beta") == [signal] and signal > 1
    assert logged(made, "aent/coefficient/beta") == [0.1]
