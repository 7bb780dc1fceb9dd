"""A rank that trains a small model with verl's own FSDP engine and policy loss, on the CPU, and says what came of it.

verl has no platform for the CPU; this one answers what the engine asks. Everything else is verl's.
"""

from __future__ import annotations

import math
import os
import sys
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import torch
import torch.distributed as dist
from verl.plugin.platform import set_platform
from verl.plugin.platform.platform_cuda import PlatformCUDA


class OnCpu(PlatformCUDA):
    """What verl's engine asks of a platform, answered for the CPU."""

    device_name = "cpu"
    device_module = torch.cpu

    def is_available(self) -> bool:
        """It always is."""
        return True

    def current_device(self) -> torch.device:
        """The only one."""
        return torch.device("cpu")

    def communication_backend_name(self) -> str:
        """What moves tensors of the CPU."""
        return "gloo"


set_platform(OnCpu())

import verl.models.transformers.monkey_patch  # noqa: E402
from verl.trainer.config import CheckpointConfig  # noqa: E402
from verl.trainer.distillation import distillation_ppo_loss  # noqa: E402
from verl.trainer.ppo.core_algos import POLICY_LOSS_REGISTRY  # noqa: E402
from verl.utils.metric import Metric  # noqa: E402
from verl.workers.config import (  # noqa: E402
    ActorConfig,
    DistillationLossConfig,
    FSDPEngineConfig,
    FSDPOptimizerConfig,
    HFModelConfig,
    PolicyLossConfig,
)
from verl.workers.engine import FSDPEngineWithLMHead  # noqa: E402
from verl.workers.utils.losses import ppo_loss  # noqa: E402

import aent  # noqa: E402
import aent.verl  # noqa: E402
from aent.verl.state import registered  # noqa: E402
from verl_tiny import VOCABULARY, Made, direct, mini_batch, save_model  # noqa: E402

# verl 0.9.1 asks for a class that newer releases of TRL do not have any more.
verl.models.transformers.monkey_patch.is_trl_available = lambda: False

STEERED = """
set temperature = {temperature}
let entropy = entropy()
controller beta = step(signal = token_mean(entropy), target = 1, step = 0.25, bounds = 0 .. 1, init = 0.5)
loss = token_mean(clip_ppo(dual = 3)) - beta * token_mean(entropy)
metric entropy = token_mean(entropy)
"""
# What must be known of the mini-batch before the first share of it: its columns, entropies, log-probabilities.
MEASURED = {
    "columns": """
import "std/advantages.aent"
import "std/mismatch.aent"
input difficulty: seq
let advantage = difficulty * grpo_advantages() + returns - old_values
loss = token_mean(token_tis(1.5) * clip_ppo(advantages = advantage)) + 0.1 * token_mean(kl()) - 0.05 * token_mean(entropy())
metric reward = batch_mean(rewards)
""",
    "entropies": "loss = token_mean(where(top_fraction(entropy(), 40%), clip_ppo(dual = 3), 0))",
    "log-probabilities": "loss = seq_mean_token_mean(where(top_fraction(log_prob, 50%), clip_ppo(dual = 3), 0))",
}

# Tokens that are listed for each token: a teacher's, in verl's own columns, and another column.
LISTED = """
input teacher_ids: candidates id
input teacher_log_prob: candidates
input kept: candidates id
let divergence = forward_kl(within = teacher_ids, of = teacher_log_prob, rest = "bucket")
loss = token_mean(divergence) - 0.3 * token_mean(log(mass(within = kept)))
metric covered = token_mean(mass(within = teacher_ids))
"""

TAUGHT = """
input teacher_ids: candidates id
input teacher_log_prob: candidates
loss = token_mean(forward_kl(within = teacher_ids, of = teacher_log_prob, rest = "ignore"))
"""


