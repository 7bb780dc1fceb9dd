"""Sequences in shards, as under Ulysses and ring attention: each rank has some of the tokens of the same sequences.

A step takes such batches as they are, ``program(..., sequence_group=ranks, sequence_order="zigzag")``. What is here puts
other tensors in the order of tokens, and takes them apart again.

With n ranks, rank r of the order ``contiguous`` has the r-th of n equal parts; of ``zigzag`` it has the parts r and 2n - 1 - r of
2n equal ones. Packed sequences, ``[N]`` with ``cu_seqlens`` of the whole, are cut as one row of tokens by ``contiguous``, which
pads that row to a multiple of n, and one sequence at a time by ``zigzag``, which pads each to a multiple of 2n.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.distributed as dist

from . import _aent
from .ranks import Ranks

__all__ = ["Order", "gather", "own", "sequences"]

Order = Literal["contiguous", "zigzag"]


def gather(
    x: torch.Tensor,
    group: Any,
    *,
    order: Order = "contiguous",
    dim: int | None = None,
    cu_seqlens: torch.Tensor | None = None,
) -> torch.Tensor:
    """The whole of a tensor on every rank, in the order of tokens.

    The gradient of a rank's own tokens is the sum of what all ranks do with the whole. So ranks that compute the same loss of it
    divide that loss by their number, and every rank must run its backward pass.

    Args:
        x: this rank's tokens along ``dim``, of one shape on all ranks.
        group: the ranks, a process group or a one-dimensional device mesh.
        order: which tokens each has.
        dim: 1, or 0 with ``cu_seqlens``.
        cu_seqlens: of the whole, where sequences are packed. What lies behind its end is left out.
    """
    dim = _dim(x, dim, cu_seqlens)
    whole: torch.Tensor = _Gathered.apply(x, group, order, dim, cu_seqlens)  # type: ignore[no-untyped-call]
    return whole


def own(
    x: torch.Tensor,
    group: Any,
    *,
    order: Order = "contiguous",
    dim: int | None = None,
    cu_seqlens: torch.Tensor | None = None,
) -> torch.Tensor:
    """This rank's tokens of a whole tensor; zeros behind the end of packed sequences. Nothing is exchanged.

    Args:
        x: the whole.
        group: the ranks.
        order: which tokens each has.
        dim: 1, or 0 with ``cu_seqlens``.
        cu_seqlens: where sequences are packed.
    """
    dim = _dim(x, dim, cu_seqlens)
    tokens = -(-x.shape[dim] // Ranks(group).size)
    return _aent.own_shard(x, group, order, dim, tokens, cu_seqlens)


def sequences(x: torch.Tensor, group: Any, *, order: Order = "contiguous", dim: int = 1) -> torch.Tensor:
    """This rank's share of the sequences, each of them whole: its part of the rows of ``gather``.

    Then the ranks have other sequences, as data-parallel ranks do: ``program(..., group=ranks)``.

    Args:
        x: this rank's tokens along ``dim``, of all sequences along the first dimension.
        group: the ranks.
        order: which tokens each has.
        dim: where the tokens are.
    """
    ranks, whole = Ranks(group), gather(x, group, order=order, dim=dim)
    rows = whole.shape[0]
    return whole[ranks.rank * rows // ranks.size : (ranks.rank + 1) * rows // ranks.size]


class _Gathered(torch.autograd.Function):
    """The whole of a tensor in shards, whose gradient is that of all ranks."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, group: Any, order: Order, dim: int, cu_seqlens: torch.Tensor | None
    ) -> torch.Tensor:
        ctx.layout = group, order, dim, x.shape[dim], cu_seqlens
        return _aent.gather_shards(x, group, order, dim, cu_seqlens)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None, None, None]:
        group, order, dim, tokens, cu_seqlens = ctx.layout
        summed = gradients[0].contiguous().clone()
        dist.all_reduce(summed, group=Ranks(group).group)
        return _aent.own_shard(summed, group, order, dim, tokens, cu_seqlens), None, None, None, None


def _dim(x: torch.Tensor, dim: int | None, cu_seqlens: torch.Tensor | None) -> int:
    if dim is None:
        return 1 if cu_seqlens is None else 0
    return dim % x.dim()
