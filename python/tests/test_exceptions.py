"""What Python raises below a step comes out as it was raised, and nothing hangs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

import aent
from batches import batch

GRPO = "loss = token_mean(clip_ppo())\nmetric h = token_mean(entropy())"
CALLED: dict[str, Callable[[], Any]] = {}


class CustomError(Exception):
    """An exception of a user's."""


@aent.term(name="tests::calling")
def calling(log_prob: aent.Token, *, what: str) -> aent.Token:
    """Calls what a test put there."""
    CALLED[what]()
    return log_prob


def program_that_calls(what: Callable[[], Any]) -> aent.Program:
    CALLED["it"] = what
    return aent.compile('loss = token_mean(tests::calling(what = "it")) + token_mean(clip_ppo())')


def throw(error: BaseException) -> Any:
    raise error


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_ends_programs_passes_through_a_term(kind: type[BaseException]) -> None:
    raised = kind("now")
    program = program_that_calls(lambda: throw(raised))
    for run in (lambda: program(batch()), lambda: in_parts(program)):
        with pytest.raises(kind) as caught:
            run()
        assert caught.value is raised


def in_parts(program: aent.Program) -> None:
    step = program.accumulate()
    step.measure(batch())
    step(batch())


def test_an_exception_of_a_term_is_the_cause_of_a_step_error() -> None:
    raised = CustomError("not today")
    with pytest.raises(aent.StepError, match=r"tests::calling.*CustomError: not today") as caught:
        program_that_calls(lambda: throw(raised))(batch())
    assert caught.value.__cause__ is raised


class Dispatch(TorchDispatchMode):
    """Raises at one of torch's operations, counted from zero."""

    def __init__(self, at: int, error: BaseException | None) -> None:
        super().__init__()
        self.left, self.error = at, error

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.left -= 1
        if self.left == -1 and self.error is not None:
            raise self.error
        return function(*args, **(kwargs or {}))


def operations(run: Callable[[], Any]) -> int:
    with Dispatch(0, None) as mode:
        run()
    return -mode.left


@pytest.mark.parametrize("kernels", ["auto", "reference"])
@pytest.mark.parametrize("kind", [CustomError, KeyboardInterrupt, RuntimeError])
def test_what_a_dispatch_mode_raises_at_any_operation_is_raised(kind: type[BaseException], kernels: str) -> None:
    program, fields = aent.compile(GRPO, kernels=kernels), batch()
    count = operations(lambda: program(fields))
    assert count > 20
    for at in range(count):
        raised = kind("stop")
        with pytest.raises(kind) as caught, Dispatch(at, raised):
            program(fields)
        assert caught.value is raised, at
    # Nothing was left behind in the interpreter.
    assert program(fields).total == program(fields).total


@pytest.mark.parametrize("kind", [CustomError, KeyboardInterrupt])
def test_what_a_dispatch_mode_raises_in_the_backward_pass_is_raised(kind: type[BaseException]) -> None:
    fields = batch()
    del fields["logits"]
    hidden = torch.arange(60, dtype=torch.float64).sin().view(3, 5, 4).requires_grad_()
    program, head = aent.compile(GRPO), torch.ones(17, 4, dtype=torch.float64)
    for given in ({"hidden": hidden, "lm_head": head}, {"logits": batch()["logits"]}):
        count = operations(lambda given=given: program(fields, **given).loss.backward())
        forward = operations(lambda given=given: program(fields, **given))
        assert count > forward + 5
        for at in range(count - forward):
            loss, raised = program(fields, **given).loss, kind("stop")
            with pytest.raises(kind) as caught, Dispatch(at, raised):
                loss.backward()
            assert caught.value is raised, at


def test_what_a_metric_meets_when_it_is_read_is_raised() -> None:
    output = aent.compile(GRPO)(batch())
    for read in (lambda: output.metrics, lambda: output.total, lambda: repr(output)):
        with pytest.raises(CustomError, match="stop"), Dispatch(0, CustomError("stop")):
            read()


