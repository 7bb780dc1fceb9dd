"""Tables and pictures of the runs in `runs.jsonl`.

    python python/studies/report.py grid [--pictures docs/images]

Prints Markdown: for each method and setting the held-out accuracy at the end and over the run, with 95% bootstrap intervals over
seeds, the probability of being better than training without an entropy term, the entropies, and the answers. Of the study `sweep`
it draws what the coefficient decides.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from certainty import improvement, interval
from plans import GRID
from run import lines

BAND = (0.4, 0.7)
Line = dict[str, Any]


def main() -> None:
    """Prints the table of a study, and draws its curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study")
    parser.add_argument("--pictures", type=Path, help="the folder to draw into")
    asked = parser.parse_args()
    methods = grouped([line for line in lines() if line["study"] == asked.study])
    if not methods:
        raise SystemExit(f"no run of `{asked.study}` is finished")
    print(table(methods))
    if asked.pictures and asked.study == "sweep":
        sweep([line for line in lines() if line["study"] == "sweep"], asked.pictures / "sweep.png")
    elif asked.pictures:
        for name, title in (
            ("held_out", "held-out accuracy"),
            ("full_entropy", "entropy"),
            ("entropy", "entropy of the 100 likeliest"),
        ):
            curves(methods, name, title, asked.pictures / f"{asked.study}-{name.replace('_', '-')}.png")


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


def ended(line: Line, name: str) -> float:
    """The mean of the last tenth of a run, at least of one value."""
    values = line["history"][name][1]
    return float(np.mean(values[-max(1, len(values) // 10) :]))


def area(line: Line, name: str) -> float:
    """The mean over the run."""
    return float(np.mean(line["history"][name][1]))


def shown(mean: float, low: float, high: float, percent: bool = False) -> str:
    """A number with its interval, which one seed does not have."""
    form = ".0%" if percent else ".2f"
    return f"{mean:{form}} ({low:{form}} to {high:{form}})" if low < high else f"{mean:{form}}"


def curves(methods: dict[str, list[Line]], name: str, title: str, to: Path) -> None:
    """Each method's mean over seeds with its interval, over the steps."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    for method, runs in methods.items():
        steps = runs[0]["history"][name][0]
        values = [line["history"][name][1] for line in runs if line["history"][name][0] == steps]
        mean, low, high = np.array([interval(of_seeds) for of_seeds in zip(*values, strict=True)]).T
        (drawn,) = axes.plot(steps, mean, label=method)
        axes.fill_between(steps, low, high, color=drawn.get_color(), alpha=0.15, linewidth=0)
    if name == "entropy":
        axes.axhspan(*BAND, color="black", alpha=0.06)
    axes.set(xlabel="step", ylabel=title)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small")
    figure.savefig(to, dpi=150)
    pyplot.close(figure)


def sweep(runs: list[Line], to: Path) -> None:
    """Held-out accuracy and entropy at the end, over the coefficient; of a steered one over its start."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, places = pyplot.subplots(1, 2, figsize=(9, 4), layout="constrained")
    for axes, name, title in zip(places, ("held_out", "full_entropy"), ("held-out accuracy", "entropy"), strict=True):
        for method in GRID:
            of = sorted((line["params"]["coef"], ended(line, name)) for line in runs if line["method"] == method)
            if of:
                axes.plot(*zip(*of, strict=True), marker="o", label=method)
        axes.set(xscale="log", xlabel="coefficient", ylabel=title)
        axes.spines[["top", "right"]].set_visible(False)
    places[1].axhspan(*BAND, color="black", alpha=0.06)
    places[0].legend(frameon=False, fontsize="small")
    figure.savefig(to, dpi=150)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
