"""Programs and outputs that are pickled, copied, and sent to other processes."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from pathlib import Path

import pytest
import torch

import aent
from batches import batch

SPEC = """
import "common.aent"
param target = 0.5 in 0 .. 10
controller beta = band(signal = token_mean(spread()), target = target, step = 0.01, bounds = 0 .. 1, init = 0.5)
loss = token_mean(clip_ppo()) - beta * token_mean(spread())
"""
COMMON = 'import "std/surrogates.aent"\nfn spread() = entropy()\n'


@pytest.fixture
def program(tmp_path: Path) -> aent.Program:
    (tmp_path / "common.aent").write_text(COMMON)
    (tmp_path / "spec.aent").write_text(SPEC)
    made = aent.compile(tmp_path / "spec.aent", params={"target": 0.25}, lets=True)
    (tmp_path / "common.aent").unlink()
    (tmp_path / "spec.aent").unlink()
    made.update(made(batch()))
    return made


def same(one: aent.Program, other: aent.Program) -> None:
    assert other is not one
    assert (other.coefficients, other.steps, other.params) == (one.coefficients, one.steps, one.params)
    found, expected = other(batch()), one(batch())
    assert (found.total, found.signals, found.lets.keys()) == (expected.total, expected.signals, expected.lets.keys())
    # From here on each goes its own way.
    other.update(found)
    assert other.steps == one.steps + 1
    assert other.coefficients != one.coefficients


def test_a_copied_program_goes_on_from_the_same_state_and_needs_no_file(program: aent.Program) -> None:
    same(program, pickle.loads(pickle.dumps(program)))  # noqa: S301 - our own
    same(program, copy.copy(program))
    same(program, copy.deepcopy(program))


def test_a_program_keeps_its_texts(program: aent.Program) -> None:
    assert program.source == SPEC
    names = [name for name, _ in program.sources]
    texts = dict(program.sources)
    assert names[0].endswith("spec.aent") and "std/surrogates.aent" in names
    assert COMMON in texts.values()


def test_a_module_that_holds_a_program_can_be_copied(program: aent.Program) -> None:
    class Head(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(2, 3)
            self.loss = program

    same(program, copy.deepcopy(Head()).loss)


def _one_step(program: aent.Program) -> tuple[float, aent.Output]:
    output = program(batch())
    program.update(output)
    return program.coefficients["beta"], output


def test_a_program_and_an_output_travel_to_a_spawned_process_and_back(program: aent.Program) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        beta, output = pool.apply(_one_step, (program,))
    expected = _one_step(program)
    assert beta == expected[0]
    assert (output.total, output.metrics, output.signals) == (
        expected[1].total,
        expected[1].metrics,
        expected[1].signals,
    )


def test_an_output_is_copied_without_its_graph(program: aent.Program) -> None:
    output = program(batch())
    for other in (pickle.loads(pickle.dumps(output)), copy.deepcopy(output)):  # noqa: S301 - our own
        assert not other.loss.requires_grad and float(other.loss) == float(output.loss.detach())
        assert (other.total, other.metrics, other.signals, other.tokens) == (
            output.total,
            output.metrics,
            output.signals,
            output.tokens,
        )
        assert other.lets.keys() == output.lets.keys()
        assert all(torch.equal(tensor, output.lets[name]) for name, tensor in other.lets.items())
        with pytest.raises(aent.StepError, match="found a copy of one: update with the output that the program gave"):
            program.update(other)
    assert copy.copy(output) is output
    output.loss.backward()


def test_a_term_in_python_travels_by_the_import_of_its_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "import aent\n@aent.term\ndef travelling(log_prob: aent.Token) -> aent.Token:\n    return log_prob * 2\n"
    (tmp_path / "my_terms.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    __import__("my_terms")
    program = aent.compile("loss = token_mean(travelling())")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_total, (program,)) == program(batch()).total


def _total(program: aent.Program) -> float:
    return program(batch()).total
