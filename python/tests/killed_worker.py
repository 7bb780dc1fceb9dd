"""Runs that are killed at random moments and resumed, for ``test_killed.py``: TRL's trainer, verl's workers, ranks over gloo.

    python killed_worker.py trl|verl|ranks KILLS SEED FOLDER

One process imports everything, and its children train; it ends with 0 and its counts when all runs ended in the numbers of one
that nothing happened to.
"""

from __future__ import annotations

import datetime
import itertools
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from tqdm.std import TqdmDefaultWriteLock

import aent
import rank_worker
from aent.files import read_json, write_json

#: Kills of one run before it is let alone.
EACH = 3
#: What a rank waits for the other.
PATIENCE = datetime.timedelta(seconds=20)

STEERED = """
let entropy = entropy()
controller beta = band(signal = token_mean(entropy), target = 2.6 .. 2.65, step = 0.1, bounds = 0 .. 1, init = 0.5)
loss = token_mean(clip_ppo()) - beta * token_mean(entropy)
"""


def child(run: Callable[[], None]) -> int:
    """Runs something in a process of its own."""
    if pid := os.fork():
        return pid
    code = 1
    try:
        torch.set_num_threads(1)  # Its pool is made anew after a fork, and two threads at once may not do that.
        run()
        code = 0
    finally:
        if code:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(code)


def none_ended() -> bool:
    """Whether all children run."""
    return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def ended(pids: list[int]) -> list[int]:
    """The exit codes of children; a signal is negative."""
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


class Trl:
    """Runs of ``AentGRPOTrainer``."""

    steps = 6

    def __init__(self, folder: Path) -> None:
        # It takes ten seconds to import.
        from datasets import Dataset

        import trl_tiny

        self.tiny, self.model = trl_tiny, trl_tiny.save_model(folder / "model")
        # Across the end of an epoch TRL itself, with accumulated gradients, resumes to other numbers.
        self.prompts = Dataset.from_list(trl_tiny.dataset().to_list() * 2)

    def _train(self, out: Path) -> None:
        saving = {"max_steps": self.steps, "save_strategy": "steps", "save_steps": 1}
        args = self.tiny.arguments(out, gradient_accumulation_steps=2, **saving)
        made = self.tiny.trainer(self.model, args, STEERED, train_dataset=self.prompts)
        last = _last_checkpoint(out / "out")
        (out / "began").touch()
        made.train(resume_from_checkpoint=str(last) if last else None)
        weights = torch.cat([weight.detach().flatten() for weight in made.model.parameters()])
        kept = ("loss", "step", "entropy", "aent/coefficient/beta", "aent/signal/beta")
        log = [{name: line[name] for name in kept} for line in made.state.log_history if "loss" in line]
        _leave(out / "numbers", {"weights": weights, "log": log, "state": made.program.state_dict()})

    def start(self, out: Path) -> list[int]:
        """Goes on with the run of a folder."""
        return [child(lambda: self._train(out))]

    def begun(self, out: Path) -> int:
        """How many steps the folder has."""
        last = _last_checkpoint(out / "out")
        return int(last.name.split("-")[1]) if last else 0

    def check(self, out: Path) -> None:
        """Whatever the kill left, the state of the controllers is whole or not there."""
        for file in (out / "out").glob("checkpoint-*/aent.json"):
            assert read_json(file), file

    def numbers(self, out: Path) -> list[Any]:
        """What a finished run computed."""
        return [torch.load(out / "numbers")]


def _last_checkpoint(out: Path) -> Path | None:
    """The last that the trainer finished: it writes its own state when all else is written."""

    def whole(folder: Path) -> bool:
        try:
            return bool(json.loads((folder / "trainer_state.json").read_text()))
        except (FileNotFoundError, ValueError):
            return False

    found = [folder for folder in out.glob("checkpoint-*") if whole(folder)]
    return max(found, key=lambda folder: int(folder.name.split("-")[1]), default=None)


