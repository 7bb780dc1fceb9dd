"""What a policy loss of verl is not told, and its engine knows: the mini-batch, where a step ends, the logits, checkpoints.

``follow`` wraps methods of an engine class. What they and ``rows.py`` know of verl, tested with 0.9.1:

- ``BaseEngine``: ``train_batch(data, loss_function)``, where ``loss_function`` is ``partial(ppo_loss, config=...)`` and is called
  as ``loss_function(model_output=, data=, dp_group=)``; ``forward_backward_batch``, ``save_checkpoint``, ``load_checkpoint``,
  ``get_data_parallel_group``, ``get_data_parallel_size``, ``is_mp_src_rank_with_outputs``
- ``FSDPEngineWithLMHead``: ``forward_step``; ``prepare_model_outputs`` with ``input_ids_rmpad_rolled``, ``pad_size``,
  ``temperature_is_one``, ``temperature_rmpad`` and ``temperature`` in ``output_args``, and what ``OF_LOGITS`` lists in its
  micro-batch; ``_gather_and_unpad_packed``, ``use_ulysses_sp``, ``model_config``
- ``FusedLinearForPPO.forward``, where a fused model's hidden states meet its output layer, and the models that call it
- ``TrainingWorker.set_loss_fn``, where a worker's configuration is complete
- ``no_padding_2_padding``, and the columns that ``columns.py`` lists
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import torch

from aent.errors import Error, StateError, StepError
from aent.files import read_json, write_json

from . import megatron
from .columns import fields_of, refuse_missing
from .mini_batch import Loss, Step, open_step, step
from .rows import OF_LOGITS, check_temperature, packed_rows, tempered
from .state import programs, registered, restore, state_dict

STATE_FILE = "aent_state.json"


def follow(engine: type) -> None:
    """Has an engine class of verl tell the registered files what they need. ``register`` does it for FSDP's and Megatron's.

    - ``train_batch`` is an optimizer step: it hands over the columns of each micro-batch, and when it ends, controllers move and
      metrics join its own. It first shows the whole mini-batch to a file that needs it.
    - ``prepare_model_outputs`` of the FSDP engine, and ``_lm_head_logits_processor`` of Megatron's, make the rows of a file that
      reads logits. Of other engines a file sees neither logits nor the mini-batch before.
    - ``save_checkpoint`` and ``load_checkpoint`` keep the state of the files in ``aent_state.json`` beside the weights.
    """
    from verl.utils.experimental.torch_functional import FusedLinearForPPO

    _wrap(engine, "train_batch", _train_batch)
    _wrap(engine, "save_checkpoint", _save_checkpoint)
    _wrap(engine, "load_checkpoint", _load_checkpoint)
    if _is_fsdp(engine):
        _wrap(engine, "prepare_model_outputs", _prepare_model_outputs)
        _wrap(FusedLinearForPPO, "forward", _fused_linear)
    if megatron.is_megatron(engine):
        _wrap(engine, "_lm_head_logits_processor", megatron.logits_processor)
    # Wherever verl's workers run, their module is loaded before ours.
    if (workers := sys.modules.get("verl.workers.engine_workers")) is not None:
        _wrap(workers.TrainingWorker, "set_loss_fn", _set_loss_fn)


def engines() -> list[type]:
    """The engine classes behind ``actor.strategy=fsdp``, ``fsdp2`` and, where it is installed, ``megatron``."""
    from verl.workers.engine import FSDPEngineWithLMHead

    return [FSDPEngineWithLMHead, *megatron.megatron_engines()]


def _wrap(owner: type, name: str, wrap: Callable[..., Any]) -> None:
    method = getattr(owner, name)
    if not _is_followed(method):
        wrapped = wrap(method)
        wrapped.followed_by_aent = True
        setattr(owner, name, wrapped)


def _is_fsdp(engine: type) -> bool:
    from verl.workers.engine import FSDPEngineWithLMHead

    return issubclass(engine, FSDPEngineWithLMHead)


def _is_followed(method: Any) -> bool:
    return getattr(method, "followed_by_aent", False)


def _is_actor(engine: Any) -> bool:
    """Whether it trains a policy: a critic's engine makes its outputs by a method of its own."""
    followed = _is_followed(getattr(engine, "prepare_model_outputs", None))
    return followed or megatron.trains_policy(type(engine))


