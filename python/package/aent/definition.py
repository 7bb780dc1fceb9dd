"""Terms written in Python.

    @aent.term
    def soft_gate(log_prob: aent.Token, old_log_prob: aent.Token, advantages: aent.Token, *, tau: float = 1.0) -> aent.Token:
        \"\"\"The surrogate `-A · 4/τ · σ(τ (r - 1))`, for the ratio `r`.\"\"\"
        ratio = (log_prob - old_log_prob).exp()
        return -advantages * 4 / tau * torch.sigmoid(tau * (ratio - 1))

makes ``soft_gate(tau = 2)`` callable in every file that is compiled from then on: checked, saved by name, cut into
micro-batches and over ranks as all terms are. It is slower than a term in Rust by Python's calls, takes the GIL while it
runs, and cannot ask for row statistics of its own: a file hands them over, as in ``soft_gate(entropy())``.
"""

from __future__ import annotations

import hashlib
import inspect
import re
import textwrap
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar, overload

import torch

from . import _aent

#: One real value per token, ``[B, T]``.
Token = Annotated[torch.Tensor, "token"]
#: One real value per sequence, ``[B]``.
Seq = Annotated[torch.Tensor, "seq"]
#: One real value, without dimensions.
Scalar = Annotated[torch.Tensor, "scalar"]
#: One truth value per token, ``[B, T]``, such as ``response_mask``.
TokenBool = Annotated[torch.Tensor, "token_bool"]
#: One truth value per sequence, ``[B]``.
SeqBool = Annotated[torch.Tensor, "seq_bool"]
#: One id per token, ``[B, T]`` int64, as a file declares with ``input turn: token int``.
TokenInt = Annotated[torch.Tensor, "token_int"]
#: One id per sequence, ``[B]`` int64, such as ``group``.
SeqInt = Annotated[torch.Tensor, "seq_int"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(::[A-Za-z_][A-Za-z0-9_]*)*")
_CONSTANTS = {float: "number", int: "integer", bool: "bool", str: "string", tuple[float, float]: "range"}
_KINDS = "`float`, `int`, `bool`, `str` or `tuple[float, float]`"
_TENSORS = "`aent.Token`, `aent.Seq`, `aent.Scalar`, `aent.TokenBool`, `aent.SeqBool`, `aent.TokenInt` or `aent.SeqInt`"

Function = TypeVar("Function", bound=Callable[..., Any])


@overload
def term(function: Function, /) -> Function: ...
@overload
def term(
    *,
    name: str | None = None,
    version: str | None = None,
    extras: Mapping[str, Any] | None = None,
    gradient: bool = True,
    reach: Literal["token", "sequence", "group", "batch"] = "token",
    interval: tuple[float, float] | None = None,
) -> Callable[[Function], Function]: ...
def term(
    function: Function | None = None,
    /,
    *,
    name: str | None = None,
    version: str | None = None,
    extras: Mapping[str, Any] | None = None,
    gradient: bool = True,
    reach: Literal["token", "sequence", "group", "batch"] = "token",
    interval: tuple[float, float] | None = None,
) -> Function | Callable[[Function], Function]:
    """Registers a function over torch tensors as a term.

    Parameters annotated as tensors are what it reads: the batch field of that name where there is one, unless the call
    gives another value; a number as default is taken where the call gives none. Masked positions hold zeros, and what the
    function puts there reaches no result. Keyword-only parameters annotated as ``float``, ``int``, ``bool``, ``str`` or
    ``tuple[float, float]`` (a range ``a .. b``) are constants of the call. The annotation of the result is its type.

    Args:
        name: how files call it (the function's name); a name like ``mine::gate`` can never be somebody else's.
        version: ranks must have the same one, and the state of a controller whose signal calls the term is refused in
            another one (a hash of the source).
        extras: further values by name with their types: files read them as ``policy.clipped``, and the function returns
            ``(value, {"clipped": ...})``.
        gradient: whether the value can carry gradient.
        reach: how far one value looks: at its own token, at tokens of the same sequence, at sequences with the same id in its
            parameter ``group``, or across the batch. It decides what a micro-batch has to know of the rest of its step, so a
            reach that is too small makes results depend on the cut.
        interval: the values that it can take, for the checks of controllers' targets.

    Raises:
        TypeError: it is no function that is defined by ``def``, or an annotation is missing or says nothing to the language.
        ValueError: the name is none, or is taken by the language (its functions, its words, batch fields), its library, a
            linked crate or another module.
    """

    def decorate(function: Function) -> Function:
        described = _describe(function, name, version, extras or {})
        if reach == "group" and all(of["name"] != "group" for of in described["inputs"]):
            raise TypeError(f'`{described["name"]}`: `reach="group"` needs a parameter `group: aent.SeqInt`')
        _aent.register_term({**described, "gradient": gradient, "reach": reach, "interval": interval}, function)
        return function

    return decorate if function is None else decorate(function)


def _describe(
    function: Callable[..., Any], name: str | None, version: str | None, extras: Mapping[str, Any]
) -> dict[str, Any]:
    _require_function(function)
    name = name or function.__name__
    if not _NAME.fullmatch(name):
        raise ValueError(f"`name`: expected a name like `my_term` or `mine::my_term`, found `{name}`")
    hints = typing.get_type_hints(function, include_extras=True)
    inputs, constants = [], []
    for parameter in inspect.signature(function).parameters.values():
        place = f"`{name}`, parameter `{parameter.name}`"
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise TypeError(f"{place}: expected a parameter that can be given by name, found `{parameter}`")
        hint = hints.get(parameter.name)
        default = None if parameter.default is parameter.empty else parameter.default
        if parameter.kind is parameter.KEYWORD_ONLY:
            kind = _CONSTANTS.get(hint) if hint is not None else None
            if kind is None:
                raise TypeError(f"{place}: expected an annotation {_KINDS}, found `{_shown(hint)}`")
            constants.append({"name": parameter.name, "kind": kind, "default": default})
        else:
            inputs.append({"name": parameter.name, "ty": _tensor(hint, place), "default": default})
    return {
        "name": name,
        "owner": f"python:{function.__module__}",
        "version": version or _fingerprint(function),
        "docs": inspect.getdoc(function) or "",
        "inputs": inputs,
        "constants": constants,
        "result": _tensor(hints.get("return"), f"`{name}`, the result"),
        "extras": [(extra, _tensor(hint, f"`{name}`, extra `{extra}`")) for extra, hint in extras.items()],
    }


def _require_function(given: Any) -> None:
    """Refuses what has no name, source or annotations of its own, or gives no tensor when it is called."""
    if not (inspect.isfunction(given) or inspect.ismethod(given)):
        found = f"the class `{given.__name__}`" if inspect.isclass(given) else f"a `{type(given).__name__}`"
        raise TypeError(f"`aent.term`: expected a function, found {found}; write a function with `def` that calls it")
    if inspect.iscoroutinefunction(given) or inspect.isgeneratorfunction(given) or inspect.isasyncgenfunction(given):
        raise TypeError(
            f"`{given.__name__}`: expected a function that returns a tensor, found a coroutine or generator"
        )


def _tensor(hint: Any, place: str) -> str:
    if typing.get_origin(hint) is Annotated and hint in (Token, Seq, Scalar, TokenBool, SeqBool, TokenInt, SeqInt):
        return str(typing.get_args(hint)[1])
    raise TypeError(f"{place}: expected an annotation {_TENSORS}, found `{_shown(hint)}`")


def _shown(hint: Any) -> str:
    return "no annotation" if hint is None else getattr(hint, "__name__", str(hint))


def _fingerprint(function: Callable[..., Any]) -> str:
    """Changes when the function does: its source, or its code where there is no source."""
    try:
        text = textwrap.dedent(inspect.getsource(function)).encode()
    except (OSError, TypeError):
        text = function.__code__.co_code + repr(function.__code__.co_consts).encode()
    return hashlib.sha256(text).hexdigest()[:12]
