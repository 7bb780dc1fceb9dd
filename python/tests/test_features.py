"""Each thing that a file can say, through each way to run it: whole, in parts, packed, from rows, pickled and copied."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
import torch

import aent
from aent.adapters import StepLoss
from aent.compiler import Need

# Lints, and an assertion that does not hold.
pytestmark = pytest.mark.filterwarnings("ignore::aent.SpecWarning", "ignore::aent.StepWarning")

B, T, V, K = 4, 5, 11, 3
LENGTHS = torch.tensor([5, 2, 0, 3])

LIBRARY = """
param k = 0.5 in 0 .. 1
controller cap = linear(from = 0.1, to = 0.3, steps = 100)
fn capped(x) {
  let y = min(x, cap * k)
  extra high = x > cap
  return y
}
"""
FILES = {
    "an argument that moves": """
        controller widen = linear(from = 0.1, to = 0.3, steps = 10)
        loss = token_mean(clip_ppo(low = 0.2, high = widen))
        metric q = quantile(entropy(), clamp(step / 10, 0, 1))""",
    "a set that moves": """
        controller keep = linear(from = 4, to = 2, steps = 10)
        loss = token_mean(clip_ppo()) - 0.1 * token_mean(clamped_entropy(top_k = keep))""",
    "an import with a name": """
        import "library.aent" as kl
        let c = kl.capped(entropy())
        loss = token_mean(clip_ppo()) - 0.1 * token_mean(c)
        metric high = token_mean(c.high)""",
    "several losses": """
        loss policy = token_mean(clip_ppo())
        loss critic = token_mean((values - returns) ^ 2)
        metric entropy = token_mean(entropy())""",
    "an assertion": 'loss = token_mean(clip_ppo()) assert token_mean(entropy()) < 0.01, "the policy is loose"',
    "a temperature of sequences": """
        input heat: seq
        set temperature = heat
        loss = token_mean(clip_ppo()) - 0.01 * token_mean(entropy())""",
    "a temperature of tokens": """
        input warmth: token
        set temperature = warmth
        loss = token_mean(clip_ppo()) - 0.01 * token_mean(entropy(temperature = 1))""",
    "a temperature that moves": """
        controller cool = linear(from = 1, to = 0.5, steps = 10)
        set temperature = cool
        loss = token_mean(clip_ppo()) - 0.01 * token_mean(entropy())""",
    "params of all kinds": """
        param estimator = "k3" in "k1", "k3"
        param on = true
        loss = token_mean(clip_ppo()) + where(on, 0.1, 0) * token_mean(kl(estimator = estimator))""",
    "listed tokens": "input kept: candidates id loss = token_mean(clip_ppo()) - 0.1 * token_mean(mass(within = kept))",
    "a teacher's tokens": """
        input teacher_ids: candidates id
        input teacher_log_prob: candidates
        loss = token_mean(forward_kl(of = teacher_log_prob, within = teacher_ids, rest = "bucket")) + token_mean(clip_ppo())""",
    "a reference": "loss = token_mean(clip_ppo()) + 0.1 * token_mean(reverse_kl())",
    "another reference": "input math: logits loss = token_mean(clip_ppo()) + 0.1 * token_mean(forward_kl(of = math))",
    "advantages of its own": """
        import "std/advantages.aent"
        let advantages = grpo_advantages()
        loss = token_mean(clip_ppo())
        metric spread = batch_mean(group_std(rewards))""",
    "segments": """
        import "std/averages.aent"
        input turn: token int
        loss = segment_mean_token_mean(clip_ppo(), by = turn)""",
    "a field with a gradient": 'import "std/regression.aent" input log_z: seq grad loss = batch_mean(flowrl(log_z, 1))',
    "a width": "loss = seq_mean_token_sum_norm(clip_ppo())",
    "the whole step": "loss = token_mean(where(top_fraction(entropy(), 40%), clip_ppo(), 0))",
    "one number": "input scale: scalar loss = scale * token_mean(clip_ppo())",
    "truth values": "input flag: token bool loss = token_mean(where(flag, clip_ppo(), 0))",
}


def fields() -> dict[str, torch.Tensor]:
    """Every field that the files read, from sines; the third sequence is empty."""

    def waves(*shape: int, seed: float) -> torch.Tensor:
        count = int(torch.tensor(shape).prod())
        return torch.arange(count, dtype=torch.float64).mul(0.7 + seed).add(seed).sin().view(shape)

    places = torch.arange(B * T).view(B, T)
    ids = (places[..., None] * 3 + torch.arange(K) * 4) % V
    of_tokens = ("old_log_prob", "ref_log_prob", "rollout_log_prob")
    found = {name: waves(B, T, seed=at).abs().neg() for at, name in enumerate(of_tokens)}
    found |= {name: waves(B, T, seed=at + 5) for at, name in enumerate(("advantages", "returns", "values"))}
    found |= {name: waves(B, T, V, seed=at + 9) * 2 for at, name in enumerate(("logits", "ref_logits", "math"))}
    return found | {
        "actions": places * 7 % V,
        "response_mask": torch.arange(T) < LENGTHS[:, None],
        "rewards": waves(B, seed=13),
        "group": torch.tensor([1, 1, 2, 2]),
        "kept": ids,
        "teacher_ids": ids,
        "teacher_log_prob": -1.6 - torch.arange(K) + waves(B, T, K, seed=14) / 4,
        "heat": waves(B, seed=15).abs() + 0.5,
        "warmth": waves(B, T, seed=16).abs() + 0.5,
        "log_z": waves(B, seed=17).requires_grad_(),
        "turn": torch.tensor([1, 1, 2, 2, 3]).expand(B, T),
        "scale": torch.tensor(2.0),
        "flag": places % 3 > 0,
    }


@pytest.fixture(params=FILES)
def program(request: pytest.FixtureRequest, tmp_path: Path) -> aent.Program:
    """One of the files."""
    (tmp_path / "library.aent").write_text(LIBRARY)
    (tmp_path / "file.aent").write_text(FILES[request.param])
    return aent.compile(tmp_path / "file.aent")


def batch(program: aent.Program) -> dict[str, torch.Tensor]:
    """What a program reads, with fresh leaves."""
    trained = {"logits", "values", "log_z"}
    return {
        name: of.detach().clone().requires_grad_(name in trained)
        for name, of in fields().items()
        if name in program.fields
    }


def told(output: aent.Output) -> dict[str, float]:
    """All numbers of a step."""
    named = {"loss": output.totals, "metric": output.metrics, "signal": output.signals}
    found = {f"{kind} {name}": number for kind, of in named.items() for name, number in of.items()}
    return found | {"total": output.total, "findings": len(output.findings)}


def packed(of: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same without padding."""
    mask = of["response_mask"]
    found = {name: tensor[mask] if tensor.dim() > 1 else tensor for name, tensor in of.items()}
    return found | {"cu_seqlens": torch.cat([torch.zeros(1, dtype=torch.int64), LENGTHS.cumsum(0)])}


