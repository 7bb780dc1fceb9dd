"""An optimizer step of verl, which shows its policy loss one micro-batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from aent._aent import Accumulation, Output, Program
from aent.errors import BatchError, StepError
from aent.figures import figures
from aent.ranks import Ranks
from aent.temperature import refuse_unread

from .columns import OF_THE_MODEL, needs

_open: Step | None = None


@dataclass(frozen=True)
class Loss:
    """A program as a policy loss.

    Attributes:
        name: what ``actor.policy_loss.loss_mode`` says.
    """

    name: str
    program: Program

    @property
    def reads_logits(self) -> bool:
        """Whether it needs more of the policy than ``log_prob``."""
        return "logits" in self.program.fields and not self.program.takes_log_prob

    @property
    def listed(self) -> str:
        """The fields that list tokens for each token, as a message names them."""
        return ", ".join(f"`{field}`" for field in sorted(self.program.candidate_fields))

    def check_temperature(self) -> None:
        """Refuses one that changes nothing, as it is now."""
        way = "set `actor_rollout_ref.rollout.temperature`, and leave the line out"
        refuse_unread(self.program, f"`{self.name}`", "verl", way)

    @property
    def measured(self) -> bool:
        """Whether the mini-batch must be seen before the first share of it."""
        return self.program.first_pass != "counts"


@dataclass(frozen=True)
class Counts:
    """verl's counts of the mini-batch over all ranks; those of the micro-batch where ``known`` is false."""

    tokens: int
    sequences: int
    width: int | None
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
        width = int(info.get("loss_scale_factor") or mask.shape[-1]) if loss.program.reads_width else None
        tokens = mask.sum() if tokens is None else tokens
        sequences = (mask.sum(-1) > 0).sum() if sequences is None else sequences
        return cls(int(tokens), int(sequences), width, ranks, known)


class Step:
    """One optimizer step on this rank; ``step`` opens it.

    Attributes:
        metrics: when it has ended, the whole step's metrics and signals, and the coefficients that were in force.
        loss: the policy loss that verl's configuration names, where an engine opened the step.
        fused: whether a fused model put the rows of a micro-batch in the place of its log-probabilities.
        measuring: whether the mini-batch is looked at, after which the ranks tell each other what failed.
    """

    def __init__(self, group: Any = None, ranks: int | None = None, loss: Loss | None = None) -> None:
        self.metrics: dict[str, float] = {}
        self.loss = loss
        self.fused = False
        self.measuring = False
        self._group = group
        self._ranks = ranks or (1 if group is None else Ranks(group).size)
        self._handed: dict[str, torch.Tensor] = {}
        self._measured: dict[Loss, Accumulation] = {}
        self._begun: dict[Loss, tuple[Counts, Accumulation | Output]] = {}

    @property
    def names(self) -> set[str]:
        """The policy losses that were called."""
        return {loss.name for loss in self._begun}

    def hand_over(self, rows: torch.Tensor | None = None, **fields: torch.Tensor) -> None:
        """Gives the next call of a policy loss what verl does not hand to it.

        Args:
            rows: for a file that reads logits, ``[B, T, R]`` of the response's tokens, which ``program.rows`` made.
            fields: fields of the file by name, in place of verl's arguments where it has them.
        """
        self._handed |= fields if rows is None else fields | {"rows": rows}

    @contextmanager
    def telling(self) -> Iterator[None]:
        """What fails in here on one rank before its first share fails on all of them: the others would wait for that share."""
        try:
            yield
        except BaseException as error:
            if self.loss is not None and self.loss not in self._begun and self._ranks > 1 and not self.measuring:
                (self._measured.get(self.loss) or self._empty(self.loss)).fail(error)
            raise

    def measure(self, loss: Loss, parts: list[dict[str, torch.Tensor]]) -> None:
        """Looks at the micro-batches before the first share, for a program that needs more of the step than its counts.

        Args:
            loss: the policy loss that will be called.
            parts: what ``filled`` gave for each.
        """
        self._measured[loss] = self._empty(loss)
        for part in parts:
            self._measured[loss].measure(part)

    def share(self, loss: Loss, batch: dict[str, torch.Tensor], counts: Counts) -> torch.Tensor:
        """A micro-batch's share of the loss. The shares of all ranks add up to the loss of the step."""
        accumulation = self._measured.get(loss)
        first = None
        if loss not in self._begun:
            first = accumulation or (None if loss.measured else self._accumulate(loss, counts))
        try:
            batch = self.filled(loss, batch)
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
        elif accumulation is None and (loss.measured or not counts.known or counts != self._begun[loss][0]):
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
            found = figures(output, loss.program)
            self.metrics |= {f"actor/aent/{name}": value for name, value in found.items()}
            loss.program.update(output)

    def filled(self, loss: Loss, batch: dict[str, torch.Tensor], with_model: bool = True) -> dict[str, torch.Tensor]:
        """A batch with what was handed over for it, checked for what is missing; ``with_model`` where rows must be there."""
        handed, self._handed = self._handed, {}
        batch = batch | handed
        loss.check_temperature()
        if loss.reads_logits and "rows" in batch:
            batch.pop("log_prob", None)  # It is one of the rows.
        elif loss.reads_logits and with_model:
            raise StepError(
                f"`{loss.name}` reads the logits, and nobody handed them over for this micro-batch: an engine that "
                "`aent.verl.follow` follows does, of which only verl's FSDP and Megatron engines show them"
            )
        for field in sorted(loss.program.fields - OF_THE_MODEL - loss.program.candidate_fields - set(batch)):
            brings = needs(loss.program).get(field, "it is in the mini-batch that verl's engine trains on")
            raise BatchError(
                f"`{loss.name}` reads `{field}`, which verl hands to no policy loss. An engine that `aent.verl.follow` follows "
                f"brings it, or `hand_over` of `aent.verl.step()`; it needs {brings}"
            )
        return batch

    def _empty(self, loss: Loss) -> Accumulation:
        return loss.program.accumulate(group=self._group, gradients="sum")

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
        if counts.ranks > 1 or not counts.known or counts.tokens != tokens or counts.sequences != rows:
            raise StepError(
                f"`{loss.name}` needs more of the mini-batch than its counts, and nothing measured it before: verl's FSDP and "
                f"Megatron engines do. Elsewhere the mini-batch must be one micro-batch on one rank; expected {rows} sequences "
                f"with {tokens} tokens, found {counts}"
            )
        return loss.program(batch)


@contextmanager
def step(group: Any = None, loss: Loss | None = None) -> Iterator[Step]:
    """An optimizer step, from its first micro-batch to behind ``optimizer.step()``; when it ends, controllers move.

    Engines that are followed open it by themselves.

    Args:
        group: the data-parallel process group, where the step lies on several ranks. Every rank ends the step.
        loss: the policy loss that will be called, which an engine knows.
    """
    global _open
    if _open is not None:
        raise StepError("a step is open already: one ends before the next begins")
    _open = Step(group, loss=loss)
    try:
        yield _open
        _open.end()
    finally:
        _open = None


def open_step() -> Step | None:
    """The step in which we are."""
    return _open
