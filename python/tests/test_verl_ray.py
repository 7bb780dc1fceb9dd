"""verl's own workers under Ray: a file is registered where they run, and its numbers come back to the controller."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from verl_tiny import direct

TESTS = Path(__file__).resolve().parent
EXAMPLES = TESTS.parent / "examples"


def test_two_workers_under_ray_take_the_step_of_one_batch(tmp_path: Path) -> None:
    paths = os.pathsep.join([str(TESTS), str(EXAMPLES), os.environ["PYTHONPATH"]])
    more = {"PYTHONPATH": paths, "HF_HUB_OFFLINE": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    subprocess.run(
        [sys.executable, str(TESTS / "verl_ray.py"), str(tmp_path)], env=os.environ | more, check=True, timeout=280
    )
    found = torch.load(tmp_path / "metrics.pt", weights_only=False)
    sys.path.append(str(EXAMPLES))
    from verl_aent import SPEC

    expected = direct(tmp_path, SPEC)["metrics"]
    assert expected.keys() == {"actor/aent/clip_fraction", "actor/pg_loss"}
    for name, value in expected.items():
        assert sum(found[name]) == pytest.approx(value, rel=1e-5), name
    assert found["actor/aent/coefficient/beta"] == [2e-4]
    assert list((tmp_path / "checkpoint").glob("**/aent_state.json"))
