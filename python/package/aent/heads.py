"""Row statistics of a causal language model of transformers, from its hidden states: its logits are never held."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

Rows = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]

# What models multiply, divide or bend their logits with: a head is then more than its weight.
_BENT = ["final_logit_softcapping", "logit_scale", "output_multiplier", "lm_head_multiplier", "logits_scaling"]


@dataclass
class RowsOutput(ModelOutput):
    """What a model gives in place of logits, under the name that TRL's trainers ask for."""

    log_probs: torch.Tensor | None = None


def add_rows(model: PreTrainedModel) -> None:
    """Lets ``model(..., aent_rows=rows).log_probs`` be ``rows(hidden, weight, bias)``: what is computed of the last hidden states
    ``[B, T, D]`` with the head's weight ``[V, D]`` and bias, within the model's own forward, so that DDP, FSDP and PEFT see it.

    Without ``aent_rows`` the forward is as before.
    """
    before = model.forward

    # `generate` looks up its arguments in the signature.
    @functools.wraps(type(model).forward)
    def forward(self: Any, *args: Any, aent_rows: Rows | None = None, **kwargs: Any) -> Any:
        if aent_rows is None:
            return before(*args, **kwargs)
        kwargs["use_cache"] = False
        # FSDP and PEFT may have put others in their place.
        hidden, head = self.base_model(*args, **kwargs).last_hidden_state, self.get_output_embeddings()
        # Through the module's own call, whose hooks gather a weight that FSDP2 or ZeRO-3 has in shards, for this moment alone.
        head.forward = lambda of: aent_rows(of.to(head.weight.device), head.weight, head.bias)
        try:
            return RowsOutput(head(hidden))
        finally:
            del head.forward

    model.forward = types.MethodType(forward, model)


def needs_logits(model: PreTrainedModel) -> str | None:
    """Why a model's logits are not its last hidden states times a weight that is at hand; ``None`` if they are."""
    config, head = model.config.get_text_config(), model.get_output_embeddings()
    for name in _BENT:
        if getattr(config, name, None) not in (None, 1, 1.0):
            return f"its config has `{name}`"
    # FSDP2 gives a module in shards a class of its own, which computes as before.
    if not isinstance(head, torch.nn.Linear) or type(head).forward is not torch.nn.Linear.forward:
        return f"its head is a `{type(head).__name__}`"
    if "forward" in vars(head):
        return "something replaced its head's `forward`"
    return None
