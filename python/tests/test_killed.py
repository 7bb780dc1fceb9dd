"""Runs that are killed again and again end in the numbers of runs that were not. More of them:

KILLS=100 KILLS_SEED=7 pytest -s tests/test_killed.py
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

WORKER = Path(__file__).with_name("killed_worker.py")


@pytest.mark.parametrize(("what", "kills"), [("trl", 6), ("verl", 6), ("ranks", 12)])
def test_a_killed_run_goes_on_to_the_same_numbers(what: str, kills: int, tmp_path: Path) -> None:
    asked, seed = int(os.environ.get("KILLS", kills)), os.environ.get("KILLS_SEED", "1")
    command = [sys.executable, str(WORKER), what, str(asked), seed, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    last = done.stdout.strip().splitlines()[-1:]
    assert done.returncode == 0, done.stderr[-5000:]
    print(what, *last)  # noqa: T201
    found = re.fullmatch(r"(\d+) kills of (\d+) runs, (\d+) of them between the first checkpoint and the last", *last)
    assert found is not None
    counted, _, amid = map(int, found.groups())
    assert counted >= asked
    assert 4 * amid >= asked, "too few met a run that had begun and not ended"
