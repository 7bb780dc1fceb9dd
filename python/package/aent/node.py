"""Row statistics in torch's graph: a node whose backward pass is in Rust."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.graph import increment_version

if TYPE_CHECKING:
    from ._aent import Half


class RowStatistics(torch.autograd.Function):
    """The node. ``half`` computes the gradients of the first ``count`` tensors; ``values`` holds the result."""

    @staticmethod
    def forward(ctx: Any, half: Half, values: tuple[torch.Tensor], count: int, *tensors: torch.Tensor) -> torch.Tensor:
        """Keeps all tensors for the backward pass; torch refuses it once any of them was changed in place."""
        ctx.half, ctx.count = half, count
        ctx.save_for_backward(*tensors)
        return values[0]

    @staticmethod
    def backward(ctx: Any, *cotangents: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """The gradients of the inputs that want one."""
        tensors, count = ctx.saved_tensors, ctx.count
        wanted = ctx.needs_input_grad[3 : 3 + count]
        gradients, overwritten = ctx.half.backward(tensors, count, cotangents[0], wanted)
        # Whoever saved an input that its gradient now lies in must be told.
        for index in overwritten:
            increment_version(tensors[index])
        if torch.is_grad_enabled():
            # The gradient is right; differentiating it again raises an error.
            of = (cotangents[0], *tensors[:count])
            gradients = [g if g is None else Refusal.apply(g, *of) for g in gradients]  # type: ignore[no-untyped-call]
        return (None, None, None, *gradients, *(None,) * (len(tensors) - count))


# `Function.apply` looks for transforms of `torch.func` first, whose tensors never come here, and then does this.
attach = super(torch.autograd.Function, RowStatistics).apply


class Refusal(torch.autograd.Function):
    """A gradient that cannot be differentiated again."""

    @staticmethod
    def forward(_ctx: Any, gradient: torch.Tensor, *_of: torch.Tensor) -> torch.Tensor:
        """The gradient itself."""
        return gradient.view_as(gradient)

    @staticmethod
    def backward(_ctx: Any, *_cotangents: torch.Tensor) -> Any:
        """Refuses."""
        raise RuntimeError("row statistics cannot be differentiated twice; the reference kernels can")
