"""What a policy loss of verl is not told, and its engine knows: where an optimizer step ends, the logits, checkpoints.

``follow`` wraps four methods of an engine class. No other part of verl changes.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import torch

from aent.errors import StateError, StepError
from aent.files import read_json, write_json

from .mini_batch import open_step, step
from .state import programs, registered, restore, state_dict

STATE_FILE = "aent_state.json"


def follow(engine: type) -> None:
    """Has an engine class of verl tell the registered files what they need. ``register`` does it for the FSDP engine.

    - ``train_batch`` is an optimizer step: when it ends, controllers move and metrics join its own.
    - ``prepare_model_outputs``, of the FSDP engine and what is derived from it, hands the logits over.
    - ``save_checkpoint`` and ``load_checkpoint`` keep the state of the files in ``aent_state.json`` beside the weights.
    """
    from verl.workers.engine import FSDPEngineWithLMHead

    wrapped = {"train_batch": _train_batch, "save_checkpoint": _save_checkpoint, "load_checkpoint": _load_checkpoint}
    if issubclass(engine, FSDPEngineWithLMHead):
        wrapped["prepare_model_outputs"] = _prepare_model_outputs
    for name, wrap in wrapped.items():
        method = getattr(engine, name)
        if not _is_followed(method):
            setattr(engine, name, wrap(method))
            getattr(engine, name).followed_by_aent = True


def fsdp_engines() -> list[type]:
    """The engine class behind ``actor.strategy=fsdp`` and ``fsdp2``."""
    from verl.workers.engine import FSDPEngineWithLMHead

    return [FSDPEngineWithLMHead]


def _is_followed(method: Any) -> bool:
    return getattr(method, "followed_by_aent", False)


def _is_actor(engine: Any) -> bool:
    """Whether it trains a policy: a critic's engine makes its outputs by a method of its own."""
    return _is_followed(getattr(engine, "prepare_model_outputs", None))


def _train_batch(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def train_batch(self: Any, data: Any, loss_function: Callable[..., Any]) -> Any:
        from verl.utils.metric import AggregationType, Metric

        group = self.get_data_parallel_group() if self.get_data_parallel_size() > 1 else None
        with step(group) as done:
            outputs = method(self, data, loss_function)
        # Which engine the files train: the critic's has nothing of theirs to save.
        self._aent_losses = vars(self).get("_aent_losses", set()) | done.names
        if self.is_mp_src_rank_with_outputs():
            # All ranks have the same numbers, whose mean verl takes.
            found = {name: Metric(AggregationType.MEAN, value) for name, value in done.metrics.items()}
            outputs["metrics"].update(found)
        return outputs

    return train_batch


def _prepare_model_outputs(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def prepare_model_outputs(
        self: Any, output: Any, output_args: dict[str, Any], micro_batch: Any, logits_processor_func: Any
    ) -> Any:
        logits = getattr(output, "logits", None)
        if logits is not None and (current := open_step()):
            # A reference of ours would keep them alive until the next micro-batch; the engine's lasts until the loss.
            held = weakref.ref(logits)
            current.hand_over(lambda program: _response_logits(self, held(), output_args, micro_batch, program))
        return method(self, output, output_args, micro_batch, logits_processor_func)

    return prepare_model_outputs


def _response_logits(
    engine: Any, logits: torch.Tensor | None, output_args: dict[str, Any], micro_batch: Any, program: Any
) -> torch.Tensor:
    """``[B, T, V]`` of the response's tokens, laid out as verl lays out ``log_prob``."""
    from torch.distributed.tensor import DTensor
    from verl.workers.utils.padding import no_padding_2_padding

    if logits is None:
        raise StepError(
            "the logits of this micro-batch are gone: the policy loss was called outside of the engine's step"
        )
    if engine.use_ulysses_sp:
        raise StepError(
            "no rank has all logits of a sequence: set `ulysses_sequence_parallel_size=1` for a file that reads them"
        )
    temperature = torch.as_tensor(micro_batch["temperature"], dtype=torch.float32).flatten()
    if not torch.allclose(temperature, torch.tensor(program.temperature)):
        raise StepError(
            f"verl divides the logits by {temperature[0].item():g}, the file by {program.temperature:g}: "
            f"write `set temperature = {temperature[0].item():g}`"
        )
    if isinstance(logits, DTensor):
        logits = logits.full_tensor()
    if (padding := output_args.get("pad_size")) is not None:
        packed = logits.squeeze(0)[: logits.shape[1] - padding]
    else:
        lengths = micro_batch["input_ids"].offsets().diff().tolist()
        packed = torch.cat([row[:length] for row, length in zip(logits, lengths, strict=True)])
    padded: torch.Tensor = no_padding_2_padding(packed, micro_batch)
    return padded


def _save_checkpoint(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def save_checkpoint(self: Any, local_path: str | None, *args: Any, **kwargs: Any) -> Any:
        result = method(self, local_path, *args, **kwargs)
        names = vars(self).get("_aent_losses")
        if local_path is not None and names:
            state = {name: of for name, of in state_dict().items() if name in names}
            # Every rank writes the same, so that every machine has it.
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
