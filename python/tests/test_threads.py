"""Threads that share a program, Ctrl-C at any moment, and memory over many steps."""

from __future__ import annotations

import gc
import itertools
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import aent
from batches import batch

STEERED = """
let h = entropy()
controller beta = band(signal = token_mean(h), target = 0.1 .. 0.2, step = 1e-3, bounds = 0 .. 1, init = 0.9)
loss = token_mean(clip_ppo()) - beta * token_mean(h)
metric spread = quantile(h, 0.9) - quantile(h, 0.1)
"""
COUNT = 4


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    """Kernels share their rows, whatever other tests have set."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def fields_of(thread: int) -> dict[str, torch.Tensor]:
    """Each thread has another batch, large enough for the threads of the kernels."""
    return batch(b=1 + thread, t=16 + thread, v=3000, dtype=torch.float32)


def in_threads(run: Callable[[int], None]) -> None:
    """Runs it in several threads at once, and raises what one of them raised."""
    raised: list[BaseException] = []
    together = threading.Barrier(COUNT)

    def watched(thread: int) -> None:
        try:
            together.wait()
            run(thread)
        except BaseException as error:  # noqa: BLE001
            raised.append(error)

    threads = [threading.Thread(target=watched, args=(thread,), daemon=True) for thread in range(COUNT)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "it hangs"
    if raised:
        raise raised[0]


def step(program: aent.Program, fields: dict[str, torch.Tensor]) -> tuple[float, Any, torch.Tensor]:
    fields["logits"].grad = None
    output = program(fields)
    output.loss.backward()
    gradient = fields["logits"].grad
    assert gradient is not None
    return output.total, output.metrics, gradient


def test_threads_that_share_a_program_have_the_numbers_of_one() -> None:
    program = aent.compile(STEERED)
    expected = [step(program, fields_of(thread)) for thread in range(COUNT)]

    def run(thread: int) -> None:
        fields = fields_of(thread)
        for _ in range(12):
            total, metrics, gradient = step(program, fields)
            assert (total, metrics) == expected[thread][:2]
            assert torch.equal(gradient, expected[thread][2])

    in_threads(run)
    assert program.steps == 0


def test_threads_that_move_controllers_move_them_one_after_the_other() -> None:
    program, alone = aent.compile(STEERED), aent.compile(STEERED)
    fields = batch()
    for _ in range(40 * COUNT):
        alone.update(alone(fields))
    outputs = [program(fields) for _ in range(40 * COUNT)]

    def run(thread: int) -> None:
        for output in outputs[thread::COUNT]:
            program.update(output)

    in_threads(run)
    assert program.state_dict() == alone.state_dict()
    assert 0 < program.coefficients["beta"] < 0.9


def test_an_output_that_threads_race_for_is_observed_once() -> None:
    program = aent.compile(STEERED)
    outputs, taken = [program(batch()) for _ in range(60)], [0] * COUNT

    def run(thread: int) -> None:
        for output in outputs:
            try:
                program.update(output)
                taken[thread] += 1
            except aent.StepError as error:
                assert "this output was observed before" in str(error)  # noqa: PT017

    in_threads(run)
    assert sum(taken) == program.steps == len(outputs)


def test_threads_may_bring_the_parts_of_a_step() -> None:
    program = aent.compile(STEERED)
    parts = [batch(b=1 + thread, t=5, v=40) for thread in range(COUNT)]
    cut = program.accumulate()
    in_threads(lambda thread: cut.measure(parts[thread]))
    in_threads(lambda thread: cut(parts[thread]).backward())
    total = cut.finish().total
    again = program.accumulate()
    others = [batch(b=1 + thread, t=5, v=40) for thread in range(COUNT)]
    for part in others:
        again.measure(part)
    for part in others:
        again(part).backward()
    assert total == pytest.approx(again.finish().total, rel=1e-12)
    for part, other in zip(parts, others):
        torch.testing.assert_close(part["logits"].grad, other["logits"].grad, rtol=1e-12, atol=1e-15)


def test_ctrl_c_at_any_moment_leaves_the_program_at_the_end_of_a_step() -> None:
    def all_states(count: int) -> Iterator[dict[str, Any]]:
        alone, fields = aent.compile(STEERED), batch()
        for _ in range(count):
            yield alone.state_dict()
            alone.update(alone(fields))

    chance, fields = random.Random(3), batch()  # noqa: S311
    large = batch(b=4, t=64, v=5000, dtype=torch.float32)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for number in range(40):
            program, shown = aent.compile(STEERED), fields if number % 2 else large
            after = chance.uniform(1e-4, 3e-2)
            timer = threading.Timer(after, lambda: os.kill(os.getpid(), signal.SIGINT))
            begun = time.monotonic()
            with pytest.raises(KeyboardInterrupt):  # noqa: PT012
                timer.start()
                while time.monotonic() - begun < 30:
                    output = program(shown)
                    output.loss.backward()
                    program.update(output)
            assert time.monotonic() - begun < 20
            if shown is fields:
                assert program.state_dict() == list(all_states(program.steps + 1))[-1]
            moved = program.steps
            program.update(program(shown))
            assert program.steps == moved + 1
    finally:
        signal.signal(signal.SIGINT, before)


def resident() -> int:
    """The memory of this process, in kB."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def assert_no_growth(run: Callable[[], Any]) -> None:
    """What leaks grows in every round; the allocator alone, and the process's other threads, grow in one and stop."""
    grown = []
    for _ in range(4):
        memory, objects = resident(), len(gc.get_objects())
        run()
        grown.append((resident() - memory, len(gc.get_objects()) - objects))
        # A tensor takes some 600 bytes at least.
        if grown[-1][0] < 500 and grown[-1][1] < 100:
            return
    raise AssertionError(f"kB and objects in each round: {grown}")


def whole(program: aent.Program, fields: dict[str, torch.Tensor]) -> None:
    fields["logits"].grad = None
    output = program(fields)
    output.loss.backward()
    assert output.metrics
    program.update(output)


def parts(program: aent.Program, fields: dict[str, torch.Tensor]) -> None:
    fields["logits"].grad = None
    cut = program.accumulate()
    cut.measure(fields)
    cut(fields).backward()
    program.update(cut.finish())


def refused(program: aent.Program, fields: dict[str, torch.Tensor]) -> None:
    with pytest.raises(aent.BatchError):
        program({name: x for name, x in fields.items() if name != "actions"})


def fresh(_: aent.Program, _fields: dict[str, torch.Tensor]) -> None:
    program = aent.compile(STEERED)
    whole(program, batch())
    program.load_state_dict(program.state_dict())


@pytest.mark.parametrize(("run", "times"), [(whole, 3000), (parts, 1500), (refused, 3000), (fresh, 500)])
def test_memory_does_not_grow_with_steps(
    run: Callable[[aent.Program, dict[str, torch.Tensor]], None], times: int
) -> None:
    program, fields = aent.compile(STEERED), batch()
    for _ in range(times // 5):
        run(program, fields)

    def steps() -> None:
        for _ in range(times):
            run(program, fields)

    assert_no_growth(steps)


def test_memory_does_not_grow_with_texts() -> None:
    def text(number: int) -> str:
        return f"# {number}\nlet a{number} = clip_ppo(low = 0.{number + 1})\nloss = token_mean(a{number})"

    numbers = itertools.count()
    for _ in range(400):
        aent.compile(text(next(numbers)))

    def run() -> None:
        for _ in range(2000):
            aent.compile(text(next(numbers)))

    assert_no_growth(run)
