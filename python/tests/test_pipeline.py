"""Engines that ask for the loss of each micro-batch at once, and scale it themselves."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch

import aent
from batches import batch

GROUPED = "loss = token_mean((rewards - group_mean(rewards)) * log_prob) - 0.1 * batch_mean(seq_mean(entropy()))"
PROMPTS = 'import "std/averages.aent"\nloss = -prompt_mean(log_prob * advantages)'


def whole(dtype: torch.dtype = torch.float64) -> dict[str, torch.Tensor]:
    """Six sequences of three prompts, those of a prompt next to one another."""
    found = batch(b=6, dtype=dtype)
    found["rewards"] = torch.arange(6, dtype=torch.float64).mul(2.1).sin()
    found["group"] = torch.tensor([4, 4, 9, 9, 9, -1])
    return found


def cut(found: dict[str, torch.Tensor], ends: list[int]) -> list[dict[str, torch.Tensor]]:
    return [{name: tensor[start:end] for name, tensor in found.items()} for start, end in pairwise(ends)]


def gradient(found: dict[str, torch.Tensor]) -> torch.Tensor:
    leaf = found["logits"].grad
    assert leaf is not None
    return leaf


@pytest.mark.parametrize("text", ["loss = token_mean(clip_ppo())", GROUPED, PROMPTS])
def test_a_pipeline_that_divides_by_its_micro_batches_gets_the_whole_step(text: str) -> None:
    program, expected = aent.compile(text), whole()
    output = program(expected)
    output.loss.backward()
    found, parts = whole(), [0, 2, 5, 6]
    step = program.accumulate(tokens=27, sequences=6, groups=3, scale=3)
    losses = []
    for part in cut(found, parts):
        loss = step(part) / 3
        loss.backward()  # At once: the share is final.
        losses.append(loss.item())
    assert sum(losses) == pytest.approx(output.total, rel=1e-12)
    assert step.finish().total == pytest.approx(output.total, rel=1e-12)
    torch.testing.assert_close(gradient(found), gradient(expected), rtol=1e-10, atol=1e-14)


def test_what_a_program_requires_is_named_with_its_place() -> None:
    text = "let a = group_mean(rewards)\nlet q = quantile(rewards, 90%)\nlet h = quantile(entropy(), 50%)\n"
    program = aent.compile(text + "loss = token_mean((rewards - a - q - h) * log_prob)")
    assert program.requires == {
        "tokens": [{"formula": "token_mean((rewards - a - q - h) * log_prob)", "place": "spec.aent:4:8"}],
        "groups": [{"formula": "group_mean(rewards)", "place": "spec.aent:1:9", "field": "group"}],
        "fields": [{"formula": "quantile(rewards, 90%)", "place": "spec.aent:2:9"}],
        "whole_step": [{"formula": "quantile(entropy(), 50%)", "place": "spec.aent:3:9"}],
    }
    # A metric may wait for the end of the step, but for the counts that it divides by.
    late = aent.compile(
        "loss = token_sum(log_prob) / 64\nmetric m = quantile(log_prob, 0.5)\nmetric n = batch_mean(rewards)"
    )
    assert set(late.requires) == {"sequences"}


def test_what_an_engine_does_not_know_is_refused_where_a_file_is_compiled() -> None:
    known: Any = ["tokens", "sequences"]
    aent.compile("loss = token_mean(clip_ppo()) - 0.1 * batch_mean(seq_sum(entropy()))", known=known)
    with pytest.raises(aent.SpecError) as caught:
        aent.compile(GROUPED, known=known)
    text = str(caught.value)
    assert "needs-whole-step" in text and "group_mean(rewards)" in text and "`groups`" in text
    aent.compile(GROUPED, known=[*known, "groups"])
    with pytest.raises(aent.SpecError, match="what the model says of the whole step"):
        aent.compile(
            "loss = token_mean(where(top_fraction(entropy(), 20%), clip_ppo(), 0))", known=[*known, "groups", "fields"]
        )
    with pytest.raises(ValueError, match="expected names of `tokens`, .*found `everything`"):
        aent.compile(GROUPED, known=["everything"])  # type: ignore[list-item]


def test_counts_that_are_missing_or_wrong_are_refused() -> None:
    program = aent.compile(GROUPED)
    with pytest.raises(aent.StepError, match=r"group_mean\(rewards\)`, spec.aent:1:30: give `groups` by `group`"):
        program.accumulate(tokens=27, sequences=6)
    with pytest.raises(aent.StepError, match="the number of sequences in the whole step for .*: give `sequences`"):
        program.accumulate(tokens=27, groups=3)
    with pytest.raises(aent.StepError, match="`scale`: expected a finite number other than 0, found 0"):
        program.accumulate(scale=0)
    # A group in two micro-batches.
    step = program.accumulate(tokens=27, sequences=6, groups=3)
    parts = cut(whole(), [0, 3, 6])
    step(parts[0])
    with pytest.raises(
        aent.StepError, match="`group`: expected each group whole in one part, .*found 9 in part 1 and in part 2"
    ):
        step(parts[1])
    # More groups than come.
    step = program.accumulate(tokens=27, sequences=6, groups=4)
    for part in cut(whole(), [0, 2, 5, 6]):
        step(part)
    with pytest.raises(
        aent.StepError, match="`groups`: the caller counted 4 by `group` in the whole step, and its parts brought 3"
    ):
        step.finish()


def test_groups_by_another_field_are_counted_by_its_name() -> None:
    text = "input rollout: seq int\nloss = token_mean(group_mean(rewards, group = rollout) * log_prob)"
    program, found = aent.compile(text), whole()
    found["rollout"] = found.pop("group")
    output = program(found)
    with pytest.raises(aent.StepError, match="give `groups` by `rollout`"):
        program.accumulate(tokens=27, groups=3)
    step = program.accumulate(tokens=27, groups={"rollout": 3})
    total = sum(step(part).item() for part in cut(found, [0, 2, 5, 6]))
    assert total == pytest.approx(output.total, rel=1e-12)
    assert step.finish().tokens == 27


def test_a_term_in_python_may_look_across_a_group() -> None:
    @aent.term(name="pipeline::best", reach="group", gradient=False)
    def best(rewards: aent.Seq, group: aent.SeqInt) -> aent.Seq:
        """The greatest reward of a sample's group."""
        mates = group[:, None] == group
        return torch.where(mates, rewards, -torch.inf).amax(1)

    program, found = aent.compile("loss = token_mean((rewards - pipeline::best()) * log_prob)"), whole()
    assert program.requires["groups"][0]["field"] == "group"
    total, step = program(found).total, program.accumulate(tokens=27, groups=3)
    assert sum(step(part).item() for part in cut(found, [0, 2, 5, 6])) == pytest.approx(total, rel=1e-12)
    with pytest.raises(TypeError, match="needs a parameter `group: aent.SeqInt`"):

        @aent.term(name="pipeline::alone", reach="group")
        def alone(rewards: aent.Seq) -> aent.Seq:
            """Nothing."""
            return rewards


def test_what_is_measured_is_scaled_too() -> None:
    program, found = aent.compile("loss = token_mean(log_prob) / (token_mean(entropy()) + 1)"), whole()
    parts, step = cut(found, [0, 4, 6]), program.accumulate(scale=2)
    for part in parts:
        step.measure(part)
    total = sum(step(part).item() / 2 for part in parts)
    assert total == pytest.approx(program(whole()).total, rel=1e-10)
