"""``%%aent NAME`` in IPython and Jupyter: a cell is a file, and the program of it gets that name.

%load_ext aent

%%aent program --set eps=0.1
param eps = 0.2
loss = token_mean(clip_ppo(low = eps, high = eps))
"""

from __future__ import annotations

import re
import warnings
from functools import cache
from typing import Any

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, cell_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring
from IPython.display import display

from ._aent import catalog
from .compiler import Report, check, compile
from .errors import SpecError, SpecWarning

STATEMENTS = ("assert", "controller", "edition", "fn", "import", "input", "let", "loss", "metric", "param", "set")
DEFINED = re.compile(r"^\s*(?:let|param|input|controller|fn|extra)\s+(\w+)", re.MULTILINE)
HEAD = re.compile(r"\s*%%aent\b.*\n?")
CALL = re.compile(r"([A-Za-z_][\w:]*)\s*\($")


@magics_class
class AentMagics(Magics):
    """The cell magic."""

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self.names = shell.user_ns

    @magic_arguments()
    @argument("name", nargs="?", help="The variable that gets the program; without it, the cell is only checked.")
    @argument("--set", action="append", default=[], metavar="NAME=VALUE", help="Set a `param` of the file.")
    @cell_magic
    def aent(self, line: str, cell: str) -> None:
        """Compiles the cell, or shows what is wrong with it."""
        arguments = parse_argstring(self.aent, line)
        params = dict(setting(text) for text in arguments.set)
        if arguments.name is None:
            display(check(cell, params=params))
            return
        if not arguments.name.isidentifier():
            message = f"`{arguments.name}`: expected the name of a variable"
            raise UsageError(message)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SpecWarning)
                program = compile(cell, params=params)
        except SpecError as error:
            display(Report(error.rendered, error.diagnostics))
            return
        self.names[arguments.name] = program
        if program.warnings:
            display(Report(program.warnings, []))
        display(program)


def setting(text: str) -> tuple[str, float | bool | str]:
    """``NAME=VALUE`` as the command line reads it: a number, ``true`` or ``false``, or else a string."""
    name, equals, value = text.partition("=")
    if not equals:
        message = f"`--set {text}`: expected NAME=VALUE"
        raise UsageError(message)
    if value in ("true", "false"):
        return name, value == "true"
    try:
        return name, float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
    except ValueError:
        return name, value


@context_matcher()
def matcher(context: CompletionContext) -> SimpleMatcherResult:
    """Completes names inside of such a cell, and nothing elsewhere."""
    head = HEAD.match(context.full_text)
    if head is None or context.cursor_line == 0:
        return {"completions": []}
    lines = context.full_text.splitlines()[: context.cursor_line + 1]
    before = "\n".join([*lines[1:-1], lines[-1][: context.cursor_position]])
    found = completions(before, context.full_text[head.end() :])
    return {"completions": [SimpleCompletion(text, type=kind) for text, kind in found], "suppress": True}


def completions(before: str, cell: str) -> list[tuple[str, str]]:
    """What may stand at the end of ``before``, each with its kind; names of the whole cell are among it."""
    start = re.search(r"[A-Za-z_]\w*$|$", before)
    word = start[0] if start else ""
    rest = before[: len(before) - len(word)]
    if rest.rsplit("\n", 1)[-1].count('"') % 2 or "#" in rest.rsplit("\n", 1)[-1]:
        return []
    names: dict[str, str] = {}
    if re.search(r"(^|\n)\s*$", rest) and not is_open(rest):
        names |= dict.fromkeys(STATEMENTS, "keyword")
    if (call := innermost(rest)) in parameters():
        names |= {f"{name} = ": "param" for name in parameters()[call]}
    names |= dict.fromkeys(DEFINED.findall(cell), "instance")
    for kind, listed in known().items():
        names |= dict.fromkeys(listed, kind)
    return [(name, kind) for name, kind in names.items() if name.startswith(word)]


def innermost(text: str) -> str | None:
    """The name of the call in which the text ends."""
    depth = 0
    for at in range(len(text) - 1, -1, -1):
        depth += {")": 1, "(": -1}.get(text[at], 0)
        if depth < 0:
            found = CALL.search(text[: at + 1])
            return found[1] if found else None
    return None


def is_open(text: str) -> bool:
    """Whether a parenthesis is open at the end of the text."""
    return text.count("(") > text.count(")")


@cache
def known() -> dict[str, list[str]]:
    """The names that every file has, by what IPython calls their kind."""
    found = catalog()
    calls = ("terms", "reductions", "controllers", "functions")
    return {
        "function": [entry["name"] for of in calls for entry in found[of]],
        "instance": [entry["name"] for entry in found["fields"]],
    }


@cache
def parameters() -> dict[str, list[str]]:
    """The arguments by name of everything that takes some."""
    found = catalog()
    return {
        entry["name"]: [of["name"] for of in [*entry["parameters"], *entry.get("inputs", [])]]
        for of in ("terms", "reductions", "controllers")
        for entry in found[of]
    }


def load(shell: InteractiveShell) -> None:
    """What ``%load_ext aent`` does."""
    shell.register_magics(AentMagics)
    completer: Any = shell.Completer
    if matcher not in completer.custom_matchers:
        completer.custom_matchers.append(matcher)
