"""A plain torch loop: a small recurrent policy learns sums of reasoning-gym, with a loss from a file."""

import sys
from pathlib import Path

import reasoning_gym
import torch
from torch import nn

import aent

SPEC = Path(__file__).resolve().parents[2] / "examples" / "recipes" / "grpo.aent"
SIGNS, PROMPTS, GROUP, LENGTH = "0123456789+-=.", 32, 16, 3  # `.` ends an answer


class Policy(nn.Module):
    """Signs in, logits of the next sign out."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(len(SIGNS), 64), nn.Linear(128, len(SIGNS))
        self.gru = nn.GRU(64, 128, batch_first=True)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """``[B, T]`` to ``[B, T, V]``."""
        logits: torch.Tensor = self.head(self.gru(self.embed(ids))[0])
        return logits


def main(spec: Path = SPEC, steps: int = 200, **params: float) -> list[float]:
    """Trains a policy; the share of right answers in each step."""
    torch.manual_seed(0)
    torch.set_num_threads(1)  # tensors this small are slower on many
    task = reasoning_gym.create_dataset("chain_sum", size=steps * PROMPTS, seed=0, max_terms=2, max_digits=1)
    policy, program, right = Policy(), aent.compile(spec, params=params), []
    optimizer = torch.optim.Adam(policy.parameters(), lr=3e-3)
    prompts = torch.arange(PROMPTS).repeat_interleave(GROUP)
    for step in range(steps):
        entries = [task[step * PROMPTS + prompt] for prompt in prompts.tolist()]
        questions = [entry["metadata"]["expression"].replace(" ", "") + "=" for entry in entries]
        ids = torch.tensor([[SIGNS.index(sign) for sign in question] for question in questions])
        for _ in range(LENGTH):
            ids = torch.cat([ids, torch.multinomial(policy(ids)[:, -1].softmax(-1).detach(), 1)], 1)
        actions = ids[:, -LENGTH:]
        ends = (actions == SIGNS.index(".")).int()
        answers = ["".join(SIGNS[id] for id in row).split(".") for row in actions.tolist()]
        scores = [
            task.score_answer(text[0], entry) if text[1:] else 0.0 for text, entry in zip(answers, entries, strict=True)
        ]
        rewards = torch.tensor(scores).view(PROMPTS, GROUP)
        advantages = (rewards - rewards.mean(1, True)) / (rewards.std(1, keepdim=True) + 1e-6)
        logits = policy(ids)[:, -LENGTH - 1 : -1]
        old_log_prob = logits.detach().log_softmax(-1).gather(2, actions[..., None])[..., 0]

        batch = {"logits": logits, "actions": actions, "response_mask": ends.cumsum(1) - ends == 0}
        output = program(batch, old_log_prob=old_log_prob, advantages=advantages.flatten())
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        program.update(output)  # the controllers move between optimizer steps
        right.append(rewards.eq(1).double().mean().item())
        if step % 20 == 0 or step + 1 == steps:
            print(f"step {step:3}  right {right[-1]:5.1%}  {output.metrics}  {program.coefficients}")
    return right


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else SPEC)
