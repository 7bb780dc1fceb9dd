"""torchrl's GRPO loss with its objective in a file (``pip install torchrl``; see docs/trainers.md)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from tensordict import TensorDict, TensorDictBase
from torchrl.objectives.llm import GRPOLoss  # type: ignore[import-untyped]

from ._aent import Program
from .adapters import StepLoss
from .compiler import program_of
from .errors import BatchError

__all__ = ["AentLoss"]

_OF_THE_MODEL = {"log_prob", "logits", "actions", "response_mask"}


class AentLoss(GRPOLoss):
    """A ``torchrl.objectives.llm.GRPOLoss`` that minimises a file.

    Masks, keys and the actor's distribution are torchrl's. A batch is a micro-batch with its own denominators, as in torchrl,
    unless it is the ``whole_step``. When an optimizer has stepped, controllers move, and ``step_loss.metrics`` are those of its
    whole step.

    Args:
        actor_network: as for ``GRPOLoss``, and so are ``others``: its ``device`` and ``masking_strategy``.
        spec: a file, the text of one, or what ``aent.compile`` gave.
        params: values for ``param``s of a file or text.
        whole_step: whether each batch is a whole step of the optimizer, as a file needs it that compares a prompt's answers.
        group: the data-parallel ranks.

    Raises:
        SpecError: the file is wrong.
        StepError: the file needs the whole step.
    """

    def __init__(
        self,
        actor_network: Any,
        *,
        spec: str | os.PathLike[str] | Program,
        params: Mapping[str, float | bool | str] | None = None,
        whole_step: bool = False,
        group: Any = None,
        **others: Any,
    ) -> None:
        program = program_of(spec, params, 3)
        super().__init__(actor_network, entropy_bonus=False, **others)
        self.step_loss = StepLoss(program, {}, cut="step" if whole_step else None, group=group)
        self.out_keys = ["loss_objective"]

    def forward(self, tensordict: TensorDictBase) -> TensorDict:
        """``loss_objective``: the file's loss of a batch.

        Raises:
            BatchError: the batch lacks what the file reads.
        """
        program, batch = self.step_loss.program, tensordict.copy()
        log_prob, distribution, _ = self._get_cur_log_prob(batch)
        mask = distribution.mask
        found: dict[str, Any] = {}
        for field in sorted(program.fields - _OF_THE_MODEL):
            key = self._key(field, batch)
            value = self._padded(batch, key)
            if value is None:
                raise BatchError(
                    f"the program reads `{field}`, which is `{key}` here; the batch has {sorted(map(str, batch.keys(True)))}"
                )
            if field in ("old_log_prob", "rollout_log_prob"):  # What was never sampled, as earlier turns, has none.
                mask = mask & value.isfinite()
            value = value.squeeze(-1) if value.dim() == 3 else value
            found[field] = value.sum(-1) if field == "rewards" and value.dim() == 2 else value
        if program.takes_log_prob and program.temperature == 1:  # torchrl's are of the logits as they are.
            found["log_prob"] = log_prob
        elif "logits" in program.fields:
            actions = self._padded(batch, self.tensor_keys.action)
            found |= {"logits": distribution.logits, "actions": actions.clamp(min=0)}
        return TensorDict({"loss_objective": self.step_loss(found, response_mask=mask)})

    def _key(self, field: str, batch: TensorDictBase) -> Any:
        keys = self.tensor_keys
        known = {"advantages": keys.advantage, "ref_log_prob": keys.ref_log_probs}
        if "rewards" not in batch.keys():  # noqa: SIM118 - a TensorDict
            known["rewards"] = ("next", "reward")
        return (known | dict.fromkeys(("old_log_prob", "rollout_log_prob"), keys.sample_log_prob)).get(field, field)

    @staticmethod
    def _padded(batch: TensorDictBase, key: Any) -> Any:
        return batch.get(key, None, as_padded_tensor=True, padding_side="left", padding_value=0)
