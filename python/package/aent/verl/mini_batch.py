"""An optimizer step of verl, which shows its policy loss one micro-batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from aent._aent import Accumulation, Output, Program
from aent.errors import StepError
from aent.ranks import Ranks

_open: Step | None = None


@dataclass(frozen=True)
class Loss:
    """A program as a policy loss.

    Attributes:
        name: what ``actor.policy_loss.loss_mode`` says.
        whole_step: whether it needs a mini-batch in one micro-batch.
    """

    name: str
    program: Program
    whole_step: bool

    @property
    def reads_logits(self) -> bool:
        """Whether it needs more of the policy than ``log_prob``."""
        return "logits" in self.program.fields and not self.program.takes_log_prob


@dataclass(frozen=True)
class Counts:
    """verl's counts of the mini-batch over all ranks; those of the micro-batch where ``known`` is false."""

    tokens: int
    sequences: int
    width: int
    ranks: int
    known: bool

    @classmethod
    def of(cls, info: Mapping[str, Any], mask: torch.Tensor, loss: Loss) -> Counts:
        """From ``config.global_batch_info``. Missing counts are taken from the micro-batch, as verl does."""
        ranks = int(info.get("dp_size") or 1)
        tokens, sequences = info.get("batch_num_tokens"), info.get("global_batch_size")
        known = tokens is not None and sequences is not None
        if ranks > 1 and not known:
            raise StepError(
                f"`{loss.name}`: `config.global_batch_info`: expected `batch_num_tokens` and `global_batch_size` "
                f"of all {ranks} ranks, found {tokens} and {sequences}"
            )
        # verl calls the padded length, or what stands for it, `loss_scale_factor`.
        width = (info.get("loss_scale_factor") or mask.shape[-1]) if loss.program.reads_width else 1
        tokens = mask.sum() if tokens is None else tokens
        sequences = (mask.sum(-1) > 0).sum() if sequences is None else sequences
        return cls(int(tokens), int(sequences), int(width), ranks, known)


class Step:
    """One optimizer step on this rank; ``step`` opens it.

    Attributes:
        metrics: when it has ended, the whole step's metrics and signals, and the coefficients that were in force.
    """

    def __init__(self, group: Any = None, ranks: int | None = None) -> None:
        self.metrics: dict[str, float] = {}
        self._group = group
        self._ranks = ranks or (1 if group is None else Ranks(group).size)
        self._logits: Callable[[Program], torch.Tensor] | None = None
        self._begun: dict[Loss, tuple[Counts, Accumulation | Output]] = {}

    @property
    def names(self) -> set[str]:
        """The policy losses that were called."""
        return {loss.name for loss in self._begun}

    def hand_over(self, logits: torch.Tensor | Callable[[Program], torch.Tensor]) -> None:
        """Gives the next call of a policy loss its logits.

        Args:
            logits: ``[B, T, V]``, where row ``t`` scores the response's token ``t``, not yet divided by a temperature;
                or what makes them when a program reads them.
        """
        self._logits = logits if callable(logits) else lambda _: logits

    def share(self, loss: Loss, batch: dict[str, torch.Tensor], counts: Counts) -> torch.Tensor:
        """A micro-batch's share of the loss. The shares of all ranks add up to the loss of the step."""
        first = None if loss in self._begun or loss.whole_step else self._accumulate(loss, counts)
        try:
            batch = self._with_logits(loss, batch)
            if counts.ranks != self._ranks:
                raise StepError(
                    f"`{loss.name}`: verl counts {counts.ranks} ranks, the step has {self._ranks}: open it with the "
                    "data-parallel group"
                )
        except BaseException as error:
            if first is not None:  # The other ranks come to their first share, and would wait there for this one.
                first.fail(error)
            raise
        if loss not in self._begun:
            self._begun[loss] = counts, first or self._whole(loss, batch, counts)
        elif loss.whole_step or not counts.known or counts != self._begun[loss][0]:
            raise StepError(
                f"`{loss.name}`: a second micro-batch of a step needs the counts of the mini-batch, the same for both; "
                f"expected {self._begun[loss][0]}, found {counts}"
            )
        begun = self._begun[loss][1]
        return begun.loss if isinstance(begun, Output) else begun(batch)

    def end(self) -> None:
        """Moves the controllers of all that was called, and fills ``metrics``."""
        for loss, (_, begun) in self._begun.items():
            output = begun if isinstance(begun, Output) else begun.finish()
            for kind, found in (
                ("", output.metrics),
                ("signal/", output.signals),
                ("coefficient/", loss.program.coefficients),
            ):
                self.metrics |= {f"actor/aent/{kind}{name}": value for name, value in found.items()}
            loss.program.update(output)

    def _with_logits(self, loss: Loss, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        logits, self._logits = self._logits, None
        if not loss.reads_logits:
            return batch
        if logits is None:
            raise StepError(
                f"`{loss.name}` reads the logits, and nobody handed them over for this micro-batch: an engine that "
                "`aent.verl.follow` follows does, but not with `use_fused_kernels=True`, where it has none"
            )
        return batch | {"logits": logits(loss.program)}

    def _accumulate(self, loss: Loss, counts: Counts) -> Accumulation:
        return loss.program.accumulate(
            group=self._group,
            gradients="sum",
            tokens=counts.tokens,
            sequences=counts.sequences,
            width=counts.width,
        )

    def _whole(self, loss: Loss, batch: dict[str, torch.Tensor], counts: Counts) -> Output:
        rows, tokens = batch["response_mask"].shape[0], int(batch["response_mask"].sum())
        whole = counts.tokens == tokens and counts.sequences == rows if counts.known else True
        if counts.ranks > 1 or not whole:
            raise StepError(
                f"`{loss.name}` needs the mini-batch in one micro-batch on one rank: expected {rows} sequences "
                f"with {tokens} tokens, found {counts}"
            )
        return loss.program(batch)


@contextmanager
def step(group: Any = None) -> Iterator[Step]:
    """An optimizer step, from its first micro-batch to behind ``optimizer.step()``; when it ends, controllers move.

    Engines that are followed open it by themselves.

    Args:
        group: the data-parallel process group, where the step lies on several ranks. Every rank ends the step.
    """
    global _open
    if _open is not None:
        raise StepError("a step is open already: one ends before the next begins")
    _open = Step(group)
    try:
        yield _open
        _open.end()
    finally:
        _open = None


def open_step() -> Step | None:
    """The step in which we are."""
    return _open
