"""A rank that trains a small model with verl's own Megatron engine and megatron-core, on the CPU.

Neither has a platform for the CPU: what they ask of a GPU is answered here. The engine's settings are given to it directly,
since verl makes Megatron's models with packages that need a GPU.
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import nullcontext
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.distributed as dist
from torch.overrides import TorchFunctionMode

import verl_worker  # It sets verl's platform.
from aent.errors import Error, StepError
from aent.files import read_json
from verl_tiny import PROMPT, RESPONSE, VOCABULARY, mini_batch, on_logits, rollouts

torch.cuda.current_device = lambda: torch.device("cpu")
torch.cuda.synchronize = lambda: None

from megatron.core import parallel_state, tensor_parallel  # noqa: E402
from megatron.core.models.gpt import GPTModel  # noqa: E402
from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec  # noqa: E402
from megatron.core.transformer.transformer_config import TransformerConfig  # noqa: E402
from verl.workers.engine import MegatronEngineWithLMHead, MegatronEngineWithValueHead  # noqa: E402
from verl.workers.engine.megatron import transformer_impl  # noqa: E402

from aent.verl.megatron import trains_policy  # noqa: E402

transformer_impl.load_megatron_model_to_gpu = lambda *_, **__: None
tensor_parallel.get_cuda_rng_tracker = lambda: SimpleNamespace(fork=nullcontext)

LAYERS = 2


class OnCpu(TorchFunctionMode):
    """Makes on the CPU what Megatron's schedules make on `cuda`."""

    def __torch_function__(self, func: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs the function."""
        kwargs = kwargs or {}
        return func(*args, **kwargs | ({"device": "cpu"} if kwargs.get("device") == "cuda" else {}))


class Model(GPTModel):
    """Megatron's own attention knows causal masks alone: it takes a padded batch, and a packed one as a single sequence."""

    def forward(
        self, input_ids: Any, position_ids: Any = None, packed_seq_params: Any = None, **_: Any
    ) -> torch.Tensor:
        """Logits of this rank's tokens, or what the next stage of a pipeline continues with."""
        if not self.pre_process:
            return super().forward(None, None, None)
        if parallel_state.get_context_parallel_world_size() > 1:
            return self.of_own_part(input_ids, packed_seq_params)
        places = torch.arange(input_ids.shape[1]).expand_as(input_ids) if position_ids is None else position_ids
        return super().forward(input_ids, places, None)

    def of_own_part(self, input_ids: torch.Tensor, packed_seq_params: Any) -> torch.Tensor:
        """Logits of the tokens that this context-parallel rank has: each runs whole sequences, and keeps its own of them."""
        rank, ranks = parallel_state.get_context_parallel_rank(), parallel_state.get_context_parallel_world_size()
        parts = [torch.empty_like(input_ids) for _ in range(ranks)]
        dist.all_gather(parts, input_ids, parallel_state.get_context_parallel_group())
        ends = [0, ranks * input_ids.shape[1]]
        if packed_seq_params is not None:
            ends = packed_seq_params.cu_seqlens_q_padded.tolist()
        found = []
        for begin, end in pairwise(ends):
            whole = input_ids.new_empty(len(input_ids), end - begin)
            for of, part in enumerate(parts):
                whole[:, zigzag(of, ranks, end - begin)] = part[:, begin // ranks : end // ranks]
            places = torch.arange(end - begin).expand_as(whole)
            found.append(super().forward(whole, places, None)[:, zigzag(rank, ranks, end - begin)])
        return torch.cat(found, 1)


def zigzag(rank: int, ranks: int, length: int) -> torch.Tensor:
    """Which tokens of a sequence a context-parallel rank has: a piece of its begin, and the one as far from its end."""
    piece = length // (2 * ranks)
    front = torch.arange(rank * piece, (rank + 1) * piece)
    return torch.cat([front, length - 1 - front.flip(0)])


def model(shards: int = 1, stages: int = 1) -> Model:
    """The same for any number of shards; in a pipeline, this rank's stage of it."""
    config = TransformerConfig(
        num_layers=LAYERS,
        hidden_size=16,
        num_attention_heads=2,
        tensor_model_parallel_size=shards,
        pipeline_model_parallel_size=stages,
        pipeline_dtype=torch.float32,
        variable_seq_lengths=stages > 1,
        moe_token_dispatcher_type="alltoall",  # noqa: S106 - no secret
        use_cpu_initialization=True,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        masked_softmax_fusion=False,
        bias_dropout_fusion=False,
        gradient_accumulation_fusion=False,
    )
    torch.manual_seed(1)
    rank = parallel_state.get_pipeline_model_parallel_rank() if stages > 1 else 0
    first, last = rank == 0, rank == stages - 1
    made = Model(
        config, get_gpt_layer_local_spec(), VOCABULARY, 64, first, last, share_embeddings_and_output_weights=False
    )
    if stages > 1:
        weights, own = dict(model().named_parameters()), rank * LAYERS // stages
        with torch.no_grad():
            for name, weight in made.named_parameters():
                of = re.sub(r"(?<=layers\.)\d+", lambda at: str(int(at[0]) + own), name)
                weight.copy_(weights[of])
    else:
        with torch.no_grad():
            made.output_layer.weight.mul_(30)
    return made


def engine(packed: bool, fused: bool = False) -> MegatronEngineWithLMHead:
    """The engine of verl around it."""
    made = object.__new__(MegatronEngineWithLMHead)
    shards = parallel_state.get_tensor_model_parallel_world_size()
    made.module = [model(shards, parallel_state.get_pipeline_model_parallel_world_size())]
    made.tf_config = made.module[0].config
    made.enable_routing_replay = False
    made.engine_config = SimpleNamespace(
        context_parallel_size=parallel_state.get_context_parallel_world_size(),
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
    """The gradient of all shards of a weight, and of all sequences and their parts."""
    assert weight.grad is not None
    gradient = weight.grad.contiguous()
    group = parallel_state.get_data_parallel_group(with_context_parallel=True)
    dist.all_reduce(gradient, group=group)
    gradient /= dist.get_world_size(group)  # As Megatron does.
    shards = parallel_state.get_tensor_model_parallel_world_size()
    if shards == 1 or not getattr(weight, "tensor_model_parallel", False):
        return gradient
    parts = [torch.empty_like(gradient) for _ in range(shards)]
    dist.all_gather(parts, gradient, parallel_state.get_tensor_model_parallel_group())
    return torch.cat(parts, weight.partition_dim)


def of_stages(gradient: torch.Tensor) -> torch.Tensor:
    """The gradients of all stages, one behind the other."""
    stages: list[Any] = [None] * parallel_state.get_pipeline_model_parallel_world_size()
    dist.all_gather_object(stages, gradient, parallel_state.get_pipeline_model_parallel_group())
    return torch.cat(stages)


def train(
    loss_mode: str,
    *,
    packed: bool,
    micro: int,
    temperature: float | torch.Tensor = 1.0,
    coefficient: float = 0.0,
    made: MegatronEngineWithLMHead | None = None,
    spoilt: str | None = None,
) -> dict[str, Any]:
    """Trains an engine, a fresh one unless given, for one step; what it left. A ``spoilt`` column begins with NaN."""
    made = made or engine(packed)
    rank, ranks = parallel_state.get_data_parallel_rank(), parallel_state.get_data_parallel_world_size()
    rows = slice(4 * rank // ranks, 4 * (rank + 1) // ranks)
    micro = min(micro, rows.stop - rows.start)
    actor = verl_worker.ActorConfig(
        strategy="fsdp2",
        rollout_n=1,
        ppo_micro_batch_size_per_gpu=micro,
        policy_loss=verl_worker.PolicyLossConfig(loss_mode=loss_mode),
        entropy_coeff=coefficient,
    )
    settings = {"micro_batch_size_per_gpu": micro, "calculate_entropy": coefficient != 0}
    data = mini_batch(rows, temperature, **settings)
    if spoilt is not None:
        data[spoilt][0, 0] = torch.nan
    outputs = made.train_batch(data, partial(verl_worker.ppo_loss, config=actor))
    gradient = of_stages(torch.cat([whole(weight).flatten() for weight in made.module[0].parameters()]))
    if not outputs:  # Those of the last stage.
        return {"gradient": gradient}
    of_verl = verl_worker.Metric
    metrics = {
        name: float(of_verl.aggregate_dp([of])) for name, of in outputs["metrics"].items() if isinstance(of, of_verl)
    }
    return {"gradient": gradient, "metrics": metrics, "outputs": sorted(outputs["model_output"])}


def resumed(folder: Path) -> list[Any]:
    """A step, and another that takes up the last rank's checkpoint; the files that this rank wrote."""
    files = []
    for step in range(2):
        made = engine(packed=False)
        verl_worker.steered()
        # Megatron's own checkpoints need a GPU.
        made.checkpoint_mananager = SimpleNamespace(save_checkpoint=lambda **_: None, load_checkpoint=lambda **_: None)
        made._is_offload_param = made._is_offload_optimizer = False
        if step:
            made.load_checkpoint(str(folder / f"0-{dist.get_world_size() - 1}"))
        train("steered", packed=False, micro=2, made=made)
        own = folder / f"{step}-{dist.get_rank()}"
        made.save_checkpoint(str(own))
        files.append(read_json(own / "aent_state.json"))
    return files


def direct(spec: str) -> dict[str, Any]:
    """The same without verl and in one shard: each sequence alone through the model, and the program on all logits."""
    tensors, _ = rollouts(slice(None))
    made, attention = model(), tensors["attention_mask"].bool()
    logits = []
    for ids, valid in zip(tensors["input_ids"], attention, strict=True):
        begin = int(valid[:PROMPT].sum()) - 1
        found = made(ids[valid][None])[0][begin:-1]
        logits.append(torch.nn.functional.pad(found, (0, 0, 0, RESPONSE - len(found))))
    return on_logits(made, torch.stack(logits), spec)


def report(folder: Path) -> dict[str, Any]:
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
    verl_worker.measured(specs["log-probabilities"])
    try:
        train("measured", packed=False, micro=2, spoilt="advantages")
    except Error as error:
        found["refused number"] = str(error)
    verl_worker.steered()
    for name, change in {"fused": "use_fused_kernels", "dynamic": "dynamic_context_parallel"}.items():
        made = engine(packed=False)
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
    found["resumed"] = resumed(folder)
    found["policies"] = [trains_policy(of) for of in (MegatronEngineWithLMHead, MegatronEngineWithValueHead)]
    if dist.get_world_size() == 1:
        found |= {f"direct {name}": direct(spec) for name, spec in specs.items()}
    return found


def main(folder: Path, rank: int, world: int) -> None:
    """Joins the others, and leaves what it found in a file. ``SPREAD`` says what of a model lies on two ranks each."""
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(world), LOCAL_RANK=str(rank))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting-{world}", rank=rank, world_size=world)
    sizes: dict[str, Any] = {f"{os.environ['SPREAD']}_parallel_size": min(world, 2)}
    parallel_state.initialize_model_parallel(**sizes)
    with OnCpu():
        found = report(folder / f"checkpoint-{world}")
    torch.save(found, folder / f"report-{world}-{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
