"""Pictures of the studies: the runs of each method over the steps, and what the coefficient of a bonus decides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from certainty import interval
from plans import BAND, GRID, SHORT

Line = dict[str, Any]

# A method is drawn alike in every picture (colours of Okabe and Ito).
COLOURS = ["black", "#d55e00", "#0072b2", "#56b4e9", "#009e73", "#cc79a7", "#e69f00"]
COLOUR = dict(zip(GRID, COLOURS, strict=True))
LABEL = {
    "none": "no entropy term",
    "full": "full bonus",
    "clamped": "clamped bonus, likeliest 70%",
    "top_k": "clamped bonus, likeliest 100",
    "aent": "AEnt, steered",
    "clip_cov": "Clip-Cov",
    "skywork_or1": "Skywork-OR1",
}
# A curve of every step is the mean of this step and those before it.
SMOOTHED = 10

Panel = tuple[str, str, str]
RIGHT = ("held_out", "held-out answers right", "linear")
SHARED: list[Panel] = [
    ("full_entropy", "entropy, nats", "linear"),
    ("entropy", "entropy of the 100 likeliest, nats", "linear"),
]
COEFFICIENT = ("coefficient/beta", "coefficient", "log")
LENGTHS: list[Panel] = [
    ("length_right", "tokens of right answers", "linear"),
    ("length_wrong", "tokens of wrong answers", "linear"),
]


def study(runs: list[Line], to: Path) -> None:
    """A panel for each quantity, with each method's mean over its seeds and the 95% interval of that."""
    pyplot = plotter()
    long = any(line["tokens"] > SHORT for line in runs)
    panels = [RIGHT, *SHARED, *(LENGTHS if long else [COEFFICIENT])]
    columns = 2 if len(panels) == 4 else 3
    rows = -(-len(panels) // columns)
    figure, places = pyplot.subplots(rows, columns, figsize=(4.4 * columns, 3.1 * rows), layout="constrained")
    for axes, (name, title, scale) in zip(places.flat, panels, strict=False):
        for method in GRID:
            curve(axes, [line for line in runs if line["method"] == method and name in line["history"]], name)
        if name == "entropy":
            axes.axhspan(*BAND, color="black", alpha=0.08, linewidth=0)
        axes.set(xlabel="step", yscale=scale)
        if name == "held_out":
            axes.yaxis.set_major_formatter("{x:.0%}")
        axes.set_title(title, loc="left", fontsize="medium")
    for axes in places.flat[len(panels) :]:
        axes.remove()
    handles, labels = places.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize="small")
    figure.savefig(to, dpi=150)
    pyplot.close(figure)


def curve(axes: Any, runs: list[Line], name: str) -> None:
    """The mean and interval of one method; of steps that a run lacks, such as those without a right answer, over the others."""
    if not runs:
        return
    method = runs[0]["method"]
    steps = sorted(set.union(*(set(line["history"][name][0]) for line in runs)))
    window = 1 if name == "held_out" else SMOOTHED
    values = np.full((len(runs), len(steps)), np.nan)
    for row, line in zip(values, runs, strict=True):
        known = dict(zip(*line["history"][name], strict=True))
        for place, step in enumerate(steps):
            near = [known[of] for of in steps[max(0, place + 1 - window) : place + 1] if of in known]
            row[place] = np.mean(near) if near and step in known else np.nan
    bounds = [interval(column[~np.isnan(column)], draws=2000) for column in values.T]
    mean, low, high = np.array(bounds).T
    drawn = {"label": LABEL[method], "color": COLOUR[method]}
    if window == 1:
        # Beside each other, so that the whiskers of all methods can be seen.
        beside = np.array(steps) + list(GRID).index(method) - len(GRID) // 2
        axes.errorbar(beside, mean, [mean - low, high - mean], marker="o", markersize=3, elinewidth=0.8, **drawn)
    else:
        axes.plot(steps, mean, **drawn)
        axes.fill_between(steps, low, high, color=COLOUR[method], alpha=0.15, linewidth=0)


def sweep(runs: list[Line], to: Path) -> None:
    """Held-out accuracy and entropy at the end, over the coefficient; of a steered one over its start."""
    pyplot = plotter()
    figure, places = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    panels = (("held_out", "held-out answers right, last look"), ("full_entropy", "entropy of the last steps, nats"))
    for axes, (name, title) in zip(places, panels, strict=True):
        for method in GRID:
            of = sorted((line["params"]["coef"], ended(line, name)) for line in runs if line["method"] == method)
            if of:
                axes.plot(*zip(*of, strict=True), marker="o", label=LABEL[method], color=COLOUR[method])
        axes.set(xscale="log", xlabel="coefficient, of AEnt its start and step")
        axes.set_title(title, loc="left", fontsize="medium")
        axes.set_ylim(bottom=0)
    places[0].yaxis.set_major_formatter("{x:.0%}")
    places[0].legend(frameon=False, fontsize="small")
    figure.savefig(to, dpi=150)
    pyplot.close(figure)


def ended(line: Line, name: str) -> float:
    """The mean of the last tenth of a run, at least of one value."""
    values = line["history"][name][1]
    return float(np.mean(values[-max(1, len(values) // 10) :]))


def plotter() -> Any:
    """Matplotlib without a window, in the style of all pictures."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams |= {"axes.spines.top": False, "axes.spines.right": False, "font.size": 9}
    return pyplot
