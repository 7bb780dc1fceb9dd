"""A rank that trains a small model with verl's own FSDP engine and policy loss, on the CPU, and says what came of it.

verl has no platform for the CPU; this one answers what the engine asks. Everything else is verl's.
"""

from __future__ import annotations

import os
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import Any

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
from tensordict import TensorDict  # noqa: E402
from transformers import Qwen2Config, Qwen2ForCausalLM  # noqa: E402
from verl.trainer.config import CheckpointConfig  # noqa: E402
from verl.trainer.ppo.core_algos import POLICY_LOSS_REGISTRY  # noqa: E402
from verl.utils import tensordict_utils as tu  # noqa: E402
from verl.utils.metric import Metric  # noqa: E402
from verl.workers.config import (  # noqa: E402
    ActorConfig,
    FSDPEngineConfig,
    FSDPOptimizerConfig,
    HFModelConfig,
    PolicyLossConfig,
)
from verl.workers.engine import FSDPEngineWithLMHead  # noqa: E402
from verl.workers.utils.losses import ppo_loss  # noqa: E402
from verl.workers.utils.padding import left_right_2_no_padding  # noqa: E402

import aent  # noqa: E402
import aent.verl  # noqa: E402
from aent.verl.state import registered  # noqa: E402

# verl 0.9.1 asks for a class that newer releases of TRL do not have any more.
verl.models.transformers.monkey_patch.is_trl_available = lambda: False

STEERED = """
set temperature = {temperature}
let entropy = entropy()
controller beta = step(signal = token_mean(entropy), target = 1, step = 0.25, bounds = 0 .. 1, init = 0.5)
loss = token_mean(clip_ppo(dual = 3)) - beta * token_mean(entropy)
metric entropy = token_mean(entropy)
"""
VOCABULARY, PROMPT, RESPONSE = 32, 4, 5


def save_model(folder: Path) -> None:
    """A model of two layers whose weights are sines."""
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=VOCABULARY,
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=32,
            tie_word_embeddings=False,
        )
    )
    with torch.no_grad():
        for at, weight in enumerate(model.parameters()):
            if weight.dim() > 1:
                weight.copy_(torch.arange(weight.numel()).mul(0.7 + at).sin().mul(0.4).view_as(weight))
    model.save_pretrained(folder)


def mini_batch(rows: slice, temperature: float, **settings: Any) -> TensorDict:
    """Sequences of different lengths, padded on both sides as rollouts are; verl then packs them."""
    prompts, responses = torch.tensor([4, 2, 3, 1])[rows], torch.tensor([5, 1, 3, 4])[rows]
    places = torch.arange(4 * (PROMPT + RESPONSE)).view(4, -1)[rows]
    attention = torch.cat(
        [torch.arange(PROMPT) >= PROMPT - prompts[:, None], torch.arange(RESPONSE) < responses[:, None]], dim=1
    )
    tokens = places * 7 % VOCABULARY
    of_response = places[:, PROMPT:].float()
    data = TensorDict(
        {
            "input_ids": tokens,
            "attention_mask": attention.long(),
            "position_ids": (attention.cumsum(1) - 1).clamp(min=0),
            "prompts": tokens[:, :PROMPT],
            "responses": tokens[:, PROMPT:],
            "response_mask": attention[:, PROMPT:].long(),
            "old_log_probs": -3 + of_response.sin(),
            "advantages": of_response.mul(0.9).cos(),
        },
        batch_size=len(prompts),
    )
    data = left_right_2_no_padding(data)
    tu.assign_non_tensor(data, temperature=temperature, global_batch_size=4, use_dynamic_bsz=False, **settings)
    return data


def engine(folder: Path, packed: bool, computes: str = "fp32") -> FSDPEngineWithLMHead:
    made = FSDPEngineWithLMHead(
        HFModelConfig(
            path=str(folder),
            load_tokenizer=False,
            external_lib="verl_aent",
            use_remove_padding=packed,
            enable_gradient_checkpointing=False,
            override_config={"attn_implementation": "sdpa"},
        ),
        FSDPEngineConfig(
            strategy="fsdp2", use_torch_compile=False, model_dtype="fp32", mixed_precision={"param_dtype": computes}
        ),
        FSDPOptimizerConfig(lr=1e-2, clip_grad=1e9, total_training_steps=10),
        # The state of the device's random numbers is nothing that torch.cpu has.
        CheckpointConfig(save_contents=["model", "optimizer"], load_contents=["model", "optimizer"]),
    )
    made.initialize()
    return made


def train(
    folder: Path,
    loss_mode: str,
    *,
    packed: bool,
    micro: int,
    temperature: float,
    steps: int = 1,
    coefficient: float = 0.0,
    computes: str = "fp32",
) -> dict[str, Any]:
    """Trains a fresh engine; what its last step left."""
    made = engine(folder, packed, computes)
    actor = ActorConfig(
        strategy="fsdp2",
        rollout_n=1,
        ppo_micro_batch_size_per_gpu=micro,
        policy_loss=PolicyLossConfig(loss_mode=loss_mode),
        entropy_coeff=coefficient,
    )
    each = 4 // dist.get_world_size()
    rows = slice(dist.get_rank() * each, (dist.get_rank() + 1) * each)
    settings = {
        "use_remove_padding": packed,
        "micro_batch_size_per_gpu": micro,
        "calculate_entropy": coefficient != 0,
        "use_fused_kernels": False,
    }
    with made.train_mode(disable_auto_offload=True):
        for _ in range(steps):
            outputs = made.train_batch(mini_batch(rows, temperature, **settings), partial(ppo_loss, config=actor))
        gradient = torch.cat([weight.grad.full_tensor().flatten() for weight in made.module.parameters()])
    # Over ranks as verl's worker does it.
    everybodys = [None] * dist.get_world_size()
    dist.all_gather_object(everybodys, {name: of for name, of in outputs["metrics"].items() if isinstance(of, Metric)})
    metrics = {name: float(Metric.aggregate_dp([of[name] for of in everybodys])) for name in everybodys[0]}
    return {"engine": made, "gradient": gradient, "metrics": metrics}


def steered(temperature: float = 1.0) -> aent.Program:
    """A fresh program under the name `steered`."""
    POLICY_LOSS_REGISTRY.pop("steered", None)
    registered.clear()
    return aent.verl.register("steered", STEERED.format(temperature=temperature))


def report(folder: Path) -> dict[str, Any]:
    """What the tests look at."""
    found: dict[str, Any] = {}
    found["example"] = train(folder, "aent", packed=True, micro=1, temperature=1.0)
    for packed in (False, True):
        for temperature in (1.0, 0.7):
            how = {"packed": packed, "temperature": temperature}
            key = f"{'packed' if packed else 'padded'} at {temperature}"
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
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting-{world}", rank=rank, world_size=world)
    torch.save(report(folder), folder / f"report-{world}-{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
