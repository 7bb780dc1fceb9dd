"""Tensors that hold no memory, and kinds that the core has no name for: an error with words, or the right numbers."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest
import torch
import torch.autograd.forward_ad as forward_ad
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.testing._internal.two_tensor import TwoTensor
from torch.utils._python_dispatch import TorchDispatchMode

import aent
from batches import batch

GRPO = "loss = token_mean(clip_ppo())"
READS_ALL = "input weight: token\nloss = token_mean(weight * clip_ppo()) + batch_mean(rewards - group_mean(rewards))"


class Wrapper(torch.Tensor):
    """A tensor that holds another one and computes by it; results are plain."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> Self:
        """Around another tensor."""
        made = torch.Tensor._make_wrapper_subclass(cls, inner.size(), dtype=inner.dtype, device=inner.device)
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        open_up = lambda x: x.inner if isinstance(x, Wrapper) else x  # noqa: E731
        args, kwargs = torch.utils._pytree.tree_map(open_up, (args, kwargs or {}))
        return function(*args, **kwargs)


def everything() -> dict[str, torch.Tensor]:
    return {
        **batch(),
        "weight": torch.ones(3, 5, dtype=torch.float64),
        "rewards": torch.tensor([1.0, 0.5, -1.0], dtype=torch.float64),
        "group": torch.tensor([0, 0, 1]),
    }


FIELDS = sorted(everything())


def refusal(fields: dict[str, Any], text: str = READS_ALL, **options: Any) -> str:
    with pytest.raises(aent.Error) as caught:
        aent.compile(text, **options)(fields)
    assert "frame #" not in str(caught.value) and "Exception raised from" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["logits", "ref_logits"])
@pytest.mark.parametrize("wrap", [Wrapper, lambda x: TwoTensor(x, x)], ids=["Wrapper", "TwoTensor"])
def test_logits_without_memory_are_refused_with_their_class(name: str, wrap: Any) -> None:
    text = f"{GRPO}\nmetric far = token_mean(forward_kl())"
    plain = batch() | {"ref_logits": batch()["logits"].detach() + 1}
    plain[name] = wrap(plain[name].detach())
    said = refusal(plain, text)
    assert f"`{name}` is a `{type(plain[name]).__name__}`" in said and "plain tensor" in said


@pytest.mark.parametrize("name", [name for name in FIELDS if name != "logits"])
def test_other_fields_may_wrap_a_tensor(name: str) -> None:
    plain = everything()
    program = aent.compile(READS_ALL)
    expected = program(plain)
    found = program({**plain, name: Wrapper(plain[name])})
    assert found.total == expected.total
    (gradient,) = torch.autograd.grad(found.loss, plain["logits"])
    torch.testing.assert_close(gradient, torch.autograd.grad(expected.loss, plain["logits"])[0], rtol=0, atol=0)


def test_the_reference_kernels_read_a_wrapper() -> None:
    plain = batch()
    program = aent.compile(GRPO, kernels="reference")
    wrapped = {**plain, "logits": Wrapper(plain["logits"].detach())}
    assert program(wrapped).total == pytest.approx(program(plain).total, rel=1e-12)


@pytest.mark.parametrize("name", ["hidden", "lm_head", "lm_head_bias"])
@pytest.mark.parametrize("wrap", [Wrapper, lambda x: TwoTensor(x, x)], ids=["Wrapper", "TwoTensor"])
def test_an_output_layer_that_wraps_is_right_or_refused(name: str, wrap: Any) -> None:
    plain = batch() | {
        "hidden": torch.arange(60, dtype=torch.float64).sin().view(3, 5, 4),
        "lm_head": torch.arange(68, dtype=torch.float64).cos().view(17, 4),
        "lm_head_bias": torch.arange(17, dtype=torch.float64).sin(),
    }
    del plain["logits"]
    program = aent.compile(GRPO)
    expected = program(plain).total
    try:
        assert program({**plain, name: wrap(plain[name])}).total == expected
    except aent.Error as error:
        assert f"`{name}` is a `TwoTensor`" in str(error)  # noqa: PT017
        assert wrap is not Wrapper


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_in_a_sparse_or_nested_layout_is_refused(name: str) -> None:
    plain = everything()
    rows = [row.detach() for row in plain[name]]
    strange = {
        "sparse": plain[name].detach().to_sparse(),
        "jagged": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged),
        "nested": torch.nested.nested_tensor(rows if rows[0].dim() else [torch.ones(2), torch.ones(3)]),
    }
    for layout, tensor in strange.items():
        said = refusal({**plain, name: tensor})
        assert said.startswith(f"`{name}`: expected a strided tensor"), said
        assert ("nested" in said) == (layout != "sparse")


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_on_the_device_meta_is_refused(name: str) -> None:
    plain = everything()
    said = refusal({**plain, name: plain[name].detach().to("meta")})
    assert said.startswith(f"`{name}`: expected a tensor with values, found one on the device `meta`"), said


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_whose_storage_was_freed_is_refused(name: str) -> None:
    plain = everything()
    freed = plain[name].detach().clone()
    freed.untyped_storage().resize_(0)
    assert refusal({**plain, name: freed}).startswith(f"`{name}`: expected a tensor with values"), name


