"""The lines of docs/trainers.md, called as each trainer calls them: the gradient is that of the whole step."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

import aent
from aent.adapters import NAMES, StepLoss
from test_adapters import batch

PAGE = Path(__file__).resolve().parents[2] / "docs" / "trainers.md"
MEAN, SUM = "loss = token_mean(clip_ppo())", "loss = token_sum(clip_ppo()) / 9"
TOKENS, SEQUENCES = 7, 2


def module(name: str, **members: Any) -> dict[str, ModuleType]:
    """A module of a trainer that is not installed, with its parents."""
    parts = name.split(".")
    made = {".".join(parts[:end]): ModuleType(".".join(parts[:end])) for end in range(1, len(parts) + 1)}
    for end in range(1, len(parts)):
        setattr(made[".".join(parts[:end])], parts[end], made[".".join(parts[: end + 1])])
    vars(made[name]).update(members)
    return made


@dataclass
class LossInputs:
    """prime-rl's."""

    trainer_logprobs: torch.Tensor
    inference_logprobs: torch.Tensor
    ref_logprobs: torch.Tensor | None
    advantages: torch.Tensor
    loss_mask: torch.Tensor
    loss_weights: torch.Tensor | None = None


@dataclass
class LossOutputs:
    """prime-rl's."""

    loss: torch.Tensor
    metrics: dict[str, torch.Tensor]


class Registry:
    """SkyRL's, as far as it is used."""

    losses: dict[str, Callable[..., Any]] = {}  # noqa: RUF012 - SkyRL's is one of the class, too

    @classmethod
    def register(cls, name: str, function: Callable[..., Any]) -> None:
        """Puts a function under its name."""
        cls.losses[name] = function


class Trainer:
    """ms-swift's, as far as it is used."""

    def __init__(self, log_prob: torch.Tensor) -> None:
        self.model, self._metrics, self.log_prob = torch.nn.Linear(1, 1), {"train": {}}, log_prob

    def _get_per_token_logps_and_entropies(self, *_: Any, **__: Any) -> tuple[torch.Tensor, None]:
        return self.log_prob, None


INTERFACES = {
    "LossFunction": object,
    "LossType": Enum("LossType", "TOKEN_LEVEL SEQUENCE_LEVEL"),
    "LossInputType": Enum("LossInputType", "LOGIT LOGPROB"),
}
MODULES = {
    "SkyRL": lambda: module("skyrl.backends.skyrl_train.utils.ppo_utils", PolicyLossRegistry=Registry),
    "OpenRLHF": dict,
    "NeMo-RL": lambda: module("nemo_rl.algorithms.loss.interfaces", **INTERFACES),
    "AReaL": lambda: module("areal.trainer.ppo.actor", grpo_loss_fn=None),
    "prime-rl": lambda: module("prime_rl.trainer.rl.loss", LossInputs=LossInputs, LossOutputs=LossOutputs),
    "slime": lambda: module(
        "slime.backends.megatron_utils.loss",
        get_log_probs_and_entropy=lambda logits, **_: (None, {"log_probs": logits}),
    ),
    "ms-swift": lambda: module("swift.rlhf_trainers.grpo_trainer", GRPOTrainer=Trainer),
}


