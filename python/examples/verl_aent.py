"""AEnt as a policy loss of verl. Every worker imports this module, which `verl_aent.yaml` asks it to.

Clip-PPO plus entropy over the likeliest 70% of the vocabulary, whose coefficient is steered into a band
(arXiv 2509.03493). Beside verl's own metrics appear `actor/aent/clip_fraction`, `actor/aent/signal/beta` and
`actor/aent/coefficient/beta`.

    cp verl_aent.py verl_aent.yaml WHERE_YOU_TRAIN; cd WHERE_YOU_TRAIN
    PYTHONPATH=. python3 -m verl.trainer.main_ppo --config-dir . --config-name verl_aent data.train_files=... ...

Run as a program it tells what the loss reads and costs, without verl:

    python3 verl_aent.py
"""

from __future__ import annotations

import aent
import aent.verl

NAME = "aent"
SPEC = """
param eps = 0.2 in 0 .. 1
param drop = 0.3 in 0 .. 1

let policy = clip_ppo(low = eps, high = eps, dual = 3)
let entropy = clamped_entropy(drop = drop)

controller beta = band(
    signal = token_mean(entropy),
    target = 0.05 .. 0.23,
    step = 1e-3,
    bounds = 1e-5 .. 3e-3,
    init = 2e-4,
    warmup = 29,
)

loss = token_mean(policy) - beta * token_mean(entropy)

metric clip_fraction = token_mean(policy.clipped)
"""


if __name__ == "__main__":
    print(aent.compile(SPEC).explain())
else:
    aent.verl.register(NAME, SPEC)
