"""Files within verl's own FSDP engine: real micro-batches, logits, ranks and checkpoints."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir

from verl_ranks import Reports, reports_of

WORKER = Path(__file__).with_name("verl_worker.py")
EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
LAYOUTS = [f"{how} at {temperature}" for how in ("padded", "packed") for temperature in ("1.0", "0.7", "its own")]


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Reports:
    """What verl's FSDP engine did."""
    return reports_of(WORKER, tmp_path_factory.mktemp("verl"))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rank", [(1, 0), (2, 0), (2, 1)])
def test_the_gradient_is_that_of_verls_own_loss_and_entropy_bonus(
    reports: Reports, rank: tuple[int, int], layout: str
) -> None:
    verls, files = reports[rank][f"verl {layout}"], reports[rank][f"file {layout}"]
    assert verls["gradient"].norm() > 0.1
    torch.testing.assert_close(files["gradient"], verls["gradient"], rtol=1e-4, atol=1e-6)
    entropy = verls["metrics"]["actor/entropy_loss"]
    assert files["metrics"]["actor/aent/entropy"] == pytest.approx(entropy, rel=1e-6)
    loss = verls["metrics"]["actor/pg_loss"] - 0.5 * entropy
    assert files["metrics"]["actor/pg_loss"] == pytest.approx(loss, rel=1e-6)


@pytest.mark.parametrize("rank", [(1, 0), (2, 0), (2, 1)])
def test_gradient_and_signals_do_not_depend_on_micro_batches_and_ranks(reports: Reports, rank: tuple[int, int]) -> None:
    expected = reports[1, 0]["file padded at 1.0"]
    for name in ("file padded at 1.0", "file in one micro-batch"):
        found = reports[rank][name]
        torch.testing.assert_close(found["gradient"], expected["gradient"], rtol=1e-4, atol=1e-6)
        assert found["metrics"] == pytest.approx(expected["metrics"], rel=1e-6)


CUTS = [
    (name, cut)
    for name in ("columns", "entropies", "log-probabilities", "listed")
    for cut in ("True", "False", "dynamic")
]


@pytest.mark.parametrize("rank", [(1, 0), (2, 0), (2, 1)])
@pytest.mark.parametrize(("name", "cut"), CUTS)
def test_columns_lists_and_what_must_be_measured_before_are_those_of_one_batch(
    reports: Reports, rank: tuple[int, int], name: str, cut: str
) -> None:
    found, expected = reports[rank][f"{name} {cut}"], reports[rank][f"direct {name}"]
    assert expected["gradient"].norm() > 0.1
    torch.testing.assert_close(found["gradient"], expected["gradient"], rtol=1e-4, atol=1e-6)
    for metric, value in expected["metrics"].items():
        assert found["metrics"][metric] == pytest.approx(value, rel=1e-5, abs=1e-6)


PAIRS = [
    ("file with its divergence", "verl with its divergence"),
    ("file with verl's entropy", "verl with twice the entropy"),
    ("file fused False", "verl tied False"),
    ("file fused True", "verl tied True"),
    ("file with ulysses", "verl with ulysses"),
]


@pytest.mark.parametrize(("files", "verls"), PAIRS)
@pytest.mark.parametrize("rank", [(1, 0), (2, 0), (2, 1)])
def test_rows_have_verls_gradient_where_logits_are_cut_over_ranks_or_never_made(
    reports: Reports, rank: tuple[int, int], files: str, verls: str
) -> None:
    found = reports[rank]
    assert (files in found) == (rank[0] == 2 or "ulysses" not in files)
    if files in found:
        assert found[verls]["gradient"].norm() > 0.1
        torch.testing.assert_close(found[files]["gradient"], found[verls]["gradient"], rtol=1e-4, atol=1e-6)
        entropy = found[verls]["metrics"]["actor/entropy_loss"]
        assert found[files]["metrics"]["actor/aent/entropy"] == pytest.approx(entropy, rel=1e-6)


@pytest.mark.parametrize("rank", [(1, 0), (2, 0), (2, 1)])
def test_a_file_with_verls_teacher_has_the_gradient_of_verls_distillation(
    reports: Reports, rank: tuple[int, int]
) -> None:
    verls, files = (
        reports[rank][name]["gradient"] for name in ("verl with its distillation", "file with verl's teacher")
    )
    assert verls.norm() > 0.1
    torch.testing.assert_close(files, verls, rtol=1e-4, atol=1e-6)