@pytest.mark.parametrize("name", FIELDS)
def test_a_fake_tensor_is_refused(name: str) -> None:
    plain = everything()
    fake = FakeTensorMode().from_tensor(plain[name].detach())
    assert (
        refusal({**plain, name: fake})
        == f"`{name}`: expected a tensor with values, found a `FakeTensor`, which has none"
    )


@pytest.mark.parametrize("name", [name for name in FIELDS if name != "logits"])
def test_tensors_that_torch_never_filled_are_zeros(name: str) -> None:
    plain = everything()
    program = aent.compile(READS_ALL)
    zeros = torch.zeros_like(plain[name])
    lazy = torch._efficientzerotensor(zeros.shape, dtype=zeros.dtype)
    assert program({**plain, name: lazy}).total == program({**plain, name: zeros}).total


def test_logits_that_torch_never_filled_are_refused() -> None:
    lazy = torch._efficientzerotensor((3, 5, 17), dtype=torch.float64)
    assert "`logits`: expected a plain tensor" in refusal({**everything(), "logits": lazy})


@pytest.mark.parametrize("kernels", ["auto", "reference"])
def test_a_transform_of_torch_func_is_refused(kernels: str) -> None:
    plain = batch()
    program = aent.compile(GRPO, kernels=kernels)
    for transform in (torch.func.grad, torch.func.jacrev, lambda f: torch.func.vmap(f, in_dims=2)):
        logits = plain["logits"].detach()
        given = logits if transform in (torch.func.grad, torch.func.jacrev) else torch.stack([logits, logits], 2)
        with pytest.raises(aent.BatchError, match=r"`logits`: expected a plain tensor.*torch\.func"):
            transform(lambda x: program({**plain, "logits": x}).loss)(given)


def test_negated_views_are_read_as_their_values() -> None:
    plain = batch()
    program = aent.compile(GRPO)
    (expected,) = torch.autograd.grad(program(plain).loss, plain["logits"])
    minus = (-plain["logits"].detach()).requires_grad_()
    view = torch._neg_view(minus)
    assert view.is_neg()
    for options in ({}, {"overwrite_logits": True}):
        output = aent.compile(GRPO, **options)({**plain, "logits": torch._neg_view(minus)})
        assert output.total == program(plain).total
        (found,) = torch.autograd.grad(output.loss, minus)
        torch.testing.assert_close(found, -expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("kind", [torch.uint16, torch.uint32])
def test_whole_numbers_without_a_sign_are_read(kind: torch.dtype) -> None:
    plain = everything()
    program = aent.compile(READS_ALL)
    whole = {**plain, "weight": torch.arange(15).view(3, 5), "rewards": torch.tensor([40_000, 2, 3])}
    expected = program(whole).total
    for name in ("actions", "response_mask", "weight", "rewards"):
        assert program({**whole, name: whole[name].to(kind)}).total == expected
    assert program({**whole, "group": plain["group"].to(kind)}).total == expected
    outside = plain["actions"].clone()
    outside[0, 0] = 65_535
    said = refusal({**plain, "actions": outside.to(kind)})
    assert "`actions` at [0, 0]" in said and "65535" in said


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("kind", ["uint64", "float8_e8m0fnu", "bits8", "float4_e2m1fn_x2"])
def test_kinds_without_a_meaning_are_refused(name: str, kind: str) -> None:
    plain = everything()
    words = {"uint64": "u64 (`.to(torch.int64)` makes it int64)"}.get(kind, kind)
    said = refusal({**plain, name: torch.empty(plain[name].shape, dtype=getattr(torch, kind))})
    assert said.startswith(f"`{name}`: expected") and said.endswith(f"found {words}"), said


def test_a_batch_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(aent.BatchError, match="expected a mapping of names to tensors, found a `list`"):
        aent.compile(GRPO)([1, 2])  # type: ignore[arg-type]


def test_what_a_hook_gives_back_must_be_what_was_saved() -> None:
    plain = batch()
    program = aent.compile(GRPO)
    (expected,) = torch.autograd.grad(program(plain).loss, plain["logits"])

    def gradient(unpack: Any) -> torch.Tensor:
        with torch.autograd.graph.saved_tensors_hooks(lambda x: x, unpack):
            loss = program(plain).loss
        return torch.autograd.grad(loss, plain["logits"])[0]

    # The same values, lying otherwise.
    turned = gradient(lambda x: x.transpose(0, -1).contiguous().transpose(0, -1) if x.dim() == 3 else x)
    torch.testing.assert_close(turned, expected, rtol=1e-12, atol=1e-15)
    wrapped = gradient(lambda x: Wrapper(x) if x.dim() == 3 else x)
    torch.testing.assert_close(wrapped, expected, rtol=1e-12, atol=1e-15)
    for wrong in (lambda x: x[:1], lambda x: x.float(), lambda x: x.to("meta"), lambda x: TwoTensor(x, x)):
        with pytest.raises(RuntimeError, match="expected"):
            gradient(lambda x, wrong=wrong: wrong(x) if x.dim() == 3 else x)


def test_a_gradient_that_wraps_is_right_or_refused() -> None:
    plain = batch()
    program = aent.compile(GRPO)
    (expected,) = torch.autograd.grad(program(plain).loss, plain["logits"])
    for wrap in (Wrapper, lambda x: TwoTensor(x, x)):
        loss = program(plain).loss
        loss.register_hook(wrap)
        try:
            (found,) = torch.autograd.grad(loss, plain["logits"])
            torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-15)
        except RuntimeError as error:
            assert "frame #" not in str(error)  # noqa: PT017


