"""Programs that end, and processes that fork, while threads are inside of a step."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

WORKER = Path(__file__).with_name("process_worker.py")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("processes")
    subprocess.run([sys.executable, str(WORKER), str(folder)], check=True, timeout=250)
    found: dict[str, dict[str, Any]] = json.loads((folder / "all").read_text())
    return found


@pytest.mark.parametrize("name", ["in a term", "in a part", "between steps"])
def test_a_program_may_end_while_a_thread_is_in_a_step(scenes: dict[str, dict[str, Any]], name: str) -> None:
    assert (scenes[name]["code"], scenes[name]["said"]) == (0, "")
    assert scenes[name]["seconds"] < 8


def test_a_program_may_end_while_a_step_waits_for_another_rank(scenes: dict[str, dict[str, Any]]) -> None:
    scene = scenes["in a meeting"]
    assert scene["code"] == 0, scene["said"]
    # What the thread itself still says depends on where the end of the interpreter meets it.
    assert "Fatal" not in scene["said"] and scene["seconds"] < 60


def test_a_forked_process_goes_on_where_its_parent_was(scenes: dict[str, dict[str, Any]]) -> None:
    found = scenes["forked"]["found"]
    assert found["child"] == found["parent"]
    assert 0 < found["parent"][1]["beta"] < 0.9


def test_a_forked_process_does_not_wait_for_a_thread_that_it_does_not_have(scenes: dict[str, dict[str, Any]]) -> None:
    found = scenes["forked in a part"]["found"]
    words = "StepError: a part of this step was being computed in another thread when this process was forked; "
    words += "`program.accumulate()` begins another step"
    assert found["child"] == [words, words, found["alone"]]
    assert found["parent"] == "none"


def test_a_process_that_is_forked_while_controllers_move_can_move_its_own(scenes: dict[str, dict[str, Any]]) -> None:
    assert scenes["forked in updates"]["found"] == {"hung": []}
