"""Batches whose numbers come from sines: the same everywhere."""

from __future__ import annotations

import torch


def batch(b: int = 3, t: int = 5, v: int = 17, dtype: torch.dtype = torch.float64) -> dict[str, torch.Tensor]:
    """Logits under autograd with what clip-PPO reads; the last sequence is shorter."""
    wave = torch.arange(b * t * v, dtype=torch.float64).mul(0.7).sin()
    rows = torch.arange(b * t, dtype=torch.float64)
    mask = torch.ones(b, t, dtype=torch.bool)
    mask[-1, t // 2 :] = False
    return {
        "logits": (2 * wave).view(b, t, v).to(dtype).requires_grad_(),
        "actions": (rows * 7 % v).long().view(b, t),
        "response_mask": mask,
        "old_log_prob": rows.mul(1.3).sin().sub(3).view(b, t),
        "advantages": rows.mul(0.9).cos().view(b, t),
    }