class Replacing(TorchDispatchMode):
    """Puts something else in place of what one sort of torch's operations gives."""

    def __init__(self, operation: str, replace: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.operation, self.replace = operation, replace

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        return self.replace(result) if self.operation in str(function) and isinstance(result, torch.Tensor) else result


@pytest.mark.parametrize("operation", ["empty", "index", "zeros", "view", "contiguous", "clone", "where", "nonzero"])
@pytest.mark.parametrize(
    "replace",
    [
        lambda x: x.flatten()[:1].reshape([1] * x.dim()),
        lambda x: x.to(torch.bfloat16),
        lambda x: x[..., :1].expand(x.shape) if x.dim() else x,
        lambda x: torch.empty_like(x, device="meta"),
    ],
    ids=["small", "bf16", "expanded", "meta"],
)
def test_what_a_mode_puts_in_place_of_a_result_is_no_pointer_to_nowhere(operation: str, replace: Any) -> None:
    plain, program = batch(), aent.compile(GRPO)
    hidden = {"hidden": torch.ones(3, 5, 4, requires_grad=True), "lm_head": torch.ones(17, 4)}
    for fields in (plain, {name: x for name, x in plain.items() if name != "logits"} | hidden):
        loss = program(fields).loss
        for run in (lambda fields=fields: program(fields), lambda loss=loss: loss.backward()):
            with contextlib.suppress(Exception), Replacing(operation, replace):
                run()
    assert program(plain).total == program(plain).total


def test_a_tangent_is_not_dropped() -> None:
    plain = batch()
    direction = torch.arange(255, dtype=torch.float64).cos().view(3, 5, 17)
    (gradient,) = torch.autograd.grad(aent.compile(GRPO)(plain).loss, plain["logits"])
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(plain["logits"].detach(), direction)
        with pytest.raises(aent.BatchError, match="`logits`: expected a tensor outside of forward-mode"):
            aent.compile(GRPO)({**plain, "logits": dual})
        loss = aent.compile(GRPO, kernels="reference")({**plain, "logits": dual}).loss
        tangent = forward_ad.unpack_dual(loss).tangent
    assert tangent is not None
    torch.testing.assert_close(tangent, (gradient * direction).sum(), rtol=1e-9, atol=1e-12)


DISTRIBUTED = """
import sys, torch, torch.distributed as dist, aent
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
from torch.distributed._functional_collectives import all_reduce
sys.path.insert(0, sys.argv[2])
from batches import batch
dist.init_process_group("gloo", init_method=f"file://{sys.argv[1]}/meeting", rank=0, world_size=1)
mesh = init_device_mesh("cpu", (1,))
program, hidden_program = aent.compile("loss = token_mean(clip_ppo())"), aent.compile("loss = token_mean(clip_ppo())")
plain = {name: tensor.detach() for name, tensor in batch().items()}
layer = {"hidden": torch.ones(3, 5, 4).double(), "lm_head": torch.ones(17, 4).double()}
for fields in (plain, {name: x for name, x in plain.items() if name != "logits"} | layer):
    for name, tensor in fields.items():
        for placement in (Shard(0), Shard(tensor.dim() - 1), Replicate()):
            try:
                program({**fields, name: distribute_tensor(tensor, mesh, [placement])})
                raise SystemExit(f"{name} was taken")
            except aent.BatchError as error:
                wanted = f"`{name}`: expected a plain tensor, found a `DTensor`; write `{name}.full_tensor()`"
                assert str(error) == wanted, error
coming = all_reduce(plain["logits"], "sum", mesh)
assert type(coming).__name__ == "AsyncCollectiveTensor"
try:
    program({**plain, "logits": coming})
    raise SystemExit("logits on their way were taken")
except aent.BatchError as error:
    assert "`logits` is a `AsyncCollectiveTensor` (`.wait()` makes it plain)" in str(error), error
late = all_reduce(plain["advantages"], "sum", mesh)
assert program({**plain, "advantages": late}).total == program(plain).total
print("all right")
"""


def test_distributed_tensors_are_refused_by_name(tmp_path: Path) -> None:
    command = [sys.executable, "-c", DISTRIBUTED, str(tmp_path), str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0 and "all right" in done.stdout, done.stdout + done.stderr
