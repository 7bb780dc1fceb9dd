"""Runs a worker of verl's engines, with one rank and with two where nothing else is asked."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

#: By the number of ranks and the rank: what verl's engine did with four sequences.
Reports = dict[tuple[int, int], dict[str, Any]]


def reports_of(worker: Path, folder: Path, worlds: Sequence[int] = (1, 2), **settings: str) -> Reports:
    """What each rank left, with these variables of the environment."""
    found = {}
    for world in worlds:
        commands = [[sys.executable, str(worker), str(folder), str(rank), str(world)] for rank in range(world)]
        environment = os.environ | {"HF_HUB_OFFLINE": "1"} | settings
        ranks = [subprocess.Popen(command, env=environment) for command in commands]
        try:
            assert [rank.wait(timeout=300) for rank in ranks] == [0] * world
        finally:
            for rank in ranks:
                rank.kill()
        found |= {(world, rank): torch.load(folder / f"report-{world}-{rank}.pt") for rank in range(world)}
    return found
