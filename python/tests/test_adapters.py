"""Programs under the names of other trainers: the same numbers as under those of the language."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import aent
from aent.adapters import NAMES, fields, policy_loss

PAGE = Path(__file__).resolve().parents[2] / "docs" / "trainers.md"
SPEC = """
import "std/mismatch.aent"
loss = token_mean(token_tis(2) * clip_ppo() + 0.1 * kl())
metric moved = seq_mean_token_mean(old_log_prob - log_prob)
"""


def batch() -> dict[str, torch.Tensor]:
    """Two sequences of four and three tokens, under the names of the language."""
    places = torch.arange(8, dtype=torch.float64).view(2, 4)
    return {
        "log_prob": (-1.2 + places.cos() / 2).requires_grad_(),
        "old_log_prob": -1.1 + places.mul(1.3).sin() / 2,
        "ref_log_prob": -1.3 + places.mul(0.7).sin() / 2,
        "rollout_log_prob": -1.2 + places.mul(0.9).sin() / 3,
        "advantages": places.mul(0.9).cos(),
        "response_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]),
    }


def numbers(output: aent.Output) -> tuple[float, float]:
    return output.total, output.metrics["moved"]


@pytest.mark.parametrize("trainer", NAMES)
def test_a_trainers_batch_gives_the_numbers_of_the_languages(trainer: str) -> None:
    program, given = aent.compile(SPEC), batch()
    if trainer in ("prime-rl", "tinker"):  # They have one policy that sampled.
        given["old_log_prob"] = given["rollout_log_prob"]
    expected = program(given)
    theirs = {NAMES[trainer].get(field, field): tensor for field, tensor in given.items()}
    found = policy_loss(program, trainer)(theirs, unread=torch.zeros(1))
    assert numbers(found) == numbers(expected)
    (gradient,) = torch.autograd.grad(found.loss, given["log_prob"])
    assert gradient.equal(torch.autograd.grad(expected.loss, given["log_prob"])[0]) and gradient.norm() > 0.1


def test_sequences_in_a_list_are_a_packed_batch() -> None:
    program, given = aent.compile(SPEC), batch()
    theirs = {NAMES["slime"].get(field, field): [tensor[0], tensor[1, :3]] for field, tensor in given.items()}
    found = policy_loss(program, "slime")(theirs)
    assert numbers(found) == pytest.approx(numbers(program(given)), rel=1e-12)
    found.loss.backward()
    assert given["log_prob"].grad.norm() > 0.1


def test_a_sequence_by_itself_is_a_packed_batch_of_one() -> None:
    program, given = aent.compile(SPEC), batch()
    given["old_log_prob"] = given["rollout_log_prob"]
    one = {field: tensor[:1] for field, tensor in given.items()}
    theirs = {NAMES["prime-rl"].get(field, field): tensor[0] for field, tensor in given.items()}
    found = policy_loss(program, "prime-rl")(theirs)
    assert numbers(found) == pytest.approx(numbers(program(one)), rel=1e-12)


def test_fields_go_into_a_step_of_parts() -> None:
    program, given = aent.compile(SPEC), batch()
    names = NAMES["verl"] | {"ref_log_prob": "base"}
    theirs = {names.get(field, field): tensor for field, tensor in given.items()}
    parts = [fields(program, names, {field: tensor[rows] for field, tensor in theirs.items()}) for rows in ([0], [1])]
    step = program.accumulate()
    for part in parts:
        step.measure(part)
    total = sum(step(part) for part in parts)
    assert total.item() == pytest.approx(program(given).total, rel=1e-12)


def test_a_name_that_is_another_field_there_is_not_taken_for_its_own() -> None:
    program = aent.compile("loss = token_mean(clip_ppo(old_log_prob = rollout_log_prob))")
    given = batch()
    theirs: dict[str, Any] = {"logprobs": given["rollout_log_prob"], "loss_mask": given["response_mask"]}
    theirs |= {"advantages": given["advantages"], "log_prob": given["log_prob"]}
    assert policy_loss(program, "areal")(theirs).total == program(given).total


def test_what_is_not_there_is_named_as_the_trainer_does() -> None:
    program = aent.compile(SPEC)
    with pytest.raises(
        aent.BatchError, match="reads `old_log_prob`, which is `prox_logp` here; the batch has .*loss_mask"
    ):
        fields(program, "areal", advantages=torch.zeros(1, 1), loss_mask=torch.ones(1, 1))
    with pytest.raises(ValueError, match="`ray` is no trainer that is known; there are `verl`, `trl`"):
        policy_loss(program, "ray")


def test_the_page_has_the_names() -> None:
    of_language = [
        "log_prob",
        "old_log_prob",
        "ref_log_prob",
        "rollout_log_prob",
        "old_values",
        "response_mask",
        "actions",
    ]
    assert {field for names in NAMES.values() for field in names} == set(of_language)
    page = PAGE.read_text()
    for field in of_language:
        cells = [f"`{names[field]}`" if field in names else "" for names in NAMES.values()]
        assert f"| `{field}` | {' | '.join(cells)} |".replace("|  |", "| |").replace("|  |", "| |") in page
