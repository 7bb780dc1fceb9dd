"""What one of two processes does in ``test_ranks_failing.py``: rank 1 fails in every way, rank 0 never does."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.testing._internal.two_tensor import TwoTensor

import aent
import aent.verl.mini_batch as verl
from rank_worker import rows_of, whole_batch

GRPO = "loss = token_mean(clip_ppo())"


class Stubborn(dict):  # type: ignore[type-arg]
    """A mapping that raises when it is read."""

    def __init__(self, fields: dict[str, Any], error: BaseException) -> None:
        super().__init__(fields)
        self.error = error

    def items(self) -> Any:
        """Raises."""
        raise self.error


#: What rank 1 brings in place of its batch, and what it should see.
WRONG: dict[str, tuple[Callable[[dict[str, Any]], Any], tuple[str, str]]] = {
    "numpy": (lambda b: b | {"advantages": b["advantages"].numpy()}, ("BatchError", "found a `ndarray`")),
    "list": (lambda b: b | {"advantages": b["advantages"].tolist()}, ("BatchError", "found a `list`")),
    "uint64": (
        lambda b: b | {"actions": torch.from_numpy(b["actions"].numpy().astype(np.uint64))},
        ("BatchError", "u64"),
    ),
    "jagged": (
        lambda b: b | {"old_log_prob": torch.nested.nested_tensor([torch.ones(2)] * 2, layout=torch.jagged)},
        ("BatchError", "`old_log_prob`: expected a strided tensor"),
    ),
    "wrapper": (
        lambda b: b | {"logits": TwoTensor(b["logits"].detach(), b["logits"].detach())},
        ("BatchError", "`logits`"),
    ),
    "a list for a batch": (lambda _: [1, 2], ("BatchError", "expected a mapping")),
    "raising": (lambda b: Stubborn(b, OSError("disk")), ("OSError", "disk")),
    "ctrl-c": (lambda b: Stubborn(b, KeyboardInterrupt()), ("KeyboardInterrupt", "")),
    "nan": (lambda b: b | {"advantages": b["advantages"] * float("nan")}, ("BatchError", "`advantages` at")),
    "missing": (lambda b: {name: x for name, x in b.items() if name != "actions"}, ("BatchError", "`actions`")),
}


@aent.term(name="tests::interrupted")
def interrupted(log_prob: aent.Token, *, rank: int) -> aent.Token:
    """Ctrl-C on one rank."""
    if dist.get_rank() == rank:
        raise KeyboardInterrupt
    return log_prob


def mine() -> dict[str, Any]:
    fields = {name: tensor[rows_of(dist.get_rank(), 2)] for name, tensor in whole_batch().items()}
    states = fields.pop("states")
    return fields | {"logits": torch.cat([states] * 4, -1)[..., :19].requires_grad_()}


def right() -> dict[str, float]:
    """A step that should go well, whatever was before."""
    output = aent.compile(GRPO)(mine(), process_group=dist.group.WORLD)
    return {"total": output.total, "tokens": output.tokens}


def outcome(run: Callable[[], Any]) -> dict[str, Any]:
    """What went wrong, and the step after it."""
    try:
        run()
        error = ("none", "")
    except BaseException as raised:  # noqa: BLE001 - Ctrl-C among others
        error = (type(raised).__name__, str(raised))
    return {"error": error, "next": right()}


def broken(make: Callable[[dict[str, Any]], Any], road: str) -> Any:
    world, batch = dist.group.WORLD, mine()
    given = make(batch) if dist.get_rank() == 1 else batch
    program = aent.compile(GRPO)
    if road == "step":
        return program(given, process_group=world)
    step = program.accumulate(group=world)
    step.measure(given if road == "measure" else batch)
    step(given)
    return step.finish()


def leave() -> None:
    """Rank 1 forgets a step before its end, and begins the next."""
    program, batch = aent.compile(GRPO), mine()
    step = program.accumulate(group=dist.group.WORLD)
    step.measure(batch)
    step(batch)
    if dist.get_rank() == 0:
        step.finish()
    else:
        program(batch, process_group=dist.group.WORLD)


def foreign() -> None:
    """Rank 1 sends something of its own."""
    if dist.get_rank() == 0:
        aent.compile(GRPO)(mine(), process_group=dist.group.WORLD)
    else:
        numbers = torch.arange(32)
        dist.all_gather([torch.empty_like(numbers) for _ in range(2)], numbers)


def counts() -> None:
    given = {"sequences": 5} if dist.get_rank() == 1 else {"tokens": 19, "sequences": 5, "width": 6}
    step = aent.compile(GRPO).accumulate(group=dist.group.WORLD, **given)
    step(mine())


def told() -> None:
    step = aent.compile(GRPO).accumulate(group=dist.group.WORLD)
    if dist.get_rank() == 1:
        error = OSError("the disk is gone")
        step.fail(error)
        raise error
    step.measure(mine())
    step(mine())


def in_verl() -> tuple[str, str]:
    loss = verl.Loss("tests", aent.compile("loss = token_mean(clip_ppo() + entropy())"))
    batch = mine()
    logits, actions = batch.pop("logits").detach(), batch.pop("actions")
    batch["log_prob"] = batch["old_log_prob"]
    try:
        with verl.step(dist.group.WORLD, loss) as step:
            with step.telling():
                if dist.get_rank() == 1:
                    raise ValueError("no logits today")
                step.hand_over(loss.program.rows(logits=logits, actions=actions))
            step.share(loss, batch, verl.Counts(19, 5, 1, 2, known=True))
    except (aent.Error, ValueError) as error:
        return type(error).__name__, str(error)
    return "none", ""


def waiting() -> Any:
    """Rank 0 is interrupted while it waits for rank 1, which comes late: this is the last that the group does."""
    begin = time.monotonic()
    if dist.get_rank() == 1:
        time.sleep(8)
        return time.monotonic() - begin
    threading.Timer(1.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    try:
        aent.compile(GRPO)(mine(), process_group=dist.group.WORLD)
    except BaseException as error:  # noqa: BLE001
        return type(error).__name__, str(error), time.monotonic() - begin
    return "none", "", 0.0


def results() -> dict[str, Any]:
    found: dict[str, Any] = {"right": right()}
    for name, (make, _) in WRONG.items():
        for road in ("step", "measure", "part"):
            found[f"{name}, {road}"] = outcome(lambda make=make, road=road: broken(make, road))
    found["left"] = outcome(leave)
    found["foreign"] = outcome(foreign)
    found["counts"] = outcome(counts)
    found["told"] = outcome(told)
    text = f"{GRPO} + 0 * token_mean(tests::interrupted(rank = 1))"
    found["term"] = outcome(lambda: aent.compile(text)(mine(), process_group=dist.group.WORLD))
    many = "\n".join(f"metric m{i} = {i} * token_mean(log_prob)" for i in range(40))
    found["many"] = aent.compile(f"{GRPO}\n{many}")(mine(), process_group=dist.group.WORLD).metrics
    found["verl"] = in_verl()
    found["waiting"] = waiting()
    return found


def main(rank: int, folder: str) -> None:
    """Joins the other, and leaves what it found in a file."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.update(RANK=str(rank), WORLD_SIZE="2")
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    torch.save(results(), Path(folder) / f"{rank}.pt")
    # Rank 1 never comes to the last exchange: there is nothing to leave in order.
    os._exit(0)
