"""AEnt beside GRPO: the loop of plain_loop.py with clamped entropy whose coefficient is steered into a band.

GRPO alone soon gives one answer to every question; entropy keeps the others alive until they are rewarded. The parameters
are those of a vocabulary of 14 signs: entropy is that of the likeliest 10, and the band lies between 0.5 and 1.2 nats.
"""

import sys

import plain_loop


def main(steps: int = 400) -> dict[str, float]:
    """Trains with both; the share of right answers in the last 20 steps."""
    # The recipe's band and bounds are those of a language model; a task of ours has wider ones.
    aent = plain_loop.SPEC.parents[1] / "arithmetic" / "aent.aent"
    right = {
        "grpo": plain_loop.main(plain_loop.SPEC, steps),
        "aent": plain_loop.main(aent, steps, drop=0.3, low=0.5, high=1.2, coef=0.05, gain=0.005),
    }
    last = {name: sum(curve[-20:]) / len(curve[-20:]) for name, curve in right.items()}
    print("right in the last 20 steps, one seed:", {name: f"{share:.1%}" for name, share in last.items()})
    return last


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
