"""The files that are registered as policy losses of verl, and what they remember."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aent._aent import Program
from aent.errors import StateError

registered: dict[str, Program] = {}


def programs() -> dict[str, Program]:
    """The registered programs by name."""
    return dict(registered)


def state_dict() -> dict[str, Any]:
    """The state of all registered programs by name. Followed engines write it into their checkpoints."""
    return {name: program.state_dict() for name, program in registered.items()}


def load_state_dict(state: Mapping[str, Any]) -> None:
    """Takes up what ``state_dict`` gave.

    Raises:
        StateError: it has the state of a name that is not registered, or of another program.
    """
    for name in state:
        if name not in registered:
            raise StateError(f"`{name}`: the checkpoint has its state; expected one of {sorted(registered)}")
    for name, of in state.items():
        registered[name].load_state_dict(of)