def _runs_losses(engine: Any) -> bool:
    """Whether controllers move on this rank."""
    return not megatron.is_megatron(type(engine)) or megatron.is_last_stage()


def _configured(loss_function: Any) -> tuple[Loss | None, Any]:
    """The file that ``actor.policy_loss.loss_mode`` names, and the actor's configuration."""
    config = getattr(loss_function, "keywords", {}).get("config")
    policy_loss = getattr(config, "policy_loss", None)
    name = None if policy_loss is None else policy_loss.get("loss_mode", None)
    if name not in registered:
        return None, config
    return Loss(name, registered[name].program), config


def _check(engine: Any, loss: Loss, config: Any) -> None:
    """Refuses what this engine and its configuration can never give."""
    fsdp, of_megatron = _is_fsdp(type(engine)), megatron.is_megatron(type(engine))
    if loss.reads_logits and not (fsdp or of_megatron):
        raise StepError(
            f"`{loss.name}` reads the logits, which only verl's FSDP and Megatron engines show: set "
            f"`actor_rollout_ref.actor.strategy=fsdp2`; found `{type(engine).__name__}`"
        )
    if loss.measured and not (fsdp or of_megatron):
        raise StepError(
            f"`{loss.name}` needs more of the mini-batch than its counts, which only verl's FSDP and Megatron engines show "
            f"before: set `actor_rollout_ref.actor.strategy=fsdp2`; found `{type(engine).__name__}`"
        )
    if of_megatron:
        megatron.check(engine, loss)
    model: Any = getattr(engine, "model_config", None)
    if fsdp and loss.reads_logits and getattr(model, "use_fused_kernels", False):
        if loss.listed:
            raise StepError(
                f"`{loss.name}` lists tokens ({loss.listed}), which verl's fused forward passes are not told: set "
                "`actor_rollout_ref.model.use_fused_kernels=False`"
            )
        backend = (model.fused_kernel_options or {}).get("impl_backend")
        if backend not in ("torch", "liger"):
            raise StepError(
                f"`{loss.name}` reads the logits, and verl's fused kernel `{backend}` shows neither them nor hidden states: set "
                "`actor_rollout_ref.model.fused_kernel_options.impl_backend=torch`, or "
                "`actor_rollout_ref.model.use_fused_kernels=False`"
            )
    if loss.measured and loss.program.reads_width and getattr(config, "loss_scale_factor", None) is not None:
        raise StepError(
            f"`{loss.name}` divides by the width of the mini-batch: write `length = {config.loss_scale_factor}` into the file, "
            "where `actor.loss_scale_factor` does not reach a file that needs more of the mini-batch than its counts"
        )


def _check_batch(loss: Loss, data: Any) -> None:
    """Refuses a mini-batch that does not suit the file, before the model runs. Every stage of a pipeline has the batch, and only
    the last one runs the loss."""
    refuse_missing(loss.name, loss.program, data)
    if loss.reads_logits:
        check_temperature(data, loss.program)


