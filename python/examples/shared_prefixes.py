"""Computes once what several sequences of a batch begin with, as the samples of a prompt do, with the same results and gradients.

    share_prefixes(model.get_decoder())

A decoder of transformers then runs the prefixes of a batch, each once, and the rest of every sequence on copies of their keys and
values: in a forward pass with gradient as well as in the first step of `generate`.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache


def share_prefixes(decoder: Any) -> None:
    """Replaces the decoder's ``forward``."""
    plain = decoder.forward

    def forward(
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        **rest: Any,
    ) -> Any:
        started = past_key_values is not None and past_key_values.get_seq_length() > 0
        given = {"position_ids": position_ids, "past_key_values": past_key_values, "use_cache": use_cache, **rest}
        if input_ids is None or started or rest.get("inputs_embeds") is not None:
            return plain(input_ids=input_ids, attention_mask=attention_mask, **given)
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        length, first, of = shared(input_ids.masked_fill(mask == 0, -1))
        if mask.dim() != 2 or length == 0:
            return plain(input_ids=input_ids, attention_mask=attention_mask, **given)
        rest.pop("cache_position", None)
        positions = torch.arange(input_ids.shape[1], device=input_ids.device).expand_as(input_ids)
        positions = positions if position_ids is None else position_ids.expand_as(input_ids)
        head = DynamicCache(config=decoder.config)
        before = plain(
            input_ids=input_ids[first, :length],
            attention_mask=mask[first, :length],
            position_ids=positions[first, :length],
            past_key_values=head,
            use_cache=True,
            **rest,
        )
        cache = DynamicCache(config=decoder.config) if past_key_values is None else past_key_values
        for index, layer in enumerate(head.layers):
            cache.update(layer.keys[of], layer.values[of], index)
        after = plain(
            input_ids=input_ids[:, length:],
            attention_mask=mask,
            position_ids=positions[:, length:],
            past_key_values=cache,
            use_cache=True,
            **rest,
        )
        states = [before.last_hidden_state[of], after.last_hidden_state]
        after.last_hidden_state = torch.cat(states, dim=1)
        if not (use_cache or past_key_values is not None):
            after.past_key_values = None
        return after

    decoder.forward = forward


def shared(rows: torch.Tensor) -> tuple[int, torch.Tensor, torch.Tensor]:
    """The length of the prefixes for which the fewest tokens are computed, one row with each, and which of them each row has.

    The last column is never part of it, and the length is 0 where sharing spares nothing.
    """
    count, width = rows.shape
    order = sorted(range(count), key=rows.tolist().__getitem__)
    ordered = rows[order]
    common = (ordered[1:] == ordered[:-1]).long().cumprod(1).sum(1).clamp(max=width - 1)
    cost = {
        length: (1 + int((common < length).sum())) * length + count * (width - length) for length in common.tolist()
    }
    length = min(cost, key=cost.__getitem__, default=0)
    if cost.get(length, 0) >= count * width:
        length = 0
    begins = torch.cat([common.new_ones(1), (common < length).long()])
    group = begins.cumsum(0) - 1
    of = torch.empty_like(group)
    of[order] = group
    first = torch.tensor(order, device=rows.device)[begins.bool()]
    return length, first, of
