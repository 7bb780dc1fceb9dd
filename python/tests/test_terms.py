"""Terms written in Python."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch

import aent
from batches import batch


@aent.term
def plain_policy_gradient(log_prob: aent.Token, advantages: aent.Token, *, scale: float = 1.0) -> aent.Token:
    """The policy-gradient loss `-scale · A · log π(a)`."""
    return -scale * advantages * log_prob


@aent.term(extras={"clipped": aent.TokenBool})
def clipped_by_hand(
    log_prob: aent.Token, old_log_prob: aent.Token, advantages: aent.Token, *, eps: float
) -> aent.Token:
    """Clip-PPO, `max(-A r, -A clip(r, 1 ± eps))`."""
    ratio = (log_prob - old_log_prob).exp()
    free, held = -advantages * ratio, -advantages * ratio.clamp(1 - eps, 1 + eps)
    return torch.maximum(free, held), {"clipped": held > free}  # type: ignore[return-value]


@aent.term(reach="sequence")
def sequence_spread(x: aent.Token, response_mask: aent.TokenBool) -> aent.Seq:
    """The variance of a value in each sequence."""
    count = response_mask.sum(1)
    mean = (x * response_mask).sum(1) / count
    return (((x - mean[:, None]) ** 2) * response_mask).sum(1) / count


@aent.term(name="mine::centred", reach="batch", gradient=False)
def centred(advantages: aent.Token, response_mask: aent.TokenBool) -> aent.Token:
    """Advantages without their mean over the step."""
    return advantages - advantages[response_mask].mean()


@aent.term(reach="sequence")
def turn_sum(x: aent.Token, by: aent.TokenInt) -> aent.Token:
    """The sum of a value over the tokens of its sequence with the same id; every token counts."""
    same = by[:, :, None] == by[:, None, :]
    return (x[:, None, :] * same).sum(2)


@aent.term(reach="batch", gradient=False)
def prompt_size(group: aent.SeqInt) -> aent.Seq:
    """How many sequences answer the same prompt."""
    return (group[:, None] == group[None, :]).sum(1).to(torch.float64)


@pytest.mark.parametrize("kind", [torch.int32, torch.int64])
def test_a_term_in_python_takes_ids(kind: torch.dtype) -> None:
    turn = torch.tensor([[1, 1, 7, 7, 1], [0, 1, 2, 3, 4], [9, 9, 9, 9, 9]], dtype=kind)
    fields = {**batch(), "turn": turn, "group": torch.tensor([5, -5, 5], dtype=kind)}
    fields["response_mask"] = torch.ones(3, 5, dtype=torch.bool)
    declared = "input turn: token int\n"
    ours = aent.compile(
        f"{declared}loss = token_mean(advantages * turn_sum(log_prob, by = turn)) * batch_mean(prompt_size())"
    )
    theirs = aent.compile(
        f"{declared}loss = token_mean(advantages * segment_sum(log_prob, by = turn)) * batch_mean(group_sum(1))"
    )
    torch.testing.assert_close(ours(fields).loss, theirs(fields).loss, rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient(ours, fields), gradient(theirs, fields), rtol=1e-10, atol=1e-14)


def test_ids_that_are_no_whole_numbers_are_refused() -> None:
    program = aent.compile("input turn: token int\nloss = token_mean(segment_mean(log_prob, by = turn))")
    with pytest.raises(aent.BatchError, match="`turn`.*int64 or int32 ids.*f32"):
        program({**batch(), "turn": torch.zeros(3, 5)})
    with pytest.raises(aent.SpecError, match="expected a number, found an int"):
        aent.compile("input turn: token int\nloss = token_mean(log_prob * turn)")


def gradient(program: aent.Program, fields: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.autograd.grad(program(fields).loss, fields["logits"])[0]


def test_a_term_in_python_is_worth_one_in_rust() -> None:
    fields = batch()
    ours = aent.compile("let p = clipped_by_hand(eps = 0.2)\nloss = token_mean(p)\nmetric c = token_mean(p.clipped)")
    theirs = aent.compile("let p = clip_ppo()\nloss = token_mean(p)\nmetric c = token_mean(p.clipped)")
    torch.testing.assert_close(gradient(ours, fields), gradient(theirs, fields), rtol=1e-12, atol=1e-12)
    assert ours(fields).metrics == theirs(fields).metrics


def test_what_is_masked_out_reaches_nothing() -> None:
    fields = batch()
    program = aent.compile("loss = token_mean(plain_policy_gradient(scale = 2))")
    expected = gradient(program, fields)
    for name in ("advantages", "old_log_prob"):
        fields[name][~fields["response_mask"]] = float("nan")
    assert torch.equal(gradient(program, fields), expected)
    assert expected[~fields["response_mask"]].abs().max() == 0


def test_row_statistics_are_handed_over_by_the_file() -> None:
    fields = batch()
    program = aent.compile("loss = batch_mean(sequence_spread(entropy()))")
    logits, mask = fields["logits"], fields["response_mask"]
    entropy = torch.distributions.Categorical(logits=logits).entropy()
    spread = torch.stack([row[keep].var(correction=0) for row, keep in zip(entropy, mask)]).mean()
    (expected,) = torch.autograd.grad(spread, logits)
    torch.testing.assert_close(gradient(program, fields), expected, rtol=1e-9, atol=1e-12)


def test_a_term_that_spans_the_batch_is_exact_in_parts() -> None:
    fields = batch(b=4)
    program = aent.compile("loss = -token_mean(mine::centred() * log_prob)")
    expected = gradient(program, fields)
    parts = [{name: tensor[row : row + 1] for name, tensor in fields.items()} for row in range(4)]
    step = program.accumulate()
    for part in parts:
        step.measure(part)
    for part in parts:
        step(part).backward()
    torch.testing.assert_close(fields["logits"].grad, expected, rtol=1e-10, atol=1e-12)


def test_calls_are_checked_where_they_stand() -> None:
    def found(text: str) -> str:
        return aent.check(text).diagnostics[0]["message"]

    assert found("loss = token_mean(clipped_by_hand())") == "`clipped_by_hand` needs the argument `eps`"
    assert found("loss = token_mean(clipped_by_hand(eps = 1, epz = 2))").startswith("`clipped_by_hand` has no argument")
    assert found('loss = token_mean(plain_policy_gradient(scale = "a"))').startswith("expected a number for `scale`")
    assert found("loss = batch_mean(sequence_spread())") == "`sequence_spread` needs the argument `x`"
    assert "did you mean `plain_policy_gradient`" in aent.check("loss = token_mean(plain_policy_gradent())").rendered


def test_state_belongs_to_the_source_of_a_term() -> None:
    text = "controller c = step(signal = token_mean(versioned()), target = 1)\nloss = c * token_mean(log_prob)"

    def register(version: str) -> aent.Program:
        @aent.term(version=version)
        def versioned(log_prob: aent.Token) -> aent.Token:
            return -log_prob

        return aent.compile(text)

    old = register("1")
    assert register("1").load_state_dict(old.state_dict()).taken == ["c"]
    words = (
        r"`token_mean\(versioned\(\) of version 2\)` here and `token_mean\(versioned\(\) of version 1\)` in the saved"
    )
    with pytest.raises(aent.StateError, match=words):
        register("2").load_state_dict(old.state_dict())
    # Whoever is compiled keeps what it was compiled with.
    assert torch.isfinite(old(batch()).loss)


def test_an_exception_inside_a_term_is_the_cause() -> None:
    @aent.term
    def broken(log_prob: aent.Token) -> aent.Token:
        raise RuntimeError("no luck today")

    with pytest.raises(aent.StepError, match="broken.*no luck today") as caught:
        aent.compile("loss = token_mean(broken())")(batch())
    assert isinstance(caught.value.__cause__, RuntimeError)


@pytest.mark.parametrize(
    ("result", "sentence"),
    [
        (lambda x: x.sum(), r"expected .*shape \[3, 5\], found \[\]"),
        (lambda x: 3.0, "expected a `torch.Tensor`, found a `float`"),
    ],
)
def test_a_result_of_another_type_is_refused(result: object, sentence: str) -> None:
    @aent.term
    def liar(log_prob: aent.Token) -> aent.Token:
        return result(log_prob)  # type: ignore[operator]

    with pytest.raises(aent.StepError, match=sentence):
        aent.compile("loss = token_mean(liar())")(batch())


def test_an_extra_that_was_declared_must_come() -> None:
    @aent.term(extras={"kept": aent.TokenBool})
    def forgetful(log_prob: aent.Token) -> aent.Token:
        return log_prob, {}  # type: ignore[return-value]

    with pytest.raises(aent.StepError, match="the extra `kept` was declared and is missing"):
        aent.compile("loss = token_mean(forgetful())")(batch())


def test_signatures_that_say_nothing_are_refused() -> None:
    with pytest.raises(TypeError, match="parameter `x`: expected an annotation `aent.Token`"):
        aent.term(name="mine::anonymous")(lambda x: x)

    def untyped(log_prob: aent.Token, *, scale=1.0) -> aent.Token:  # type: ignore[no-untyped-def]
        return log_prob * scale

    with pytest.raises(TypeError, match="parameter `scale`: expected an annotation `float`"):
        aent.term(untyped)


def test_names_that_are_taken_are_refused() -> None:
    def clip_ppo(log_prob: aent.Token) -> aent.Token:
        return log_prob

    with pytest.raises(ValueError, match="`clip_ppo` is registered by `aent` already"):
        aent.term(clip_ppo)
    with pytest.raises(ValueError, match="`exp` is a function of the language already; .*`mine::exp`"):
        aent.term(name="exp")(clip_ppo)
    with pytest.raises(ValueError, match="`whitened` is a function of the library"):
        aent.term(name="whitened")(clip_ppo)
    with pytest.raises(ValueError, match="found `my term`"):
        aent.term(name="my term")(clip_ppo)
    for name, what in (("loss", "a word"), ("let", "a word"), ("and", "a word"), ("advantages", "a batch field")):
        with pytest.raises(ValueError, match=f"`{name}` is {what}") as refused:
            aent.term(name=name)(clip_ppo)
        # What the message offers can be called.
        offered = str(refused.value).split("`")[-2]
        aent.term(name=offered)(clip_ppo)
        aent.compile(f"loss = token_mean({offered}())")
    with pytest.raises(ValueError, match="`mine::loss` is no name: `loss` is a word of the language"):
        aent.term(name="mine::loss")(clip_ppo)


class Gate:
    """Callable, and no function."""

    def __call__(self, log_prob: aent.Token) -> aent.Token:
        """Nothing."""
        return log_prob


async def later(log_prob: aent.Token) -> aent.Token:
    return log_prob


def piece_by_piece(log_prob: aent.Token) -> aent.Token:
    yield log_prob


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (Gate(), "expected a function, found a `Gate`; write a function"),
        (Gate, "expected a function, found the class `Gate`"),
        (functools.partial(Gate().__call__), "expected a function, found a `partial`"),
        (torch.sigmoid, "expected a function, found a `builtin_function_or_method`"),
        (later, "`later`: expected a function that returns a tensor, found a coroutine"),
        (piece_by_piece, "found a coroutine or generator"),
    ],
)
def test_what_is_no_function_is_refused_when_it_is_registered(given: Any, words: str) -> None:
    for register in (aent.term, aent.term(name="mine::gate")):
        with pytest.raises(TypeError, match=words):
            register(given)


def test_terms_are_listed_and_described() -> None:
    assert "clip_ppo(" in aent.terms() and "plain_policy_gradient(*, log_prob = log_prob," in aent.terms()
    text = aent.terms("clipped_by_hand")
    assert text.startswith("clipped_by_hand(*, log_prob = log_prob, ") and "max(-A r, -A clip(r, 1 ± eps))" in text
    assert "- `old_log_prob`, token:" in text and "- `.clipped`, token bool" in text and "- `eps`\n" in text
    assert "sequence_spread(x: token, *, response_mask = response_mask) -> seq" in aent.terms("sequence_spread")
    by_name = {term["name"]: term for term in aent.catalog()["terms"]}
    assert by_name["clipped_by_hand"]["parameters"][0]["required"]
    assert by_name["plain_policy_gradient"]["parameters"][0]["default"] == 1.0
    assert by_name["kl"]["parameters"][0]["choices"][:3] == ["k1", "k2", "k3"]
    with pytest.raises(ValueError, match="what verl calls `geo_mean` is here `gmpo`"):
        aent.terms("geo_mean")
