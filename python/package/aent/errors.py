"""What can go wrong. Every message names the thing, what was expected and what came."""

from __future__ import annotations

from typing import Any


class Error(Exception):
    """The root of this package's exceptions."""


class SpecError(Error, ValueError):
    """A text is no program. The message is every diagnostic, drawn with the lines that it is about.

    Attributes:
        diagnostics: the same as data, with the keys of ``aent check --format json``: ``severity``, ``id``,
            ``message``, ``file``, ``span``, ``labels``, ``help``, ``fix``.
    """

    diagnostics: list[dict[str, Any]]

    def __init__(self, rendered: str, diagnostics: list[dict[str, Any]]) -> None:
        super().__init__(rendered, diagnostics)
        self.diagnostics = diagnostics

    def __str__(self) -> str:
        return "\n" + str(self.args[0])

    @property
    def rendered(self) -> str:
        """The diagnostics, drawn."""
        return str(self.args[0])

    def _repr_html_(self) -> str:
        from .notebook import as_html

        return as_html(self.rendered)


class SpecWarning(UserWarning):
    """A lint: a file runs, and probably does not do what its author wants. The message is every lint, drawn.

    ``# aent: allow(ID)`` in the file silences one, ``warnings.simplefilter("error", aent.SpecWarning)`` makes them errors.
    """


class StepWarning(UserWarning):
    """An ``assert`` of a file did not hold in a step. The message says what that means, what was expected and what was found."""


class BatchError(Error, ValueError):
    """A batch field is missing, or has the wrong shape, kind, device or values."""


class StateError(Error, ValueError):
    """A saved state belongs to other controllers, holds what no run can have left, or is none."""


class StepError(Error, RuntimeError):
    """A step could not be computed, or its parts were not given as they have to be."""