def _set_loss_fn(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def set_loss_fn(self: Any, loss_fn: Any) -> Any:
        loss, config = _configured(loss_fn)
        if loss is not None:
            _check(self.engine, loss, config)
        return method(self, loss_fn)

    return set_loss_fn


def _train_batch(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def train_batch(self: Any, data: Any, loss_function: Callable[..., Any]) -> Any:
        from verl.utils.metric import AggregationType, Metric

        group = self.get_data_parallel_group() if self.get_data_parallel_size() > 1 else None
        loss, config = _configured(loss_function)
        with step(group, loss) as done:
            if loss is not None:
                _check(self, loss, config)
                with done.telling():
                    _check_batch(loss, data)
                if loss.measured:
                    _measure(self, data, done, loss)
                loss_function = _with_columns(loss_function, done, loss)
            outputs = method(self, data, loss_function)
        # Which engine the files train: the critic's has nothing of theirs to save.
        self._aent_losses = vars(self).get("_aent_losses", set()) | done.names
        if self.is_mp_src_rank_with_outputs():
            # All ranks have the same numbers, whose mean verl takes.
            found = {name: Metric(AggregationType.MEAN, value) for name, value in done.metrics.items()}
            outputs["metrics"].update(found)
        return outputs

    return train_batch


def _with_columns(loss_function: Callable[..., Any], current: Step, loss: Loss) -> Callable[..., Any]:
    """The loss function of verl, which hands the columns of each micro-batch over before it calls the policy loss."""

    @wraps(loss_function)
    def with_columns(*args: Any, **more: Any) -> Any:
        # Distillation calls it for something else, with logits in place of a model's output.
        if "model_output" in more:
            with current.telling():
                megatron.take_rows(current, more["model_output"], more["data"])
                current.hand_over(**fields_of(loss.name, loss.program, more["data"]))
        return loss_function(*args, **more)

    return with_columns


def _measure(engine: Any, data: Any, current: Step, loss: Loss) -> None:
    """Shows a file the mini-batch, cut as it will be. Only where the file needs it is the model read, without gradient.

    What fails on one rank fails on all of them, before verl's own exchanges would go out of step.
    """
    from verl.workers.utils.padding import no_padding_2_padding

    reads_model = loss.program.first_pass == "model"
    alone, parts, failed = loss.program.accumulate(), [], []

    def measure(model_output: Any, data: Any, **_: Any) -> tuple[torch.Tensor, dict[str, Any]]:
        try:
            megatron.take_rows(current, model_output, data)
            batch = fields_of(loss.name, loss.program, data)
            if reads_model and not loss.reads_logits:
                batch["log_prob"] = no_padding_2_padding(model_output["log_probs"], data)
            parts.append(current.filled(loss, batch, reads_model))
            alone.measure(parts[-1])
        except Error as error:
            failed.append(error)
        return torch.zeros(()), {}

    def forward_step(micro_batch: Any, loss_function: Any, forward_only: bool) -> tuple[torch.Tensor, dict[str, Any]]:  # noqa: ARG001 - verl's signature
        from verl.utils.device import get_device_id

        share, metrics = measure(None, micro_batch.to(get_device_id()))
        return share, {"loss": 0.0, "metrics": metrics}

    without_model = megatron.without_model() if megatron.is_megatron(type(engine)) else forward_step
    if not reads_model and without_model is not None:
        engine.forward_step = without_model  # Of this object alone, and until it is deleted.
    current.measuring = True
    try:
        engine.forward_backward_batch(data, measure, forward_only=True)
    finally:
        current.measuring = False
        vars(engine).pop("forward_step", None)
    _agree(engine, failed)
    current.measure(loss, parts)


def _agree(engine: Any, failed: list[Error]) -> None:
    """Raises what failed here, or else on another rank or in the last stage of a pipeline."""
    groups = [engine.get_data_parallel_group()] if engine.get_data_parallel_size() > 1 else []
    if megatron.is_megatron(type(engine)):
        groups += megatron.pipeline_groups()
    words = f"{type(failed[0]).__name__}: {failed[0]}" if failed else None
    for group in groups:
        of_all: list[str | None] = [None] * torch.distributed.get_world_size(group)
        torch.distributed.all_gather_object(of_all, words, group)
        words = words or "; ".join(f"rank {rank}: {of}" for rank, of in enumerate(of_all) if of)
    if failed:
        raise failed[0]
    if words:
        raise StepError(words)


def _prepare_model_outputs(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def prepare_model_outputs(
        self: Any, output: Any, output_args: dict[str, Any], micro_batch: Any, logits_processor_func: Any
    ) -> Any:
        current = open_step()
        if current is None or current.loss is None or not current.loss.reads_logits:
            return method(self, output, output_args, micro_batch, logits_processor_func)
        from verl.utils import tensordict_utils as tu
        from verl.workers.utils.padding import no_padding_2_padding

        program, fused = current.loss.program, None
        if current.fused:
            current.fused, fused = False, output.log_probs
            at = program.row_names.index("log_prob") if "log_prob" in program.row_names else -1
            output.log_probs, fused = fused[..., at], fused[..., : len(program.row_names)]
        with current.telling():
            rows = packed_rows(self, output, output_args, micro_batch, current.loss, fused)
        current.hand_over(no_padding_2_padding(rows, micro_batch))
        if "log_prob" not in program.row_names:
            # At temperature 1 verl's log-probabilities may write their gradient over the logits, which the rows still need.
            apart = output_args | {"temperature_is_one": False}
            return method(self, output, apart, micro_batch, logits_processor_func)
        # verl's own would be another reading of the logits. It is asked for what else its configuration wants of them.
        wanted = any(tu.get_non_tensor_data(micro_batch, name, False) for name in OF_LOGITS)
        found = method(self, output, output_args, micro_batch, logits_processor_func) if wanted else {}
        # So that what verl adds itself, such as `use_kl_loss`, goes through the same node, and nothing is kept for another.
        log_prob = rows[:, program.row_names.index("log_prob")]
        found["log_probs"] = torch.nested.nested_tensor_from_jagged(log_prob, micro_batch["input_ids"].offsets())
        return found

    return prepare_model_outputs


def _fused_linear(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def forward(
        self: Any,
        hidden_states: torch.Tensor,
        vocab_weights: torch.Tensor,
        input_ids: torch.Tensor,
        temperature: float = 1.0,
    ) -> Any:
        log_probs, entropy = method(self, hidden_states, vocab_weights, input_ids, temperature)
        current = open_step()
        if current is None or current.loss is None or not current.loss.reads_logits:
            return log_probs, entropy
        program, actions = current.loss.program, input_ids.to(torch.int64)
        heat = tempered(program, temperature, actions)
        rows = program.rows(hidden=hidden_states, lm_head=vocab_weights, actions=actions, **heat)
        if "log_prob" not in program.row_names:
            rows = torch.cat([rows, log_probs.to(rows.dtype)[..., None]], -1)
        # What leaves the model makes FSDP gather the output layer for the backward pass, so they leave it in this place.
        current.fused = True
        return rows, entropy

    return forward


def _save_checkpoint(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def save_checkpoint(self: Any, local_path: str | None, *args: Any, **kwargs: Any) -> Any:
        result = method(self, local_path, *args, **kwargs)
        names = vars(self).get("_aent_losses")
        # Elsewhere controllers stay as they were loaded.
        if local_path is not None and names and _runs_losses(self):
            state = {name: of for name, of in state_dict().items() if name in names}
            # Every rank that runs losses writes the same, so that every machine with one has it.
            folder = Path(local_path)
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / STATE_FILE, state)
        return result

    return save_checkpoint


def _load_checkpoint(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def load_checkpoint(self: Any, local_path: str | None, *args: Any, **kwargs: Any) -> Any:
        # Read first: verl may remove the folder once it has loaded it.
        file = None if local_path is None else Path(local_path) / STATE_FILE
        needed = any(program.coefficients for program in programs().values())
        state = None if file is None else read_json(file, needed=needed)
        result = method(self, local_path, *args, **kwargs)
        if state is not None:
            names = set(state) & set(registered)
            if unknown := sorted(set(state) - names):
                raise StateError(f"`{file}` has the state of {unknown}; expected one of {sorted(registered)}")
            restore(state, sorted(names), f"`{file}`")
            self._aent_losses = names
        elif file is not None and _is_actor(self) and needed:
            warnings.warn(f"{file} is not there: controllers begin anew", stacklevel=2)
        return result

    return load_checkpoint
