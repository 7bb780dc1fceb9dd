"""A rank that differs, fails, comes late or dies ends the step on all ranks, in its words, and moves no controller."""

from __future__ import annotations

import signal
from multiprocessing import get_context
from typing import Any

import pytest
import torch

import losing_worker as worker


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What four ranks found, with gloo on the CPU. Rank 3 kills itself at last, and then rank 2 ends."""
    folder = tmp_path_factory.mktemp("losing")
    context = get_context("spawn")
    processes = [context.Process(target=worker.main, args=(rank, str(folder))) for rank in range(worker.SIZE)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0, 7, -signal.SIGKILL]
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(worker.SIZE)]


def assert_all_stopped_and_go_on(ranks: list[dict[str, Any]], name: str) -> None:
    """No rank observed the step, and the next one moves all of them alike."""
    for rank, found in enumerate(ranks):
        assert found[name]["error"][0] != "none", rank
        assert found[name]["stayed"], rank
        assert found[name]["seconds"] < 5 * worker.PATIENCE, rank
        assert found[name]["next"] == ranks[0][name]["next"], rank
    assert ranks[0][name]["next"]["steps"] == 2


@pytest.mark.parametrize("name", worker.PROGRAMS)
def test_a_rank_with_another_program_or_state_ends_the_step_on_all(ranks: list[dict[str, Any]], name: str) -> None:
    assert_all_stopped_and_go_on(ranks, name)
    for found in ranks:
        kind, text = found[name]["error"]
        assert kind == "StepError" and text.startswith("rank 2: its step is not that of rank 0: ")
        assert worker.PROGRAMS[name][1] in text


@pytest.mark.parametrize("name", worker.BATCHES)
def test_a_rank_with_another_batch_ends_the_step_on_all(ranks: list[dict[str, Any]], name: str) -> None:
    assert_all_stopped_and_go_on(ranks, name)
    for rank, found in enumerate(ranks):
        text = found[name]["error"][1]
        assert worker.BATCHES[name][1] in text
        assert text.startswith("rank 2: ") or rank == worker.WRONG


@pytest.mark.parametrize("name", worker.RAISING)
def test_a_term_that_raises_on_one_rank_ends_the_step_on_all(ranks: list[dict[str, Any]], name: str) -> None:
    assert_all_stopped_and_go_on(ranks, name)
    for rank, found in enumerate(ranks):
        kind, text = found[name]["error"]
        assert kind == "StepError" and "`tests::met` of `python:losing_worker`: OSError: the disk is gone" in text
        assert text.startswith("rank 2: ") or rank == worker.WRONG


def test_a_rank_that_comes_late_ends_the_step_within_the_time_out_of_the_group(ranks: list[dict[str, Any]]) -> None:
    for rank, found in enumerate(ranks):
        kind, text = found["late"]["error"]
        assert (kind, found["late"]["stayed"]) == ("StepError", True), rank
        assert text.startswith("the ranks of this step cannot exchange tensors: "), rank
        assert found["late"]["seconds"] < 5 * worker.PATIENCE, rank
    # Those whose time-out was a little later may have met a connection that another one closed.
    assert any("Timed out waiting 2000ms" in found["late"]["error"][1] for found in ranks)


@pytest.mark.parametrize(("name", "left"), [("killed", 3), ("exited", 2)])
def test_a_rank_that_dies_in_a_step_ends_it_on_all_others(ranks: list[dict[str, Any]], name: str, left: int) -> None:
    # Rank 2 does not live to tell what it met when rank 3 was killed; it came as far as its own end.
    for rank in range(2):
        kind, text = ranks[rank][name]["error"]
        assert (kind, ranks[rank][name]["stayed"]) == ("StepError", True), rank
        assert text.startswith("the ranks of this step cannot exchange tensors: RuntimeError: "), rank
        assert ranks[rank][name]["seconds"] < 5 * worker.PATIENCE, rank
    assert name not in ranks[left]
