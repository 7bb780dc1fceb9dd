"""The lines of docs/trainers.md against the trainers' own loss functions, each from its source.

    python3 python/benches/trainer_losses.py skyrl=PATH openrlhf=PATH nemo_rl=PATH areal=PATH prime_rl=PATH:CONFIGS slime=PATH

PATH is what `import` needs to find the package, such as an unpacked wheel. Modules that a loss function does not use may be
missing: they are played. Prints how far the gradients are apart, relative to their norm.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import re
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import torch
import typing_extensions

PAGE = Path(__file__).resolve().parents[2] / "docs" / "trainers.md"
Batch = dict[str, torch.Tensor]


class Played(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives a mock for what is not installed."""

    def __init__(self) -> None:
        self.names: set[str] = {"skyrl.train"}  # Configuration, which asks for Python 3.12.

    def find_spec(self, name: str, *_: Any) -> importlib.machinery.ModuleSpec | None:
        """Only for the names that were missed."""
        if any(name == of or name.startswith(f"{of}.") for of in self.names):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> Any:
        """A mock that is a package."""
        mock = MagicMock(name=spec.name)
        mock.__spec__, mock.__path__, mock.__file__, mock.__version__ = spec, [], "played", "99.0"
        return mock

    def exec_module(self, module: ModuleType) -> None:
        """It is there already."""


PLAYED = Played()


def load(name: str) -> Any:
    """Imports a trainer's module."""
    while True:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or error.name.split(".")[0] == name.split(".")[0] or error.name in PLAYED.names:
                raise
            PLAYED.names.add(error.name.split(".")[0])
            for imported in [of for of in sys.modules if of.split(".")[0] == name.split(".")[0]]:
                del sys.modules[imported]


def lines(trainer: str, spec: str) -> dict[str, Any]:
    """What the lines of the page define, with this file."""
    section = PAGE.read_text().split(f"\n## {trainer}\n")[1].split("\n## ")[0]
    code = re.findall(r"```python\n(# my_losses.py.*?)```", section, re.DOTALL)[0]
    defined: dict[str, Any] = {}
    exec(re.sub(r'compile\(".*?"\)', f"compile({spec + ' # aent: allow(sum-grows-with-batch)'!r})", code), defined)  # noqa: S102
    return defined


def parts() -> list[Batch]:
    """A step of two micro-batches of one sequence, of four and three tokens."""
    places = torch.arange(8, dtype=torch.float32).view(2, 4)
    whole = {
        "log_prob": (-1.2 + places.cos() / 2).requires_grad_(),
        "old": -1.1 + places.mul(1.3).sin() / 2,
        "rollout": -1.2 + places.mul(0.9).sin() / 3,
        "advantages": places.mul(0.9).cos(),
        "mask": torch.tensor([[1.0, 1, 1, 1], [1, 1, 1, 0]]),
    }
    return [{name: of[row : row + 1] for name, of in whole.items()} | {"leaf": whole["log_prob"]} for row in range(2)]


def gradient(share: Callable[[Batch], torch.Tensor]) -> torch.Tensor:
    """Of the step, as the trainer adds it up."""
    cut = parts()
    loss = torch.stack([share(part) for part in cut]).sum()
    return torch.autograd.grad(loss, cut[0]["leaf"])[0]


def skyrl() -> tuple[Any, Any]:
    """`regular`."""
    typing.TypedDict = typing_extensions.TypedDict  # pydantic asks for it before Python 3.12.
    module = load("skyrl.backends.skyrl_train.utils.ppo_utils")
    lines("SkyRL", "loss = token_sum(clip_ppo(low = 0.2, high = 0.28))")
    config = SimpleNamespace(
        policy_loss_type="regular", eps_clip_low=0.2, eps_clip_high=0.28, off_policy_correction=None
    )
    ours = module.PolicyLossRegistry.get("aent")

    def share(loss_fn: Any) -> Callable[[Batch], torch.Tensor]:
        def of(part: Batch) -> torch.Tensor:
            loss: torch.Tensor = loss_fn(part["log_prob"], part["old"], part["advantages"] / 7, config, part["mask"])[0]
            return loss

        return of

    return share(module.ppo_policy_loss), share(ours)


def openrlhf() -> tuple[Any, Any]:
    """`PolicyLoss`, token-mean."""
    theirs, ours = (
        load("openrlhf.models.loss").PolicyLoss(0.2, 0.2),
        lines("OpenRLHF", "loss = token_mean(clip_ppo())")["AentLoss"](),
    )
    counts = {"dp_size": 1, "batch_num_tokens": 7.0, "global_batch_size": 2.0}
    given = ("log_prob", "old", "advantages", "mask", "rollout")
    return tuple(lambda part, loss=loss: loss(*[part[name] for name in given], **counts)[0] for loss in (theirs, ours))  # type: ignore[return-value]


