"""A small model and four rollouts for it, as verl has them and without verl."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tensordict import TensorDict
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import Qwen2Config, Qwen2ForCausalLM
from verl.utils import tensordict_utils as tu
from verl.workers.utils.padding import left_right_2_no_padding

import aent

VOCABULARY, PROMPT, RESPONSE = 32, 4, 5


def save_model(folder: Path, tied: bool = False) -> None:
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
            tie_word_embeddings=tied,
        )
    )
    with torch.no_grad():
        for at, weight in enumerate(model.parameters()):
            if weight.dim() > 1:
                weight.copy_(torch.arange(weight.numel()).mul(0.7 + at).sin().mul(0.4).view_as(weight))
    model.save_pretrained(folder)


def rollouts(rows: slice) -> tuple[dict[str, torch.Tensor], dict[str, list[Any]]]:
    """Sequences of different lengths, padded on both sides as rollouts are: columns of numbers, and columns of words."""
    prompts, responses = torch.tensor([4, 2, 3, 1])[rows], torch.tensor([5, 1, 3, 4])[rows]
    places = torch.arange(4 * (PROMPT + RESPONSE)).view(4, -1)[rows]
    attention = torch.cat(
        [torch.arange(PROMPT) >= PROMPT - prompts[:, None], torch.arange(RESPONSE) < responses[:, None]], dim=1
    )
    tokens = places * 7 % VOCABULARY
    of_response = places[:, PROMPT:].float()
    scores = torch.zeros(len(prompts), RESPONSE)
    scores[:, 0] = torch.tensor([1.0, 0, 0.5, 1])[rows]
    return (
        {
            "input_ids": tokens,
            "attention_mask": attention.long(),
            "position_ids": (attention.cumsum(1) - 1).clamp(min=0),
            "prompts": tokens[:, :PROMPT],
            "responses": tokens[:, PROMPT:],
            "response_mask": attention[:, PROMPT:].long(),
            "old_log_probs": -3 + of_response.sin(),
            "advantages": of_response.mul(0.9).cos(),
            "ref_log_prob": -3 + of_response.mul(0.3).sin(),
            "rollout_log_probs": -3 + of_response.mul(1.1).sin(),
            "values": of_response.mul(0.5).sin(),
            "returns": of_response.mul(0.4).cos(),
            "rm_scores": scores,
            "sampled": tokens[:, PROMPT:, None],
        }
        | taught(places),
        # The answers to a prompt are on different ranks, where there are two.
        {
            "uid": ["one", "another", "one", "another"][rows],
            "extra_fields": [{"reward_extra_info": {"difficulty": it}} for it in (0.5, 1.0, 1.5, 2.0)][rows],
        },
    )


def taught(places: torch.Tensor) -> dict[str, torch.Tensor]:
    """A teacher's three tokens behind each token of the whole sequences, and two tokens or one for each of a response."""
    ids = (places[..., None] * 5 + torch.arange(3) * 7) % VOCABULARY
    kept = (places[:, PROMPT:, None] * 3 + torch.arange(2) * 9) % VOCABULARY
    kept[:, ::2, 1] = -1
    return {
        "teacher_ids": ids.int(),
        "teacher_logprobs": -1.6 - torch.arange(3.0) + places[..., None].sin() / 4,
        "kept": kept,
    }


def mini_batch(rows: slice, temperature: float | torch.Tensor, **settings: Any) -> TensorDict:
    """Rollouts as verl packs them, with one temperature or a column of them."""
    tensors, words = rollouts(rows)
    data = left_right_2_no_padding(TensorDict(tensors, batch_size=len(words["uid"])))
    for name, of in words.items():
        tu.assign_non_tensor_stack(data, name, of)
    tu.assign_non_tensor(data, global_batch_size=4, **{"use_dynamic_bsz": False} | settings)
    if isinstance(temperature, torch.Tensor):
        data["temperature"] = temperature[rows]
    else:
        tu.assign_non_tensor(data, temperature=temperature)
    return data


def direct(folder: Path, spec: str) -> dict[str, Any]:
    """The same without verl: one forward pass of all four sequences, and the program on its logits."""
    tensors, _ = rollouts(slice(None))
    model = Qwen2ForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
    logits = model(**{name: tensors[name] for name in ("input_ids", "attention_mask", "position_ids")}).logits
    return on_logits(model, logits[:, PROMPT - 1 : -1], spec)


def on_logits(model: torch.nn.Module, logits: torch.Tensor, spec: str) -> dict[str, Any]:
    """What the program gives on a model's logits of the four responses, and the gradient of its weights."""
    tensors, _ = rollouts(slice(None))
    fields = {
        # What is said behind a token is of the next one.
        "teacher_ids": tensors["teacher_ids"][:, PROMPT - 1 : -1].long(),
        "teacher_log_prob": tensors["teacher_logprobs"][:, PROMPT - 1 : -1],
        "logits": logits,
        "actions": tensors["responses"],
        "old_log_prob": tensors["old_log_probs"],
        "rollout_log_prob": tensors["rollout_log_probs"],
        "old_values": tensors["values"],
        "rewards": tensors["rm_scores"].sum(-1),
        "group": torch.tensor([1, 2, 1, 2]),
        "difficulty": torch.tensor([0.5, 1.0, 1.5, 2.0]),
    }
    output = aent.compile(spec)(tensors | fields)
    output.loss.backward()
    metrics = {f"actor/aent/{name}": value for name, value in output.metrics.items()}
    gradient = torch.cat([weight.grad.flatten() for weight in model.parameters()])
    return {"gradient": gradient, "metrics": metrics | {"actor/pg_loss": output.total}}


class Made(TorchDispatchMode):
    """Remembers the shapes of all tensors with a vocabulary that are made, views of the logits apart."""

    def __init__(self, logits: torch.Tensor, shapes: list[tuple[int, ...]]) -> None:
        super().__init__()
        self.storage, self.shapes = logits.untyped_storage().data_ptr(), shapes

    def __torch_dispatch__(self, func: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs the operation."""
        result = func(*args, **(kwargs or {}))
        made = isinstance(result, torch.Tensor) and not result.is_nested and VOCABULARY in result.shape
        if made and result.untyped_storage().data_ptr() != self.storage:
            self.shapes.append(tuple(result.shape))
        return result
