"""The files that are registered as policy losses of verl, and what they remember."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aent._aent import Program
from aent.errors import StateError
from aent.files import take_up


@dataclass(frozen=True)
class Registered:
    """A program in verl's registry.

    Attributes:
        module: the module that registered it, which may register it anew.
        strict: whether a checkpoint must have the state of the same controllers.
        policy_loss: the function that verl has.
    """

    program: Program
    module: str
    strict: bool
    policy_loss: Any


registered: dict[str, Registered] = {}


def programs() -> dict[str, Program]:
    """The registered programs by name."""
    return {name: of.program for name, of in registered.items()}


def state_dict() -> dict[str, Any]:
    """The state of all registered programs by name. Followed engines write it into their checkpoints."""
    return {name: of.program.state_dict() for name, of in registered.items()}


def load_state_dict(state: Mapping[str, Any], strict: bool = True) -> None:
    """Takes up what ``state_dict`` gave. Programs without controllers need none.

    Args:
        state: the same.
        strict: whether it must have the state of every registered program and of no other, each with the same controllers.
            Otherwise what fits is taken up, and a warning says what begins anew.

    Raises:
        StateError: it has the state of a name that is not registered, none of one that is, or that of other controllers.
            Then no program changes.
    """
    for name in state:
        if name not in registered and strict:
            raise StateError(f"`{name}`: the checkpoint has its state; expected one of {sorted(registered)}")
    restore(state, registered, "the checkpoint", None if strict else False)


def restore(state: Mapping[str, Any], names: Iterable[str], where: str, strict: bool | None = None) -> None:
    """Takes up the states of these names, of all or of none; ``strict`` is what each was registered with unless given."""
    before = state_dict()
    try:
        for name in names:
            of = registered[name]
            take_up(
                of.program,
                state.get(name),
                f"{where}: `{name}`",
                strict=of.strict if strict is None else strict,
                way="aent.verl.register(..., strict=False)",
            )
    except StateError:
        for name, old in before.items():
            registered[name].program.load_state_dict(old)
        raise
