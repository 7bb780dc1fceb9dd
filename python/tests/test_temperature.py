"""The temperature of each row, from the batch, against torch's own operations."""

from __future__ import annotations

import pytest
import torch

import aent
from batches import batch

HOT = """
input heat: seq
set temperature = heat
let hot = log_prob
loss = -token_mean(hot * advantages) - 0.1 * token_mean(entropy())
metric own = token_mean(entropy(temperature = 1))
"""


def temperatures(fields: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.linspace(0.5, 2, fields["response_mask"].shape[0], dtype=torch.float64)


def test_tempered_rows_are_those_of_torchs_own_operations() -> None:
    fields = batch()
    heat = temperatures(fields)
    program = aent.compile(HOT)
    assert program.temperature == "heat"
    assert {"heat", "actions", "logits"} <= set(program.fields)
    output = program(fields, heat=heat)
    found = torch.autograd.grad(output.loss, fields["logits"])

    mask = fields["response_mask"].bool()
    logits = fields["logits"].detach().requires_grad_()
    safe = logits.masked_fill(~mask[..., None], 0.0)

    def of_rows(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logp = x.log_softmax(-1)
        actions = fields["actions"].masked_fill(~mask, 0)
        return logp.gather(-1, actions[..., None]).squeeze(-1), -(logp.exp() * logp).sum(-1)

    log_prob, entropy = of_rows(safe / heat.to(safe)[:, None, None])
    advantages = fields["advantages"]
    advantages = advantages[:, None] if advantages.dim() == 1 else advantages.masked_fill(~mask, 0.0)
    loss = -((log_prob * advantages)[mask]).mean() - 0.1 * entropy[mask].mean()
    torch.testing.assert_close(output.loss.detach(), loss.detach().to(output.loss))
    torch.testing.assert_close(found, torch.autograd.grad(loss, logits))
    own = of_rows(safe)[1][mask].mean().item()
    assert output.metrics["own"] == pytest.approx(own, rel=1e-5)


def test_rows_take_it_in_their_own_shape() -> None:
    fields = batch()
    heat = temperatures(fields)
    program = aent.compile(HOT)
    whole = program(fields, heat=heat)
    logits, actions = fields["logits"], fields["actions"]
    each = heat[:, None].expand(actions.shape)
    rest = {name: value for name, value in fields.items() if name != "logits"}
    mask = fields["response_mask"].bool()
    rows = [program.rows(logits=logits, actions=actions, heat=of, response_mask=mask) for of in (heat, each)]
    for given in rows:
        assert torch.equal(program(rest, rows=given).loss, whole.loss)


def test_what_is_no_temperature_is_refused() -> None:
    fields = batch()
    heat = temperatures(fields)
    heat[0] = 0
    with pytest.raises(
        aent.BatchError, match=r"`heat` at \[0\]: expected a temperature above zero and finite, found 0"
    ):
        aent.compile(HOT)(fields, heat=heat)


def test_a_temperature_that_moves_is_that_of_the_step() -> None:
    program = aent.compile(
        "controller heat = linear(from = 1, to = 2, steps = 1)\nset temperature = heat\nloss = -token_mean(log_prob)"
    )
    assert program.temperature == 1
    fields = batch()
    program.update(program(fields))
    assert program.temperature == 2
    plain = aent.compile("set temperature = 2\nloss = -token_mean(log_prob)")
    assert torch.equal(program(fields).loss, plain(fields).loss)
