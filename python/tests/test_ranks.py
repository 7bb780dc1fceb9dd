"""A step over processes is the step of one process on all rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing

import aent
import rank_worker as worker


@pytest.fixture(scope="module", params=[2, 4], ids=lambda size: f"{size} ranks")
def ranks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each rank found, with gloo on the CPU."""
    folder = tmp_path_factory.mktemp("ranks")
    torch.multiprocessing.spawn(worker.main, (request.param, str(folder)), nprocs=request.param)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(request.param)]


def alone(text: str) -> tuple[aent.Output, list[torch.Tensor]]:
    layer = worker.policy()
    output = worker.step(aent.compile(text), layer, worker.whole_batch())
    output.loss.backward()
    return output, worker.gradients(layer)


def same(found: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", worker.LOSSES)
def test_ddp_has_the_gradient_of_one_process(ranks: list[dict[str, Any]], name: str) -> None:
    output, expected = alone(f"loss = {worker.LOSSES[name]}")
    assert max(gradient.abs().max() for gradient in expected) > 1e-4
    for found in ranks:
        total, gradients = found[name]
        assert total == pytest.approx(output.total, rel=1e-12)
        same(gradients, expected)


def test_fsdp_has_it_too(ranks: list[dict[str, Any]]) -> None:
    output, expected = alone(f"loss = {worker.LOSSES['token_mean']}")
    for found in ranks:
        assert found["fsdp"][0] == pytest.approx(output.total, rel=1e-12)
        same(found["fsdp"][1], expected)


def test_controllers_stay_alike_to_the_bit(ranks: list[dict[str, Any]]) -> None:
    program = aent.compile(worker.STEERED)
    for _ in range(3):
        output = worker.step(program, worker.policy(), worker.whole_batch())
        program.update(output)
    metrics, signals, coefficients, tokens = ranks[0]["steered"]
    assert all(found["steered"] == ranks[0]["steered"] for found in ranks)
    assert metrics == pytest.approx(output.metrics, rel=1e-12)
    assert signals == pytest.approx(output.signals, rel=1e-12)
    assert coefficients == pytest.approx(program.coefficients, rel=1e-12)
    assert coefficients["beta"] != 0.01
    assert tokens == 19


def test_micro_batches_of_ranks_add_up(ranks: list[dict[str, Any]]) -> None:
    output, expected = alone(worker.STEERED)
    for found in ranks:
        metrics, gradients = found["parts"]
        assert metrics == pytest.approx(output.metrics, rel=1e-12)
        same(gradients, expected)


def test_one_wrong_rank_fails_the_step_on_all(ranks: list[dict[str, Any]]) -> None:
    for rank, found in enumerate(ranks):
        kind, text = found["wrong batch"]
        assert kind == ("BatchError" if rank == 1 else "StepError")
        assert ("`actions` at" if rank == 1 else "rank 1") in text
        kind, text = found["wrong program"]
        assert kind == "StepError"
        assert "rank 1: its step is not that of rank 0" in text and "low = 0.1" in text and "low = 0.2" in text


def test_without_processes_a_group_is_refused() -> None:
    with pytest.raises(aent.StepError, match="init_process_group"):
        aent.compile("loss = token_mean(clip_ppo())")(worker.whole_batch(), group="world")


def test_two_meanings_of_group_are_told_apart(tmp_path: Path) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    try:
        rows = worker.whole_batch()
        prompts, world = rows.pop("group"), torch.distributed.group.WORLD
        program = aent.compile(f"loss = {worker.LOSSES['group_mean']}")
        layer = worker.policy()
        totals = {
            worker.step(program, layer, rows, group=prompts).total,
            worker.step(program, layer, {**rows, "group": prompts}, group=world).total,
            worker.step(program, layer, rows, group=prompts, process_group=world).total,
        }
        assert len(totals) == 1
        with pytest.raises(aent.BatchError, match="no `group`"):
            worker.step(program, layer, rows, group=world)
        with pytest.raises(aent.StepError, match="expected a tensor or a process group, found a `str`"):
            program(rows, group="world")
        with pytest.raises(ValueError, match="expected `mean` or `sum`, found `max`"):
            program(rows, group=world, gradients="max")  # type: ignore[arg-type]
    finally:
        torch.distributed.destroy_process_group()
