"""Files that are whole or not there, and the states of programs in checkpoints of trainers."""

from __future__ import annotations

import json
import secrets
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ._aent import Program
from .errors import StateError


def write_json(path: Path, value: Any) -> None:
    """Writes beside the file first and then in its place, so that several ranks may write the same one."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with beside.open("x", encoding="utf-8") as file:
            json.dump(value, file)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def read_json(path: Path, *, needed: bool = True) -> dict[str, Any] | None:
    """What ``write_json`` wrote; ``None`` where the file is not there.

    Args:
        path: the file.
        needed: whether a file that cannot be read is an error, and not as good as none.

    Raises:
        StateError: it is torn, or something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        if not needed:
            return None
        raise StateError(
            f"`{path}` is torn or is no saved state ({error}): resume from another checkpoint, or put the file of a "
            "backup in its place"
        ) from error
    if not isinstance(found, dict):
        if not needed:
            return None
        raise StateError(f"`{path}` is no saved state: expected an object, found a `{type(found).__name__}`")
    return found


def take_up(program: Program, state: Mapping[str, Any] | None, where: str, *, strict: bool, way: str) -> None:
    """Restores a program from a trainer's checkpoint; ``None`` is a checkpoint that has nothing of it.

    Args:
        where: the checkpoint or its file, for messages.
        strict: as for ``load_state_dict``. Otherwise a warning says what begins anew.
        way: what ``strict=False`` is given to.

    Raises:
        StateError: the state is missing or of other controllers, and ``strict`` is true.
    """
    names = ", ".join(f"`{name}`" for name in program.coefficients)
    if state is None and names and strict:
        raise StateError(
            f"{where} has no state of the controllers {names}: it was saved by another trainer, or without them; "
            f"`strict=False` in `{way}` resumes it, and they begin anew"
        )
    if state is None and not names:
        return
    try:
        restored = program.load_state_dict(state, strict=strict)
    except StateError as error:
        raise StateError(f"{where}: {error}") from None
    if names and not strict and restored.words:
        warnings.warn(f"{where}: {'; '.join(restored.words)}: what was not restored begins anew", stacklevel=3)
