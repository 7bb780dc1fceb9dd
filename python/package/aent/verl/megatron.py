"""verl's Megatron engine, whose ranks hold the vocabulary in shards: rows where the logits are.

What this file knows of verl, tested with 0.9.1 and megatron-core 0.16.1, beyond what ``engine.py`` lists:

- ``MegatronEngineWithLMHead._lm_head_logits_processor(logits, label, temperature, batch=, ...)``, which divides ``logits`` in
  place and returns tensors by name, each ``[1, N, ...]`` or ``[B, T, ...]``; all of them come back in ``model_output`` as nested
  tensors of whole sequences, gathered over context-parallel ranks
- ``forward_step(batch_iter, model, logits_processor_func, postprocess_micro_batch_func)``; ``engine_config``
- ``mpu.get_tensor_model_parallel_group``, ``get_pipeline_model_parallel_group`` with their ``world_size`` and
  ``is_pipeline_last_stage`` of megatron-core
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import torch

from aent.errors import StepError

from .mini_batch import Loss, Step, open_step
from .rows import OF_LOGITS, of_tokens

# The name under which rows travel through verl's outputs.
ROWS = "aent_rows"
# What verl computes of the logits besides log-probabilities.
_OTHERS = (*OF_LOGITS, "distillation_only")


def is_megatron(engine: type) -> bool:
    """Whether it is verl's Megatron engine for a policy, or derived from it."""
    return hasattr(engine, "_lm_head_logits_processor")


def trains_policy(engine: type) -> bool:
    """Whether it is that engine and no critic, whose class is derived from it and makes its outputs by a method of its own."""

    def owner(name: str) -> type | None:
        return next((of for of in engine.__mro__ if name in vars(of)), None)

    return is_megatron(engine) and owner("prepare_model_outputs") is owner("_lm_head_logits_processor")


def megatron_engines() -> list[type]:
    """The engine class behind ``actor.strategy=megatron``, where megatron-core is installed."""
    import verl.workers.engine as engines

    found = getattr(engines, "MegatronEngineWithLMHead", None)
    return [] if found is None else [found]


def check(engine: Any, loss: Loss) -> None:
    """Refuses what this engine's configuration can never give."""
    config = engine.engine_config
    if loss.reads_logits and config.use_fused_kernels:
        raise StepError(
            f"`{loss.name}` reads the logits, and Megatron's fused forward pass shows neither them nor hidden states: set "
            "`actor_rollout_ref.model.use_fused_kernels=False`"
        )
    if config.dynamic_context_parallel:
        raise StepError(
            f"`{loss.name}`: with `dynamic_context_parallel` the ranks of a step share their sequences anew for each "
            "micro-batch: set `actor_rollout_ref.actor.megatron.dynamic_context_parallel=False`"
        )


def logits_processor(method: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the rows of a file that reads logits to what verl computes of them, in place of its log-probabilities."""

    @wraps(method)
    def with_rows(self: Any, logits: torch.Tensor, label: Any, temperature: Any, **asked: Any) -> dict[str, Any]:
        current = open_step()
        if current is None or current.loss is None or not current.loss.reads_logits:
            found: dict[str, Any] = method(self, logits, label, temperature, **asked)
            return found
        program = current.loss.program
        with current.telling():
            rows = _rows(self, current.loss, logits, label, temperature, **asked)
        found, known = {}, "log_prob" in program.row_names
        if not known or any(asked.get(name) for name in _OTHERS):
            # verl divides them in place, and the rows still need them.
            found = method(self, logits.clone(), label, temperature, **asked)
        if known:
            # Context-parallel ranks gather it, for which NCCL takes contiguous tensors alone.
            found["log_probs"] = rows[..., program.row_names.index("log_prob")].contiguous()
        return found | {ROWS: rows}

    return with_rows


def _rows(
    engine: Any,
    loss: Loss,
    logits: torch.Tensor,
    label: torch.Tensor,
    temperature: torch.Tensor,
    *,
    batch: Any,
    data_format: str,
    **_: Any,
) -> torch.Tensor:
    from megatron.core import parallel_state as mpu

    shards = mpu.get_tensor_model_parallel_world_size() > 1
    given = {"vocab_group": mpu.get_tensor_model_parallel_group()} if shards else {}
    given |= _listed(engine, loss, batch, data_format, label) if loss.listed else {}
    program = loss.program
    if isinstance(program.temperature, str):
        # verl has 0 where it pads.
        given[program.temperature] = torch.where(temperature > 0, temperature, 1).expand(label.shape)
    rows: torch.Tensor = program.rows(logits=logits, actions=label.to(torch.int64), **given)
    return rows


def _listed(engine: Any, loss: Loss, batch: Any, data_format: str, label: torch.Tensor) -> dict[str, torch.Tensor]:
    """What is listed for each token, in the layout of its label, by the functions that verl has for that."""
    from verl.models.mcore.util import preprocess_bshd_engine, preprocess_thd_engine
    from verl.utils.megatron_utils import unwrap_model

    parts = engine._get_context_parallel_layout(unwrap_model(engine.module[0]))
    lay_out = partial(preprocess_thd_engine, cp_layout=parts) if data_format == "thd" else preprocess_bshd_engine
    found = {}
    for name, packed in of_tokens(batch, loss).items():
        if name not in loss.program.candidate_fields:
            continue
        pad = (
            0 if packed.is_floating_point() else 1
        )  # verl pads with 0, which is an id: shifted by one, its pads are -1.
        nested = torch.nested.nested_tensor_from_jagged(packed + pad, batch["input_ids"].offsets())
        found[name] = lay_out(nested, pre_process=True)[0] - pad
        if found[name].shape[:2] != label.shape[:2]:
            laid, expected = list(found[name].shape[:2]), list(label.shape[:2])
            raise StepError(
                f"`{loss.name}` lists tokens ({loss.listed}): expected them in the layout of labels, {expected}, found {laid}: "
                "set `actor_rollout_ref.actor.megatron.pad_to_length=False`, or `actor_rollout_ref.actor.strategy=fsdp2`"
            )
    return found


def take_rows(current: Step, model_output: Any, data: Any) -> None:
    """Hands over the rows that are among the outputs of a micro-batch."""
    if isinstance(model_output, dict) and ROWS in model_output:
        from verl.workers.utils.padding import no_padding_2_padding

        current.hand_over(no_padding_2_padding(model_output.pop(ROWS), data))


def is_last_stage() -> bool:
    """Whether this rank runs losses: of a pipeline, only its last stage does."""
    from megatron.core import parallel_state as mpu

    last: bool = mpu.is_pipeline_last_stage(ignore_virtual=True)
    return last


def pipeline_groups() -> list[Any]:
    """The group of this rank's pipeline, if it is in one."""
    from megatron.core import parallel_state as mpu

    return [mpu.get_pipeline_model_parallel_group()] if mpu.get_pipeline_model_parallel_world_size() > 1 else []


def without_model() -> Callable[..., Any] | None:
    """A ``forward_step`` that runs no model; ``None`` in a pipeline, whose stages wait for each other's tensors."""
    from verl.utils.device import get_device_id

    if pipeline_groups():
        return None

    def forward_step(
        batch_iter: Any,
        model: Any,  # noqa: ARG001 - verl's signature
        logits_processor_func: Any,  # noqa: ARG001
        postprocess_micro_batch_func: Callable[..., Any],
    ) -> tuple[dict[str, Any], Callable[..., Any]]:
        return {}, partial(postprocess_micro_batch_func, data=next(batch_iter).to(get_device_id()))

    return forward_step
