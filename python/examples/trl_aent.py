"""AEnt in TRL: a policy learns a reasoning task, and the coefficient of its entropy is steered into a band.

    pip install aent[trl] reasoning-gym
    python trl_aent.py                                          # a tiny random model, offline, a minute on a CPU
    python trl_aent.py --model Qwen/Qwen3-0.6B --task chain_sum --steps 200 --tokens 512

Tasks and rewards are those of reasoning-gym: https://github.com/open-thought/reasoning-gym
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import reasoning_gym
import torch
from datasets import Dataset
from reasoning_gym.utils import SYSTEM_PROMPTS, extract_answer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
from trl import GRPOConfig

from aent.trl import AentGRPOTrainer

RECIPE = Path(__file__).resolve().parents[2] / "examples" / "arithmetic" / "aent.aent"
MARKS = {"pad_token": "<pad>", "eos_token": "<eos>"}


def main() -> None:
    """Trains, and prints ten lines of the way."""
    asked = arguments()
    tiny = asked.model is None
    options = {"max_value": 9} if tiny and asked.task == "gcd" else {}
    tasks = reasoning_gym.create_dataset(asked.task, size=asked.size, seed=asked.seed, **options)
    texts = [entry["question"] for entry in tasks]
    prompts: list[Any] = texts if tiny else [conversation(text) for text in texts]

    def correct(completions: list[Any], index: list[int], **_: Any) -> list[float]:
        """reasoning-gym's own score of each answer."""
        answers = [text if isinstance(text, str) else text[0]["content"] for text in completions]
        found = [extract_answer(answer) or answer.strip() for answer in answers]
        return [tasks.score_answer(answer, tasks[row]) for answer, row in zip(found, index, strict=True)]

    args = GRPOConfig(
        output_dir=asked.out,
        max_steps=asked.steps,
        seed=asked.seed,
        num_generations=8,
        per_device_train_batch_size=16,
        gradient_accumulation_steps=4,
        max_completion_length=1 if tiny else asked.tokens,
        learning_rate=1e-2 if tiny else 1e-6,
        lr_scheduler_type="constant",
        bf16=torch.cuda.is_available(),
        gradient_checkpointing=not tiny,
        logging_steps=1 if tiny else 5,
        save_steps=max(asked.steps // 2, 1),
        report_to=[],
        disable_tqdm=True,
    )
    trainer = AentGRPOTrainer(
        tiny_model(words := vocabulary(texts), asked.seed) if tiny else asked.model,
        correct,
        args,
        train_dataset=Dataset.from_dict({"prompt": prompts, "index": list(range(len(prompts)))}),
        processing_class=words if tiny else None,
        spec=asked.spec,
        params=dict(asked.set),
    )
    trainer.train(resume_from_checkpoint=asked.resume)
    columns = ["step", "reward", *(name for name in trainer.state.log_history[0] if name.startswith("aent/"))]
    lines = [line for line in trainer.state.log_history if "reward" in line]
    for line in lines[:: max(len(lines) // 10, 1)]:
        print("  ".join(f"{name} {line[name]:<8.4g}" for name in columns))
    trainer.save_model()
    Path(asked.out, "history.json").write_text(json.dumps(trainer.state.log_history))


def conversation(question: str) -> list[dict[str, str]]:
    """A question as a chat model is asked, to answer between tags."""
    return [
        {"role": "system", "content": SYSTEM_PROMPTS["DeepSeekZero"]},
        {"role": "user", "content": question},
    ]


def vocabulary(texts: list[str]) -> PreTrainedTokenizerFast:
    """A token for each word of the tasks, and for each digit."""
    split = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True)])
    words = sorted({word for text in texts for word, _ in split.pre_tokenize_str(text)} | set("0123456789"))
    tokens = {token: index for index, token in enumerate([*MARKS.values(), *words])}
    tokenizer = Tokenizer(models.WordLevel(tokens))
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **MARKS)


def tiny_model(words: PreTrainedTokenizerFast, seed: int) -> Qwen2ForCausalLM:
    """Two layers of random weights."""
    torch.manual_seed(seed)
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(words),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=512,
            pad_token_id=words.pad_token_id,
            eos_token_id=words.eos_token_id,
        )
    )


def setting(text: str) -> tuple[str, float]:
    """``NAME=VALUE``."""
    name, _, value = text.partition("=")
    return name, float(value)


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a name or a folder; a tiny random model unless given")
    parser.add_argument("--task", default="gcd", help="a name of reasoning-gym")
    parser.add_argument("--size", type=int, default=256, help="how many tasks")
    parser.add_argument("--spec", default=str(RECIPE))
    parser.add_argument("--set", type=setting, action="append", metavar="NAME=VALUE", help="a param of the file")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--tokens", type=int, default=512, help="the longest answer of a model that was given")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="trl_aent")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    asked = parser.parse_args()
    if asked.set is None:
        # The defaults of the recipe are for vocabularies of a real model, and these for one of forty tokens.
        asked.set = (
            [("drop", 0.3), ("low", 1.0), ("high", 1.5)] if asked.model is None and asked.spec == str(RECIPE) else []
        )
    return asked


if __name__ == "__main__":
    main()