def _leave(file: Path, value: Any) -> None:
    """Writes a file whole or not at all."""
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    torch.save(value, beside)
    beside.replace(file)


class Verl:
    """Two ranks with verl's FSDP engine, saved after each step and taken up again by verl's trainer."""

    steps = 12

    def __init__(self, folder: Path) -> None:
        import killed_verl  # It takes twenty seconds to import.

        self.verl, self.folder, self.meetings = killed_verl, folder, itertools.count()
        killed_verl.save_model(folder / "model")

    def _train(self, rank: int, out: Path, meeting: str) -> None:
        os.environ.update(RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK=str(rank))
        dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2, timeout=PATIENCE)
        run = self.verl.Run(self.folder / "model", out)
        (out / "began").touch()
        for _ in range(run.resumed(), self.steps):
            run.step()
        _leave(out / f"numbers-{rank}", run.numbers())
        dist.barrier()

    def start(self, out: Path) -> list[int]:
        """Goes on with the run of a folder."""
        self.verl.go_on(out)
        meeting = str(self.folder / f"meeting-{next(self.meetings)}")
        return [child(lambda rank=rank: self._train(rank, out, meeting)) for rank in range(2)]

    def begun(self, out: Path) -> int:
        """How many steps the folder has."""
        return self.verl.steps_of(out)

    def check(self, out: Path) -> None:
        """Whatever the kill left, the state of the programs is whole or not there."""
        for file in out.glob("global_step_*/actor/aent_state.json"):
            assert read_json(file), file

    def numbers(self, out: Path) -> list[Any]:
        """What a finished run computed, on both ranks."""
        return [torch.load(out / f"numbers-{rank}") for rank in range(2)]


class Ranks:
    """Two ranks that train a policy, and save it with the state of the program after each step."""

    steps = 30

    def __init__(self, folder: Path) -> None:
        self.folder, self.meetings = folder, itertools.count()
        torch.optim.Adam(rank_worker.policy().parameters()).zero_grad()  # It imports much at its first use.

    def _train(self, rank: int, out: Path, meeting: str) -> None:
        dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2, timeout=PATIENCE)
        program, layer = aent.compile(STEERED), rank_worker.policy()
        optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
        (out / "began").touch()
        # A rank may be one step ahead of the other: they go on from the last step that both have.
        last = torch.tensor(_last_step(out, rank))
        dist.all_reduce(last, dist.ReduceOp.MIN)
        if last >= 0:
            saved = torch.load(out / f"{rank}-{int(last)}.pt")
            layer.load_state_dict(saved["layer"])
            optimizer.load_state_dict(saved["optimizer"])
            program.load_state_dict(read_json(out / f"{rank}-{int(last)}.json") or {})
        rows = {name: tensor[rank_worker.rows_of(rank, 2)] for name, tensor in rank_worker.whole_batch().items()}
        states = rows.pop("states")
        for number in range(int(last) + 1, self.steps):
            optimizer.zero_grad()
            output = program(rows, logits=layer(states), process_group=dist.group.WORLD, gradients="sum")
            output.loss.backward()
            for weight in layer.parameters():
                dist.all_reduce(weight.grad)
            optimizer.step()
            program.update(output)
            write_json(out / f"{rank}-{number}.json", program.state_dict())
            _leave(out / f"{rank}-{number}.pt", {"layer": layer.state_dict(), "optimizer": optimizer.state_dict()})
        weights = torch.cat([weight.detach().flatten() for weight in layer.parameters()])
        _leave(out / f"numbers-{rank}", {"weights": weights, "state": program.state_dict()})
        dist.barrier()

    def start(self, out: Path) -> list[int]:
        """Goes on with the run of a folder."""
        meeting = str(self.folder / f"meeting-{next(self.meetings)}")
        return [child(lambda rank=rank: self._train(rank, out, meeting)) for rank in range(2)]

    def begun(self, out: Path) -> int:
        """How many steps the folder has."""
        return 1 + min(_last_step(out, rank) for rank in range(2))

    def check(self, out: Path) -> None:
        """Whatever the kill left, states are whole."""
        for file in out.glob("?-*.json"):
            assert read_json(file), file

    def numbers(self, out: Path) -> list[Any]:
        """What a finished run computed, on both ranks."""
        return [torch.load(out / f"numbers-{rank}") for rank in range(2)]


