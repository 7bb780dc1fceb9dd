"""What `help` and an editor say is the same, and is there."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import aent
from aent import _aent

STUB = Path(aent.__file__).with_name("_aent.pyi")
#: What Python says of these everywhere.
SPECIAL = {"__call__", "__copy__"}


def documented() -> Iterator[tuple[str, Any, ast.ClassDef | ast.FunctionDef]]:
    """Every class, function, method and property of the stub with the same of the extension."""
    for node in ast.parse(STUB.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, getattr(_aent, node.name), node
        if isinstance(node, ast.ClassDef):
            of = getattr(_aent, node.name)
            yield node.name, of, node
            for item in node.body:
                if isinstance(item, ast.FunctionDef) and item.name not in SPECIAL:
                    yield f"{node.name}.{item.name}", getattr(of, item.name), item


def test_the_stub_and_the_extension_have_one_text() -> None:
    found = list(documented())
    assert len(found) > 30
    for name, runtime, node in found:
        text = ast.get_docstring(node)
        assert text, f"`{name}` has no text in the stub"
        assert inspect.getdoc(runtime) == text, f"`{name}` has another text at run time than in the stub"


def test_nothing_of_the_extension_is_missing_in_the_stub() -> None:
    known = {name for name, _, _ in documented()}
    for of in (_aent.Program, _aent.Output, _aent.Accumulation, _aent.Restored):
        for name in vars(of):
            if not name.startswith("_"):
                assert f"{of.__name__}.{name}" in known


def test_signatures_are_there_at_run_time() -> None:
    for name, runtime, node in documented():
        if not isinstance(node, ast.FunctionDef) or any(isinstance(of, ast.Name) for of in node.decorator_list):
            continue
        found = list(inspect.signature(runtime).parameters)
        arguments = node.args
        stub = [*arguments.posonlyargs, *arguments.args, *([arguments.vararg] if arguments.vararg else [])]
        stub += [*arguments.kwonlyargs, *([arguments.kwarg] if arguments.kwarg else [])]
        assert found == [argument.arg for argument in stub], name


@pytest.mark.parametrize("name", [name for name in aent.__all__ if name not in {"__version__"}])
def test_everything_public_has_a_text(name: str) -> None:
    assert inspect.getdoc(getattr(aent, name))
