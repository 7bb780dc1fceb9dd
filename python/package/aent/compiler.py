"""From a text or a file to a program, and what is wrong with one."""

from __future__ import annotations

import importlib
import os
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from . import _aent
from ._aent import Program
from .errors import SpecWarning
from .notebook import as_html

Need = Literal["tokens", "sequences", "width", "groups", "fields", "whole_step"]
"""What a program may need of a step, as in ``Program.requires``."""


def compile(
    path_or_text: str | os.PathLike[str],
    *,
    params: Mapping[str, float | bool | str] | None = None,
    kernels: Literal["auto", "reference"] = "auto",
    overwrite_logits: bool = False,
    chunk_bytes: int | None = None,
    validate: bool = True,
    lets: bool = False,
    import_roots: Iterable[str | os.PathLike[str]] = (),
    known: Iterable[Need] | None = None,
) -> Program:
    """Compiles a file, or the text of one.

    Args:
        path_or_text: a path; or a ``str`` with more than one line, or with a ``=`` in it that is no part of a path.
        params: values for ``param``s of the file; each is checked against its range.
        kernels: ``auto``, or ``reference`` for plain torch operations that can be differentiated twice.
        overwrite_logits: the batch gives its logits up, and their gradient is written over them.
        chunk_bytes: how many bytes of logits are made at once from ``hidden`` and ``lm_head`` (256 MiB).
        validate: whether action ids and numbers are checked too; on a GPU this waits for the device.
        lets: whether every ``let`` is given out, for debugging.
        import_roots: folders that the file may import from, besides its own project.
        known: what your engine knows of a whole step when it asks for the loss of a micro-batch, such as
            ``["tokens", "sequences"]``; by default everything, because it measures the step first. A file that needs more is a
            ``SpecError`` at the formula that does; ``Program.requires`` has the names.

    Raises:
        SpecError: with every diagnostic, drawn.
        FileNotFoundError: there is no such file.

    Warns:
        SpecWarning: the file has lints, which the warning draws.
    """
    name, text = _source(path_or_text)
    given = dict(params or {})
    program = _aent.compile(
        name,
        text,
        given,
        kernels,
        overwrite_logits,
        chunk_bytes,
        validate,
        lets,
        list(import_roots),
        known=None if known is None else list(known),
    )
    _warn(program, 3)
    return program


def program_of(
    spec: str | os.PathLike[str] | Program, params: Mapping[str, float | bool | str] | None, stacklevel: int
) -> Program:
    """What a trainer was given: a program, a file or the text of one.

    Args:
        spec: the same.
        params: values for ``param``s of a file or text.
        stacklevel: how many calls above this one a warning is for, as in ``warnings.warn``.

    Raises:
        ValueError: there are ``params`` for what is compiled already.
    """
    if isinstance(spec, Program):
        if params:
            raise ValueError("`params`: this program is compiled already; give them to `aent.compile`")
        return spec
    program = _aent.compile(*_source(spec), dict(params or {}), "auto", False, None, True, False, [])
    _warn(program, stacklevel + 1)
    return program


def _warn(program: Program, stacklevel: int) -> None:
    if found := program.warnings.strip():
        warnings.warn("\n" + found, SpecWarning, stacklevel=stacklevel)


def check(
    path_or_text: str | os.PathLike[str],
    *,
    params: Mapping[str, float | bool | str] | None = None,
    import_roots: Iterable[str | os.PathLike[str]] = (),
) -> Report:
    """Everything that is wrong with a file, or the text of one. A notebook draws it; it is true if nothing is an error.

    Args:
        path_or_text: as for ``compile``.
        params: values for ``param``s of the file, which are checked too.
        import_roots: folders that the file may import from besides its own project.

    Raises:
        FileNotFoundError: there is no such file.
    """
    return Report(*_aent.diagnose(*_source(path_or_text), dict(params or {}), list(import_roots)))


@dataclass(frozen=True)
class Report:
    """What was found.

    Attributes:
        rendered: every diagnostic, drawn with the lines that it is about.
        diagnostics: the same as data, with the keys of ``aent check --format json``.
    """

    rendered: str
    diagnostics: list[dict[str, Any]]

    def __bool__(self) -> bool:
        return not any(item["severity"] == "error" for item in self.diagnostics)

    def __str__(self) -> str:
        return self.rendered.rstrip() or "nothing to complain of"

    def _repr_html_(self) -> str:
        return as_html(str(self))

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ARG002 - as IPython calls it
        printer.text(str(self))


def _source(path_or_text: str | os.PathLike[str]) -> tuple[str, str | None]:
    """The name of a source with its text, or with none where it is a file."""
    if isinstance(path_or_text, str) and _is_text(path_or_text):
        return "spec.aent", path_or_text
    name = os.fspath(path_or_text)
    Path(name).stat()  # Python's own error for a file that is not there.
    return name, None


def _is_text(given: str) -> bool:
    """Whether it is the text of a file: it has a ``=``, and a path with one in it has no blank, or a ``/`` before it."""
    if "\n" in given:
        return True
    before, equals, _ = given.partition("=")
    before = re.sub(r'"[^"]*"', "", before)  # What a text imports is no folder of its own.
    is_path = given.endswith(".aent") or "/" in before or not (" " in given or "(" in given)
    return bool(equals) and not is_path


def _rebuild(
    sources: list[tuple[str, str]],
    params: dict[str, float | bool | str],
    options: dict[str, Any],
    modules: set[str],
    state: dict[str, Any],
) -> Program:
    """What ``pickle`` and ``copy`` make of a program. Modules that register its terms in Python are imported first."""
    for module in sorted(modules - {"__main__", "__mp_main__"}):
        importlib.import_module(module)
    name, text = sources[0]
    program = _aent.compile(name, text, params, **options, import_roots=[], sources=dict(sources))
    program.load_state_dict(state)
    return program
