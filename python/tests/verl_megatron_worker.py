"""A tensor-parallel rank that trains a small model with verl's own Megatron engine and megatron-core, on the CPU.

Neither has a platform for the CPU: what they ask of a GPU is answered here. The engine's settings are given to it directly,
since verl makes Megatron's models with packages that need a GPU.
"""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.distributed as dist
from torch.overrides import TorchFunctionMode

import verl_worker  # It sets verl's platform.
from aent.errors import StepError
from verl_tiny import PROMPT, RESPONSE, VOCABULARY, mini_batch, on_logits, rollouts

torch.cuda.current_device = lambda: torch.device("cpu")

from megatron.core import parallel_state, tensor_parallel  # noqa: E402
from megatron.core.models.gpt import GPTModel  # noqa: E402
from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec  # noqa: E402
from megatron.core.transformer.transformer_config import TransformerConfig  # noqa: E402
from verl.workers.engine import MegatronEngineWithLMHead, MegatronEngineWithValueHead  # noqa: E402

from aent.verl.megatron import trains_policy  # noqa: E402

tensor_parallel.get_cuda_rng_tracker = lambda: SimpleNamespace(fork=nullcontext)


class OnCpu(TorchFunctionMode):
    """Makes on the CPU what Megatron's schedules make on `cuda`."""

    def __torch_function__(self, func: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs the function."""
        kwargs = kwargs or {}
        return func(*args, **kwargs | ({"device": "cpu"} if kwargs.get("device") == "cuda" else {}))


class Model(GPTModel):
    """Megatron's own attention knows causal masks alone: it takes a padded batch, and a packed one as a single sequence."""

    def forward(self, input_ids: Any, position_ids: Any = None, **_: Any) -> torch.Tensor:
        """Logits of this rank's tokens."""
        places = torch.arange(input_ids.shape[1]).expand_as(input_ids) if position_ids is None else position_ids
        return super().forward(input_ids, places, None)


def model(shards: int) -> Model:
    """The same for any number of shards."""
    config = TransformerConfig(
        num_layers=1,
        hidden_size=16,
        num_attention_heads=2,
        tensor_model_parallel_size=shards,
        use_cpu_initialization=True,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        masked_softmax_fusion=False,
        bias_dropout_fusion=False,
        gradient_accumulation_fusion=False,
    )
    torch.manual_seed(1)
    made = Model(config, get_gpt_layer_local_spec(), VOCABULARY, 64, share_embeddings_and_output_weights=False)
    with torch.no_grad():
        made.output_layer.weight.mul_(30)
    return made


def engine(shards: int, packed: bool, fused: bool = False) -> MegatronEngineWithLMHead:
    """The engine of verl around it."""
    made = object.__new__(MegatronEngineWithLMHead)
    made.module = [model(shards)]
    made.tf_config = made.module[0].config
    made.enable_routing_replay = False
    made.engine_config = SimpleNamespace(
        context_parallel_size=1,
        dynamic_context_parallel=False,
        use_fused_kernels=fused,
        use_remove_padding=packed,
        pad_to_length=False,
        pad_bshd_to_minibatch_max=False,
        entropy_from_logits_with_chunking=False,
    )
    made.model_config = SimpleNamespace(
        hf_config=SimpleNamespace(architectures=["Qwen2ForCausalLM"]),
        tokenizer=SimpleNamespace(pad_token_id=0),
        mtp=SimpleNamespace(enable=False, enable_train=False),
    )
    made.optimizer_zero_grad = made.module[0].zero_grad
    made.optimizer_step = lambda: 0.0
    return made


def whole(weight: torch.nn.Parameter) -> torch.Tensor:
    """The gradient of all shards."""
    assert weight.grad is not None
    shards = dist.get_world_size()
    if shards == 1 or not getattr(weight, "tensor_model_parallel", False):
        return weight.grad
    parts = [torch.empty_like(weight.grad) for _ in range(shards)]
    dist.all_gather(parts, weight.grad.contiguous())
    return torch.cat(parts, weight.partition_dim)


def train(
    loss_mode: str, *, packed: bool, micro: int, temperature: float | torch.Tensor = 1.0, coefficient: float = 0.0
) -> dict[str, Any]:
    """Trains a fresh engine for one step; what it left."""
    made = engine(dist.get_world_size(), packed)
    actor = verl_worker.ActorConfig(
        strategy="fsdp2",
        rollout_n=1,
        ppo_micro_batch_size_per_gpu=micro,
        policy_loss=verl_worker.PolicyLossConfig(loss_mode=loss_mode),
        entropy_coeff=coefficient,
    )
    settings = {"micro_batch_size_per_gpu": micro, "calculate_entropy": coefficient != 0}
    data = mini_batch(slice(None), temperature, **settings)
    outputs = made.train_batch(data, partial(verl_worker.ppo_loss, config=actor))
    gradient = torch.cat([whole(weight).flatten() for weight in made.module[0].parameters()])
    of_verl = verl_worker.Metric
    metrics = {
        name: float(of_verl.aggregate_dp([of])) for name, of in outputs["metrics"].items() if isinstance(of, of_verl)
    }
    return {"gradient": gradient, "metrics": metrics, "outputs": sorted(outputs["model_output"])}


def direct(spec: str) -> dict[str, Any]:
    """The same without verl and in one shard: each sequence alone through the model, and the program on all logits."""
    tensors, _ = rollouts(slice(None))
    made, attention = model(1), tensors["attention_mask"].bool()
    logits = []
    for ids, valid in zip(tensors["input_ids"], attention, strict=True):
        begin = int(valid[:PROMPT].sum()) - 1
        found = made(ids[valid][None])[0][begin:-1]
        logits.append(torch.nn.functional.pad(found, (0, 0, 0, RESPONSE - len(found))))
    return on_logits(made, torch.stack(logits), spec)


def report() -> dict[str, Any]:
    """What the tests look at."""
    found: dict[str, Any] = {}
    for packed in (False, True):
        for temperature in (1.0, 0.7, torch.tensor([0.7, 1.3, 1.0, 0.5])):
            name = "its own" if isinstance(temperature, torch.Tensor) else temperature
            key = f"{'packed' if packed else 'padded'} at {name}"
            found[f"verl {key}"] = train("vanilla", packed=packed, micro=2, temperature=temperature, coefficient=0.5)
            program = verl_worker.steered(temperature)
            found[f"file {key}"] = train("steered", packed=packed, micro=2, temperature=temperature)
            found[f"coefficients {key}"] = program.coefficients
    verl_worker.steered()
    found["file with verl's entropy"] = train("steered", packed=False, micro=2, coefficient=0.5)
    found["verl with twice the entropy"] = train("vanilla", packed=False, micro=2, coefficient=1.0)
    specs = verl_worker.MEASURED | {"listed": verl_worker.LISTED}
    for name, spec in specs.items():
        verl_worker.measured(spec)
        for micro in (1, 4):
            found[f"{name} in {micro}"] = train("measured", packed=False, micro=micro)
    verl_worker.steered()
    for name, change in {"fused": "use_fused_kernels", "dynamic": "dynamic_context_parallel"}.items():
        made = engine(dist.get_world_size(), False)
        setattr(made.engine_config, change, True)
        config = SimpleNamespace(policy_loss={"loss_mode": "steered"})
        try:
            made.train_batch(None, SimpleNamespace(keywords={"config": config}))
        except StepError as error:
            found[f"refused {name}"] = str(error)
    try:
        train("steered", packed=False, micro=2, temperature=0.7)
    except StepError as error:
        found["refused temperature"] = str(error)
    found["policies"] = [trains_policy(of) for of in (MegatronEngineWithLMHead, MegatronEngineWithValueHead)]
    if dist.get_world_size() == 1:
        found |= {f"direct {name}": direct(spec) for name, spec in specs.items()}
    return found


def main(folder: Path, rank: int, world: int) -> None:
    """Joins the other, and leaves what it found in a file."""
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(world), LOCAL_RANK=str(rank))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting-{world}", rank=rank, world_size=world)
    parallel_state.initialize_model_parallel(tensor_model_parallel_size=world)
    with OnCpu():
        found = report()
    torch.save(found, folder / f"report-{world}-{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