def engine_settings(
    folder: Path, packed: bool, computes: str = "fp32", fused: bool = False, ulysses: int = 1
) -> tuple[HFModelConfig, FSDPEngineConfig, FSDPOptimizerConfig, CheckpointConfig]:
    """What an engine or a worker is configured with."""
    return (
        HFModelConfig(
            path=str(folder),
            load_tokenizer=False,
            external_lib="verl_aent",
            use_remove_padding=packed,
            enable_gradient_checkpointing=False,
            override_config={"attn_implementation": "sdpa"},
            use_fused_kernels=fused,
            fused_kernel_options={"impl_backend": "torch"},
        ),
        FSDPEngineConfig(
            strategy="fsdp2",
            use_torch_compile=False,
            model_dtype="fp32",
            mixed_precision={"param_dtype": computes},
            ulysses_sequence_parallel_size=ulysses,
        ),
        FSDPOptimizerConfig(lr=1e-2, clip_grad=1e9, total_training_steps=10),
        # The state of the device's random numbers is nothing that torch.cpu has.
        CheckpointConfig(save_contents=["model", "optimizer"], load_contents=["model", "optimizer"]),
    )


def engine(folder: Path, *given: Any) -> FSDPEngineWithLMHead:
    """An engine of these settings."""
    made = FSDPEngineWithLMHead(*engine_settings(folder, *given))
    made.initialize()
    return made


def train(
    folder: Path,
    loss_mode: str,
    *,
    packed: bool,
    micro: int,
    temperature: float | torch.Tensor,
    steps: int = 1,
    coefficient: float = 0.0,
    computes: str = "fp32",
    fused: bool = False,
    ulysses: int = 1,
    dynamic: bool = False,
    use_kl_loss: bool = False,
    without: Sequence[str] = (),
    flat: str | None = None,
    broken_on: int | None = None,
    distilled: float | None = None,
) -> dict[str, Any]:
    """Trains a fresh engine; what its last step left."""
    made = engine(folder, packed, computes, fused, ulysses)
    actor = ActorConfig(
        strategy="fsdp2",
        rollout_n=1,
        ppo_micro_batch_size_per_gpu=micro,
        policy_loss=PolicyLossConfig(loss_mode=loss_mode),
        entropy_coeff=coefficient,
        use_kl_loss=use_kl_loss,
        kl_loss_coef=0.3,
    )
    each = 4 // made.get_data_parallel_size()
    rows = slice(made.get_data_parallel_rank() * each, (made.get_data_parallel_rank() + 1) * each)
    loss = partial(ppo_loss, config=actor)
    if distilled is not None:  # By verl, times this, beside the policy loss.
        own = DistillationLossConfig(
            loss_mode="forward_kl_topk", topk=3, use_policy_gradient=False, distillation_loss_coef=distilled
        )
        loss = partial(distillation_ppo_loss, config=actor, distillation_config=SimpleNamespace(distillation_loss=own))
    settings = {
        "distillation_use_topk": distilled is not None,
        "use_remove_padding": packed,
        "micro_batch_size_per_gpu": micro,
        "calculate_entropy": coefficient != 0,
        "use_fused_kernels": fused,
        "use_dynamic_bsz": dynamic,
        "max_token_len_per_gpu": 12,
    }
    with made.train_mode(disable_auto_offload=True):
        for _ in range(steps):
            data = mini_batch(rows, temperature, **settings).exclude(*without)
            if flat is not None:
                data[flat] = data[flat].flatten(1)
            if dist.get_rank() == broken_on:
                data["rm_scores"].fill_(math.nan)
            outputs = made.train_batch(data, loss)
        gradient = torch.cat([weight.grad.full_tensor().flatten() for weight in made.module.parameters()])
    # Over ranks as verl's worker does it, which asks one of those that share sequences.
    mine = {name: of for name, of in outputs["metrics"].items() if isinstance(of, Metric)}
    everybodys = [None] * dist.get_world_size()
    dist.all_gather_object(everybodys, mine if made.is_mp_src_rank_with_outputs() else None)
    everybodys = [of for of in everybodys if of is not None]
    metrics = {name: float(Metric.aggregate_dp([of[name] for of in everybodys])) for name in everybodys[0]}
    return {"engine": made, "gradient": gradient, "metrics": metrics}


def steered(temperature: float | torch.Tensor = 1.0) -> aent.Program:
    """A fresh program under the name `steered`; its temperature is verl's column where there is one."""
    POLICY_LOSS_REGISTRY.pop("steered", None)
    registered.clear()
    of_rows = isinstance(temperature, torch.Tensor)
    spec = STEERED.format(temperature="temperature" if of_rows else temperature)
    return aent.verl.register("steered", "input temperature: seq\n" + spec if of_rows else spec)


