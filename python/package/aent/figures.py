"""What a trainer logs of a step."""

from __future__ import annotations

from ._aent import Output, Program


def figures(output: Output, program: Program) -> dict[str, float]:
    """Metrics by name, named losses as ``loss/NAME``, signals as ``signal/NAME``, and the coefficients that the step used as
    ``coefficient/NAME``.

    Call it before ``program.update``, which moves the coefficients.
    """
    kinds = {
        "": output.metrics,
        "loss/": output.totals,
        "signal/": output.signals,
        "coefficient/": program.coefficients,
    }
    return {f"{kind}{name}": value for kind, found in kinds.items() for name, value in found.items()}