def nemo_rl() -> tuple[Any, Any]:
    """`ClippedPGLossFn`, token level."""
    module = load("nemo_rl.algorithms.loss.loss_functions")
    settings = dict.fromkeys(module.ClippedPGLossConfig.model_fields) | {
        "ratio_clip_min": 0.2,
        "ratio_clip_max": 0.2,
        "token_level_loss": True,
        "reference_policy_kl_penalty": 0.0,
        "reference_policy_kl_type": "k3",
        "positive_example_nll_weight": 0.0,
    }
    config = module.ClippedPGLossConfig.model_construct(**settings)
    ours = lines("NeMo-RL", "loss = token_mean(clip_ppo())")["AentLoss"]()

    def share(loss_fn: Any) -> Callable[[Batch], torch.Tensor]:
        def of(part: Batch) -> torch.Tensor:
            names = {
                "prev_logprobs": "old",
                "generation_logprobs": "rollout",
                "advantages": "advantages",
                "token_mask": "mask",
            }
            data = {name: torch.nn.functional.pad(part[of], (1, 0)) for name, of in names.items()}
            data |= {"sample_mask": torch.ones(1), "input_ids": torch.zeros(1, 5, dtype=torch.long)}
            counts = {"global_valid_seqs": torch.tensor(2.0), "global_valid_toks": torch.tensor(7.0)}
            loss: torch.Tensor = loss_fn(next_token_logprobs=part["log_prob"], data=data, **counts)[0]
            return loss

        return of

    return share(module.ClippedPGLossFn(config)), share(ours)


def areal() -> tuple[Any, Any]:
    """`grpo_loss_fn` without rejection."""
    module = load("areal.trainer.ppo.actor")
    theirs = module.grpo_loss_fn
    lines("AReaL", "loss = token_mean(clip_ppo())")
    ours = module.grpo_loss_fn
    settings = {"eps_clip": 0.2, "eps_clip_higher": None, "c_clip": None}

    def share(loss_fn: Any) -> Callable[[Batch], torch.Tensor]:
        def of(part: Batch) -> torch.Tensor:
            data = {
                "logprobs": part["old"],
                "prox_logp": part["old"],
                "advantages": part["advantages"],
                "loss_mask": part["mask"].bool(),
            }
            loss: torch.Tensor = loss_fn(part["log_prob"], torch.zeros(1, 4), data, **settings) * part["mask"].sum() / 7
            return loss

        return of

    return share(theirs), share(ours)


def prime_rl() -> tuple[Any, Any]:
    """The default loss, DPPO with the divergence of Kimi K2.5."""
    module = load("prime_rl.trainer.rl.loss")
    config = SimpleNamespace(dppo_mask_high=0.05, dppo_mask_low=0.05, adv_tau=1.0, kl_tau=1e-1)
    spec = "let r = log_prob - rollout_log_prob\\nlet p = exp(log_prob) - exp(rollout_log_prob)\\n"
    spec += "let kept = where(advantages > 0, where(p > 0.05, 0, 1), where(p < -0.05, 0, 1))\\n"
    ours = lines("prime-rl", spec + "loss = token_sum(0.1 * r^2 - kept * advantages * exp(r))")["aent_loss"]

    def share(loss_fn: Any) -> Callable[[Batch], torch.Tensor]:
        def of(part: Batch) -> torch.Tensor:
            mask = part["mask"][0].bool()
            inputs = module.LossInputs(part["log_prob"][0], part["rollout"][0], None, part["advantages"][0], mask)
            loss: torch.Tensor = loss_fn(inputs).loss / 7
            return loss

        return of

    return share(lambda inputs: module.default_loss_fn(inputs, config)), share(ours)


def slime() -> tuple[Any, Any]:
    """`policy_loss_function`, averaged over sequences."""
    module, ranks = load("slime.backends.megatron_utils.loss"), load("slime.backends.megatron_utils.cp_utils")
    ranks.mpu.get_context_parallel_world_size.return_value = 1
    scored = lambda logits, **_: (None, {"log_probs": [logits], "entropy": [logits.detach()]})  # noqa: E731
    module.get_log_probs_and_entropy, module._maybe_capture_log_probs = scored, lambda *_: None
    module.get_rollout_top_p_logprob_kwargs = lambda *_: {}
    ours = lines("slime", "loss = batch_sum(seq_mean(clip_ppo()))")["aent_loss"]
    args = SimpleNamespace(
        use_rollout_logprobs=False, use_opsm=False, advantage_estimator="grpo", eps_clip=0.2, eps_clip_high=0.2, eps_clip_c=None,
        get_mismatch_metrics=False, use_tis=False, entropy_coef=0.0, use_kl_loss=False,
    )  # fmt: skip

    def share(loss_fn: Any) -> Callable[[Batch], torch.Tensor]:
        def of(part: Batch) -> torch.Tensor:
            names = {
                "log_probs": "old",
                "rollout_log_probs": "rollout",
                "advantages": "advantages",
                "loss_masks": "mask",
            }
            batch: dict[str, Any] = {name: [part[of][0]] for name, of in names.items()}
            batch |= {"response_lengths": [4], "total_lengths": [4], "unconcat_tokens": []}
            mean = ranks.get_sum_of_sample_mean([4], [4], batch["loss_masks"])
            loss: torch.Tensor = loss_fn(args, batch, part["log_prob"][0], mean)[0] / 2
            return loss

        return of

    return share(module.policy_loss_function), share(ours)


def main() -> None:
    """Compares what is named on the command line."""
    sys.meta_path.append(PLAYED)
    paths = dict(argument.split("=", 1) for argument in sys.argv[1:])
    for name, path in paths.items():
        sys.path[:0] = path.split(":")
        theirs, ours = (gradient(share) for share in globals()[name]())
        apart = float((ours - theirs).norm() / theirs.norm())
        print(f"{name}: {apart:.1e} apart, of a gradient of {float(theirs.norm()):.3f}")
        assert apart < 1e-5 < float(theirs.norm()), name
    print(f"{len(paths)} compared")


if __name__ == "__main__":
    main()
