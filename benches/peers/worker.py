"""What other frameworks compute from logits, for `cargo bench --bench peers`.

The formulas are written afresh from what each framework computes, in as few tensors as it takes; the function they
stand for is named above them. Nothing is divided by a temperature of one, which some of them do.

The driver writes one JSON object a line to standard input and reads one answer a line from standard output.
"""

import json
import os
import sys
import time

import torch
from torch.nn.functional import log_softmax, softmax

ENTROPY_WEIGHT = 0.01


# AReaL, recipe/AEnt/functional.py: gather_logprobs_clamped_entropy. One chunk holds up to 1024 rows there.
def areal(logits, actions, drop):
    rows, ids = logits.flatten(0, 1), actions.flatten()
    chosen = log_softmax(rows, -1).gather(-1, ids.unsqueeze(-1)).squeeze(-1)
    with torch.no_grad():
        on_host = rows.detach().cpu()
        lowest = on_host.topk(int(drop * on_host.shape[-1]), dim=-1, largest=False).indices
        removed = torch.zeros_like(on_host, dtype=torch.bool)
        removed[torch.arange(len(on_host)).unsqueeze(-1), lowest] = True
        removed = removed.to(rows.device)
    kept = rows.masked_fill(removed, -torch.inf)
    kept_log_prob = torch.where(removed, 0.0, log_softmax(kept, -1))
    entropy = -(softmax(kept, -1) * kept_log_prob).sum(-1)
    return chosen, entropy


# verl, verl/utils/torch_functional.py: logprobs_from_logits (without flash-attention) and entropy_from_logits.
def verl(logits, actions, _drop):
    chosen = logits.gather(-1, actions.unsqueeze(-1)).squeeze(-1)
    chosen = chosen - torch.stack([sequence.logsumexp(-1) for sequence in logits])
    entropy = logits.logsumexp(-1) - (softmax(logits, -1) * logits).sum(-1)
    return chosen, entropy


# TRL, trl/trainer/utils.py: selective_log_softmax and entropy_from_logits, which takes 128 rows at a time.
def trl(logits, actions, _drop):
    chosen = logits.gather(-1, actions.unsqueeze(-1)).squeeze(-1)
    chosen = chosen - torch.stack([sequence.logsumexp(-1) for sequence in logits])
    entropies = []
    for rows in logits.flatten(0, 1).split(128):
        log_prob = log_softmax(rows, -1)
        entropies.append(-(log_prob.exp() * log_prob).sum(-1))
    return chosen, torch.cat(entropies)


# No framework's: the usual way to write an entropy over the likeliest tokens.
def likeliest(logits, actions, _drop):
    chosen = logits.gather(-1, actions.unsqueeze(-1)).squeeze(-1) - logits.logsumexp(-1)
    log_prob = log_softmax(logits.topk(min(1024, logits.shape[-1]), dim=-1).values, -1)
    return chosen, -(log_prob.exp() * log_prob).sum(-1)


FORMULAS = {"areal": areal, "verl": verl, "trl": trl, "likeliest": likeliest}


class Peers:
    """The batch, mapped from the driver's files, and the formulas that were compiled so far."""

    def __init__(self, folder, shape, threads, drop):
        torch.set_num_threads(threads)
        self.folder, self.drop, self.compiled = folder, drop, {}
        self.logits = self.mapped("logits", shape, torch.float32)
        self.actions = self.mapped("actions", shape[:2], torch.int64)
        self.advantages = self.mapped("advantages", shape[:2], torch.float32)

    def mapped(self, name, shape, dtype):
        count = torch.Size(shape).numel()
        path = os.path.join(self.folder, name)
        return torch.from_file(path, shared=True, size=count, dtype=dtype).view(shape)

    def step(self, name, is_compiled, dtype=torch.float32):
        """Loss, gradient and seconds of forward and backward."""
        formula = FORMULAS[name]
        if is_compiled:
            formula = self.compiled.setdefault(name, torch.compile(formula))
        start = time.perf_counter()
        leaf = self.logits.detach().to(dtype).requires_grad_()
        chosen, entropy = formula(leaf, self.actions, self.drop)
        gain = self.advantages.view_as(chosen) * chosen
        loss = -gain.mean() - ENTROPY_WEIGHT * entropy.mean()
        loss.backward()
        value = loss.item()
        return value, leaf.grad, time.perf_counter() - start

    def check(self, name, is_compiled):
        """The loss in f64 and in f32, and how far two gradients are from that in f64: the driver's, and this one's in f32."""
        exact_loss, exact, _ = self.step(name, False, torch.float64)
        loss, gradient, _ = self.step(name, is_compiled)
        taken = self.actions.unsqueeze(-1)

        def apart(found):
            parts = [(of.gather(-1, taken), of.scatter(-1, taken, 0)) for of in (found - exact, exact)]
            return [(difference.norm() / whole.norm()).item() for difference, whole in zip(*parts)]

        driver = self.mapped("gradient", self.logits.shape, torch.float32)
        return {"exact_loss": exact_loss, "loss": loss, "driver": apart(driver), "peer": apart(gradient)}

    def time(self, name, is_compiled):
        return {"seconds": self.step(name, is_compiled)[2]}

    def peak(self, name, is_compiled):
        """The memory that a step takes at most beyond what is held before it, in bytes."""
        # Compiling takes memory of its own, and the mapped logits count once they were read.
        self.step(name, is_compiled)
        # The system begins to look for the highest from here on.
        with open("/proc/self/clear_refs", "w") as refs:
            refs.write("5")
        before = status("VmRSS:")
        self.step(name, is_compiled)
        return {"bytes": status("VmHWM:") - before}


def status(name):
    with open("/proc/self/status") as lines:
        kibibytes = next(line.split()[1] for line in lines if line.startswith(name))
    return int(kibibytes) * 1024


def main():
    # Whatever libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(found):
        print(json.dumps(found), file=answers, flush=True)

    answer({"torch": torch.__version__})
    peers = Peers(**json.loads(sys.stdin.readline()))
    answer({"threads": torch.get_num_threads()})
    for line in sys.stdin:
        asked = json.loads(line)
        answer(getattr(peers, asked["do"])(asked["peer"], asked["compiled"]))


if __name__ == "__main__":
    main()
