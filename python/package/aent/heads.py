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

# The names that configs have for what logits are multiplied with, and for where they are capped.
_SCALES = ["logit_scale", "output_multiplier", "lm_head_multiplier"]
_CAPS = ["final_logit_softcapping", "logits_soft_cap"]


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


def head_options(model: PreTrainedModel) -> dict[str, float]:
    """What ``Program.rows`` must know of a model's head besides its weight and bias, as transformers computes its logits: first
    they are scaled, then capped."""
    config = model.config.get_text_config()
    if config.model_type == "mpt":  # Its config has a scale that its forward does not read.
        return {}

    def first(names: list[str]) -> float | None:
        return next((float(found) for name in names if (found := getattr(config, name, None)) is not None), None)

    scale, scaling, softcap = first(_SCALES), first(["logits_scaling"]), first(_CAPS)
    if scale is None and scaling is not None:
        scale = scaling if config.model_type == "hyperclovax" else 1 / scaling  # The others divide by it.
    options = {"logit_scale": scale, "logit_softcap": softcap}
    return {name: value for name, value in options.items() if value is not None}


def needs_logits(model: PreTrainedModel) -> str | None:
    """Why a model's logits are not made of its last hidden states and a weight that is at hand; ``None`` if they are."""
    head = model.get_output_embeddings()
    # FSDP2 gives a module in shards a class of its own, which computes as before.
    if not isinstance(head, torch.nn.Linear) or type(head).forward is not torch.nn.Linear.forward:
        return f"its head is a `{type(head).__name__}`"
    if "forward" in vars(head):
        return "something replaced its head's `forward`"
    return None
