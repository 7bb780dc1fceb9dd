"""The statistics of the studies, against every draw there is."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "studies"))

import pictures
from certainty import improvement, interval
from report import finished, grouped, placed, table
from run import columns


def test_an_interval_is_that_of_all_draws() -> None:
    seeds = [0.1, 0.4, 0.45, 0.9]
    every = sorted(np.mean(draw) for draw in itertools.product(seeds, repeat=len(seeds)))
    mean, low, high = interval(seeds, level=0.8)
    assert mean == pytest.approx(np.mean(seeds))
    assert low == pytest.approx(np.quantile(every, 0.1), abs=0.01)
    assert high == pytest.approx(np.quantile(every, 0.9), abs=0.01)


def test_improvement_counts_pairs_and_halves_ties() -> None:
    one, other = [0.2, 0.5, 0.9], [0.5, 0.1]
    mean, low, high = improvement(one, other)
    assert mean == pytest.approx((0 + 1 + 0.5 + 1 + 1 + 1) / 6)
    assert 0 <= low < mean < high <= 1
    assert improvement(one, one)[0] == 0.5


def test_a_line_keeps_what_was_logged_with_its_steps() -> None:
    history = [{"step": 1, "reward": 0.123456789, "loss": 3.0}, {"step": 2, "reward": 0.5, "aent/entropy": 0.25}]
    assert columns(history) == {"reward": [[1, 2], [0.12346, 0.5]], "entropy": [[2], [0.25]]}


def test_a_row_stands_for_all_seeds_of_a_setting() -> None:
    def line(method: str, held_out: float, **params: float) -> dict[str, object]:
        values = {"held_out": held_out, "entropy": 0.5, "full_entropy": 0.6, "length_right": 3, "length_wrong": 5}
        history = {name: [[1, 2], [value, value]] for name, value in values.items()}
        return {"method": method, "params": params, "tokens": 8, "history": history}

    rows = table(grouped([line("none", 0.4), line("full", 0.5, coef=0.1), line("full", 0.7, coef=0.1)])).splitlines()
    assert len(rows) == 4
    assert "stray" not in rows[0]  # No run says anything of it.
    assert "tokens" not in table(grouped([line("none", 0.4) | {"tokens": 5}]))  # Short answers: lengths are omitted.
    cells = [cell.strip() for cell in rows[3].strip("|").split("|")]
    # Of one seed there is no interval, and with one seed no comparison.
    assert cells[:4] == ["full (coef = 0.1)", "2", "60% (50% to 70%)", "60% (50% to 70%)"]
    assert cells[4:] == ["0.60", "100%", "3.0 and 5.0"]
    rows = table(grouped([line("full", 0.5), line("none", 0.4), line("none", 0.6), line("full", 0.7)])).splitlines()
    assert [row.split("|")[1].strip() for row in rows[2:]] == ["none", "full"]
    # One draw of sixteen has the worse seed of one twice and the better of the other twice: more than a fortieth.
    assert rows[3].split("|")[5].strip() == "75% (0% to 100%)"


def test_a_page_has_the_table_of_all_runs_that_are_finished() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "evidence.md").read_text()
    for study in filter(finished, ("sums", "chain_sum", "sweep")):
        assert placed(page, study, table(grouped(finished(study)))) == page, f"run studies/report.py {study} --page"


def test_a_table_takes_the_place_of_the_last_one() -> None:
    page = "text\n<!-- sums -->\n| a |\n| b |\n\nmore\n<!-- sweep -->\n\nend\n"
    assert placed(page, "sums", "| c |") == page.replace("| a |\n| b |", "| c |")
    assert placed(page, "sweep", "| c |") == page.replace("<!-- sweep -->", "<!-- sweep -->\n| c |")


def test_a_picture_is_drawn_of_what_was_run_so_far(tmp_path: Path) -> None:
    def line(method: str, **history: list[list[float]]) -> dict[str, object]:
        every = {"held_out": [[2], [0.5]], "entropy": [[1, 2], [0.5, 0.6]], "full_entropy": [[1, 2], [0.7, 0.8]]}
        return {"method": method, "tokens": 32, "params": {"coef": 0.1}, "history": every | history}

    # The one run has a right answer in each step, the other in the second alone.
    runs = [line("full", length_right=[[1, 2], [3, 5]]), line("full", length_right=[[2], [4]]), line("aent")]
    for draw in (pictures.study, pictures.sweep):
        to = tmp_path / f"{draw.__name__}.png"
        draw(runs, to)
        assert to.read_bytes().startswith(b"\x89PNG")


def test_a_curve_is_the_mean_of_the_runs_that_have_the_step() -> None:
    drawn: list[list[list[float]]] = []

    class Axes:
        def plot(self, *values: list[float], **_: object) -> None:
            drawn.append([list(of) for of in values])

        def fill_between(self, *_: object, **__: object) -> None:
            pass

    # Smoothed: the second step of the first run is the mean of its two.
    runs = [{"method": "full", "history": {"entropy": of}} for of in ([[1, 2], [3, 5]], [[2], [5]])]
    pictures.curve(Axes(), runs, "entropy")
    assert drawn == [[[1, 2], [3, 4.5]]]
