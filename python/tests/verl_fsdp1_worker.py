"""A rank that trains a small model with FSDP1 in verl's own engine, on the CPU, and says what came of it.

verl has rank 0 read the weights and FSDP1 send them to the others, for which FSDP1 needs a GPU: here gloo sends them.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.fsdp import FullyShardedDataParallel

import verl_worker
from verl_tiny import direct, mini_batch, save_model
from verl_worker import ActorConfig, FSDPEngineWithLMHead, PolicyLossConfig, ppo_loss

engines = sys.modules[FSDPEngineWithLMHead.__module__]


class OnCpu(FullyShardedDataParallel):
    """FSDP1 with the weights of rank 0."""

    def __init__(self, module: torch.nn.Module, **settings: Any) -> None:
        if settings.pop("sync_module_states", False):  # Of the whole model; FSDP1 wraps its layers without.
            if dist.get_rank() > 0:
                module.to_empty(device="cpu")
            for tensor in (*module.parameters(), *module.buffers()):
                dist.broadcast(tensor.detach(), 0)
        super().__init__(module, **settings)


def engine(folder: Path, packed: bool) -> FSDPEngineWithLMHead:
    """verl's, with FSDP1."""
    model, config, optimizer, checkpoint = verl_worker.engine_settings(folder, packed)
    config = replace(config, strategy="fsdp", use_orig_params=True)
    made = FSDPEngineWithLMHead(model, config, optimizer, checkpoint)
    made.initialize()
    return made


def train(folder: Path, loss_mode: str, packed: bool, coefficient: float = 0.0) -> dict[str, Any]:
    """Trains a fresh engine for one step; what it left."""
    made = engine(folder, packed)
    policy = PolicyLossConfig(loss_mode=loss_mode)
    actor = ActorConfig(
        strategy="fsdp", rollout_n=1, ppo_micro_batch_size_per_gpu=1, policy_loss=policy, entropy_coeff=coefficient
    )
    each, rank = 4 // dist.get_world_size(), dist.get_rank()
    settings = {"micro_batch_size_per_gpu": 1, "calculate_entropy": coefficient != 0, "use_remove_padding": packed}
    with made.train_mode(disable_auto_offload=True):
        data = mini_batch(slice(rank * each, (rank + 1) * each), 1.0, **settings)
        made.train_batch(data, partial(ppo_loss, config=actor))
        with FullyShardedDataParallel.summon_full_params(made.module, with_grads=True):
            gradient = torch.cat([weight.grad.flatten() for weight in made.module.parameters()])
    return {"gradient": gradient, "engine": made}


def report(folder: Path) -> dict[str, Any]:
    """What the tests look at."""
    found: dict[str, Any] = {"direct": direct(folder, verl_worker.STEERED.format(temperature=1.0))["gradient"]}
    for packed in (False, True):
        found[f"verl {packed}"] = train(folder, "vanilla", packed, coefficient=0.5)["gradient"]
        program = verl_worker.steered()
        of_file = train(folder, "steered", packed)
        found[f"file {packed}"] = of_file["gradient"]
        found[f"coefficients {packed}"] = program.coefficients
    checkpoint = folder / f"checkpoint-{dist.get_world_size()}"
    of_file["engine"].save_checkpoint(str(checkpoint))
    fresh = verl_worker.steered()
    engine(folder, True).load_checkpoint(str(checkpoint))
    found["restored"] = (fresh.steps, fresh.coefficients)
    return found


def main(folder: Path, rank: int, world: int) -> None:
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(world), LOCAL_RANK=str(rank))
    torch.set_num_threads(1)
    sys.path.append(str(Path(__file__).resolve().parents[1] / "examples"))
    # What a GPU has and the CPU has not.
    torch.cpu.empty_cache = lambda: None
    engines.load_fsdp_model_to_gpu = lambda _: None
    engines.FSDP = OnCpu
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting-{world}", rank=rank, world_size=world)
    if rank == 0:
        save_model(folder)
    dist.barrier()
    torch.save(report(folder), folder / f"report-{world}-{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
