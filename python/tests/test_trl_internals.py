"""A TRL whose internals are others is refused when the adapter is imported."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from trl import GRPOTrainer

from aent.trl_internals import ATTRIBUTES, CALL, COLUMNS, METHODS, check, text


def changed(monkeypatch: pytest.MonkeyPatch, before: str, after: str) -> None:
    """As if TRL's source had other words."""
    source = text(GRPOTrainer)
    assert before in source
    monkeypatch.setattr("aent.trl_internals.text", lambda _: source.replace(before, after))


@pytest.mark.parametrize("name", METHODS)
def test_a_method_that_is_gone_is_named(name: str) -> None:
    class Other:
        """A trainer without it."""

        def __init__(self) -> None:
            pass

    for kept in METHODS.keys() - {name}:
        setattr(Other, kept, getattr(GRPOTrainer, kept))
    with pytest.raises(ImportError, match=rf"TRL 9.9 has no .*`Other.{name}`"):
        check(Other, "9.9")


def test_a_parameter_that_is_gone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def loss(self: Any, batch: Any) -> None:
        """With other parameters."""

    monkeypatch.setattr(GRPOTrainer, "_compute_loss", loss)
    with pytest.raises(ImportError, match="no `inputs` in `GRPOTrainer._compute_loss` and no `model` in"):
        check(GRPOTrainer, "9.9")


@pytest.mark.parametrize("name", ATTRIBUTES.split())
def test_an_attribute_that_is_gone_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(monkeypatch, f"self.{name} =", "self.other =")
    with pytest.raises(ImportError, match=f"no `GRPOTrainer.{name}`: `pip install trl=="):
        check(GRPOTrainer, "9.9")


@pytest.mark.parametrize("name", COLUMNS.split())
def test_a_column_that_is_gone_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(monkeypatch, f'"{name}"', '"other"')
    with pytest.raises(ImportError, match=f"no column `{name}`"):
        check(GRPOTrainer, "9.9")


@pytest.mark.parametrize("words", CALL)
def test_another_call_of_the_model_is_named(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(monkeypatch, words, "other")
    with pytest.raises(ImportError, match="in the call of its model"):
        check(GRPOTrainer, "9.9")


def test_the_import_checks() -> None:
    code = "import trl; del trl.GRPOTrainer._compute_loss; import aent.trl"
    found = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 1 and "ImportError: aent.trl is tested with TRL" in found.stderr
