"""Tables and pictures of the runs in `runs.jsonl`.

    python python/studies/report.py sums [--pictures docs/images] [--page docs/evidence.md]

Prints Markdown: for each method and setting the held-out accuracy at the end and over the run, with 95% bootstrap intervals over
seeds, the probability of being better than training without an entropy term, the entropies, and the answers. In a page it
replaces the table after the study's comment.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pictures
from certainty import improvement, interval
from pictures import Line, ended
from plans import BAND, GRID, SHORT, STUDIES
from run import lines


def main() -> None:
    """Prints the table of a study, draws it, and puts it into a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=sorted(STUDIES))
    parser.add_argument("--pictures", type=Path, help="the folder to draw into")
    parser.add_argument("--page", type=Path, help="the page to put the table into")
    asked = parser.parse_args()
    runs = finished(asked.study)
    if not runs:
        raise SystemExit(f"no run of `{asked.study}` is finished")
    made = table(grouped(runs))
    print(made)
    if asked.pictures:
        drawn = pictures.sweep if asked.study == "sweep" else pictures.study
        drawn(runs, asked.pictures / f"{asked.study.replace('_', '-')}.png")
    if asked.page:
        asked.page.write_text(placed(asked.page.read_text(), asked.study, made))


def finished(study: str) -> list[Line]:
    """The runs of a study that are there."""
    planned = {run.name for run in STUDIES[study]}
    return [line for line in lines() if line["name"] in planned]


def grouped(runs: list[Line]) -> dict[str, list[Line]]:
    """Runs by method and params, whatever their seed, in the order of the grid."""
    methods: dict[str, list[Line]] = defaultdict(list)
    for line in sorted(runs, key=lambda line: (list(GRID).index(line["method"]), list(line["params"].values()))):
        params = ", ".join(f"{name} = {value:g}" for name, value in line["params"].items())
        methods[f"{line['method']} ({params})" if params else line["method"]].append(line)
    return dict(methods)


def table(methods: dict[str, list[Line]]) -> str:
    """A row for each method; a column that says nothing of any is left out."""
    none = [ended(line, "held_out") for line in methods.get("none", [])]
    rows = [[method, *(cell(runs, none) for cell in COLUMNS.values())] for method, runs in methods.items()]
    head = ["loss", *COLUMNS]
    told = [index for index in range(len(head)) if any(row[index] for row in rows)]
    shown = [[row[index] for index in told] for row in (head, ["---"] * len(head), *rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in shown)


def better(runs: list[Line], none: list[float]) -> str:
    """The probability of ending higher than without a term; one seed beside another tells nothing."""
    if runs[0]["method"] == "none" or len(none) < 2 or len(runs) < 2:
        return ""
    return number(*improvement([ended(line, "held_out") for line in runs], none), percent=True)


def in_band(runs: list[Line]) -> str:
    """The share of steps that AEnt's band holds."""
    return (
        f"{np.mean([np.mean([BAND[0] <= x <= BAND[1] for x in line['history']['entropy'][1]]) for line in runs]):.0%}"
    )


def stray(runs: list[Line]) -> str:
    """The share of probability on tokens that begin no answer."""
    shares = [ended(line, "stray") for line in runs if "stray" in line["history"]]
    return f"{np.mean(shares):.1%}" if shares else ""


def lengths(runs: list[Line]) -> str:
    """The mean lengths of right and wrong answers; empty for a task with short answers."""
    if runs[0]["tokens"] <= SHORT:
        return ""
    means = [np.mean([ended(line, of) for line in runs if of in line["history"]] or [np.nan]) for of in LENGTHS]
    return " and ".join(f"{mean:.1f}" for mean in means)


LENGTHS = ("length_right", "length_wrong")

COLUMNS: dict[str, Callable[[list[Line], list[float]], str]] = {
    "seeds": lambda runs, _: str(len(runs)),
    "right at the end": lambda runs, _: number(*interval([ended(line, "held_out") for line in runs]), percent=True),
    "right over the run": lambda runs, _: number(*interval([area(line, "held_out") for line in runs]), percent=True),
    "better than none": better,
    "entropy at the end": lambda runs, _: number(*interval([ended(line, "full_entropy") for line in runs])),
    "steps in the band": lambda runs, _: in_band(runs),
    "stray": lambda runs, _: stray(runs),
    "tokens of right and wrong answers": lambda runs, _: lengths(runs),
}


def area(line: Line, name: str) -> float:
    """The mean over the run."""
    return float(np.mean(line["history"][name][1]))


def number(mean: float, low: float, high: float, percent: bool = False) -> str:
    """A number with its interval, which one seed does not have."""
    form = ".0%" if percent else ".2f"
    return f"{mean:{form}} ({low:{form}} to {high:{form}})" if low < high else f"{mean:{form}}"


def placed(page: str, study: str, made: str) -> str:
    """The page with the table after the comment of its study."""
    begun = f"<!-- {study} -->\n"
    if begun not in page:
        raise SystemExit(f"expected the line `{begun.strip()}` in the page")
    return re.sub(re.escape(begun) + r"(\|.*\n)*", lambda _: f"{begun}{made}\n", page)


if __name__ == "__main__":
    main()
