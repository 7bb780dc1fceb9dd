"""Which runs a study consists of."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

# The token limit of `sums`. Nearly every answer reaches it, so tables and pictures omit the lengths.
SHORT = 5


@dataclass(frozen=True)
class Run:
    """One training run."""

    study: str
    method: str
    seed: int
    steps: int
    task: str = "sums"
    layers: int = 6
    rate: float = 5e-5
    tokens: int = SHORT
    held: int = 128
    every: int = 20
    shown: int = 0
    config: dict[str, int] = field(default_factory=dict)
    params: dict[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """It tells the runs of all studies apart."""
        params = "".join(f"-{name}={value:g}" for name, value in self.params.items())
        return f"{self.study}-{self.task}-{self.layers}-{self.rate:g}-{self.method}{params}-{self.seed}"

    def arguments(self, root: Path) -> list[str]:
        """The command line of the example."""
        spec = root / "examples" / "language_model" / f"{self.method}.aent"
        given = {"task": self.task, "seed": self.seed, "steps": self.steps, "layers": self.layers}
        given |= {"rate": self.rate, "tokens": self.tokens, "held": self.held, "every": self.every}
        given |= {"shown": self.shown, "spec": spec, "save": 30}
        arguments = [word for name, value in given.items() for word in (f"--{name}", str(value))]
        arguments += [word for name, value in self.config.items() for word in ("--config", f"{name}={value}")]
        return arguments + [word for name, value in self.params.items() for word in ("--set", f"{name}={value:g}")]

    def facts(self) -> dict[str, object]:
        """What its line says of it."""
        return {"name": self.name} | asdict(self)


# Where AEnt's file holds the entropy of the 100 likeliest tokens.
BAND = (0.4, 0.7)

# What one value of each method is compared at: the same number of values, on a seed that no other study uses.
GRID: dict[str, list[dict[str, float]]] = {
    "none": [{}],
    "full": [{"coef": coef} for coef in (0.003, 0.01, 0.03)],
    "clamped": [{"coef": coef} for coef in (0.003, 0.01, 0.03)],
    "top_k": [{"coef": coef} for coef in (0.003, 0.01, 0.03)],
    "aent": [{"coef": coef, "gain": coef} for coef in (0.01, 0.03, 0.1)],
    "clip_cov": [{"share": share} for share in (0.002, 0.02, 0.2)],
    "skywork_or1": [{"target": target} for target in (0.2, 0.4, 0.7)],
}

# The value of each method with the highest mean of its three looks at held-out questions on the grid.
BEST: dict[str, dict[str, float]] = {
    "none": {},
    "full": {"coef": 0.03},
    "clamped": {"coef": 0.03},
    "top_k": {"coef": 0.03},
    "aent": {"coef": 0.03, "gain": 0.03},
    "clip_cov": {"share": 0.02},
    "skywork_or1": {"target": 0.2},
}

# Two decades; a controller starts at the value, and takes steps of its size.
SWEEP = [0.001, 0.003, 0.01, 0.03, 0.1]


def tuning(method: str, params: dict[str, float]) -> Run:
    """A run of the grid's seed, which the sweep shares with it."""
    return Run("grid", method, 100, 60, "sums", 12, 1e-4, params=params)


# Sums and differences of two numbers below 100, after two that are solved: 38% right at the start.
CHAIN_SUM = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 2}

# Seed by seed, so that what was run so far compares all methods.
STUDIES = {
    "grid": [tuning(method, params) for method, values in GRID.items() for params in values],
    "sums": [
        Run("sums", method, seed, 120, "sums", 12, 1e-4, held=256, every=30, params=params)
        for seed in range(5)
        for method, params in BEST.items()
    ],
    "chain_sum": [
        Run("chain_sum", method, seed, 80, "chain_sum", 12, 1e-4, 32, 256, 40, 2, CHAIN_SUM, BEST[method])
        for seed in range(3)
        for method in ("none", "full", "clamped", "aent")
    ],
    "sweep": [
        tuning(method, {"coef": coef} | ({"gain": coef} if method == "aent" else {}))
        for coef in SWEEP
        for method in ("full", "clamped", "aent")
    ],
}
