"""Files within verl's own Megatron engine, with megatron-core's vocabulary in shards."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from verl_ranks import Reports, reports_of

WORKER = Path(__file__).with_name("verl_megatron_worker.py")
LAYOUTS = [f"{how} at {temperature}" for how in ("padded", "packed") for temperature in ("1.0", "0.7", "its own")]
RANKS = [(1, 0), (2, 0), (2, 1)]


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Reports:
    """What verl's Megatron engine did."""
    # Megatron compiles its small functions, which takes minutes on a CPU.
    return reports_of(WORKER, tmp_path_factory.mktemp("megatron"), TORCHDYNAMO_DISABLE="1")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rank", RANKS)
def test_the_gradient_is_that_of_verls_own_loss_and_entropy_bonus(
    reports: Reports, rank: tuple[int, int], layout: str
) -> None:
    verls, files = reports[rank][f"verl {layout}"], reports[rank][f"file {layout}"]
    assert verls["gradient"].norm() > 0.1
    torch.testing.assert_close(files["gradient"], verls["gradient"], rtol=1e-4, atol=1e-6)
    entropy = verls["metrics"]["actor/entropy_loss"]
    if rank[1] == 0:  # The one that verl asks.
        assert files["metrics"]["actor/aent/entropy"] == pytest.approx(entropy, rel=1e-6)
    loss = verls["metrics"]["actor/pg_loss"] - 0.5 * entropy
    assert files["metrics"]["actor/pg_loss"] == pytest.approx(loss, rel=1e-6)
    # Rows are nothing that verl collects.
    assert files["outputs"] == ["log_probs"]


# The worker's model takes a packed batch as one sequence, which verl pads between for two shards.
@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if "padded" in layout])
def test_shards_have_the_gradient_and_controllers_of_the_whole(reports: Reports, layout: str) -> None:
    whole = reports[1, 0]
    for rank in (0, 1):
        found = reports[2, rank]
        torch.testing.assert_close(
            found[f"file {layout}"]["gradient"], whole[f"file {layout}"]["gradient"], rtol=1e-4, atol=1e-6
        )
        assert found[f"coefficients {layout}"] == whole[f"coefficients {layout}"] != {"beta": 0.5}


@pytest.mark.parametrize("rank", RANKS)
def test_what_verl_itself_reads_of_the_logits_is_untouched(reports: Reports, rank: tuple[int, int]) -> None:
    files, verls = reports[rank]["file with verl's entropy"], reports[rank]["verl with twice the entropy"]
    torch.testing.assert_close(files["gradient"], verls["gradient"], rtol=1e-4, atol=1e-6)
    assert files["outputs"] == ["entropy", "log_probs"]


@pytest.mark.parametrize("micro", [1, 4])
@pytest.mark.parametrize("name", ["columns", "entropies", "log-probabilities", "listed"])
@pytest.mark.parametrize("rank", RANKS)
def test_columns_lists_and_what_must_be_measured_before_are_those_of_one_batch(
    reports: Reports, rank: tuple[int, int], name: str, micro: int
) -> None:
    found, expected = reports[rank][f"{name} in {micro}"], reports[1, 0][f"direct {name}"]
    assert expected["gradient"].norm() > 0.1
    torch.testing.assert_close(found["gradient"], expected["gradient"], rtol=1e-4, atol=1e-6)
    for metric, value in expected["metrics"].items() if rank[1] == 0 else ():
        assert found["metrics"][metric] == pytest.approx(value, rel=1e-5, abs=1e-6)


def test_a_critic_is_no_policy(reports: Reports) -> None:
    assert reports[1, 0]["policies"] == [True, False]


@pytest.mark.parametrize("rank", RANKS)
def test_what_megatron_cannot_give_is_refused_with_the_setting(reports: Reports, rank: tuple[int, int]) -> None:
    assert "set `actor_rollout_ref.model.use_fused_kernels=False`" in reports[rank]["refused fused"]
    assert "megatron.dynamic_context_parallel=False`" in reports[rank]["refused dynamic"]
    assert "write `set temperature = 0.7`" in reports[rank]["refused temperature"]
