"""Our loss and gradient against those of TRL's own ``_compute_loss``, on the same inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from trl_tiny import LONGEST, arguments, batch, loss_and_gradient, save_model, trainer

BETA = 0.3
KL = "kl(input_clamp = 1e9, output_clamp = 1e9)"  # TRL has no guards.
IMPORTS = 'import "std/surrogates.aent" import "std/kl.aent" import "std/entropy.aent"\n'

# By name: what TRL is told, and the same in the language; `$` is the place of the divergence from the reference.
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "grpo": ({"loss_type": "grpo"}, "loss = seq_mean_token_mean(clip_ppo() + $)"),
    "bnpo": ({"loss_type": "bnpo"}, "loss = token_mean(clip_ppo() + $)"),
    "dapo": (
        {"loss_type": "dapo", "epsilon_high": 0.28},
        "loss = token_mean(clip_ppo(low = 0.2, high = 0.28) + $)",
    ),
    "dr_grpo": ({"loss_type": "dr_grpo"}, f"loss = seq_mean_token_sum_norm(clip_ppo() + $, length = {LONGEST})"),
    "cispo": (
        {"loss_type": "cispo", "epsilon_high": 1.2},
        "loss = token_mean(cispo(bounds = 0 .. 1.2) + $)",
    ),
    "sapo": ({"loss_type": "sapo"}, "loss = seq_mean_token_mean(sapo() + $)"),
    "vespo": ({"loss_type": "vespo"}, "loss = token_mean(vespo() + $)"),
    "luspo": (
        {"loss_type": "luspo", "importance_sampling_level": "sequence", "use_bias_correction_kl": False},
        "loss = luspo(low = 0.2, high = 0.2) + seq_mean_token_sum($)",
    ),
    "gspo": (
        {"loss_type": "grpo", "importance_sampling_level": "sequence", "use_bias_correction_kl": False},
        "loss = seq_mean_token_mean(gspo(low = 0.2, high = 0.2) + $)",
    ),
    "delta": ({"loss_type": "grpo", "delta": 1.3}, "loss = seq_mean_token_mean(clip_ppo(delta = 1.3) + $)"),
    "off_policy_mask_threshold": (
        {"loss_type": "grpo", "off_policy_mask_threshold": 0.05},
        "loss = seq_mean_token_mean(where(off_policy_kept(0.05, rollout = old_log_prob), clip_ppo(), 0) + $)",
    ),
    "top_entropy_quantile": (
        {"loss_type": "dapo", "top_entropy_quantile": 0.4},
        "let entropy = entropy() loss = token_mean(where(top_entropy(40%), clip_ppo(), 0) + $)",
    ),
    "entropy_coef": (
        {"loss_type": "grpo", "entropy_coef": 0.1},
        "loss = seq_mean_token_mean(clip_ppo() + $) - 0.1 * token_mean(entropy())",
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


def file(name: str, beta: float) -> str:
    divergence = KL if CASES[name][0].get("use_bias_correction_kl") is False else f"ratio_corrected({KL})"
    return IMPORTS + CASES[name][1].replace("$", f"{beta} * {divergence}" if beta else "0 * log_prob")


@pytest.mark.parametrize("beta", [0.0, BETA], ids=["", "with_a_reference"])
@pytest.mark.parametrize("name", CASES)
def test_a_file_equals_trls_loss(name: str, beta: float, folder: Path) -> None:
    theirs = trainer(folder, arguments(folder, beta=beta, **CASES[name][0]))
    ours = trainer(folder, arguments(folder, beta=beta), file(name, beta))
    inputs = batch(theirs)
    expected = loss_and_gradient(theirs, [inputs])
    found = loss_and_gradient(ours, [inputs])
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    torch.testing.assert_close(found[1], expected[1], rtol=1e-4, atol=1e-6)
    assert expected[1].norm() > 1e-2