def _last_step(out: Path, rank: int) -> int:
    return max((int(file.stem.split("-")[1]) for file in out.glob(f"{rank}-*.pt")), default=-1)


def differences(found: Any, expected: Any, place: str = "") -> list[str]:
    """Where two results differ, be it by the last bit."""
    if isinstance(expected, list) and len(found) == len(expected):
        pairs = [(f"{place}[{at}]", *pair) for at, pair in enumerate(zip(found, expected))]
    elif isinstance(expected, dict) and found.keys() == expected.keys():
        pairs = [(f"{place}.{name}", found[name], x) for name, x in expected.items()]
    elif isinstance(expected, torch.Tensor):
        return [] if torch.equal(found, expected) else [f"{place}: by {(found - expected).abs().max()}"]
    else:
        return [] if found == expected else [f"{place}: {found} and not {expected}"]
    return [of for place, here, there in pairs for of in differences(here, there, place)]


def folders(root: Path) -> Iterator[Path]:
    """An empty folder each time."""
    for number in itertools.count():
        folder = root / str(number)
        folder.mkdir()
        yield folder
        shutil.rmtree(folder)


def trained(out: Path, pids: list[int]) -> float:
    """How long the children train, once they have begun."""
    while not (out / "began").exists():
        time.sleep(1e-3)
        assert none_ended(), "it ends before it begins"
    begin = time.monotonic()
    assert not any(ended(pids))
    return time.monotonic() - begin


def kill(runs: Trl | Verl | Ranks, out: Path, whole: float, chance: random.Random) -> list[int]:
    """Kills before they train or at some step, all ranks or one of them; the others must end by themselves."""
    (out / "began").unlink(missing_ok=True)
    begun, pids = runs.begun(out), runs.start(out)
    late = chance.random() < 0.9
    if late:
        step = min(chance.randint(begun, begun + runs.steps // 2), runs.steps - 1)
        while none_ended() and (not (out / "began").exists() or runs.begun(out) < step):
            time.sleep(2e-3)
    time.sleep(chance.random() * (whole / runs.steps if late else 1))
    # A rank that never met the other would be waited for long.
    for pid in pids if chance.random() < 0.8 or not late else [chance.choice(pids)]:
        os.kill(pid, signal.SIGKILL)
    return ended(pids)


def main(what: str, kills: int, seed: int, root: Path) -> None:
    """Kills runs, and compares where they end."""
    torch.set_num_threads(1)
    TqdmDefaultWriteLock.mp_lock = None  # Processes share this lock, and one that is killed leaves it locked.
    runs = {"trl": Trl, "verl": Verl, "ranks": Ranks}[what](root)
    chance, fresh, done, tried, amid = random.Random(seed), folders(root), 0, 0, 0  # noqa: S311
    out = next(fresh)
    whole, expected = trained(out, runs.start(out)), runs.numbers(out)
    coefficients = {str(numbers["state"]) for numbers in expected}
    assert len(coefficients) == 1, coefficients
    while done < kills:
        out = next(fresh)
        tried += 1
        assert tried < 10 + 2 * kills, "most runs end before they are killed"
        for _ in range(min(EACH, kills - done)):
            codes = kill(runs, out, whole, chance)
            # One that had ended by itself was not killed.
            done += -signal.SIGKILL in codes
            runs.check(out)
            amid += -signal.SIGKILL in codes and 0 < runs.begun(out) < runs.steps
        assert not any(ended(runs.start(out))), f"after {done} kills it does not go on"
        found = differences(runs.numbers(out), expected)
        assert not found, f"after {done} kills: {found}"
    print(f"{done} kills of {tried} runs, {amid} of them between the first checkpoint and the last")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]).resolve())
