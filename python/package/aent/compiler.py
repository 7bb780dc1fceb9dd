"""From a text or a file to a program, and what is wrong with one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from . import _aent
from ._aent import Program
from .notebook import as_html


def compile(
    path_or_text: str | os.PathLike[str],
    *,
    params: Mapping[str, float] | None = None,
    kernels: str = "auto",
    overwrite_logits: bool = False,
    chunk_bytes: int | None = None,
    validate: bool = True,
    lets: bool = False,
    import_roots: Iterable[str | os.PathLike[str]] = (),
) -> Program:
    """Compiles a file, or the text of one.

    Args:
        path_or_text: a path; or a ``str`` with more than one line, or with a ``=`` in it and no ``.aent`` at its end.
        params: values for ``param``s of the file; each is checked against its range.
        kernels: ``auto``, or ``reference`` for plain torch operations that can be differentiated twice.
        overwrite_logits: the batch gives its logits up, and their gradient is written over them.
        chunk_bytes: how many bytes of logits are made at once from ``hidden`` and ``lm_head`` (256 MiB).
        validate: whether action ids and numbers are checked too; on a GPU this waits for the device.
        lets: whether every ``let`` is given out, for debugging.
        import_roots: folders that the file may import from, besides its own project.

    Raises:
        SpecError: with every diagnostic, drawn.
    """
    name, text = _source(path_or_text)
    return _aent.compile(name, text, dict(params or {}), kernels, overwrite_logits, chunk_bytes, validate, lets, list(import_roots))


def check(
    path_or_text: str | os.PathLike[str], *, import_roots: Iterable[str | os.PathLike[str]] = ()
) -> Report:
    """Everything that is wrong with a file, or the text of one. A notebook draws it; it is true if nothing is an error.

    It may import from the folders of ``import_roots``, besides its own project.
    """
    return Report(*_aent.diagnose(*_source(path_or_text), list(import_roots)))


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


def _source(path_or_text: str | os.PathLike[str]) -> tuple[str, str | None]:
    """The name of a source with its text, or with none where it is a file."""
    if not isinstance(path_or_text, str):
        return os.fspath(path_or_text), None
    is_text = "\n" in path_or_text or ("=" in path_or_text and not path_or_text.endswith(".aent"))
    return ("spec.aent", path_or_text) if is_text else (path_or_text, None)
