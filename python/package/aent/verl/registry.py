"""From a file to an entry of verl's registry of policy losses."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from aent._aent import Program
from aent.compiler import program_of
from aent.errors import BatchError, StepError

from .columns import NEVER
from .engine import engines as verl_engines
from .engine import follow
from .mini_batch import Counts, Loss, Step, open_step
from .state import Registered, registered


def register(
    name: str,
    spec: str | os.PathLike[str] | Program,
    *,
    params: Mapping[str, float] | None = None,
    engines: Sequence[type] | None = None,
    strict: bool = True,
) -> Program:
    """Puts a file into verl's registry of policy losses. The same module may do so again under the same name, as a notebook
    does whose cell is run again: then the new program takes the place of the old one, and begins anew.

    Args:
        name: what ``actor.policy_loss.loss_mode`` will say.
        spec: a file, the text of one, or what ``aent.compile`` gave.
        params: values for ``param``s of a file or text.
        engines: the engine classes to ``follow``; verl's FSDP and Megatron engines unless given.
        strict: whether a checkpoint must have the state of the same controllers. Otherwise what fits is taken up, and a
            warning says what begins anew.

    Returns:
        The program, for instance to look at its ``coefficients``.

    Raises:
        SpecError: the file is wrong.
        BatchError: it reads what no configuration of verl brings.
        StepError: it sets a temperature that changes nothing.
        ValueError: the name is verl's or another module's, or there are ``params`` for what is compiled already.
    """
    from verl.trainer.ppo.core_algos import POLICY_LOSS_REGISTRY, register_policy_loss

    module = sys._getframe(1).f_globals.get("__name__", "?")
    there, ours = POLICY_LOSS_REGISTRY.get(name), registered.get(name)
    if there is not None and (ours is None or ours.policy_loss is not there):
        raise ValueError(f"`{name}`: verl has a policy loss of this name already; choose another")
    if there is not None and ours is not None and ours.module != module:
        raise ValueError(f"`{name}`: `{ours.module}` registers a policy loss of this name already; choose another")
    if (current := open_step()) is not None and name in current.names:
        raise StepError(f"`{name}` is in use: a step that called it is open")
    program = program_of(spec, params, 3)
    _check(name, program)
    for engine in verl_engines() if engines is None else engines:
        follow(engine)
    policy_loss = _policy_loss(Loss(name, program))
    POLICY_LOSS_REGISTRY.pop(name, None)
    register_policy_loss(name)(policy_loss)
    registered[name] = Registered(program, module, strict, policy_loss)
    return program


def _check(name: str, program: Program) -> None:
    """Refuses what could never run as a policy loss of verl."""
    for field, reason in NEVER.items():
        if field in program.fields:
            raise BatchError(f"`{name}` reads `{field}`, which verl never brings: {reason}")
    if others := sorted(program.fields & program.logit_fields - {"logits"}):
        raise BatchError(
            f"`{name}` reads `{others[0]}`, which verl never brings: its engines show the policy's logits alone"
        )
    Loss(name, program).check_temperature()


def _policy_loss(loss: Loss) -> Any:
    """The function that verl calls with each micro-batch."""
    weighs = "rollout_is_weights" in loss.program.fields

    def policy_loss(
        old_log_prob: torch.Tensor,
        log_prob: torch.Tensor,
        advantages: torch.Tensor,
        response_mask: torch.Tensor,
        loss_agg_mode: str = "token-mean",  # noqa: ARG001 - the file says how it averages
        config: Any = None,
        rollout_is_weights: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, dict[str, float]]:
        if weighs and rollout_is_weights is None:
            raise BatchError(
                f"`{loss.name}` reads `rollout_is_weights`, and verl has none: set "
                "`algorithm.rollout_correction.rollout_is`"
            )
        if rollout_is_weights is not None and not weighs:
            raise BatchError(
                f"`{loss.name}` does not read the `rollout_is_weights` that verl computed: write "
                "`input rollout_is_weights: token` into the file and multiply by them, or set "
                "`algorithm.rollout_correction.rollout_is=null`"
            )
        batch = {
            "old_log_prob": old_log_prob,
            "log_prob": log_prob,
            "advantages": advantages,
            "response_mask": response_mask,
        }
        if rollout_is_weights is not None:
            batch["rollout_is_weights"] = rollout_is_weights
        counts = Counts.of(getattr(config, "global_batch_info", None) or {}, response_mask, loss)
        if current := open_step():
            # verl's engines average the gradients of the ranks.
            return current.share(loss, batch, counts) * counts.ranks, {}
        return _outside_of_a_step(loss, batch, counts)

    return policy_loss


def _outside_of_a_step(
    loss: Loss, batch: dict[str, torch.Tensor], counts: Counts
) -> tuple[torch.Tensor, dict[str, float]]:
    """The share alone, with metrics of the micro-batch as those of verl's own losses are."""
    needs = "reads the logits" if loss.reads_logits else "has controllers, which move between steps"
    if loss.reads_logits or (loss.program.coefficients and torch.is_grad_enabled()):
        raise StepError(
            f"`{loss.name}` {needs}: an engine that `aent.verl.follow` follows, or a loop within `aent.verl.step()`, "
            "has to call it"
        )
    share = Step(ranks=counts.ranks).share(loss, batch, counts)
    with torch.no_grad():
        metrics = loss.program(batch).metrics
    return share * counts.ranks, {f"actor/aent/{name}": value for name, value in metrics.items()}
