"""Every recipe in TRL's trainer, and what TRL must be configured to bring for it."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest

import aent
from trl_tiny import arguments, dataset, save_model, trainer

CLONE = Path(__file__).resolve().parents[2]
RECIPES = sorted((CLONE / "examples" / "recipes").glob("*.aent"))
FED = {"actions", "advantages", "group", "logits", "old_log_prob", "response_mask", "rewards"}
WAYS = {"ref_log_prob": "a `beta` other than 0", "rollout_log_prob": "`use_vllm` or a `rollout_func`"}
NEVER = "what TRL never brings"


def needs(path: Path) -> str:
    """What is needed beyond the defaults, in words."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", aent.SpecWarning)
        program = aent.compile(path)
    lacking = program.fields - FED
    texts = "\n".join(text for _, text in program.sources)
    inputs = dict(re.findall(r"(?m)^input (\w+): (\w+)", texts))
    if any(name not in WAYS and inputs.get(name) != "seq" for name in lacking):
        return NEVER
    columns = sorted(f"`{name}`" for name in lacking if name not in WAYS)
    words = [WAYS[name] for name in sorted(lacking) if name in WAYS]
    if columns:
        words.append(f"the column{'s' * (len(columns) > 1)} {', '.join(columns)}")
    return ", ".join(words) or "nothing but TRL's defaults"


def test_the_page_says_what_each_recipe_needs() -> None:
    found: dict[str, list[str]] = {}
    for path in RECIPES:
        found.setdefault(needs(path), []).append(f"`{path.stem}`")
    first, last = "nothing but TRL's defaults", NEVER
    order = sorted(found, key=lambda words: (words != first, words == last, words))
    expected = [f"| {words} | {', '.join(found[words])} |" for words in order]
    (section,) = re.findall(
        r"\| recipes need \| \|\n\| --- \| --- \|\n((?:\|.*\n)+)", (CLONE / "docs" / "trl.md").read_text()
    )
    assert section.splitlines() == expected
    assert len(found[first]) > 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_trainer_is_made_of_what_needs_nothing_else(path: Path, folder: Path) -> None:
    words = needs(path)
    args = arguments(folder, temperature=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", aent.SpecWarning)
        if words == "nothing but TRL's defaults":
            trainer(folder, args, path)
        else:
            with pytest.raises(ValueError, match="and TRL feeds"):
                trainer(folder, args, path)


def test_a_column_of_the_data_set_is_read(folder: Path) -> None:
    spec = "input weight: seq\nloss = batch_mean(weight * seq_mean(clip_ppo()))\nmetric weight = batch_mean(weight)"
    rows = dataset().add_column("weight", [0.5] * len(dataset()))
    made = trainer(folder, arguments(folder), spec, train_dataset=rows)
    made.train()
    logged = [entry["aent/weight"] for entry in made.state.log_history if "aent/weight" in entry]
    assert logged and all(value == 0.5 for value in logged)


def test_a_column_of_words_is_refused(folder: Path) -> None:
    spec = "input weight: seq\nloss = batch_mean(weight * seq_mean(clip_ppo()))"
    rows = dataset().add_column("weight", ["much"] * len(dataset()))
    with pytest.raises(
        aent.BatchError, match="`weight`: expected a number or a truth value for each prompt, found 'much'"
    ):
        trainer(folder, arguments(folder), spec, train_dataset=rows).train()
