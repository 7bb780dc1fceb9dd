"""The examples run as they stand."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture(autouse=True)
def on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(EXAMPLES), *sys.path])


def test_the_plain_loop_learns() -> None:
    import plain_loop

    right = plain_loop.main(steps=60)
    assert sum(right[-10:]) > 2 * sum(right[:10])


def test_the_plain_loop_is_as_short_as_promised() -> None:
    text = (EXAMPLES / "plain_loop.py").read_text()
    body = text[text.index("def main(") : text.index("if __name__")]
    assert sum(bool(line.strip()) for line in body.splitlines()) <= 40


def test_the_aent_recipe_steers() -> None:
    import aent_recipe

    last = aent_recipe.main(steps=20)
    assert set(last) == {"grpo", "aent"} and all(map(math.isfinite, last.values()))
