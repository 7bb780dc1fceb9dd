"""TRL's RLOO and online DPO by the same class, against the losses of TRL's own trainers; and adapters in a trainer."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import LoraConfig
from transformers import AutoModelForCausalLM
from trl import RLOOConfig, RLOOTrainer
from trl.experimental.online_dpo import OnlineDPOTrainer

from trl_tiny import arguments, batch, dataset, loss_and_gradient, reward, save_model, tokenizer, trainer

RECIPES = Path(__file__).resolve().parents[2] / "examples" / "recipes"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


def test_the_recipe_of_rloo_has_the_loss_of_trls_trainer(folder: Path) -> None:
    ours = trainer(folder, arguments(folder, beta=0.05), RECIPES / "rloo.aent")
    given = vars(arguments(folder))
    names = (
        "output_dir",
        "per_device_train_batch_size",
        "num_generations",
        "max_completion_length",
        "report_to",
        "use_cpu",
        "bf16",
    )
    theirs = RLOOTrainer(
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
        args=RLOOConfig(**{name: given[name] for name in names}),
        reward_funcs=reward,
        train_dataset=dataset(),
        processing_class=tokenizer(),
    )
    inputs = batch(ours)
    mask = inputs["completion_mask"]
    # As `RLOOTrainer` prepares a batch: the price of the reference is in the reward, the baseline is the prompt's other answer.
    price = ((inputs["old_per_token_logps"] - inputs["ref_per_token_logps"]) * mask).sum(1)
    rewards = (inputs["rewards"] - 0.05 * price).view(2, 2)
    more = {
        "old_logps": (inputs["old_per_token_logps"] * mask).sum(1),
        "advantages": (rewards - rewards.flip(1)).flatten(),
    }
    expected = loss_and_gradient(theirs, [inputs | more])
    found = loss_and_gradient(ours, [inputs])
    assert expected[1].norm() > 1e-2
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    torch.testing.assert_close(found[1], expected[1], rtol=1e-4, atol=1e-6)


def test_the_recipe_of_online_dpo_has_the_loss_of_trls_trainer(folder: Path) -> None:
    ours = trainer(folder, arguments(folder, beta=0.1, num_generations=2), RECIPES / "online_dpo.aent")
    inputs = batch(ours)
    # Two samples of two prompts. TRL has the first sample of each, then the second of each.
    order = torch.tensor([0, 2, 1, 3])
    theirs = {name: of[order] for name, of in inputs.items() if of.dim()}
    prompt, completion = ("prompt_ids", "prompt_mask"), ("completion_ids", "completion_mask")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    reference = theirs["ref_per_token_logps"]
    settings = {"missing_eos_penalty": None, "loss_type": "sigmoid", "torch_empty_cache_steps": None, "use_vllm": False}
    losses: list[torch.Tensor] = []

    class Theirs:
        """What ``OnlineDPOTrainer.training_step`` reads of itself, without generation."""

        args = SimpleNamespace(optim=None, n_gpu=1, gradient_accumulation_steps=1, **settings)
        accelerator = SimpleNamespace(gather_for_metrics=lambda x: x, backward=losses.append)
        processing_class = SimpleNamespace(batch_decode=lambda ids, **_: [""] * len(ids))
        state = SimpleNamespace(global_step=0)
        beta, eos_token_ids, reward_funcs, ref_model, max_length = 0.1, (1,), None, object(), 100

        def __init__(self) -> None:
            self.stats: dict[str, list[float]] = defaultdict(list)

        def _generate(self, *_: Any) -> tuple[Any, ...]:
            return *(theirs[name] for name in (*prompt, *completion)), None

        def _forward(self, of: Any, *given: Any) -> torch.Tensor:
            return reference if of is self.ref_model else OnlineDPOTrainer._forward(self, of, *given)

        def _calculate_rewards_from_functions(self, **_: Any) -> torch.Tensor:
            return theirs["rewards"]

    OnlineDPOTrainer.training_step(Theirs(), model, {"prompt": ["a", "b"]})
    expected = torch.cat([of.flatten() for of in torch.autograd.grad(losses[0], list(model.parameters()))])
    found = loss_and_gradient(ours, [inputs])
    assert expected.norm() > 1e-2
    assert found[0] == pytest.approx(losses[0].item(), rel=1e-5)
    torch.testing.assert_close(found[1], expected, rtol=1e-4, atol=1e-6)


def test_adapters_and_recomputed_layers_take_trls_step(folder: Path) -> None:
    spec = "loss = seq_mean_token_mean(clip_ppo()) - 0.1 * token_mean(entropy())"
    how = {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False}}
    gradients = []
    for of, more in ((None, {"loss_type": "grpo", "entropy_coef": 0.1}), (spec, {})):
        lora = LoraConfig(target_modules=["q_proj", "v_proj"], init_lora_weights=False)
        torch.manual_seed(0)
        made = trainer(folder, arguments(folder, **how, **more), of, peft_config=lora)
        trained = {name: weight for name, weight in made.model.named_parameters() if weight.requires_grad}
        assert trained and all("lora" in name for name in trained)
        for weight in trained.values():
            torch.nn.init.constant_(weight, 0.1)
        gradients.append(loss_and_gradient(made, [batch(made)]))
    assert gradients[0][1].norm() > 1e-3
    assert gradients[1][0] == pytest.approx(gradients[0][0], rel=1e-5)
    torch.testing.assert_close(gradients[1][1], gradients[0][1], rtol=1e-4, atol=1e-6)
