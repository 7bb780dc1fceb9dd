"""Every recipe as a policy loss of verl, and what verl's data has for it."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tensordict import TensorDict
from verl.utils import tensordict_utils as tu

import aent
import aent.verl
from aent.verl.columns import CONFIGURATION, NEVER, fields_of
from aent.verl.engine import follow
from test_verl import registry

__all__ = ["registry"]  # A fixture: it is used by being here.

CLONE = Path(__file__).resolve().parents[2]
RECIPES = sorted((CLONE / "examples" / "recipes").glob("*.aent"))


def register(path: Path) -> dict[str, str] | None:
    """Registers a recipe as it is: what it needs, or nothing where it is refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", aent.SpecWarning)
        program = aent.compile(path)
    needs = aent.verl.needs(program)
    if set(needs) & set(NEVER):
        with pytest.raises(aent.BatchError, match="which verl never brings"):
            aent.verl.register(f"recipe-{path.stem}", program, engines=[])
        return None
    aent.verl.register(f"recipe-{path.stem}", program, engines=[])
    return needs


def table() -> list[str]:
    """The rows of the table in docs/verl.md."""
    found: dict[tuple[str, ...], list[str]] = {}
    for path in RECIPES:
        needs = register(path)
        found.setdefault(("never",) if needs is None else tuple(needs), []).append(f"`{path.stem}`")
    words = {(): "nothing but verl's defaults", ("never",): "what verl never brings: `values`, `ref_logits`"}
    return [
        f"| {words.get(fields) or ', '.join(f'`{field}`' for field in fields)} | {', '.join(names)} |"
        for fields, names in sorted(found.items(), key=lambda it: (it[0] == ("never",), len(it[0]), it[0]))
    ]


def test_the_page_says_what_verl_must_be_configured_to_bring_for_each_recipe() -> None:
    page = (CLONE / "docs" / "verl.md").read_text()
    expected = table()
    (section,) = re.findall(r"\| recipes need \| \|\n\| --- \| --- \|\n((?:\|.*\n)+)", page)
    assert section.splitlines() == expected
    for field, words in (CONFIGURATION | NEVER).items():
        assert f"| `{field}` | {words} |" in page


def test_recipes_that_train_no_critic_and_compare_with_no_logits_are_registered_unedited() -> None:
    refused = {path.stem for path in RECIPES if register(path) is None}
    assert refused == {path.stem for path in RECIPES if aent.compile(path).fields & {"values", "ref_logits"}}
    assert {"ppo", "distillation"} < refused and len(refused) < 10


def data(**columns: Any) -> TensorDict:
    words = {name: of for name, of in columns.items() if isinstance(of, list)}
    tensors = {name: of for name, of in columns.items() if isinstance(of, torch.Tensor)}
    ids = torch.nested.as_nested_tensor([torch.arange(4), torch.arange(3)], layout=torch.jagged)
    mask = torch.tensor([[1, 1], [1, 0]])
    made = TensorDict({"input_ids": ids, "response_mask": mask} | tensors, batch_size=2)
    for name, of in words.items():
        tu.assign_non_tensor_stack(made, name, of)
    return made


def fields(spec: str, **columns: Any) -> dict[str, torch.Tensor]:
    return fields_of("file", aent.compile(spec), data(**columns))


def test_rewards_are_what_verl_makes_advantages_from() -> None:
    spec = "loss = batch_mean(-rewards * seq_sum(log_prob))"
    scores, priced = torch.tensor([[0, 1.0], [2, 0]]), torch.tensor([[-0.5, 1.0], [2, 0]])
    assert fields(spec, rm_scores=scores)["rewards"].tolist() == [1, 2]
    assert fields(spec, rm_scores=scores, token_level_rewards=priced)["rewards"].tolist() == [0.5, 2]
    ragged = torch.nested.as_nested_tensor([torch.tensor([0, 1.0]), torch.tensor([2.0])], layout=torch.jagged)
    assert fields(spec, rm_scores=ragged)["rewards"].tolist() == [1, 2]


def test_prompts_have_the_same_ids_on_every_rank() -> None:
    spec = "loss = batch_mean(-(rewards - group_mean(rewards)) * seq_sum(log_prob))"
    scores = torch.ones(2, 2)
    one, other = (fields(spec, rm_scores=scores, uid=uid)["group"].tolist() for uid in (["a", "b"], ["b", "c"]))
    assert one[1] == other[0] and len({*one, *other}) == 3
    assert fields(spec, rm_scores=scores, uid=[7, 9])["group"].tolist() == [7, 9]


def test_columns_of_its_own_are_found_under_their_name() -> None:
    spec = "input kept: seq bool\ninput turn: token int\n"
    spec += "loss = token_mean(where(kept, log_prob, 0) + segment_sum(log_prob, by = turn))"
    turns = torch.nested.as_nested_tensor([torch.tensor([0, 1]), torch.tensor([5])], layout=torch.jagged)
    for columns in (
        {"kept": torch.tensor([True, False])},
        {"kept": [True, False]},
        {"extra_fields": [{"kept": True}, {"kept": False}]},
        {"extra_fields": [{"reward_extra_info": {"kept": True}}, {"reward_extra_info": {"kept": False}}]},
    ):
        found = fields(spec, turn=turns, **columns)
        assert (found["kept"].tolist(), found["turn"].tolist()) == ([1, 0], [[0, 1], [5, 0]])
    with pytest.raises(aent.BatchError, match="`file` reads `kept`, and verl's data has no `kept`; it has .*input_ids"):
        fields(spec, turn=turns, extra_fields=[{"kept": True}, {}])


def test_a_column_that_is_not_there_is_named_with_what_brings_it() -> None:
    for spec, words in (
        ("loss = token_mean(clip_ppo() + kl())", "no `ref_log_prob`: set `actor_rollout_ref.actor.use_kl_loss=True`"),
        ("loss = token_mean(gae() * log_prob)", "no `values`: set a critic: `algorithm.adv_estimator=gae`"),
    ):
        with pytest.raises(aent.BatchError, match=words):
            fields(spec, old_log_probs=torch.zeros(2, 2), advantages=torch.zeros(2, 2))


class Other:
    """An engine that shows no logits, and trains nothing."""

    def train_batch(self, data: Any, loss_function: Any) -> Any:
        """Not reached here."""

    def save_checkpoint(self, local_path: str) -> None:
        """Not called here."""

    def load_checkpoint(self, local_path: str) -> None:
        """Not called here."""

    def get_data_parallel_size(self) -> int:
        """One."""
        return 1


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("loss = token_mean(clip_ppo()) - 0.1 * token_mean(entropy())", "reads the logits, which only verl's FSDP"),
        ("loss = batch_mean(-(rewards - group_mean(rewards)) * seq_sum(log_prob))", "needs more of the mini-batch"),
    ],
)
def test_another_engine_says_what_it_cannot_give(spec: str, words: str) -> None:
    follow(Other)
    aent.verl.register("file", spec, engines=[Other])
    config = SimpleNamespace(policy_loss={"loss_mode": "file"})
    loss_function = SimpleNamespace(keywords={"config": config})
    with pytest.raises(aent.StepError, match=f"`file` {words}.*strategy=fsdp2`; found `Other`"):
        Other().train_batch(None, loss_function)
