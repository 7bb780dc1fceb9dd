"""Which runs a study consists of."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path


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
    tokens: int = 5
    held: int = 128
    every: int = 20
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
        given |= {"spec": spec, "save": 30}
        arguments = [word for name, value in given.items() for word in (f"--{name}", str(value))]
        return arguments + [word for name, value in self.params.items() for word in ("--set", f"{name}={value:g}")]

    def facts(self) -> dict[str, object]:
        """What its line says of it."""
        return {"name": self.name} | asdict(self)


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

STUDIES = {
    "grid": [
        Run("grid", method, 100, 60, "sums", 12, 1e-4, params=params)
        for method, values in GRID.items()
        for params in values
    ],
}