class Function(TorchFunctionMode):
    """Raises at one of torch's functions."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function.__name__ == self.name:
            raise CustomError("function")
        return function(*args, **(kwargs or {}))


def test_what_a_function_mode_raises_in_a_term_is_the_cause() -> None:
    program, fields = program_that_calls(lambda: torch.ones(1) + 1), batch()
    with pytest.raises(aent.StepError, match="CustomError: function") as caught, Function("ones"):
        program(fields)
    assert isinstance(caught.value.__cause__, CustomError)


@pytest.mark.parametrize("name", ["__get__", "sum", "mul", "masked_fill"])
def test_what_a_function_mode_raises_in_the_step_is_raised(name: str) -> None:
    program, fields = aent.compile(GRPO), batch()
    with pytest.raises(CustomError, match="function"), Function(name):
        program(fields)


def saved(pack: Callable[[Any], Any], unpack: Callable[[Any], Any]) -> AbstractContextManager[None]:
    return torch.autograd.graph.saved_tensors_hooks(pack, unpack)


@pytest.mark.parametrize("kind", [CustomError, KeyboardInterrupt])
def test_what_a_hook_on_saved_tensors_raises_is_raised(kind: type[BaseException]) -> None:
    program, fields, raised = aent.compile(GRPO), batch(), kind("hook")
    seen: list[int] = []
    with saved(lambda x: seen.append(1) or x, lambda x: x):
        program(fields)
    for at in range(len(seen)):
        left = [at]

        def pack(tensor: torch.Tensor, left: list[int] = left) -> torch.Tensor:
            left[0] -= 1
            return throw(raised) if left[0] == -1 else tensor

        with pytest.raises(kind) as caught, saved(pack, lambda x: x):
            program(fields)
        assert caught.value is raised
    with saved(lambda x: x, lambda _: throw(raised)):
        loss = program(fields).loss
    with pytest.raises(kind) as caught:
        loss.backward()
    assert caught.value is raised


def test_what_a_hook_on_a_gradient_raises_is_raised() -> None:
    for text in (GRPO, "loss = token_mean(clip_ppo()) * exp(-token_mean(entropy()))"):
        fields, raised = batch(), CustomError("gradient")
        loss = aent.compile(text)(fields).loss
        fields["logits"].register_hook(lambda _, raised=raised: throw(raised))
        with pytest.raises(CustomError) as caught:
            loss.backward()
        assert caught.value is raised


def test_a_refusal_of_torch_has_no_trace_of_its_stack() -> None:
    program = aent.compile("loss = token_mean(clip_ppo())")
    fields = batch()
    loss = program(fields).loss
    with torch.no_grad():
        fields["logits"].add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation") as caught:
        loss.backward()
    assert "frame #" not in str(caught.value)


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("term", [False, True], ids=["built in", "with a term in Python"])
@pytest.mark.parametrize("road", ["logits", "hidden"])
def test_a_step_inside_of_a_checkpoint_has_its_gradient(
    road: str, term: bool, early: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    fields = batch()
    del fields["logits"]
    layer = torch.nn.Linear(4, 17, bias=False, dtype=torch.float64)
    states = torch.arange(60, dtype=torch.float64).sin().view(3, 5, 4).requires_grad_()
    program = program_that_calls(lambda: None) if term else aent.compile(GRPO)

    def loss(states: torch.Tensor) -> torch.Tensor:
        given = {"logits": layer(states)} if road == "logits" else {"hidden": states * 1, "lm_head": layer.weight}
        return program(fields, **given).loss

    wanted = torch.autograd.grad(loss(states), [states, layer.weight])
    for reentrant in (False, True):
        states.grad, layer.weight.grad = None, None
        with torch.utils.checkpoint.set_checkpoint_early_stop(early):
            result = checkpoint(loss, states, use_reentrant=reentrant)
        assert isinstance(result, torch.Tensor)
        result.backward()
        torch.testing.assert_close([states.grad, layer.weight.grad], list(wanted), rtol=1e-12, atol=1e-15)
    assert "panicked" not in capfd.readouterr().err


STEERED = """
controller beta = band(signal = token_mean(entropy()), target = 0.1 .. 0.2, step = 0.1, bounds = 0 .. 1, init = 0.01)
loss = beta * token_mean(tests::calling(what = "it"))
"""


def within_a_minute(run: Callable[[], None]) -> None:
    """A hang is a failure, and leaves the other tests alone."""
    failed: list[BaseException] = []

    def watched() -> None:
        try:
            run()
        except BaseException as error:  # noqa: BLE001
            failed.append(error)

    thread = threading.Thread(target=watched, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive(), "it hangs"
    if failed:
        raise failed[0]


@pytest.mark.parametrize("call", ["update", "load_state_dict"])
@pytest.mark.parametrize("cut", [False, True], ids=["whole", "in parts"])
def test_a_term_cannot_write_to_the_program_of_its_step(call: str, cut: bool) -> None:
    CALLED["it"] = lambda: None
    program = aent.compile(STEERED)
    output, state = program(batch()), program.state_dict()
    CALLED["it"] = lambda: program.update(output) if call == "update" else program.load_state_dict(state)

    def run() -> None:
        with pytest.raises(aent.StepError, match=f"`{call}` inside of a step of the same program"):
            in_parts(program) if cut else program(batch())

    within_a_minute(run)
    assert program.steps == 0


def test_a_term_may_read_the_program_of_its_step_and_step_others() -> None:
    CALLED["it"] = lambda: None
    program, other = aent.compile(STEERED), aent.compile(GRPO)
    seen: list[Any] = []

    def look() -> None:
        seen.append((program.steps, program.coefficients, repr(program), program.state_dict()))
        other.update(other(batch()))

    CALLED["it"] = look
    within_a_minute(lambda: in_parts(program))
    within_a_minute(lambda: program(batch()) and None)
    assert len(seen) == 2 and other.steps == 2


def test_another_thread_may_observe_while_a_term_waits_for_it() -> None:
    CALLED["it"] = lambda: None
    program = aent.compile(STEERED)
    output = program(batch())

    def wait_for_another() -> None:
        thread = threading.Thread(target=program.update, args=(output,))
        thread.start()
        thread.join()

    CALLED["it"] = wait_for_another
    within_a_minute(lambda: program(batch()) and None)
    assert program.steps == 1


def test_a_part_cannot_call_its_own_step() -> None:
    CALLED["it"] = lambda: None
    step = aent.compile(STEERED).accumulate()
    step.measure(batch())
    CALLED["it"] = lambda: step.measure(batch())

    def run() -> None:
        with pytest.raises(aent.StepError, match="a part of this step is being computed"):
            step(batch())

    within_a_minute(run)


def test_what_reads_an_output_may_not_read_it_again() -> None:
    output = aent.compile(GRPO)(batch())

    class Again(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            output.metrics  # noqa: B018
            return function(*args, **(kwargs or {}))

    def run() -> None:
        with pytest.raises(aent.StepError, match="this output is being read"), Again():
            output.metrics  # noqa: B018

    within_a_minute(run)


def test_a_compiled_function_may_have_a_step_in_it() -> None:
    fields = batch()
    program = aent.compile(GRPO)
    (expected,) = torch.autograd.grad(program(fields).loss, fields["logits"])
    run = torch.compile(lambda logits: program({**fields, "logits": logits * 1}).loss * 2, backend="eager")
    (found,) = torch.autograd.grad(run(fields["logits"]), fields["logits"])
    torch.testing.assert_close(found, 2 * expected, rtol=1e-12, atol=1e-15)


def test_a_graph_that_is_kept_is_differentiated_again() -> None:
    fields = batch()
    loss = aent.compile(GRPO)(fields).loss
    first = torch.autograd.grad(loss, fields["logits"], retain_graph=True)
    with pytest.raises(CustomError), Dispatch(3, CustomError("between")):
        torch.autograd.grad(loss, fields["logits"], retain_graph=True)
    assert torch.equal(torch.autograd.grad(loss, fields["logits"])[0], first[0])
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(loss, fields["logits"])
