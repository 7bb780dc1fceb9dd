"""Tables and pictures of the runs in `runs.jsonl`.

    python python/studies/report.py grid [--pictures docs/images]

Prints Markdown: for each method and setting the held-out accuracy at the end and over the run, with 95% bootstrap intervals over
seeds, the probability of being better than training without an entropy term, the entropies, and the answers.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pictures
from certainty import improvement, interval
from pictures import ended
from plans import BAND, GRID, STUDIES
from run import lines

Line = dict[str, Any]


def main() -> None:
    """Prints the table of a study, and draws it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=sorted(STUDIES))
    parser.add_argument("--pictures", type=Path, help="the folder to draw into")
    asked = parser.parse_args()
    planned = {run.name for run in STUDIES[asked.study]}
    runs = [line for line in lines() if line["name"] in planned]
    methods = grouped(runs)
    if not methods:
        raise SystemExit(f"no run of `{asked.study}` is finished")
    print(table(methods))
    if asked.pictures:
        drawn = pictures.sweep if asked.study == "sweep" else pictures.study
        drawn(runs, asked.pictures / f"{asked.study.replace('_', '-')}.png")


def grouped(runs: list[Line]) -> dict[str, list[Line]]:
    """Runs by method and params, whatever their seed, in the order of the grid."""
    methods: dict[str, list[Line]] = defaultdict(list)
    for line in sorted(runs, key=lambda line: (list(GRID).index(line["method"]), list(line["params"].values()))):
        params = ", ".join(f"{name} = {value:g}" for name, value in line["params"].items())
        methods[f"{line['method']} ({params})" if params else line["method"]].append(line)
    return dict(methods)


def table(methods: dict[str, list[Line]]) -> str:
    """A row for each method."""
    head = ["loss", "seeds", "right at the end", "right over the run", "better than none", "entropy at the end"]
    head += ["steps in the band", "stray", "tokens of right and wrong answers"]
    rows = [head, ["---"] * len(head)]
    none = [ended(line, "held_out") for line in methods.get("none", [])]
    for method, runs in methods.items():
        right = [ended(line, "held_out") for line in runs]
        over = [area(line, "held_out") for line in runs]
        # One seed beside another tells nothing.
        compared = method != "none" and len(none) > 1 and len(right) > 1
        against = shown(*improvement(right, none), percent=True) if compared else ""
        in_band = np.mean([np.mean([BAND[0] <= x <= BAND[1] for x in line["history"]["entropy"][1]]) for line in runs])
        lengths = " and ".join(
            f"{np.mean([ended(line, of) for line in runs if of in line['history']] or [np.nan]):.1f}"
            for of in ("length_right", "length_wrong")
        )
        stray = [ended(line, "stray") for line in runs if "stray" in line["history"]]
        row = [
            method,
            str(len(runs)),
            shown(*interval(right), percent=True),
            shown(*interval(over), percent=True),
            against,
        ]
        row += [shown(*interval([ended(line, "full_entropy") for line in runs])), f"{in_band:.0%}"]
        rows.append([*row, f"{np.mean(stray):.1%}" if stray else "", lengths])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def area(line: Line, name: str) -> float:
    """The mean over the run."""
    return float(np.mean(line["history"][name][1]))


def shown(mean: float, low: float, high: float, percent: bool = False) -> str:
    """A number with its interval, which one seed does not have."""
    form = ".0%" if percent else ".2f"
    return f"{mean:{form}} ({low:{form}} to {high:{form}})" if low < high else f"{mean:{form}}"


if __name__ == "__main__":
    main()
