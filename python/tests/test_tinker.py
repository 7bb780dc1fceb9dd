"""A file as Tinker's custom loss: the weights that Tinker's own client makes of it, without a server."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tinker import types
from tinker.lib.public_interfaces.training_client import TrainingClient

import aent
from aent.tinker import CustomLoss

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
LENGTHS = (5, 3)


def data(**more: list[float]) -> list[types.Datum]:
    """Two sequences whose first token is a prompt's."""
    made = []
    for row, length in enumerate(LENGTHS):
        places = torch.arange(length) + 7.0 * row
        columns = {
            "target_tokens": torch.arange(length),
            "logprobs": -1.1 + places.sin() / 2,
            "advantages": places.mul(0.9).cos() * (torch.arange(length) > 0),
            "mask": (torch.arange(length) > 0).float(),
        } | {name: torch.tensor([of[row]]) for name, of in more.items()}
        inputs = {name: types.TensorData.from_torch(column) for name, column in columns.items()}
        made.append(types.Datum(model_input=types.ModelInput.from_ints([1] * length), loss_fn_inputs=inputs))
    return made


def forward() -> types.ForwardBackwardOutput:
    """What a server answers: the policy's log-probabilities."""
    outputs = [{"logprobs": types.TensorData.from_torch(-1.2 + (torch.arange(of) * 1.3).cos() / 2)} for of in LENGTHS]
    return types.ForwardBackwardOutput(loss_fn_output_type="logprobs", loss_fn_outputs=outputs, metrics={})


def weights(result: Any) -> torch.Tensor:
    return torch.cat([datum.loss_fn_inputs["weights"].to_torch() for datum in result.data])


# Tinker's documented losses, of a token's ratio, advantage and log-probability.
CASES = {
    "importance_sampling": ("-token_sum(exp(log_prob - old_log_prob) * advantages)", lambda r, a, _: -(r * a).sum()),
    "ppo": ("token_sum(clip_ppo())", lambda r, a, _: -torch.min(r * a, r.clamp(0.8, 1.2) * a).sum()),
    "cispo": ("token_sum(cispo(bounds = 0.8 .. 1.2))", lambda r, a, p: -(r.clamp(0.8, 1.2).detach() * a * p).sum()),
}


@pytest.mark.parametrize("name", CASES)
def test_the_weights_are_those_of_tinkers_loss(name: str) -> None:
    spec, formula = CASES[name]
    given, answer = data(), forward()

    def by_hand(of: list[types.Datum], logprobs: list[torch.Tensor]) -> tuple[torch.Tensor, dict[str, float]]:
        policy = torch.cat(logprobs)
        sampled, advantages = (
            torch.cat([it.loss_fn_inputs[it_is].to_torch() for it in of]) for it_is in ("logprobs", "advantages")
        )
        return formula((policy - sampled).exp(), advantages, policy), {}

    theirs = TrainingClient._compute_custom_loss(given, by_hand, answer)
    ours = TrainingClient._compute_custom_loss(
        given, CustomLoss(f"loss = {spec}  # aent: allow(sum-grows-with-batch)"), answer
    )
    assert weights(theirs).norm() > 0.1
    torch.testing.assert_close(weights(ours), weights(theirs))
    assert ours.loss_sum == pytest.approx(theirs.loss_sum, rel=1e-6)


COMPARED = """
import "std/advantages.aent"
let drift = old_log_prob - log_prob
controller beta = step(signal = token_mean(drift), target = -1, step = 0.25, bounds = 0 .. 1, init = 0.5)
loss = token_mean(clip_ppo(advantages = grpo_advantages())) - beta * token_mean(drift)
metric reward = batch_mean(rewards)
"""


def test_the_data_of_a_call_are_a_step_in_which_answers_are_compared() -> None:
    loss_fn = CustomLoss(COMPARED)
    given, answer = data(rewards=[1.0, 0.0], group=[4, 4]), forward()
    result = TrainingClient._compute_custom_loss(given, loss_fn, answer)
    assert weights(result).norm() > 0.1 and result.metrics == {}
    assert weights(result)[0] == 0 == weights(result)[LENGTHS[0]]  # What the prompt says has no weight.
    with pytest.raises(aent.StepError, match="was not ended"):
        TrainingClient._compute_custom_loss(given, loss_fn, answer)
    metrics = loss_fn.update()
    assert (
        metrics["reward"] == 0.5
        and metrics["coefficient/beta"] == 0.5
        and loss_fn.program.coefficients != {"beta": 0.5}
    )
    after = TrainingClient._compute_custom_loss(given, loss_fn, answer)
    assert after.metrics["aent/reward"] == 0.5


def test_what_tinker_cannot_give_is_named() -> None:
    with pytest.raises(aent.BatchError, match="more of the model than `log_prob`"):
        CustomLoss("loss = token_mean(clip_ppo()) - 0.1 * token_mean(entropy())")
    with pytest.raises(
        aent.BatchError, match="reads `ref_log_prob`, which is `ref_log_prob` here; .*'advantages', 'logprobs'"
    ):
        TrainingClient._compute_custom_loss(data(), CustomLoss("loss = token_mean(clip_ppo() + kl())"), forward())


def test_the_examples_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(EXAMPLES), *sys.path])
    import tinker_aent

    class Played:
        """A client whose server gives every token a log-probability of -1."""

        def forward_backward_custom(self, data: list[types.Datum], loss_fn: CustomLoss) -> Any:
            outputs = [
                {"logprobs": types.TensorData.from_torch(torch.full((it.model_input.length,), -1.0))} for it in data
            ]
            answer = types.ForwardBackwardOutput(loss_fn_output_type="logprobs", loss_fn_outputs=outputs, metrics={})
            self.result = TrainingClient._compute_custom_loss(data, loss_fn, answer)
            return SimpleNamespace(result=lambda: self.result)

        def optim_step(self, _: types.AdamParams) -> Any:
            return SimpleNamespace(result=lambda: None)

    client = Played()
    given = [tinker_aent.datum([1, 2, 3], [4, 5], [-1.0, -1.1], reward, 0) for reward in (0.0, 1.0)]
    assert tinker_aent.train(client, given, CustomLoss(tinker_aent.SPEC)) == {"reward": 0.5}
    # Advantages of -1 and 1 in the unit of their deviation, over four tokens.
    found = weights(client.result).view(2, 4)
    assert found[:, :2].eq(0).all() and found[0, 2] < 0 < found[1, 2]


def test_a_temperature_that_changes_nothing_is_refused() -> None:
    words = "the file: `set temperature` changes nothing .* which Tinker computes; expected 1, found 0.5: leave the line out"
    with pytest.raises(aent.StepError, match=words):
        CustomLoss("set temperature = 0.5 loss = token_mean(clip_ppo())")
    moving = CustomLoss("set temperature = clamp(1 - step / 2, 0.1, 1) loss = token_mean(clip_ppo())")
    logprobs = [of["logprobs"].to_torch() for of in forward().loss_fn_outputs]
    moving(data(), logprobs)
    moving.update()
    with pytest.raises(aent.StepError, match=words):
        moving(data(), logprobs)
