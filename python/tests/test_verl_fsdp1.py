"""Files within verl's engine with FSDP1, ``strategy=fsdp``."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from verl_ranks import Reports, reports_of

WORKER = Path(__file__).with_name("verl_fsdp1_worker.py")
RANKS = [(2, 0), (2, 1)]


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Reports:
    """What verl's engine did."""
    return reports_of(WORKER, tmp_path_factory.mktemp("fsdp1"), worlds=[2])


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("rank", RANKS)
def test_the_gradient_is_that_of_verls_own_loss_and_of_one_batch(
    reports: Reports, rank: tuple[int, int], packed: bool
) -> None:
    found = reports[rank]
    assert found["direct"].norm() > 0.1
    for other in (found[f"verl {packed}"], found["direct"]):
        torch.testing.assert_close(found[f"file {packed}"], other, rtol=1e-4, atol=1e-6)
    assert found[f"coefficients {packed}"] == {"beta": 0.25}


@pytest.mark.parametrize("rank", RANKS)
def test_a_checkpoint_has_the_controllers(reports: Reports, rank: tuple[int, int]) -> None:
    assert reports[rank]["restored"] == (1, {"beta": 0.25})
