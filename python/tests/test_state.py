"""What a program remembers: to whom it belongs, what of it is taken up, and what is refused."""

from __future__ import annotations

import io
import json
import resource
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

import aent
from aent.files import read_json, write_json
from batches import batch

SPEC = """
param eps = 0.2 in 0 .. 1
let h = entropy()
controller beta = band(signal = token_mean(h), target = 0.1 .. 0.5, step = 0.1, bounds = 1e-5 .. 0.9, init = 0.4)
controller ramp = linear(from = 1, to = 0, steps = 10)
loss = token_mean(clip_ppo(low = eps, high = eps)) - beta * ramp * token_mean(h)
"""


def moved() -> aent.Program:
    program = aent.compile(SPEC)
    program.update(program(batch()))
    assert program.coefficients["beta"] != 0.4
    return program


def test_state_travels_through_json_and_torch() -> None:
    program = moved()
    file = io.BytesIO()
    torch.save(program.state_dict(), file)
    file.seek(0)
    for state in (json.loads(json.dumps(program.state_dict())), torch.load(file, weights_only=True)):
        fresh = aent.compile(SPEC)
        assert fresh.load_state_dict(state).taken == ["beta", "ramp"]
        assert (fresh.steps, fresh.coefficients) == (1, program.coefficients)
        assert fresh.state_dict() == program.state_dict()


@pytest.mark.parametrize(
    "text",
    [
        SPEC + "metric kl = token_mean(old_log_prob - log_prob)",
        SPEC.replace("let h", "let _unused = exp(advantages)\nlet h"),
        SPEC.replace("eps = 0.2", "eps = 0.25"),
        SPEC.replace("loss = ", "# another formula\nloss = 3 * "),
    ],
    ids=["a_metric", "a_let", "a_param", "the_loss"],
)
def test_an_edit_that_no_controller_depends_on_keeps_the_checkpoint(text: str) -> None:
    program, other = moved(), aent.compile(text)
    other.load_state_dict(program.state_dict())
    assert (other.coefficients, other.steps) == (program.coefficients, 1)


def test_another_controller_is_refused_in_words_and_strict_false_takes_the_rest() -> None:
    other = aent.compile(SPEC.replace("0.1 .. 0.5", "0.1 .. 0.4"))
    words = (
        "controller `beta`: `target` is 0.1 .. 0.4 here and 0.1 .. 0.5 in the saved state; "
        "`strict=False` takes up what fits and keeps the others as they are"
    )
    with pytest.raises(aent.StateError) as refused:
        other.load_state_dict(moved().state_dict())
    assert str(refused.value) == words
    assert other.coefficients == {"beta": 0.4, "ramp": 1.0}
    found = other.load_state_dict(moved().state_dict(), strict=False)
    assert (found.taken, found.missing, found.unexpected) == (["ramp"], [], [])
    assert found.changed == {"beta": "`target` is 0.1 .. 0.4 here and 0.1 .. 0.5 in the saved state"}
    assert "controller `ramp`: taken" in repr(found) and "controller `beta`: `target`" in repr(found)
    assert other.coefficients == {"beta": 0.4, "ramp": 0.9}


def test_a_renamed_controller_is_named_with_what_to_do() -> None:
    other = aent.compile(SPEC.replace("beta", "weight"))
    with pytest.raises(
        aent.StateError, match="if `beta` was renamed to `weight`, write that name into the saved state"
    ):
        other.load_state_dict(moved().state_dict())
    state = moved().state_dict()
    state["controllers"][0]["name"] = "weight"
    other.load_state_dict(state)
    assert other.coefficients["weight"] == moved().coefficients["beta"]


def test_a_file_without_controllers_takes_any_state() -> None:
    plain = aent.compile("loss = token_mean(clip_ppo())")
    for state in (None, {}, aent.compile("loss = token_mean(log_prob)").state_dict()):
        plain.load_state_dict(state)
        assert plain.steps == 0
    plain.load_state_dict(moved().state_dict())
    assert plain.steps == 1
    for nothing in (None, {}):
        with pytest.raises(aent.StateError, match="controller `beta` is not in the saved state"):
            aent.compile(SPEC).load_state_dict(nothing)


HIGH = 2**64 - 1


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("controllers", 0, "state", "value"), float("nan"), "expected a finite `value`, found NaN"),
        (("controllers", 0, "state", "value"), float("inf"), "expected a finite `value`, found inf"),
        (("controllers", 0, "state", "value"), 99.0, "`beta`.* within 0.00001 .. 0.9, found 99"),
        (("controllers", 0, "state", "value"), -1.0, "found -1"),
        (("controllers", 0, "state", "value"), "0.1", "expected what `state_dict\\(\\)` gave"),
        (("controllers", 0, "state", "memory"), [0.1], "`memory` of length 0, found length 1"),
        (("controllers", 0, "state", "memory"), [float("nan")], "finite numbers in `memory`"),
        (("controllers", 1, "state", "observations"), HIGH, f"`observations`, found {HIGH}"),
        (("controllers", 1, "state", "observations"), -1, "expected what"),
        (("controllers", 1, "name"), "beta", "controller `beta` twice"),
        (("steps",), HIGH, f"`steps`, found {HIGH}"),
        (("format",), 99, "expected a saved state of format 1 to 2, found format 99"),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_what_no_run_can_have_left_is_refused_before_anything_changes(
    path: tuple[Any, ...], value: Any, words: str, strict: bool
) -> None:
    state = moved().state_dict()
    place: Any = state
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    fresh = aent.compile(SPEC)
    before = fresh.state_dict()
    with pytest.raises(aent.StateError, match=words):
        fresh.load_state_dict(state, strict=strict)
    assert fresh.state_dict() == before


@pytest.mark.parametrize(
    "state", [3, "state", [], {"format": 2}, {"steps": 3}, {"format": 2, "steps": 0, "controllers": 1}]
)
def test_what_is_no_state_is_refused(state: Any) -> None:
    with pytest.raises(aent.StateError, match="expected what `state_dict\\(\\)` gave"):
        aent.compile(SPEC).load_state_dict(state)


def test_a_state_that_cannot_be_written_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    file, state = tmp_path / "aent.json", moved().state_dict()
    write_json(file, state)
    # Whoever may read the rest of a checkpoint may read it.
    (tmp_path / "other").touch()
    assert file.stat().st_mode == (tmp_path / "other").stat().st_mode
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (16, before[1]))
        with pytest.raises(OSError, match="File too large"):
            write_json(file, state | {"steps": 7})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["aent.json", "other"]
    assert read_json(file) == state


def test_an_output_is_observed_once() -> None:
    program = aent.compile(SPEC)
    output = program(batch())
    program.update(output)
    before = program.state_dict()
    with pytest.raises(aent.StepError, match="this output was observed before"):
        program.update(output)
    assert program.state_dict() == before
