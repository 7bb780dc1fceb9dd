"""The example runs, without a network, and goes on from its checkpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "trl_aent.py"


def run(out: Path, *options: str) -> list[dict[str, float]]:
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, str(EXAMPLE), "--out", str(out), *options], check=True, env=environment)
    return [line for line in json.loads((out / "history.json").read_text()) if "reward" in line]


def test_the_example_steers_its_coefficient_and_resumes(tmp_path: Path) -> None:
    steps = run(tmp_path, "--steps", "4")
    assert [line["step"] for line in steps] == [1, 2, 3, 4]
    # At random over forty words, entropy is above the band, so the coefficient goes down to its bound.
    assert steps[0]["aent/coefficient/beta"] == 0.005
    assert steps[0]["aent/signal/beta"] > 1.5
    assert steps[1]["aent/coefficient/beta"] == 1e-4
    further = run(tmp_path, "--steps", "6", "--resume")
    assert [line["step"] for line in further] == [1, 2, 3, 4, 5, 6]
    assert further[4]["aent/coefficient/beta"] == 1e-4
