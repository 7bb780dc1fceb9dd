"""verl's own workers under Ray, on two CPUs: a controller sends a loss and a batch, and writes down what comes back."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from unittest.mock import MagicMock

import ray
import torch

from verl_worker import engine_settings  # First: it sets verl's platform.

sys.modules.setdefault("verl.workers.rollout.utils", MagicMock())  # What it serves rollouts with is not installed.

from verl.single_controller.ray.base import RayClassWithInitArgs, RayResourcePool, RayWorkerGroup  # noqa: E402
from verl.utils import tensordict_utils as tu  # noqa: E402
from verl.utils.import_utils import import_external_libs  # noqa: E402
from verl.workers import engine_workers  # noqa: E402
from verl.workers.config import ActorConfig, PolicyLossConfig, TrainingWorkerConfig  # noqa: E402
from verl.workers.utils.losses import ppo_loss  # noqa: E402

from verl_tiny import mini_batch, save_model  # noqa: E402

MEMORY = {"max_memory_allocated.return_value": 0, "max_memory_reserved.return_value": 0}


class CpuWorker(engine_workers.TrainingWorker):
    """verl's, in a process whose platform is the CPU."""

    def __init__(self, config: TrainingWorkerConfig) -> None:
        # verl names the backend of the CPU twice, asks the device for its memory, and registers its FSDP engine for GPUs.
        engine_workers.initialize_global_process_group_ray = lambda **_: torch.distributed.init_process_group("gloo")
        engine_workers.get_torch_device = lambda: MagicMock(**MEMORY)
        os.environ["VERL_ENGINE_DEVICE"] = "cuda"
        import_external_libs(config.model_config.external_lib)  # verl's actor makes this configuration where it runs.
        super().__init__(config)
        self.flops_counter = None


def main(folder: Path) -> None:
    """A step of two workers."""
    save_model(folder)
    paths = os.pathsep.join(str(Path(of).resolve()) for of in sys.path if of)
    ray.init(
        num_cpus=3, include_dashboard=False, runtime_env={"env_vars": {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}}
    )
    model, engine, optimizer, checkpoint = engine_settings(folder, packed=True)
    config = TrainingWorkerConfig(
        model_type="language_model",
        model_config=model,
        engine_config=engine,
        optimizer_config=optimizer,
        checkpoint_config=checkpoint,
    )
    group = RayWorkerGroup(
        resource_pool=RayResourcePool([2], use_gpu=False, max_colocate_count=1),
        ray_cls_with_init=RayClassWithInitArgs(cls=ray.remote(CpuWorker), config=config),
        device_name="cpu",
        use_gpu=False,
    )
    loss = PolicyLossConfig(loss_mode="aent")
    actor = ActorConfig(strategy="fsdp2", rollout_n=1, ppo_micro_batch_size_per_gpu=1, policy_loss=loss)
    group.reset()
    group.set_loss_fn(partial(ppo_loss, config=actor))
    data = mini_batch(slice(None), 1.0, micro_batch_size_per_gpu=1, mini_batch_size=4, calculate_entropy=False)
    metrics = tu.get(group.train_mini_batch(data).get(), "metrics")
    group.save_checkpoint(str(folder / "checkpoint"))
    torch.save(metrics, folder / "metrics.pt")
    ray.shutdown()


if __name__ == "__main__":
    import verl_ray  # Workers find the class by its module.

    verl_ray.main(Path(sys.argv[1]))
