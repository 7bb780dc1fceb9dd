"""What files that are registered with verl remember, in checkpoints and when they are registered again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from verl.trainer.ppo.core_algos import POLICY_LOSS_REGISTRY

import aent
import aent.verl
from aent.verl.state import registered
from test_verl import GLOBAL, STEERED, batch, config, register, registry, run

__all__ = ["registry"]  # A fixture: it is used by being here.


def test_state_is_kept_by_name() -> None:
    register(STEERED)
    with aent.verl.step():
        run("file", batch(), "token-mean", config(GLOBAL))
    state = aent.verl.state_dict()
    registered.clear()
    POLICY_LOSS_REGISTRY.pop("file")
    fresh = register(STEERED)
    aent.verl.load_state_dict(state)
    assert (fresh.steps, fresh.coefficients) == (1, {"beta": 0.25})
    with pytest.raises(aent.StateError, match="`other`: the checkpoint has its state; expected one of"):
        aent.verl.load_state_dict({"other": state["file"]})


def test_the_states_of_all_programs_are_taken_up_or_of_none() -> None:
    one, two = (aent.verl.register(name, STEERED, engines=[]) for name in ("one", "two"))
    state = aent.verl.state_dict()
    for name in state:
        state[name]["controllers"][0]["state"]["value"] = 0.75
    state["two"]["steps"] = -1
    with pytest.raises(aent.StateError, match="`two`"):
        aent.verl.load_state_dict(state)
    assert (one.coefficients, two.coefficients) == ({"beta": 0.5}, {"beta": 0.5})
    state["two"]["steps"] = 0
    aent.verl.load_state_dict(state)
    assert (one.coefficients, two.coefficients) == ({"beta": 0.75}, {"beta": 0.75})
    del state["two"]
    with pytest.raises(aent.StateError, match="`two` has no state of the controllers `beta`"):
        aent.verl.load_state_dict(state)
    with pytest.warns(UserWarning, match="`two`: controller `beta` is not in the saved state"):
        aent.verl.load_state_dict(state | {"three": {}}, strict=False)


def test_a_file_without_controllers_needs_no_state() -> None:
    register("loss = token_mean(clip_ppo())")
    aent.verl.load_state_dict({})


class Engine:
    """An engine that trains nothing and saves nothing."""

    def train_batch(self, data: Any, loss_function: Any) -> Any:
        """Not called here."""

    def save_checkpoint(self, local_path: str) -> None:
        """Its own part."""

    def load_checkpoint(self, local_path: str) -> None:
        """Its own part."""


def test_an_engines_checkpoint_is_taken_up_or_refused_in_words(tmp_path: Path) -> None:
    aent.verl.follow(Engine)
    program = register(STEERED)
    with aent.verl.step():
        run("file", batch(), "token-mean", config(GLOBAL))
    engine = Engine()
    vars(engine)["_aent_losses"] = {"file"}
    engine.save_checkpoint(str(tmp_path))
    # The file may change where its controller does not.
    edited = register(STEERED + "metric more = token_mean(log_prob)")
    Engine().load_checkpoint(str(tmp_path))
    assert (edited.coefficients, edited.steps) == (program.coefficients, 1) == ({"beta": 0.25}, 1)
    register(STEERED.replace("step = 0.25", "step = 0.5"))
    words = r"aent_state.json`: `file`: controller `beta`: `step` is 0.5 here and 0.25 in the saved state"
    with pytest.raises(aent.StateError, match=words):
        Engine().load_checkpoint(str(tmp_path))
    loose = register(STEERED.replace("step = 0.25", "step = 0.5"), strict=False)
    with pytest.warns(UserWarning, match="what was not restored begins anew"):
        Engine().load_checkpoint(str(tmp_path))
    assert loose.coefficients == {"beta": 0.5}
    (tmp_path / "aent_state.json").write_text('{"file": {"for')
    with pytest.raises(aent.StateError, match="aent_state.json` is torn or is no saved state"):
        Engine().load_checkpoint(str(tmp_path))
    register("loss = token_mean(clip_ppo())")
    Engine().load_checkpoint(str(tmp_path))


def test_a_lint_warns_where_a_file_is_registered() -> None:
    with pytest.warns(aent.SpecWarning, match="entropy-sign") as found:
        aent.verl.register("file", "loss = token_mean(clip_ppo()) + 0.1 * token_mean(entropy())", engines=[])
    assert [Path(warning.filename).name for warning in found] == [Path(__file__).name]


def test_a_module_may_register_a_name_anew_and_no_other_may() -> None:
    first = register(STEERED)
    with aent.verl.step():
        run("file", batch(), "token-mean", config(GLOBAL))
    assert first.steps == 1
    # A notebook's cell, run again.
    second = register(STEERED)
    assert aent.verl.programs() == {"file": second} and second is not first
    with aent.verl.step():
        run("file", batch(), "token-mean", config(GLOBAL))
        with pytest.raises(aent.StepError, match="`file` is in use: a step that called it is open"):
            register(STEERED)
    assert (first.steps, second.steps) == (1, 1)
    elsewhere = "import aent.verl\naent.verl.register('file', 'loss = token_mean(clip_ppo())', engines=[])"
    with pytest.raises(ValueError, match="`file`: `test_verl` registers a policy loss of this name already"):
        exec(elsewhere, {"__name__": "another_module"})  # noqa: S102 - another module
    assert aent.verl.programs() == {"file": second}
