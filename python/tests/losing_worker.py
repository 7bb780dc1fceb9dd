"""What one of four processes does in ``test_ranks_losing.py``: one rank differs, comes late or dies, and no controller moves."""

from __future__ import annotations

import datetime
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

import aent
from rank_worker import rows_of, whole_batch

SIZE, WRONG = 4, 2
#: What a group waits for a rank, in seconds.
PATIENCE = 2

STEERED = """
param eps = 0.2 in 0 .. 1
let entropy = clamped_entropy(drop = 30%)
controller beta = band(signal = token_mean(entropy), target = 0.1 .. 0.2, step = 0.1, bounds = 0 .. 1, init = 0.01)
loss = token_mean(tests::met(name = "loss", x = clip_ppo(low = eps))) - beta * token_mean(entropy)
metric met = token_mean(tests::met(name = "metric", x = log_prob))
"""

#: What the term does where it is met, by the name of the place.
MEETS: dict[str, Callable[[], None]] = {}


def register(version: str) -> None:
    """The term, in a version. Terms of the language have their release there."""

    @aent.term(name="tests::met", version=version)
    def met(x: aent.Token, *, name: str) -> aent.Token:
        """Its operand, after what the test does there once."""
        MEETS.pop(name, lambda: None)()
        return x


def mine() -> dict[str, Any]:
    """This rank's rows; rank 3 has no valid token."""
    fields = {name: tensor[rows_of(dist.get_rank(), SIZE)] for name, tensor in whole_batch().items()}
    states = fields.pop("states")
    return fields | {"logits": torch.cat([states] * 4, -1)[..., :19].requires_grad_()}


def step(program: aent.Program, batch: Any = None, group: Any = None) -> None:
    """One that moves the controller where it gets that far."""
    output = program(batch or mine(), process_group=group or dist.group.WORLD)
    output.loss.backward()
    program.update(output)


def parts(program: aent.Program, batch: Any = None, group: Any = None) -> None:
    """The same in parts."""
    batch, cut = batch or mine(), program.accumulate(group=group or dist.group.WORLD)
    cut.measure(batch)
    cut(batch).backward()
    program.update(cut.finish())


def moved() -> aent.Program:
    """A program after a step."""
    program = aent.compile(STEERED)
    step(program)
    return program


def compiled(text: str, state: dict[str, Any], **options: Any) -> aent.Program:
    """Another program with the state of one."""
    program = aent.compile(text, **options)
    program.load_state_dict(state)
    return program


def outcome(program: aent.Program, run: Callable[[], Any], *, goes_on: bool = True) -> dict[str, Any]:
    """What was raised and when, and what became of the controller, also in the step after it."""
    before, begin = program.state_dict(), time.monotonic()
    try:
        run()
        error = ("none", "")
    except aent.Error as raised:
        error = (type(raised).__name__, str(raised))
    found = {"error": error, "seconds": time.monotonic() - begin, "stayed": program.state_dict() == before}
    MEETS.clear()
    if goes_on:
        right = moved()
        step(right)
        found["next"] = right.state_dict()
    return found


def wrong() -> bool:
    return dist.get_rank() == WRONG


def of_program(other: Callable[[dict[str, Any]], aent.Program]) -> dict[str, Any]:
    """One rank has another program."""
    program = moved()
    if wrong():
        program = other(program.state_dict())
    return outcome(program, lambda: step(program))


def another_version(state: dict[str, Any]) -> aent.Program:
    register("2")
    program = compiled(STEERED, state)
    register("1")
    return program


def another_state(state: dict[str, Any]) -> aent.Program:
    state["controllers"][0]["state"]["value"] = 0.5
    return compiled(STEERED, state)


def of_batch(change: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """One rank has another batch."""
    program = moved()
    return outcome(program, lambda: step(program, change(mine()) if wrong() else mine()))


def raising(place: str, run: Callable[[aent.Program], None]) -> dict[str, Any]:
    """The term raises on one rank."""
    program = moved()

    def fail() -> None:
        raise OSError("the disk is gone")

    if wrong():
        MEETS[place] = fail
    return outcome(program, lambda: run(program))


def late(group: Any) -> dict[str, Any]:
    """One rank comes after the others' patience."""
    program = moved()
    if wrong():
        MEETS["loss"] = lambda: time.sleep(1.5 * PATIENCE)
    found = outcome(program, lambda: step(program, group=group), goes_on=False)
    dist.barrier()
    return found


def dying(rank: int, place: str, die: Callable[[], None], group: Any) -> dict[str, Any]:
    """One rank dies in the middle of a step. Who is not in the group has gone before."""
    program = aent.compile(STEERED)
    step(program, group=group)
    if dist.get_rank() == rank:
        MEETS[place] = die
    return outcome(program, lambda: parts(program, group=group), goes_on=False)


#: What another program is, and what all ranks should say of it.
PROGRAMS: dict[str, tuple[Callable[[dict[str, Any]], aent.Program], str]] = {
    "file": (
        lambda state: compiled(STEERED.replace("log_prob))", "log_prob + 1))"), state),
        "the formula `tests::met(log_prob",
    ),
    "param": (
        lambda state: compiled(STEERED, state, params={"eps": 0.3}),
        "`param eps` is `0.2` on rank 0 and `0.3` on rank 2",
    ),
    "version": (
        another_version,
        "`tests::met` is `python:losing_worker 1` on rank 0 and `python:losing_worker 2` on rank 2",
    ),
    "state": (another_state, "the state of `beta`"),
    "steps": (lambda _: aent.compile(STEERED), "the number of observed steps is `1` on rank 0 and `0` on rank 2"),
}
BATCHES: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], str]] = {
    "kind": (
        lambda b: b | {"logits": b["logits"].float()},
        "the kind of numbers is `f64` on rank 0 and `f32` on rank 2",
    ),
    "rows": (lambda b: b | {"advantages": b["advantages"][1:]}, "`advantages`: expected [2, 6] or [2]"),
    "fields": (
        lambda b: {k: x for k, x in b.items() if k not in ("logits", "actions")} | {"log_prob": b["old_log_prob"]},
        "the batch has no `logits`",
    ),
}
RAISING = {
    "step, loss": ("loss", step),
    "step, metric": ("metric", step),
    "parts, loss": ("loss", parts),
    "parts, metric": ("metric", parts),
}


def main(rank: int, folder: str) -> None:
    """Joins the others, and leaves what it found in a file."""
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(SIZE))
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=SIZE)
    patience = datetime.timedelta(seconds=PATIENCE)
    waiting = dist.new_group(range(4), timeout=patience)
    left = [dist.new_group(range(size), timeout=patience) for size in (4, 3)]
    register("1")
    found: dict[str, Any] = {}
    for name, (other, _) in PROGRAMS.items():
        found[name] = of_program(other)
    for name, (change, _) in BATCHES.items():
        found[name] = of_batch(change)
    for name, (place, run) in RAISING.items():
        found[name] = raising(place, run)
    found["late"] = late(waiting)
    torch.save(found, Path(folder) / f"{rank}.pt")
    found["killed"] = dying(3, "loss", lambda: os.kill(os.getpid(), signal.SIGKILL), left[0])
    found["exited"] = dying(2, "metric", lambda: os._exit(7), left[1])
    torch.save(found, Path(folder) / f"{rank}.pt")
    # Some have gone: there is nothing to leave in order.
    os._exit(0)
