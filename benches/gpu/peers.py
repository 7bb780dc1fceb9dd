"""What others take for the same numbers on this GPU: torch.compile of the plain formulas, and Liger where it computes them."""

import argparse
import statistics
import time

import torch


def log_prob(logits, actions):
    return torch.log_softmax(logits.float(), -1).gather(-1, actions.unsqueeze(-1)).squeeze(-1)


def log_prob_and_entropy(logits, actions):
    logp = torch.log_softmax(logits.float(), -1)
    return logp.gather(-1, actions.unsqueeze(-1)).squeeze(-1) - (logp.exp() * logp).sum(-1)


def log_prob_and_entropy_of_the_top(logits, actions, kept):
    logits = logits.float()
    logp = torch.log_softmax(logits, -1).gather(-1, actions.unsqueeze(-1)).squeeze(-1)
    border = logits.detach().topk(kept, -1).values[..., -1:]
    inside = torch.log_softmax(logits.masked_fill(logits < border, -torch.inf), -1)
    return logp - (inside.exp() * inside.masked_fill(inside == -torch.inf, 0.0)).sum(-1)


def liger(logits, actions):
    from liger_kernel.ops.cross_entropy import LigerCrossEntropyFunction

    # It writes the gradient over the logits while it reads them, so it gets a copy as training would give it.
    found = LigerCrossEntropyFunction.apply(logits.flatten(0, 1).clone(), actions.flatten(), None, -100, 0.0, 0.0, "none")
    return -(found[0] if isinstance(found, tuple) else found)


def median(work, times=15):
    for _ in range(3):
        work()
    torch.cuda.synchronize()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        taken.append((time.perf_counter() - start) * 1e3)
    return statistics.median(taken)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--rows", type=int, default=4096)
    arguments.add_argument("--vocabulary", type=int, default=151_936)
    arguments.add_argument("--device", default="cuda")
    asked = arguments.parse_args()
    torch.manual_seed(0)
    kept = asked.vocabulary - int(0.3 * asked.vocabulary)
    peers = {
        "log-prob, torch.compile": torch.compile(log_prob),
        "log-prob, Liger": liger,
        "log-prob, entropy, torch.compile": torch.compile(log_prob_and_entropy),
        "log-prob, entropy of the top 1024, torch.compile": torch.compile(
            lambda logits, actions: log_prob_and_entropy_of_the_top(logits, actions, 1024)
        ),
        "log-prob, entropy without the lowest 30%, torch.compile": torch.compile(
            lambda logits, actions: log_prob_and_entropy_of_the_top(logits, actions, kept)
        ),
    }
    print(f"| {asked.rows} rows of {asked.vocabulary}, torch {torch.__version__} | forward + backward ms |")
    print("| --- | --- |")
    for kind in (torch.bfloat16, torch.float32):
        logits = (torch.randn(1, asked.rows, asked.vocabulary, device=asked.device) * 3).to(kind).requires_grad_()
        actions = torch.randint(asked.vocabulary, (1, asked.rows), device=asked.device)

        def step(peer):
            logits.grad = None
            peer(logits, actions).sum().backward()

        for name, peer in peers.items():
            try:
                taken = f"{median(lambda: step(peer)):.3f}"
            except ImportError:
                taken = "not installed"
            except (torch.OutOfMemoryError, RuntimeError, TypeError) as error:
                taken = str(error).splitlines()[0][:80]
            logits.grad = None
            print(f"| {str(kind).removeprefix('torch.')}: {name} | {taken} |", flush=True)


if __name__ == "__main__":
    main()