def measured(spec: str) -> None:
    """Registers a program under the name `measured`."""
    POLICY_LOSS_REGISTRY.pop("measured", None)
    registered.clear()
    aent.verl.register("measured", spec)


def start(model: Any, name: str = "steered") -> None:
    """A worker of verl, told its loss by the trainer. What it serves rollouts with is not installed, and not asked for."""
    sys.modules.setdefault("verl.workers.rollout.utils", MagicMock())
    from verl.workers.engine_workers import TrainingWorker

    # As a worker does that imports `external_lib`: its own module is there.
    measured(LISTED) if name == "measured" else steered()
    worker = object.__new__(TrainingWorker)
    worker.engine = object.__new__(FSDPEngineWithLMHead)
    worker.engine.model_config = model
    actor = ActorConfig(
        strategy="fsdp2",
        rollout_n=1,
        ppo_micro_batch_size_per_gpu=1,
        policy_loss=PolicyLossConfig(loss_mode=name),
    )
    worker.set_loss_fn(partial(ppo_loss, config=actor))


def report_of_rows(folder: Path) -> dict[str, Any]:
    """Where logits are cut over ranks, are never made, or are read beside what verl adds itself."""
    found: dict[str, Any] = {}
    how = {"packed": True, "temperature": 1.0, "micro": 2}
    steered()
    found["verl with its divergence"] = train(folder, "vanilla", coefficient=0.5, use_kl_loss=True, **how)
    found["file with its divergence"] = train(folder, "steered", use_kl_loss=True, **how)
    measured("loss = 0 * token_mean(clip_ppo())")
    found["verl with its distillation"] = train(folder, "measured", distilled=1.0, **how)
    measured(TAUGHT)
    found["file with verl's teacher"] = train(folder, "measured", distilled=0.0, **how)
    steered()
    found["verl with twice the entropy"] = train(folder, "vanilla", coefficient=1.0, **how)
    found["file with verl's entropy"] = train(folder, "steered", coefficient=0.5, **how)
    shapes: list[tuple[int, ...]] = []
    made_by = aent.verl.engine.packed_rows

    def watched(engine: Any, output: Any, *args: Any) -> torch.Tensor:
        with Made(output.logits, shapes):
            return made_by(engine, output, *args)

    aent.verl.engine.packed_rows = watched
    for packed in (False, True):
        steered()
        train(folder, "steered", packed=packed, temperature=1.0, micro=2)
    aent.verl.engine.packed_rows = made_by
    found["shapes"] = list(shapes)
    logits = torch.zeros(3, VOCABULARY)
    with Made(logits, shapes):
        logits[1:].view(1, 2, VOCABULARY).exp()
    found["shapes of a copy"] = shapes
    if dist.get_world_size() == 2:
        of_samples = how | {"temperature": torch.tensor([0.7, 1.3, 1.0, 0.5])}
        found["verl with ulysses"] = train(folder, "vanilla", coefficient=0.5, ulysses=2, **of_samples)
        steered(of_samples["temperature"])
        found["file with ulysses"] = train(folder, "steered", ulysses=2, **of_samples)
        for name, log_prob in {"sampled": "log_prob", "listed": "log(mass(within = sampled))"}.items():
            measured(f"input sampled: candidates id loss = -token_mean(advantages * {log_prob})")
            found[f"{name} with ulysses"] = train(folder, "measured", ulysses=2, **how)
    for backend, name in {"triton": "steered", "torch": "measured"}.items():
        try:
            start(SimpleNamespace(use_fused_kernels=True, fused_kernel_options={"impl_backend": backend}), name)
        except aent.StepError as error:
            found[f"refused with {backend}"] = str(error)
    measured("loss = token_mean(clip_ppo(old_log_prob = rollout_log_prob))")
    try:
        train(folder, "measured", without=["rollout_log_probs"], **how)
    except aent.BatchError as error:
        found["refused without a column"] = str(error)
    measured("input sampled: candidates id loss = -token_mean(log(mass(within = sampled)))")
    try:
        train(folder, "measured", flat="sampled", **how)
    except aent.BatchError as error:
        found["refused of another shape"] = str(error)
    measured(MEASURED["columns"])
    try:
        train(folder, "measured", broken_on=1, **how)
    except aent.Error as error:
        found["broken on one rank"] = (type(error).__name__, str(error))
    # Last: from here on the class of the model has verl's fused forward pass, which takes no output layer of its own shards.
    for packed in (False, True):
        of_tied = how | {"packed": packed}
        found[f"verl tied {packed}"] = train(folder / "tied", "vanilla", coefficient=0.5, **of_tied)
    for packed in (False, True):
        of_tied = how | {"packed": packed}
        steered(torch.ones(4))  # A file with temperatures of samples, where verl's is one for all.
        found[f"file fused {packed}"] = train(folder / "tied", "steered", fused=True, **of_tied)
    return found