def lines(trainer: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the lines of the page define, among the trainer's modules."""
    section = PAGE.read_text().split(f"\n## {trainer}\n")[1].split("\n## ")[0]
    (code,) = re.findall(r"```python\n(# my_losses.py.*?)```", section, re.DOTALL)
    for name, of in MODULES[trainer]().items():
        monkeypatch.setitem(sys.modules, name, of)
    defined: dict[str, Any] = {}
    exec(code, defined)  # noqa: S102 - the page is ours
    return defined


def parts() -> tuple[dict[str, torch.Tensor], list[dict[str, torch.Tensor]]]:
    """A step, and the same in two micro-batches."""
    whole = batch()
    return whole, [{name: of[row : row + 1] for name, of in whole.items()} for row in range(SEQUENCES)]


def renamed(trainer: str, part: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {NAMES[trainer].get(name, name): of for name, of in part.items()}


def expected(whole: dict[str, torch.Tensor], spec: str = MEAN) -> torch.Tensor:
    (gradient,) = torch.autograd.grad(aent.compile(spec)(whole).loss, whole["log_prob"])
    assert gradient.norm() > 0.1
    return gradient


def check(loss: Any, whole: dict[str, torch.Tensor], spec: str = MEAN) -> None:
    (found,) = torch.autograd.grad(loss, whole["log_prob"])
    torch.testing.assert_close(found, expected(whole, spec))


def test_skyrl_scales_advantages_and_adds_up(monkeypatch: pytest.MonkeyPatch) -> None:
    lines("SkyRL", monkeypatch)
    whole, cut = parts()
    loss, loss_fn = 0.0, Registry.losses["aent"]
    for part in cut:
        scaled = part["advantages"] / TOKENS  # `apply_loss_reduction_to_advantages_minibatch`, `token_mean`
        share, metrics = loss_fn(
            part["log_prob"],
            part["old_log_prob"],
            scaled,
            config=None,
            loss_mask=part["response_mask"],
            rollout_logprobs=part["rollout_log_prob"],
        )
        loss = loss + share
    check(loss, whole, "loss = token_mean(clip_ppo(low = 0.2, high = 0.28))")
    assert metrics == {}


def test_openrlhf_tells_the_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    module = lines("OpenRLHF", monkeypatch)["AentLoss"]()
    whole, cut = parts()
    counts = {"dp_size": 2, "batch_num_tokens": torch.tensor(7.0), "global_batch_size": SEQUENCES}
    loss = 0.0
    for part in cut:
        share, *_, divergence, filtered = module(
            part["log_prob"],
            part["old_log_prob"],
            part["advantages"],
            action_mask=part["response_mask"],
            rollout_log_probs=part["rollout_log_prob"],
            **counts,
        )
        loss = loss + share / counts["dp_size"]  # DeepSpeed averages over ranks.
    check(loss, whole)
    assert divergence is None and filtered is None


def test_nemo_rl_tells_the_counts_and_has_a_column_for_the_first_token(monkeypatch: pytest.MonkeyPatch) -> None:
    loss_fn = lines("NeMo-RL", monkeypatch)["AentLoss"]()
    whole, cut = parts()
    loss = 0.0
    for part in cut:
        data = {name: torch.nn.functional.pad(of, (1, 0), value=1) for name, of in renamed("nemo-rl", part).items()}
        data |= {"sample_mask": torch.ones(1), "input_ids": torch.zeros(1, 5, dtype=torch.long)}
        del data["next_token_logprobs"]
        share, metrics = loss_fn(
            next_token_logprobs=part["log_prob"],
            data=data,
            global_valid_seqs=torch.tensor(2),
            global_valid_toks=torch.tensor(7),
        )
        loss = loss + share
        assert metrics == {"loss": share.item(), "num_valid_samples": 1.0}
    check(loss, whole)


def test_areal_weighs_micro_batches_by_their_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    lines("AReaL", monkeypatch)
    loss_fn = sys.modules["areal.trainer.ppo.actor"].grpo_loss_fn
    whole, cut = parts()
    loss = 0.0
    for part in cut:
        given = renamed("areal", part)
        share = loss_fn(given.pop("log_prob"), torch.zeros(1, 4), given, eps_clip=0.2, current_version=3)
        loss = loss + share * part["response_mask"].count_nonzero() / TOKENS
    check(loss, whole)


def test_areals_policy_that_has_not_moved_has_a_ratio_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    lines("AReaL", monkeypatch)
    whole, _ = parts()
    given = renamed("areal", whole) | {"prox_logp": None}
    loss = sys.modules["areal.trainer.ppo.actor"].grpo_loss_fn(given.pop("log_prob"), None, given)
    check(loss, whole | {"old_log_prob": whole["log_prob"].detach()})


def test_prime_rl_adds_up_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    loss_fn = lines("prime-rl", monkeypatch)["aent_loss"]
    whole, cut = parts()
    whole["old_log_prob"] = whole["rollout_log_prob"]
    loss = 0.0
    for part in cut:
        given = {
            name: of[0] for name, of in renamed("prime-rl", part | {"old_log_prob": part["rollout_log_prob"]}).items()
        }
        given["loss_mask"] = given["loss_mask"].bool()
        loss = loss + loss_fn(LossInputs(**given)).loss / TOKENS
    check(loss, whole)
    with pytest.raises(ValueError, match="write `input loss_weights: token`"):
        loss_fn(LossInputs(**given, loss_weights=torch.ones(4)))


def test_slime_adds_up_means_of_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    loss_fn = lines("slime", monkeypatch)["aent_loss"]
    whole, _ = parts()
    lists = {name: [of[0], of[1, :3]] for name, of in renamed("slime", whole).items()}
    log_prob = lists.pop("log_prob")
    lists |= {"unconcat_tokens": [], "total_lengths": [], "response_lengths": [4, 3]}
    loss, log = loss_fn(SimpleNamespace(), lists, log_prob, None)
    check(loss / SEQUENCES, whole, "loss = seq_mean_token_mean(clip_ppo())")
    assert log["loss"] == loss and not log["loss"].requires_grad
    loss, _ = loss_fn(SimpleNamespace(), lists | {"log_probs": []}, log_prob, None)
    check(
        loss / SEQUENCES, whole | {"old_log_prob": whole["log_prob"].detach()}, "loss = seq_mean_token_mean(clip_ppo())"
    )


def test_ms_swift_averages_within_micro_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    lines("ms-swift", monkeypatch)
    whole, cut = parts()
    loss = 0.0
    for part in cut:
        given = renamed("ms-swift", part)
        made = Trainer(given.pop("per_token_logps"))
        share, more = made._compute_loss_and_metrics(None, {}, SimpleNamespace(**given))
        loss = loss + share / len(cut)
        assert more["completion_token_count"] == part["response_mask"].sum() and more["mode"] == "train"
    check(loss, whole, "loss = seq_mean_token_mean(clip_ppo())")


STEERED = """
let drift = old_log_prob - log_prob
controller beta = step(signal = token_mean(drift), target = -1, step = 0.25, bounds = 0 .. 1, init = 0.5)
loss = token_mean(clip_ppo()) - beta * token_mean(drift)
metric drift = token_mean(drift)
"""


def test_a_step_ends_with_the_optimizers() -> None:
    program, (whole, cut) = aent.compile(STEERED), parts()
    reference = aent.compile(STEERED)
    output = reference(whole)
    step_loss = StepLoss(program, {})
    optimizer = torch.optim.SGD([whole["log_prob"]], lr=1.0)
    sum(step_loss(part, tokens=TOKENS, sequences=SEQUENCES) for part in cut).backward()
    with torch.no_grad():
        assert step_loss(whole).item() == pytest.approx(output.total)  # An evaluation is no part of it.
    assert step_loss.metrics == {} and program.steps == 0
    optimizer.step()
    reference.update(output)
    assert step_loss.metrics["drift"] == pytest.approx(output.metrics["drift"], rel=1e-12)
    assert step_loss.metrics["signal/beta"] == pytest.approx(output.signals["beta"], rel=1e-12)
    assert step_loss.metrics["coefficient/beta"] == 0.5 and program.coefficients == reference.coefficients
    assert program.coefficients != {"beta": 0.5}
    optimizer.step()  # Another model's, for instance: no step was begun.
    assert program.steps == 1


def test_micro_batches_without_counts_have_metrics_of_the_whole_step() -> None:
    whole, cut = parts()
    step_loss = StepLoss(aent.compile(STEERED), {}, hook=False)
    for part in cut:
        step_loss(part)
    assert step_loss.end()["drift"] == pytest.approx(aent.compile(STEERED)(whole).metrics["drift"], rel=1e-12)


def test_what_is_kept_of_logits_is_rows() -> None:
    from batches import batch as with_logits

    fields = with_logits()
    fields["math"] = fields["logits"].detach().flip(-1)
    program = aent.compile(
        "input math: logits\n"
        "loss = (token_sum(clip_ppo()) - 0.1 * token_sum(entropy() - forward_kl(of = math))) / 9\n"
        "metric entropy = token_mean(entropy())"
    )
    step_loss = StepLoss(program, {}, cut="sum", hook=False)
    loss = step_loss(fields)
    kept = {of.shape for part in step_loss._parts for of in part.values()}
    assert fields["logits"].shape not in kept
    output = program(fields)
    for one, other in zip(
        torch.autograd.grad(loss, fields["logits"]), torch.autograd.grad(output.loss, fields["logits"])
    ):
        torch.testing.assert_close(one, other)
    assert step_loss.end() == pytest.approx(output.metrics)


@pytest.mark.parametrize(
    ("spec", "cut", "message"),
    [
        (MEAN, "sum", "this trainer adds up what it is given.*`token_sum"),
        (f"{SUM} + 0.1 * seq_mean_token_mean(kl())", "sum", "another kind"),
        (
            "loss = token_mean(clip_ppo()) + 0.1 * seq_mean_token_mean(kl())",
            "tokens",
            "`token_mean.*around every summand",
        ),
        (SUM, "tokens", "averages over tokens by itself"),
    ],
)
def test_a_file_whose_gradient_would_depend_on_the_cut_is_refused(spec: str, cut: Any, message: str) -> None:
    step_loss, (_, pieces) = StepLoss(aent.compile(spec), {}, cut=cut, hook=False), parts()
    step_loss(
        pieces[0] | {"advantages": torch.zeros(1, 4), "ref_log_prob": pieces[0]["log_prob"].detach()}
    )  # It tells nothing.
    with pytest.raises(aent.StepError, match=message):
        step_loss(pieces[0])


def test_what_a_micro_batch_cannot_show_is_refused() -> None:
    whole, cut = parts()
    compared = aent.compile("loss = token_mean(where(top_fraction(log_prob, 50%), clip_ppo(), 0))")
    with pytest.raises(aent.StepError, match='cut="step"'):
        StepLoss(compared, {})
    with pytest.raises(aent.StepError, match="write `length = ...`"):
        StepLoss(aent.compile("loss = seq_mean_token_sum_norm(clip_ppo())"), {})
    step_loss = StepLoss(compared, {}, cut="step", hook=False)
    assert step_loss(whole).item() == pytest.approx(compared(whole).total)
    with pytest.raises(aent.StepError, match="a second batch, or was not ended"):
        step_loss(cut[0])
    step_loss.end()
    step_loss(whole)
    counted = StepLoss(aent.compile(MEAN), {}, hook=False)
    counted(cut[0], tokens=TOKENS, sequences=SEQUENCES)
    with pytest.raises(aent.StepError, match="7"):
        counted.end()
