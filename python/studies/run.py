"""Runs the studies of `plans.py` with `examples/language_model.py`: resumable, several at a time, each a line of `runs.jsonl`.

    PYTHONPATH=target/python/site python python/studies/run.py grid --jobs 2

A run that was stopped goes on from its last checkpoint; one whose line is there is not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from plans import STUDIES, Run

ROOT = Path(__file__).resolve().parents[2]
LINES = Path(__file__).with_name("runs.jsonl")
FOLDER = ROOT / "runs" / "studies"


def main() -> None:
    """Runs what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=sorted(STUDIES), nargs="+")
    parser.add_argument("--seeds", type=int, help="only the first so many seeds of each study")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, each on its share of the cores")
    asked = parser.parse_args()
    known = {line["name"] for line in lines()}
    wanted = [run for study in asked.study for run in first(STUDIES[study], asked.seeds)]
    missing = [run for run in wanted if run.name not in known]
    print(f"{len(missing)} runs to do", flush=True)
    threads = max(1, (os.cpu_count() or 1) // asked.jobs)
    with ThreadPoolExecutor(asked.jobs) as pool:
        for run, failed in zip(missing, pool.map(lambda run: finish(run, threads), missing), strict=True):
            print(f"{run.name}: {failed or 'done'}", flush=True)


def first(runs: list[Run], seeds: int | None) -> list[Run]:
    """Those of the first seeds, or all."""
    kept = sorted({run.seed for run in runs})[:seeds]
    return [run for run in runs if run.seed in kept]


def lines() -> list[dict[str, Any]]:
    """The runs that were finished."""
    return [json.loads(line) for line in LINES.read_text().splitlines()] if LINES.exists() else []


def finish(run: Run, threads: int) -> str | None:
    """Runs to the end and adds the line; the reason where that fails."""
    folder = FOLDER / run.name
    folder.mkdir(parents=True, exist_ok=True)
    script = ROOT / "python" / "examples" / "language_model.py"
    begun = folder / "version"
    if not begun.exists():
        begun.write_text(version())
    command = [sys.executable, str(script), *run.arguments(ROOT), "--out", str(folder)]
    if any(folder.glob("checkpoint-*")):
        command.append("--resume")
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONWARNINGS": "ignore"}
    with (folder / "log").open("ab") as log:
        ended = subprocess.run(command, env=environment, stdout=log, stderr=log, check=False)  # noqa: S603
    if ended.returncode != 0:
        return f"failed with {ended.returncode}: see {folder / 'log'}"
    made = json.loads((folder / "history.json").read_text())
    record = run.facts() | {"version": begun.read_text(), "kind": made["kind"], "history": columns(made["log"])}
    with WRITING, LINES.open("a") as out:
        out.write(json.dumps(record) + "\n")
    for checkpoint in folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    return None


WRITING = threading.Lock()


def version() -> str:
    """The commit of the checkout, marked where a file differs from it other than the finished runs."""
    git = ["git", "-C", str(ROOT)]
    commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], check=True, capture_output=True, text=True)  # noqa: S603
    others = [*git, "diff", "--quiet", "HEAD", "--", ".", f":!{LINES.relative_to(ROOT)}"]
    return commit.stdout.strip() + ("-dirty" if subprocess.run(others, check=False).returncode else "")  # noqa: S603


def columns(history: list[dict[str, Any]]) -> dict[str, list[list[float]]]:
    """By the name of what was logged: steps and values, to five digits."""
    kept: dict[str, list[list[float]]] = {}
    for entry in history:
        for name, value in entry.items():
            if name.startswith("aent/") or name in {"reward", "held_out", "stray", "length_right", "length_wrong"}:
                steps, values = kept.setdefault(name.removeprefix("aent/"), [[], []])
                steps.append(entry["step"])
                values.append(float(f"{value:.5g}"))
    return kept


if __name__ == "__main__":
    main()
