"""A step whose ranks have some of the tokens of each sequence is the step of one process on whole sequences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing

import aent
import sequence_worker as worker


@pytest.fixture(scope="module", params=[2, 4], ids=lambda size: f"{size} ranks")
def ranks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each rank found, with gloo on the CPU."""
    folder = tmp_path_factory.mktemp("shards")
    torch.multiprocessing.spawn(worker.main, (request.param, str(folder)), nprocs=request.param)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(request.param)]


def alone(text: str) -> tuple[aent.Program, aent.Output, list[torch.Tensor]]:
    layer, program = worker.policy(), aent.compile(text)
    output = program(worker.brought(layer, worker.whole_batch()))
    output.loss.backward()
    gradients = [torch.zeros_like(of) if of.grad is None else of.grad for of in layer.parameters()]
    return program, output, gradients


def same(found: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("form", ["padded", "packed"])
@pytest.mark.parametrize("order", worker.ORDERS)
@pytest.mark.parametrize("name", worker.LOSSES)
def test_shards_have_the_loss_and_gradient_of_one_process(
    ranks: list[dict[str, Any]], name: str, order: str, form: str
) -> None:
    _, output, expected = alone(worker.text_of(name))
    assert max(gradient.abs().max() for gradient in expected) > 1e-4
    found = [rank[f"{name} {order} {form}"] for rank in ranks]
    assert sum(share for _, share, _ in found) == pytest.approx(output.total, rel=1e-12)
    for total, _, gradients in found:
        assert total == pytest.approx(output.total, rel=1e-12)
        assert total == found[0][0]
        same(gradients, expected)


@pytest.mark.parametrize("order", worker.ORDERS)
def test_micro_batches_in_shards_add_up_and_controllers_stay_alike(ranks: list[dict[str, Any]], order: str) -> None:
    program, output, expected = alone(worker.STEERED)
    program.update(output)
    for rank in ranks:
        metrics, signals, coefficients, gradients = rank[f"steered {order}"]
        assert (metrics, signals, coefficients) == ranks[0][f"steered {order}"][:3]
        assert metrics == pytest.approx(output.metrics, rel=1e-12)
        assert signals == pytest.approx(output.signals, rel=1e-12)
        assert coefficients == pytest.approx(program.coefficients, rel=1e-12)
        same(gradients, expected)


@pytest.mark.parametrize("order", worker.ORDERS)
def test_helpers_put_shards_in_order_and_take_them_apart(ranks: list[dict[str, Any]], order: str) -> None:
    rows, size = worker.whole_batch(), len(ranks)
    weights = torch.arange(worker.B * worker.T, dtype=torch.float64).view(worker.B, worker.T)
    for at, rank in enumerate(ranks):
        whole, gradient, back, own, sequences, of_sequences = rank[f"helpers {order}"]
        index = worker.columns(order, at, size, worker.T)
        assert torch.equal(whole, rows["old_log_prob"])
        assert torch.equal(back, own)
        torch.testing.assert_close(gradient, weights[:, index])
        assert torch.equal(of_sequences, weights[:, index])
        assert torch.equal(sequences, rows["states"].chunk(size)[at])
        flat, own, given = rank[f"packed helpers {order}"]
        inside = rows["turn"][rows["response_mask"]]
        assert torch.equal(flat[: len(inside)], inside) or order == "zigzag"
        tokens = min(len(given), max(0, len(flat) - at * len(given)))
        assert torch.equal(own[:tokens], given[:tokens])


def test_ranks_of_both_sorts_make_one_step(ranks: list[dict[str, Any]]) -> None:
    _, output, expected = alone(worker.STEERED)
    for rank in ranks if len(ranks) == 4 else []:
        total, _, gradients = rank["mesh"]
        assert total == pytest.approx(output.total, rel=1e-12)
        same(gradients, expected)
        metrics, gradients = rank["both sorts of shards"]
        assert metrics == pytest.approx(output.metrics, rel=1e-12)
        same(gradients, expected)


def test_one_wrong_shard_fails_the_step_on_all(ranks: list[dict[str, Any]]) -> None:
    for rank, found in enumerate(ranks):
        kind, text = found["wrong"]
        assert kind == ("BatchError" if rank == 1 else "StepError")
        assert "`actions` at" in text and (rank == 1 or "rank 1" in text)
        kind, text = found["unlike"]
        assert kind == "StepError" and "`rewards`, which all shards have alike," in text
        kind, text = found["missing"]
        assert kind == "StepError" and "`old_log_prob`" in text
        if rank != 1:
            assert found["failed"] == ("StepError", "rank 1: no such file")


def test_an_order_that_is_none_is_refused(tmp_path: Path) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    try:
        world, program = torch.distributed.group.WORLD, aent.compile("loss = token_mean(clip_ppo())")
        rows = worker.brought(worker.policy(), worker.whole_batch())
        with pytest.raises(ValueError, match="expected `contiguous` or `zigzag`, found `striped`"):
            program(rows, sequence_group=world, sequence_order="striped")  # type: ignore[arg-type]
        odd = {name: tensor[:, :15] if tensor.dim() > 1 else tensor for name, tensor in rows.items()}
        with pytest.raises(aent.StepError, match="two equal parts of the tokens on each rank, found 15"):
            program(odd, sequence_group=world, sequence_order="zigzag")
        assert program(rows, sequence_group=world).total == program(rows).total
    finally:
        torch.distributed.destroy_process_group()
