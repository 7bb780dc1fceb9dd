"""A file as torchrl's loss: the gradient of its own `GRPOLoss`, and a loop that learns."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tensordict import TensorDict
from torchrl.modules.distributions import LLMMaskedCategorical
from torchrl.objectives.llm import GRPOLoss

import aent
from aent.torchrl import AentLoss

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
VOCABULARY = 11


class Actor(torch.nn.Module):
    """A table of what follows a token, with the distribution that torchrl's wrappers give."""

    in_keys = [("tokens", "full")]  # noqa: RUF012 - as torchrl's modules have it

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Parameter(torch.arange(VOCABULARY**2.0).mul(0.7).sin().view(VOCABULARY, VOCABULARY))

    def _get_sft_dist(self, batch: TensorDict) -> LLMMaskedCategorical:
        tokens = batch["tokens", "full"]
        return LLMMaskedCategorical(logits=self.table[tokens.roll(1, -1)], mask=batch["masks", "answer"])

    def get_dist(self, batch: TensorDict, **_: Any) -> LLMMaskedCategorical:
        """The same by its public name."""
        return self._get_sft_dist(batch)


def batch() -> TensorDict:
    places = torch.arange(18.0).view(3, 6)
    mask = torch.ones(3, 6, dtype=torch.bool)
    mask[:, :2], mask[2, 4:] = False, False
    return TensorDict(
        {
            "tokens": {"full": (places * 7 % VOCABULARY).long()},
            "log_probs": {"full": -2.4 + places.sin() / 2},
            "masks": {"answer": mask},
            "advantage": places.mul(0.9).cos()[..., None],
            "next": {
                "reward": places[..., None].eq(places[:, -1:, None]) * torch.tensor([1.0, 0.0, 0.5])[:, None, None]
            },
        },
        batch_size=[3],
    )


def gradient(loss_fn: torch.nn.Module, actor: Actor) -> torch.Tensor:
    found = loss_fn(batch())
    loss = sum(value.mean() for name, value in found.items() if name.startswith("loss_") and value is not None)
    return torch.autograd.grad(loss, actor.table)[0]


CASES = {
    "clip": ({"entropy_bonus": False}, "loss = token_mean(clip_ppo())"),
    "entropy": (
        {"entropy_bonus": True, "entropy_coeff": 0.3},
        "loss = token_mean(clip_ppo()) - 0.3 * token_mean(entropy()) metric entropy = token_mean(entropy())",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_file_has_the_gradient_of_grpo_loss(name: str) -> None:
    settings, spec = CASES[name]
    actor = Actor()
    expected = gradient(GRPOLoss(actor, **settings), actor)
    assert expected.norm() > 0.1
    torch.testing.assert_close(gradient(AentLoss(actor, spec=spec), actor), expected)


def test_rewards_are_those_of_the_environment_and_what_is_missing_is_named() -> None:
    actor = Actor()
    made = AentLoss(actor, spec="loss = token_mean(clip_ppo()) metric reward = batch_mean(rewards)")
    made(batch())
    assert made.step_loss.end() == {"reward": 0.5}
    with pytest.raises(
        aent.BatchError, match="the program reads `difficulty`, which is `difficulty` here; the batch has"
    ):
        AentLoss(actor, spec="input difficulty: seq loss = token_mean(difficulty * clip_ppo())")(batch())


def test_a_token_that_was_never_sampled_does_not_count() -> None:
    actor, spec = Actor(), "loss = token_mean(clip_ppo()) metric tokens = token_sum(clip_ppo() * 0 + 1)"
    made, given = AentLoss(actor, spec=spec), batch()
    given["log_probs", "full"][0, 3] = torch.nan
    made(given)["loss_objective"].backward()
    assert made.step_loss.end() == {"tokens": 9.0} and actor.table.grad.isfinite().all()


def test_the_example_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(EXAMPLES), *sys.path])
    import torchrl_aent

    rewards = torchrl_aent.main(steps=20)
    assert sum(rewards[-5:]) > sum(rewards[:5]) + 1


@pytest.mark.parametrize("temperature", ["0.5", "clamp(0.5 + step, 0.1, 2)"], ids=["constant", "moving"])
def test_a_files_temperature_divides_the_actors_logits(temperature: str) -> None:
    actor, hotter = Actor(), Actor()
    hotter.table.data *= 2
    found = AentLoss(actor, spec=f"set temperature = {temperature} loss = token_mean(clip_ppo())")(batch())
    expected = AentLoss(hotter, spec="loss = token_mean(clip_ppo())")(batch())
    torch.testing.assert_close(found["loss_objective"], expected["loss_objective"])
