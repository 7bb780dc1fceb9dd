"""What a program says of numbers that are not finite, and of log-probabilities that are none; where it may import from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import aent
from batches import batch


def test_a_loss_that_is_not_finite_is_explained_with_its_place() -> None:
    program = aent.compile(
        "let a = rewards - group_mean(rewards)\nlet b = a / group_std(rewards)\n"
        "loss = token_mean(clip_ppo(advantages = b))\nmetric m = batch_mean(b)"
    )
    fields = batch()
    fields["rewards"] = torch.ones(3, dtype=torch.float64)
    fields["group"] = torch.zeros(3, dtype=torch.int64)
    assert torch.isnan(program(fields).loss)
    found = program.find_nonfinite(fields)
    assert [sentence.split(" is ")[0] for sentence in found] == ["`loss`", "`metric m`"]
    assert all("division of 0 by 0 at [0] in `a / group_std(rewards)`, `let b`, spec.aent:2:9" in it for it in found)
    fields["rewards"] = torch.arange(3, dtype=torch.float64)
    assert program.find_nonfinite(**fields) == []
    with pytest.raises(aent.BatchError, match="rewardz"):
        program.find_nonfinite(rewardz=fields["rewards"])


def test_log_probabilities_above_zero_are_refused_with_the_likely_reason() -> None:
    fields = batch()
    program = aent.compile("loss = token_mean(clip_ppo())")
    with pytest.raises(aent.BatchError, match="`old_log_prob` at .*at most 0.*bring their `log`"):
        program(fields, old_log_prob=fields["old_log_prob"].exp())
    with pytest.raises(aent.BatchError, match="no value is negative"):
        program(fields, old_log_prob=-fields["old_log_prob"] + 2)
    aent.compile("loss = token_mean(clip_ppo())", validate=False)(fields, old_log_prob=fields["old_log_prob"].exp())


def test_files_import_from_their_project_and_from_import_roots(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "lib.aent").write_text("let bonus = token_mean(log_prob)\n")
    spec = tmp_path / "project" / "spec.aent"
    spec.write_text('import "../shared/lib.aent"\nloss = -bonus\n')
    with pytest.raises(aent.SpecError, match="import-outside-project"):
        aent.compile(spec)
    assert not aent.check(spec)
    aent.compile(spec, import_roots=[tmp_path / "shared"])
    assert aent.check(spec, import_roots=[str(tmp_path / "shared")])
