"""``%%aent NAME`` in IPython and Jupyter: a cell is a file, and the program of it gets that name.

%load_ext aent

%%aent program --set eps=0.1
param eps = 0.2
loss = token_mean(clip_ppo(low = eps, high = eps))
"""

from __future__ import annotations

import re
import warnings
from typing import Any

from IPython.core.completer import (
    CompletionContext,
    SimpleCompletion,
    SimpleMatcherResult,
    context_matcher,
    cursor_to_position,
)
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, cell_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring
from IPython.display import display

from ._aent import complete
from .compiler import Report, check, compile
from .errors import SpecError, SpecWarning

HEAD = re.compile(r"\s*%%aent\b.*\n")


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
    """Completes inside of such a cell as an editor does, and nothing elsewhere."""
    head = HEAD.match(context.full_text)
    cursor = cursor_to_position(context.full_text, context.cursor_line, context.cursor_position)
    if head is None or cursor < head.end():
        return {"completions": []}
    cell, place = context.full_text[head.end() :], cursor - head.end()
    start, found = complete(cell, place)
    word = cell[start:place]
    return {
        "completions": [SimpleCompletion(text, type=kind) for text, kind in found if text.startswith(word)],
        "matched_fragment": word,
        "ordered": True,
        "suppress": True,
    }


def load(shell: InteractiveShell) -> None:
    """What ``%load_ext aent`` does."""
    shell.register_magics(AentMagics)
    completer: Any = shell.Completer
    if matcher not in completer.custom_matchers:
        completer.custom_matchers.append(matcher)
