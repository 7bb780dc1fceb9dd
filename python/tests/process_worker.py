"""What processes do in ``test_processes.py``: they fork, and end, while threads are inside of a step.

    python process_worker.py FOLDER

One process imports everything, and its children play the scenes. A child ends as a program ends: its interpreter is finalized.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

import aent
from batches import batch

#: Where a program ends in a step, and where a thread is meanwhile.
INSIDE, GO_ON = threading.Event(), threading.Event()
STEERED = """
controller beta = band(signal = token_mean(entropy()), target = 0.1 .. 0.2, step = 0.1, bounds = 0 .. 1, init = 0.9)
loss = token_mean(clip_ppo()) - beta * token_mean(entropy())
"""


@aent.term(name="tests::slow")
def slow(log_prob: aent.Token) -> aent.Token:
    """Takes its time."""
    INSIDE.set()
    time.sleep(0.5)
    return log_prob


@aent.term(name="tests::waits")
def waits(log_prob: aent.Token) -> aent.Token:
    """Waits for the test."""
    INSIDE.set()
    GO_ON.wait(60)
    return log_prob


def leave_in(run: Callable[[], Any]) -> None:
    """Ends the program while another thread is in there."""
    threading.Thread(target=run, daemon=True).start()
    assert INSIDE.wait(60)
    time.sleep(0.05)


def in_a_term() -> None:
    program = aent.compile("loss = token_mean(tests::slow())")
    leave_in(lambda: program(batch()))


def in_a_part() -> None:
    step = aent.compile("loss = token_mean(tests::slow())").accumulate(tokens=12, sequences=3)
    leave_in(lambda: step(batch()))


def between_steps() -> None:
    """A thread that never stops."""
    program, fields = aent.compile(STEERED), batch()

    def run() -> None:
        with torch.no_grad():
            while True:
                program.update(program(fields))
                INSIDE.set()

    leave_in(run)


def in_a_meeting(folder: str) -> None:
    """Waits for a rank that does not come."""
    meeting = f"file://{folder}/meeting"
    if os.fork():
        dist.init_process_group("gloo", init_method=meeting, rank=0, world_size=2)
        program = aent.compile(STEERED)

        def run() -> None:
            INSIDE.set()
            program(batch(), process_group=dist.group.WORLD)

        leave_in(run)
        return
    dist.init_process_group("gloo", init_method=meeting, rank=1, world_size=2)
    time.sleep(2)
    os._exit(0)


def step(program: aent.Program) -> tuple[float, dict[str, float]]:
    output = program(batch())
    output.loss.backward()
    program.update(output)
    return output.total, program.coefficients


def fork(play: Callable[[], Any]) -> Any:
    """What a child returns, or how it ended; a child that hangs is ended after ten seconds."""
    receive, send = os.pipe()
    if child := os.fork():
        os.close(send)
        said = os.fdopen(receive).read()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return json.loads(said) if said and code == 0 else f"ended with {code}"
    faulthandler.dump_traceback_later(10, exit=True)
    # As workers of a DataLoader do: threads of torch's own are not there after a fork.
    torch.set_num_threads(1)
    os.write(send, json.dumps(play()).encode())
    os._exit(0)


def refusal(run: Callable[[], Any]) -> str:
    try:
        run()
    except aent.Error as error:
        return f"{type(error).__name__}: {error}"
    return "none"


def forked() -> dict[str, Any]:
    """A child goes on where the parent was."""
    program = aent.compile(STEERED)
    step(program)
    return {"child": fork(lambda: step(program)), "parent": step(program)}


def forked_in_a_part() -> dict[str, Any]:
    """Another thread computes a part; a child does not wait for it, and its program works."""
    program = aent.compile(STEERED.replace("clip_ppo()", "clip_ppo() + 0 * tests::waits()"))
    cut = program.accumulate(tokens=12, sequences=3)
    thread = threading.Thread(target=cut, args=(batch(),))
    thread.start()
    assert INSIDE.wait(60)

    def play() -> Any:
        GO_ON.set()
        return refusal(lambda: cut(batch())), refusal(cut.finish), step(program)

    found = fork(play)
    GO_ON.set()
    thread.join()
    return {"child": found, "parent": refusal(cut.finish), "alone": step(program)}


def forked_in_updates(times: int = 120) -> dict[str, Any]:
    """Another thread moves the controllers all the time."""
    program, fields = aent.compile(STEERED), batch()
    ends, updates = False, False

    def run() -> None:
        nonlocal updates
        with torch.no_grad():
            while not ends:
                output = program(fields)
                updates = True
                program.update(output)
                updates = False

    def forked_in_update() -> Any:
        # Not in an operation of torch, whose own locks no child could open. Who sees this holds Python's lock until the fork.
        while not updates:
            time.sleep(0)
        return fork(lambda: len(step(program)))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        found = [forked_in_update() for _ in range(times)]
    finally:
        ends = True
        thread.join()
    return {"hung": [of for of in found if of != 2]}


SCENES: dict[str, Callable[[str], Any]] = {
    "in a term": lambda _: in_a_term(),
    "in a part": lambda _: in_a_part(),
    "between steps": lambda _: between_steps(),
    "in a meeting": in_a_meeting,
    "forked": lambda _: forked(),
    "forked in a part": lambda _: forked_in_a_part(),
    "forked in updates": lambda _: forked_in_updates(),
}


def main(folder: str) -> None:
    """Plays each scene in a child, and leaves how it ended, what it found and what it said in a file."""
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    for name, play in SCENES.items():
        here = Path(folder, name.replace(" ", "-"))
        here.mkdir()
        if not (child := os.fork()):
            log = os.open(here / "stderr", os.O_WRONLY | os.O_CREAT)
            os.dup2(log, 2)
            (here / "found").write_text(json.dumps(play(str(here))))
            return
        begin = time.monotonic()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said = (here / "stderr").read_text()
        left = (here / "found").read_text() if (here / "found").exists() else "null"
        seconds = time.monotonic() - begin
        found[name] = {"code": code, "said": said, "found": json.loads(left), "seconds": seconds}
    Path(folder, "all").write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