def test_ranks_that_share_sequences_are_told_what_is_listed_for_their_own_tokens(reports: Reports) -> None:
    for rank in (0, 1):
        sampled, listed = (reports[2, rank][f"{name} with ulysses"] for name in ("sampled", "listed"))
        assert sampled["gradient"].norm() > 0.1
        torch.testing.assert_close(listed["gradient"], sampled["gradient"], rtol=1e-4, atol=1e-6)
        assert listed["metrics"] == pytest.approx(sampled["metrics"], rel=1e-5)


def test_no_other_tensor_with_a_vocabulary_is_made(reports: Reports) -> None:
    for report in reports.values():
        assert report["shapes"] == []
        assert report["shapes of a copy"] == [(1, 2, 32)]


def test_a_worker_says_when_it_starts_what_its_engine_cannot_give(
    reports: Reports,
) -> None:
    for report in reports.values():
        assert "verl's fused kernel `triton` shows neither" in report["refused with triton"]
        assert (
            "lists tokens (`kept`, `teacher_ids`, `teacher_log_prob`), which verl's fused"
            in report["refused with torch"]
        )
        words = "`measured` reads `sampled`: expected `[B, T, K]` of the responses, [2, 5] and any K, found [2, 5]"
        assert words in report["refused of another shape"]
        assert "set `actor_rollout_ref.rollout.calculate_log_probs=True`" in report["refused without a column"]


def test_a_column_that_is_wrong_on_one_rank_fails_the_step_on_all(
    reports: Reports,
) -> None:
    assert "broken on one rank" not in reports[1, 0]
    (other, others), (own, words) = (reports[2, rank]["broken on one rank"] for rank in (0, 1))
    assert (own, other) == ("BatchError", "StepError")
    assert "`rewards`" in words and others == f"rank 1: BatchError: {words}"


def test_sixteen_bits_are_added_up_in_more(reports: Reports) -> None:
    for report in reports.values():
        files, exact = report["file in bf16"], report["verl packed at 1.0"]
        # What the model itself loses by sixteen bits is some per cent of the gradient.
        assert (files["gradient"] - exact["gradient"]).norm() < 0.05 * exact["gradient"].norm()
        entropy = exact["metrics"]["actor/entropy_loss"]
        assert files["metrics"]["actor/aent/entropy"] == pytest.approx(entropy, rel=1e-4)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_controllers_move_once_in_a_step_and_alike_on_all_ranks(reports: Reports, layout: str) -> None:
    for report in reports.values():
        # The entropy of 3.4 is above the target of 1: a quarter down from a half.
        assert report[f"coefficients {layout}"] == {"beta": 0.25}
        assert report[f"file {layout}"]["metrics"]["actor/aent/coefficient/beta"] == 0.5
        assert report["two steps"] == (2, {"beta": 0.0})


def test_the_state_is_in_verls_checkpoint(reports: Reports) -> None:
    for report in reports.values():
        assert report["saved"] == ["aent_state.json"]
        assert report["restored"] == report["two steps"]
        (warning,) = report["warned"]
        assert warning.endswith("aent_state.json is not there: controllers begin anew")


def test_another_temperature_than_verls_is_refused(reports: Reports) -> None:
    for report in reports.values():
        assert "verl divides the logits by 0.7, the file by 1: write `set temperature = 0.7`" in report["refused"]
        assert "write `input temperature: seq` and `set temperature = temperature`" in report["refused of samples"]


def test_the_example_is_registered_by_verls_own_configuration(reports: Reports) -> None:
    with initialize_config_dir(str(EXAMPLES), version_base=None):
        config = compose("verl_aent").actor_rollout_ref
    # What the workers were built with.
    assert (config.model.external_lib, config.actor.policy_loss.loss_mode) == ("verl_aent", "aent")
    for report in reports.values():
        metrics = report["example"]["metrics"]
        assert metrics["actor/aent/coefficient/beta"] == 2e-4
        assert 0 < metrics["actor/aent/signal/beta"] < math.log(0.7 * 32 + 1)
        assert 0 <= metrics["actor/aent/clip_fraction"] <= 1
