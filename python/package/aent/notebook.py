"""Diagnostics and programs in a notebook."""

from __future__ import annotations

import html
import re
from typing import Any

_COLOURS = {"error": "#c62828", "warning": "#b26a00", "help": "#2e7d32", "note": "#2e7d32"}
_STYLE = "font-family: monospace; white-space: pre; line-height: 1.35; overflow-x: auto"
_HEAD = re.compile(r"^(error|warning)(\[[a-z-]+\])?:.*$")
_REMARK = re.compile(r"^( *= )(help|note)(:.*)$")
_MARKS = re.compile(r"^( *\| *)([\^-][\^ -]*)(.*)$")


def as_html(rendered: str) -> str:
    """Drawn diagnostics as one block of HTML: severities and the marked places in colour."""
    colour = _COLOURS["error"]
    lines = []
    for line in rendered.splitlines():
        if head := _HEAD.match(line):
            colour = _COLOURS[head[1]]
            lines.append(_span(line, f"color: {colour}; font-weight: bold"))
        elif remark := _REMARK.match(line):
            kind = _span(remark[2], f"color: {_COLOURS[remark[2]]}; font-weight: bold")
            lines.append(html.escape(remark[1]) + kind + html.escape(remark[3]))
        elif marks := _MARKS.match(line):
            lines.append(html.escape(marks[1]) + _span(marks[2] + marks[3], f"color: {colour}"))
        else:
            lines.append(html.escape(line))
    return f'<div style="{_STYLE}">' + "\n".join(lines) + "</div>"


def _span(text: str, style: str) -> str:
    return f'<span style="{style}">{html.escape(text)}</span>'


def of_program(program: Any) -> str:
    """A program as a table: what it reads, what of each row, what it reports, and where its coefficients are."""
    rows = {
        "reads": ", ".join(sorted(program.fields)),
        "of each row": ", ".join(program.row_names),
        "params": ", ".join(f"{name} = {value}" for name, value in program.params.items()),
        "coefficients": ", ".join(f"{name} = {value:g}" for name, value in program.coefficients.items()),
        "steps": str(program.steps),
        "first pass": program.first_pass,
    }
    cells = (f"<tr><th>{name}</th><td>{html.escape(text)}</td></tr>" for name, text in rows.items() if text)
    return f'<table style="text-align: left">{"".join(cells)}</table>'
