"""Files within verl's own Megatron engine, whole and on two ranks: the vocabulary in shards, sequences in parts, a pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from verl_ranks import reports_of

WORKER = Path(__file__).with_name("verl_megatron_worker.py")
LAYOUTS = [f"{how} at {temperature}" for how in ("padded", "packed") for temperature in ("1.0", "0.7", "its own")]
#: What of a model lies on two ranks, and the rank: what verl's engine did with four sequences.
Reports = dict[tuple[str, int], dict[str, Any]]
RANKS = [("whole", 0), *((of, rank) for of in ("tensor_model", "context", "pipeline_model") for rank in (0, 1))]
#: The one that verl asks for metrics.
ASKED = [("whole", 0), ("tensor_model", 0), ("context", 0), ("pipeline_model", 1)]


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Reports:
    """What verl's Megatron engine did."""
    found = {}
    for spread in ("whole", "tensor_model", "context", "pipeline_model"):
        # Megatron compiles its small functions, which takes minutes on a CPU.
        settings = {"TORCHDYNAMO_DISABLE": "1", "SPREAD": "context" if spread == "whole" else spread}
        ranks = reports_of(WORKER, tmp_path_factory.mktemp(spread), (1,) if spread == "whole" else (2,), **settings)
        found |= {(spread, rank): report for (_, rank), report in ranks.items()}
    return found


def assert_close(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Equal but for rounding in f32, of sums as large as the largest of them."""
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6 * float(expected.abs().max()))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rank", RANKS)
def test_the_gradient_is_that_of_verls_own_loss_and_entropy_bonus(
    reports: Reports, rank: tuple[str, int], layout: str
) -> None:
    verls, files = reports[rank][f"verl {layout}"], reports[rank][f"file {layout}"]
    assert verls["gradient"].norm() > 0.1
    assert_close(files["gradient"], verls["gradient"])
    if rank == ("pipeline_model", 0):  # It runs no loss.
        assert set(files) == set(verls) == {"gradient"}
        return
    entropy = verls["metrics"]["actor/entropy_loss"]
    if rank in ASKED:
        assert files["metrics"]["actor/aent/entropy"] == pytest.approx(entropy, rel=1e-6)
    loss = verls["metrics"]["actor/pg_loss"] - 0.5 * entropy
    assert files["metrics"]["actor/pg_loss"] == pytest.approx(loss, rel=1e-6)
    # Rows are nothing that verl collects.
    assert files["outputs"] == ["log_probs"]


# The worker's model takes a packed batch as one sequence, which verl pads between for shards.
@pytest.mark.parametrize(
    ("rank", "layout"),
    [(rank, of) for rank in RANKS[1:] for of in LAYOUTS if (rank[0], of[:6]) != ("tensor_model", "packed")],
)
def test_two_ranks_have_the_gradient_and_controllers_of_the_whole(
    reports: Reports, rank: tuple[str, int], layout: str
) -> None:
    whole, found = reports["whole", 0], reports[rank]
    # With context-parallel ranks it takes each sequence alone.
    alike = layout.replace("packed", "padded") if rank[0] == "context" else layout
    assert_close(found[f"file {layout}"]["gradient"], whole[f"file {alike}"]["gradient"])
    assert whole[f"coefficients {layout}"] == {"beta": 0.25}
    assert found[f"coefficients {layout}"] == {"beta": 0.5 if rank == ("pipeline_model", 0) else 0.25}


@pytest.mark.parametrize("rank", RANKS)
def test_a_checkpoint_has_what_the_last_stage_knows(reports: Reports, rank: tuple[str, int]) -> None:
    files = reports[rank]["resumed"]
    if rank == ("pipeline_model", 0):
        assert files == [None, None]
        return
    states = [file["steered"]["controllers"][0]["state"] for file in files]
    assert [(state["value"], state["observations"]) for state in states] == [(0.25, 1), (0.0, 2)]


@pytest.mark.parametrize("rank", RANKS)
def test_what_verl_itself_reads_of_the_logits_is_untouched(reports: Reports, rank: tuple[str, int]) -> None:
    files, verls = reports[rank]["file with verl's entropy"], reports[rank]["verl with twice the entropy"]
    assert_close(files["gradient"], verls["gradient"])
    if rank in ASKED:
        assert files["outputs"] == ["entropy", "log_probs"]


@pytest.mark.parametrize("micro", [1, 4])
@pytest.mark.parametrize("name", ["columns", "entropies", "log-probabilities", "listed"])
@pytest.mark.parametrize("rank", RANKS)
def test_columns_lists_and_what_must_be_measured_before_are_those_of_one_batch(
    reports: Reports, rank: tuple[str, int], name: str, micro: int
) -> None:
    found, expected = reports[rank][f"{name} in {micro}"], reports["whole", 0][f"direct {name}"]
    assert expected["gradient"].norm() > 0.1
    assert_close(found["gradient"], expected["gradient"])
    for metric, value in expected["metrics"].items() if rank in ASKED else ():
        assert found["metrics"][metric] == pytest.approx(value, rel=1e-5, abs=1e-6)


def test_a_critic_is_no_policy(reports: Reports) -> None:
    assert reports["whole", 0]["policies"] == [True, False]


@pytest.mark.parametrize("rank", RANKS)
def test_what_megatron_cannot_give_is_refused_with_the_setting(reports: Reports, rank: tuple[str, int]) -> None:
    assert "set `actor_rollout_ref.model.use_fused_kernels=False`" in reports[rank]["refused fused"]
    assert "megatron.dynamic_context_parallel=False`" in reports[rank]["refused dynamic"]
    assert "write `set temperature = 0.7`" in reports[rank]["refused temperature"]


@pytest.mark.parametrize("rank", RANKS)
def test_what_the_last_stage_refuses_before_the_step_all_stages_refuse(reports: Reports, rank: tuple[str, int]) -> None:
    # Otherwise the other stages would wait for its gradient.
    assert "`advantages`" in reports[rank]["refused number"]
