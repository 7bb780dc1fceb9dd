"""How sure a result of a few seeds is: the statistics of rliable (arXiv 2108.13264) for one task."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

DRAWS = 50_000


def interval(of_seeds: Sequence[float], level: float = 0.95, draws: int = DRAWS) -> tuple[float, float, float]:
    """The mean over seeds, and the ends of its percentile bootstrap interval. The draws are the same in every call."""
    values = np.asarray(of_seeds, float)
    drawn = np.random.default_rng(0).integers(len(values), size=(draws, len(values)))
    low, high = np.quantile(values[drawn].mean(1), [(1 - level) / 2, (1 + level) / 2])
    return float(values.mean()), float(low), float(high)


def improvement(of_one: Sequence[float], of_other: Sequence[float], level: float = 0.95) -> tuple[float, float, float]:
    """The probability that a run of one method is better than one of the other, and its bootstrap interval; a tie is half."""
    one, other = np.asarray(of_one, float), np.asarray(of_other, float)
    random = np.random.default_rng(0)
    ones = one[random.integers(len(one), size=(DRAWS, len(one)))]
    others = other[random.integers(len(other), size=(DRAWS, len(other)))]
    low, high = np.quantile(better(ones, others), [(1 - level) / 2, (1 + level) / 2])
    return float(better(one[None], other[None])[0]), float(low), float(high)


def better(ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Of ``[N, K]`` and ``[N, L]`` the share of pairs in which the first is greater, ``[N]``."""
    left, right = ones[:, :, None], others[:, None, :]
    share: np.ndarray = ((left > right) + 0.5 * (left == right)).mean((1, 2))
    return share
