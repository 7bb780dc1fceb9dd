"""A vocabulary in shards over processes gives the step of one process with all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing

import aent
import shard_worker as worker


@pytest.fixture(scope="module", params=[2, 4], ids=lambda size: f"{size} ranks")
def ranks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each rank found, with gloo on the CPU."""
    folder = tmp_path_factory.mktemp("shards")
    torch.multiprocessing.spawn(worker.main, (request.param, str(folder)), nprocs=request.param)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(request.param)]


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    """What one process finds."""
    return worker.results(0, 1)


def same(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", worker.TEXTS)
def test_shards_have_the_loss_and_the_gradient_of_one_process(
    ranks: list[dict[str, Any]], alone: dict[str, Any], name: str
) -> None:
    total, metrics, gradient = alone[name]
    assert gradient.abs().max() > 1e-4
    for found in ranks:
        assert found[name][:2] == ranks[0][name][:2]
        assert found[name][0] == pytest.approx(total, rel=1e-11)
        assert found[name][1] == pytest.approx(metrics, rel=1e-11)
    same(torch.cat([found[name][2] for found in ranks], -1), gradient)


@pytest.mark.parametrize(("kind", "bound"), [(torch.float64, 1e-11), (torch.bfloat16, 1e-5)], ids=str)
def test_rows_are_equal_on_all_ranks(
    ranks: list[dict[str, Any]], alone: dict[str, Any], kind: torch.dtype, bound: float
) -> None:
    name = f"rows in {kind}"
    for found in ranks:
        assert torch.equal(found[name], ranks[0][name])
    assert alone[name].shape == (worker.B, worker.T, 8)
    torch.testing.assert_close(ranks[0][name], alone[name], rtol=bound, atol=bound)


def test_the_output_layer_may_lie_in_shards(ranks: list[dict[str, Any]], alone: dict[str, Any]) -> None:
    total, of_hidden, of_layer = alone["hidden"]
    assert all(found["hidden"][0] == pytest.approx(total, rel=1e-11) for found in ranks)
    same(sum(found["hidden"][1] for found in ranks), of_hidden)
    same(torch.cat([found["hidden"][2] for found in ranks]), of_layer)


def test_micro_batches_of_shards_add_up(ranks: list[dict[str, Any]], alone: dict[str, Any]) -> None:
    total, gradient = alone["parts"]
    assert all(found["parts"][0] == pytest.approx(total, rel=1e-11) for found in ranks)
    same(torch.cat([found["parts"][1] for found in ranks], -1), gradient)


def test_ranks_may_share_the_rows_too(ranks: list[dict[str, Any]], alone: dict[str, Any]) -> None:
    if len(ranks) == 4:
        total, _, gradient = alone["sets"]
        assert all(found["both"][0] == pytest.approx(total, rel=1e-11) for found in ranks)
        halves = [torch.cat([ranks[at]["both"][1], ranks[at + 1]["both"][1]], -1) for at in (0, 2)]
        same(torch.cat(halves), gradient)


def test_one_wrong_rank_fails_the_step_on_all(ranks: list[dict[str, Any]]) -> None:
    last = len(ranks) - 1
    for rank, found in enumerate(ranks):
        said = found["refusals"]
        own = rank == last
        for name, words in [("shape", "`advantages`"), ("mapping", "expected a mapping")]:
            kind, text = said[name]
            assert kind == ("BatchError" if own else "StepError")
            assert words in text and (own or f"rank {last}: " in text)
        assert said["action"][1].startswith(("`actions` at [0, 0]: expected a token id in 0 .. 22", "rank "))
        assert f"rank {last}: expected the rows of rank 0" in said["rows"][1]
        assert f"rank {last}: expected the statistics that rank 0 computes" in said["statistics"][1]
        assert "`logits` at [0, 0]" in said["row"][1]
        assert "`kernels`: expected `auto` where ranks hold shards of the vocabulary" in said["kernels"][1]


def test_what_is_no_process_group_is_refused(tmp_path: Path) -> None:
    program, batch = aent.compile(worker.TEXTS["log_prob"]), worker.whole()
    with pytest.raises(aent.StepError, match="`vocab_group`: `torch.distributed` is not initialized"):
        program(batch, vocab_group="tp")  # type: ignore[arg-type]
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    try:
        with pytest.raises(aent.StepError, match="`vocab_group`: expected a process group, found a `str`"):
            program(batch, vocab_group="tp")  # type: ignore[arg-type]
        world = torch.distributed.group.WORLD
        assert program(batch, vocab_group=world).total == pytest.approx(program(batch).total, rel=1e-12)
    finally:
        torch.distributed.destroy_process_group()
