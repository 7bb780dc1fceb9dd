"""What `compile` and `check` are given, and how they warn."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

import aent

WRONG_SIGN = "loss = token_mean(clip_ppo()) + 0.1 * token_mean(entropy())"


def test_a_lint_is_a_warning_of_the_line_that_compiles() -> None:
    with pytest.warns(aent.SpecWarning, match="(?s)warning\\[entropy-sign\\].*spec.aent:1:") as found:
        aent.compile(WRONG_SIGN)
    assert [Path(warning.filename).name for warning in found] == [Path(__file__).name]
    assert issubclass(aent.SpecWarning, UserWarning)


def test_what_is_silenced_in_the_file_or_has_no_lint_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        aent.compile(WRONG_SIGN + "  # aent: allow(entropy-sign)")
        aent.compile("loss = token_mean(clip_ppo())")


def test_a_file_that_is_not_there_is_pythons_own_error(tmp_path: Path) -> None:
    for path in (
        tmp_path / "nowhere.aent",
        str(tmp_path / "nowhere.aent"),
        "nowhere.aent",
        "nowhere",
        "runs/eps=0.1/loss.txt",
        "eps=0.1.txt",
        "eps = 0.1/loss.aent",
    ):
        for door in (aent.compile, aent.check):
            with pytest.raises(FileNotFoundError) as refused:
                door(path)
            assert refused.value.filename == str(path)


def test_a_path_with_an_equals_sign_is_a_path(tmp_path: Path) -> None:
    folder = tmp_path / "eps=0.1 (first)"
    folder.mkdir()
    for name in ("loss.aent", "loss.txt", "a=b"):
        (folder / name).write_text("param eps = 0.1 loss = eps * token_mean(clip_ppo())")
        assert aent.compile(str(folder / name)).params == {"eps": 0.1}


def test_a_text_is_told_by_its_looks() -> None:
    imported = 'import "std/surrogates.aent" loss = token_mean(sapo())'
    for text in (
        imported,
        "loss = token_mean(clip_ppo())",
        "loss=token_mean(clip_ppo())",
        "loss =\ntoken_mean(log_prob)",
    ):
        assert aent.compile(text).source == text


def test_check_takes_params() -> None:
    text = "param a = 1 in 0 .. 2\nloss = a * token_mean(clip_ppo())"
    assert aent.check(text)
    assert aent.check(text, params={"a": 2})
    report = aent.check(text, params={"a": 3})
    assert not report and "0 .. 2" in str(report)
    assert not aent.check(text, params={"b": 1})


def test_fields_are_what_a_batch_must_bring() -> None:
    everything = {"response_mask", "old_log_prob", "advantages", "logits", "actions"}
    plain = aent.compile("loss = token_mean(clip_ppo())")
    assert (plain.fields, plain.takes_log_prob) == (everything, True)
    entropy = aent.compile("loss = token_mean(clip_ppo()) - 0.01 * token_mean(entropy())")
    assert (entropy.fields, entropy.takes_log_prob) == (everything, False)
    alone = aent.compile("loss = -token_mean(entropy())")
    assert (alone.fields, alone.takes_log_prob) == ({"response_mask", "logits"}, False)
    values = aent.compile("loss = token_mean((values - returns)^2)")
    assert (values.fields, values.takes_log_prob) == ({"response_mask", "values", "returns"}, False)


@pytest.mark.parametrize(
    "text",
    [
        "loss = token_mean(clip_ppo())",
        "loss = token_mean(clip_ppo()) - 0.01 * token_mean(entropy())",
        "loss = -token_mean(entropy())",
        "loss = -token_mean(clamped_entropy(drop = 30%))",
        "loss = batch_mean(seq_sum(log_prob) * rewards)",
    ],
)
def test_a_batch_of_the_fields_is_enough_and_one_less_is_not(text: str) -> None:
    from batches import batch

    program = aent.compile(text)
    everything = batch() | {"rewards": batch()["advantages"][:, 0]}
    fields = {name: everything[name] for name in program.fields}
    expected = program(fields).total
    for name in program.fields:
        with pytest.raises(aent.BatchError, match=f"`{name}`"):
            program({other: tensor for other, tensor in fields.items() if other != name})
    if program.takes_log_prob:
        log_prob = fields["logits"].log_softmax(-1).gather(-1, fields["actions"][..., None])[..., 0]
        rest = {name: fields[name] for name in program.fields - {"logits", "actions"}}
        assert program(rest, log_prob=log_prob).total == pytest.approx(expected, rel=1e-12)