def report(folder: Path) -> dict[str, Any]:
    """What the tests look at."""
    found: dict[str, Any] = {"example": train(folder, "aent", packed=True, micro=1, temperature=1.0)}
    for name, spec in (MEASURED | {"listed": LISTED}).items():
        found[f"direct {name}"] = direct(folder, spec)
        measured(spec)
        for packed in (False, True):
            found[f"{name} {packed}"] = train(folder, "measured", packed=packed, micro=1, temperature=1.0)
        found[f"{name} dynamic"] = train(folder, "measured", packed=True, micro=1, temperature=1.0, dynamic=True)
    for packed in (False, True):
        for temperature in (1.0, 0.7, torch.tensor([0.7, 1.3, 1.0, 0.5])):
            how = {"packed": packed, "temperature": temperature}
            name = "its own" if isinstance(temperature, torch.Tensor) else temperature
            key = f"{'packed' if packed else 'padded'} at {name}"
            found[f"verl {key}"] = train(folder, "vanilla", micro=1, coefficient=0.5, **how)
            program = steered(temperature)
            found[f"file {key}"] = train(folder, "steered", micro=1, **how)
            found[f"coefficients {key}"] = program.coefficients
    how = {"packed": True, "micro": 1, "temperature": 1.0, "computes": "bf16"}
    steered()
    found["file in bf16"] = train(folder, "steered", **how)
    steered()
    found["file in one micro-batch"] = train(
        folder, "steered", packed=False, temperature=1.0, micro=4 // dist.get_world_size()
    )
    program = steered()
    two = train(folder, "steered", packed=False, temperature=1.0, micro=1, steps=2)
    found["two steps"] = (program.steps, program.coefficients)
    checkpoint = folder / f"checkpoint-{dist.get_world_size()}"
    two["engine"].save_checkpoint(str(checkpoint))
    dist.barrier()
    found["saved"] = sorted(file.name for file in checkpoint.iterdir() if "aent" in file.name)
    fresh = steered()
    engine(folder, False).load_checkpoint(str(checkpoint))
    found["restored"] = (fresh.steps, fresh.coefficients)
    dist.barrier()
    (checkpoint / "aent_state.json").unlink(missing_ok=True)
    dist.barrier()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        engine(folder, False).load_checkpoint(str(checkpoint))
    found["warned"] = [str(warning.message) for warning in said if "aent" in str(warning.message)]
    try:
        train(folder, "steered", packed=False, temperature=0.7, micro=1)
    except aent.StepError as error:
        found["refused"] = str(error)
    try:
        train(folder, "steered", packed=False, temperature=torch.tensor([0.7, 1.3, 0.7, 1.3]), micro=2)
    except aent.StepError as error:
        found["refused of samples"] = str(error)
    found |= report_of_rows(folder)
    for of in found.values():
        if isinstance(of, dict):
            of.pop("engine", None)
    return found


def main(folder: Path, rank: int, world: int) -> None:
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(world), LOCAL_RANK=str(rank))
    torch.set_num_threads(1)
    sys.path.append(str(Path(__file__).resolve().parents[1] / "examples"))
    if not (folder / "config.json").exists():
        save_model(folder)
        save_model(folder / "tied", tied=True)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting-{world}", rank=rank, world_size=world)
    torch.save(report(folder), folder / f"report-{world}-{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
