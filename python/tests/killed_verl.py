"""A rank of verl with its FSDP engine, and the checkpoints of its trainer, for ``killed_worker.py``."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import torch
import torch.distributed as dist
from omegaconf import OmegaConf

import verl_worker  # First: it sets verl's platform.

# Engines import the example, whose file is not called here.
sys.path.append(str(Path(__file__).resolve().parents[1] / "examples"))
# What verl serves rollouts with is not installed, and not asked for.
for missing in ("cachetools", "fastapi", "torchdata", "torchdata.stateful_dataloader", "uvicorn"):
    sys.modules.setdefault(missing, MagicMock())
sys.modules.setdefault("verl.workers.rollout.utils", MagicMock())

from verl.trainer.ppo.ray_trainer import RayPPOTrainer  # noqa: E402
from verl.utils.checkpoint.checkpoint_manager import get_checkpoint_tracker_filename  # noqa: E402
from verl.workers.config import ActorConfig, PolicyLossConfig  # noqa: E402
from verl.workers.utils.losses import ppo_loss  # noqa: E402

from verl_tiny import mini_batch, save_model  # noqa: E402

__all__ = ["Run", "go_on", "save_model", "steps_of"]


class Loader:
    """The place in the data, which is the same batch at each step."""

    def __len__(self) -> int:
        return 1

    def state_dict(self) -> dict[str, Any]:
        """Nothing is left to say."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing was said."""


def steps_of(out: Path) -> int:
    """The steps of the checkpoint that verl goes on from.

    verl names it in a file that it writes in place, as the last of a checkpoint. One that a kill left empty is written again.
    """
    tracker = Path(get_checkpoint_tracker_filename(str(out)))
    if not tracker.exists():
        return 0
    if not (said := tracker.read_text()):
        said = str(max(int(file.parent.name.split("_")[-1]) for file in out.glob("global_step_*/data.pt")))
    return int(said)


def go_on(out: Path) -> None:
    """Leaves the file whole, without which verl goes on with nothing."""
    if steps := steps_of(out):
        Path(get_checkpoint_tracker_filename(str(out))).write_text(str(steps))


class Run:
    """One of the ranks. What verl's trainer asks of its workers, it asks of the engine here."""

    def __init__(self, model: Path, out: Path) -> None:
        self.program = verl_worker.steered()
        self.engine = verl_worker.engine(model, False)
        policy = PolicyLossConfig(loss_mode="steered")
        actor = ActorConfig(strategy="fsdp2", rollout_n=1, ppo_micro_batch_size_per_gpu=1, policy_loss=policy)
        self.loss = partial(ppo_loss, config=actor)
        settings = {"use_remove_padding": False, "micro_batch_size_per_gpu": 1, "calculate_entropy": False}
        rank = dist.get_rank()
        self.rows = lambda: mini_batch(slice(2 * rank, 2 * rank + 2), 1.0, **settings)
        trainer = {
            "default_local_dir": str(out),
            "default_hdfs_dir": None,
            "resume_mode": "auto",
            "del_local_ckpt_after_load": False,
        }
        self.trainer = SimpleNamespace(
            config=OmegaConf.create({"trainer": trainer, "actor_rollout_ref": {"actor": {"checkpoint": {}}}}),
            actor_rollout_wg=self.engine,
            use_critic=False,
            train_dataloader=Loader(),
            global_steps=0,
        )

    def resumed(self) -> int:
        """Takes up the newest checkpoint; the steps that it has."""
        RayPPOTrainer._load_checkpoint(self.trainer)
        return self.trainer.global_steps

    def step(self) -> None:
        """Trains a step, and saves it."""
        with self.engine.train_mode(disable_auto_offload=True):
            self.engine.train_batch(self.rows(), self.loss)
        self.trainer.global_steps += 1
        if dist.get_rank() == 0:
            RayPPOTrainer._save_checkpoint(self.trainer)
        else:
            folder = f"{self.trainer.config.trainer.default_local_dir}/global_step_{self.trainer.global_steps}/actor"
            self.engine.save_checkpoint(folder, None, self.trainer.global_steps)
        dist.barrier()

    def numbers(self) -> dict[str, Any]:
        """All weights, and the state of the program."""
        weights = torch.cat([weight.full_tensor().detach().flatten() for weight in self.engine.module.parameters()])
        return {"weights": weights, "state": self.program.state_dict()}