def of_rows(program: aent.Program, of: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rows in place of what they were made from."""
    replaced = program.logit_fields | program.candidate_fields
    rest = {name: tensor for name, tensor in of.items() if name not in replaced}
    return rest | {"rows": program.rows(of)} if program.row_names else of


def in_parts(program: aent.Program, of: dict[str, torch.Tensor]) -> aent.Output:
    """The step in two parts."""
    parts = [
        {name: tensor[rows] if tensor.dim() else tensor for name, tensor in of.items()}
        for rows in (slice(2), slice(2, 4))
    ]
    step = program.accumulate()
    for part in parts:
        step.measure(part)
    sum(step(part) for part in parts).backward()
    return step.finish()


def by_a_trainer(program: aent.Program, of: dict[str, torch.Tensor]) -> dict[str, float]:
    """What a trainer that has the whole step logs of it."""
    step_loss = StepLoss(program, {}, cut="step", hook=False)
    step_loss(of).backward()
    return step_loss.end()


def gradients(of: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.grad for name, tensor in of.items() if tensor.requires_grad and tensor.grad is not None}


WAYS: dict[str, Callable[[aent.Program, dict[str, torch.Tensor]], aent.Output]] = {
    "packed": lambda program, of: program(packed(of)),
    "rows": lambda program, of: program(of_rows(program, of)),
    "packed rows": lambda program, of: program(of_rows(program, packed(of))),
    "pickled": lambda program, of: pickle.loads(pickle.dumps(program))(of),  # noqa: S301 - our own
    "copied": lambda program, of: copy.deepcopy(program)(of),
}


def test_every_way_has_the_numbers_and_the_gradient_of_a_whole_step(program: aent.Program) -> None:
    of = batch(program)
    whole = program(of)
    whole.loss.backward()
    expected, slopes = told(whole), gradients(of)
    assert slopes and all(slope.abs().max() > 1e-4 for slope in slopes.values())

    def compare(found: dict[str, float], leaves: dict[str, torch.Tensor], way: str) -> None:
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-12), way
        own = gradients(leaves)
        assert own.keys() == slopes.keys(), way
        gaps = {name: float((own[name] - slope).abs().max()) for name, slope in slopes.items()}
        assert gaps == pytest.approx(dict.fromkeys(slopes, 0.0), abs=1e-12), way

    for way, run in WAYS.items():
        leaves = batch(program)
        output = run(program, leaves)
        output.loss.backward()
        compare(told(output), leaves, way)
    leaves = batch(program)
    compare(told(in_parts(program, leaves)), leaves, "parts")


def test_what_is_said_of_a_file_and_its_steps(program: aent.Program) -> None:
    assert program.explain() and program._repr_html_() and str(program)
    assert program.requires.keys() <= set(get_args(Need))
    assert program.diagnose(batch(program))
    assert program.find_nonfinite(batch(program)) == []
    expected = program(batch(program)).metrics
    logged = by_a_trainer(copy.deepcopy(program), batch(program))
    assert {name: logged[name] for name in expected} == pytest.approx(expected, rel=1e-9)
    before, coefficients = program.state_dict(), program.coefficients
    program.update(program(batch(program)))
    assert (program.coefficients == coefficients) == (not coefficients)
    program.load_state_dict(before)
    assert (program.steps, program.coefficients) == (0, coefficients)
