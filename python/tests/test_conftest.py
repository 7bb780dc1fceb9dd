"""The rules under which the other tests run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PASSES = "def test_a(): pass\n"


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (PASSES, "1 passed"),
        ("import pytest\n@pytest.mark.skip(reason='no GPU')\ndef test_a(): pass\n", "1 error"),
        ("import pytest\ndef test_a(): pytest.skip('no GPU')\n", "1 failed"),
        ("import pytest\npytest.importorskip('no_such_module')\n" + PASSES, "1 error"),
        ("import pytest\n@pytest.mark.xfail(reason='known')\ndef test_a(): assert False\n", "1 xfailed"),
    ],
    ids=["passing", "mark", "call", "file", "expected"],
)
def test_what_is_skipped_fails(tmp_path: Path, body: str, outcome: str) -> None:
    (tmp_path / "conftest.py").write_text(Path(__file__).with_name("conftest.py").read_text())
    (tmp_path / "test_it.py").write_text(body)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--disable-plugin-autoload", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert outcome in run.stdout.splitlines()[-1], run.stdout + run.stderr
    assert (run.returncode == 0) == ("passed" in outcome or "xfailed" in outcome)
