"""The memory of a training step of TRL with a vocabulary of 152,000: TRL's own loss, and files that read more of a row.

    PYTHONPATH=target/python/site python python/benches/trl_memory.py [SEQUENCES [LENGTH]]

Each is a process of its own: a Qwen2 of two small layers, two optimizer steps of GRPO, and the most memory that the process had,
less what it had before the first step.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

V, D = 152_000, 128
CLIP = "loss = token_mean(clip_ppo())"
LOSSES = {
    "TRL, no entropy": None,
    "file, clip_ppo": CLIP,
    "file, clip_ppo and clamped entropy": CLIP + " - 0.01 * token_mean(clamped_entropy(drop = 30%))",
    "file, the same from logits": CLIP + " - 0.01 * token_mean(clamped_entropy(drop = 30%))",
}


def resident() -> int:
    """The most memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def step(name: str, sequences: int, length: int, folder: Path) -> None:
    """Trains, and prints MiB and seconds."""
    import torch
    from datasets import Dataset
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
    from trl import GRPOConfig, GRPOTrainer

    from aent.trl import AentGRPOTrainer

    torch.manual_seed(0)
    words = Tokenizer(models.WordLevel({f"w{index}": index for index in range(64)}))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="w0", eos_token="w1", padding_side="left")  # noqa: S106
    config = Qwen2Config(
        vocab_size=V,
        hidden_size=D,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        tie_word_embeddings=False,
    )
    args = GRPOConfig(
        output_dir=str(folder),
        per_device_train_batch_size=sequences,
        num_generations=sequences,
        max_completion_length=length,
        max_steps=2,
        report_to=[],
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        save_strategy="no",
        disable_tqdm=True,
        logging_steps=10,
        optim="sgd",
    )
    given: dict[str, Any] = {
        "reward_funcs": lambda completion_ids, **_: [float(len(set(ids))) for ids in completion_ids],
        "train_dataset": Dataset.from_list([{"prompt": "w2 w3 w4"}] * 8),
        "processing_class": tokenizer,
    }
    spec, model = LOSSES[name], Qwen2ForCausalLM(config)
    if name.endswith("from logits"):
        mock.patch("aent.trl.needs_logits", return_value="it is asked for").start()
    if spec is None:
        made: GRPOTrainer = GRPOTrainer(model, args=args, **given)
    else:
        made = AentGRPOTrainer(model, args=args, spec=spec, **given)
    before, began = resident(), time.perf_counter()
    made.train()
    print(f"{resident() - before} {time.perf_counter() - began:.1f}")


def main() -> None:
    """Runs each loss in a process of its own, or one of them where its name is given."""
    if len(sys.argv) > 4:
        step(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
        return
    sequences = int(sys.argv[1]) if len(sys.argv) > 1 else 16
    length = int(sys.argv[2]) if len(sys.argv) > 2 else 192
    print(f"{sequences} x {length} tokens, vocabulary {V:,}, width {D}")
    with tempfile.TemporaryDirectory() as folder:
        for name in LOSSES:
            command = [sys.executable, __file__, name, str(sequences), str(length), folder]
            done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603 - this very file
            if done.returncode:
                sys.exit(done.stderr)
            memory, seconds = done.stdout.split()[-2:]
            print(f"  {name:36} {memory:>6} MiB more {seconds:>6} s", flush=True)


if __name__ == "__main__":
    main()
