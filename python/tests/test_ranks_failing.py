"""What goes wrong on one rank goes wrong on all of them, and the next step is a step of all again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing

import failing_worker as worker


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What two ranks found, with gloo on the CPU."""
    folder = tmp_path_factory.mktemp("failing")
    torch.multiprocessing.spawn(worker.main, (str(folder),), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("road", ["step", "measure", "part"])
@pytest.mark.parametrize("name", worker.WRONG)
def test_a_batch_that_cannot_be_read_fails_the_step_on_all(ranks: list[dict[str, Any]], name: str, road: str) -> None:
    kind, text = worker.WRONG[name][1]
    found = [rank[f"{name}, {road}"] for rank in ranks]
    assert found[1]["error"][0] == kind and text in found[1]["error"][1]
    assert found[0]["error"][0] == "StepError"
    assert found[0]["error"][1].startswith("rank 1: ") and (text or kind) in found[0]["error"][1]
    # What follows is joined by the right partners: both ranks' 19 tokens, and their loss.
    assert found[0]["next"] == found[1]["next"] == ranks[0]["right"]
    assert found[0]["next"]["tokens"] == 19


def test_a_step_that_one_rank_left_is_an_error_on_both(ranks: list[dict[str, Any]]) -> None:
    for found in ranks:
        kind, text = found["left"]["error"]
        assert kind == "StepError" and text.startswith("rank 1: it is before the first share of step 1, ")
        assert "rank 0 at the end of step 1: the ranks are out of step" in text
        assert found["left"]["next"] == ranks[0]["right"]


def test_another_use_of_the_group_is_not_taken_for_a_step(ranks: list[dict[str, Any]]) -> None:
    kind, text = ranks[0]["foreign"]["error"]
    assert kind == "StepError" and "rank 1: it sent something else than a step does" in text


def test_counts_that_one_rank_cannot_give_fail_the_step_on_all(ranks: list[dict[str, Any]]) -> None:
    for found in ranks:
        kind, text = found["counts"]["error"]
        assert kind == "StepError" and "give `tokens`, or `measure` the parts" in text
    assert ranks[0]["counts"]["error"][1].startswith("rank 1: this program needs the number of valid tokens")
    assert ranks[0]["counts"]["next"] == ranks[1]["counts"]["next"] == ranks[0]["right"]


def test_what_lies_outside_of_the_step_can_be_told(ranks: list[dict[str, Any]]) -> None:
    kind, text = ranks[0]["told"]["error"]
    assert (kind, text) == ("StepError", "rank 1: OSError: the disk is gone")
    assert ranks[1]["told"]["error"] == ("OSError", "the disk is gone")
    assert ranks[0]["told"]["next"] == ranks[1]["told"]["next"] == ranks[0]["right"]


def test_ctrl_c_in_a_term_is_told_and_goes_on(ranks: list[dict[str, Any]]) -> None:
    assert ranks[1]["term"]["error"][0] == "KeyboardInterrupt"
    assert ranks[0]["term"]["error"][0] == "StepError" and "KeyboardInterrupt" in ranks[0]["term"]["error"][1]
    assert ranks[0]["term"]["next"] == ranks[1]["term"]["next"] == ranks[0]["right"]


def test_ctrl_c_reaches_a_rank_that_waits_for_another(ranks: list[dict[str, Any]]) -> None:
    kind, _, seconds = ranks[0]["waiting"]
    assert kind == "KeyboardInterrupt"
    assert seconds < ranks[1]["waiting"], "it waited for the other rank to come"


def test_every_scalar_travels_however_many_there_are(ranks: list[dict[str, Any]]) -> None:
    assert ranks[0]["many"] == ranks[1]["many"]
    assert ranks[0]["many"] == pytest.approx({f"m{i}": i * ranks[0]["many"]["m1"] for i in range(40)}, rel=1e-6)


def test_a_rank_of_verl_that_cannot_begin_tells_the_others(ranks: list[dict[str, Any]]) -> None:
    assert ranks[1]["verl"] == ("ValueError", "no logits today")
    assert ranks[0]["verl"] == ("StepError", "rank 1: ValueError: no logits today")


def test_the_worker_names_every_way_to_fail() -> None:
    assert Path(worker.__file__).exists() and len(worker.WRONG) >= 8
