"""TRL's GRPO trainer with its loss in a file (``pip install aent[trl]``; see docs/trl.md)."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from . import BatchError, Program, compile
from .files import write_json

_FED = ["actions", "advantages", "group", "log_prob", "logits", "old_log_prob", "response_mask", "rewards"]
_SAID_BY_THE_FILE = """loss_type epsilon epsilon_high delta importance_sampling_level off_policy_mask_threshold
    use_bias_correction_kl top_entropy_quantile entropy_coef use_adaptive_entropy"""


class AentGRPOTrainer(GRPOTrainer):
    """A ``trl.GRPOTrainer`` that minimises a file, over the optimizer's whole step: all micro-batches of all ranks.

    Args:
        given, others: as for ``GRPOTrainer``. Of its ``args``, what says the loss stays at its default.
        spec, params: a file, or its text, and values for its ``param``s, as for ``aent.compile``.

    Raises:
        ValueError: the file is no program (``SpecError``), reads what TRL does not feed, or contradicts ``args``.
    """

    def __init__(self, *given: Any, spec: str | Path, params: dict[str, float] | None = None, **others: Any) -> None:
        self.program = compile(spec, params=params)
        scores = f"set temperature = {self.program.temperature} let score = log_prob loss = token_mean(score)"
        self._scorer = compile(scores, lets=True)
        arguments = inspect.signature(GRPOTrainer).bind(*given, **others).arguments
        _refuse_contradictions(self.program, arguments.get("args") or GRPOConfig(), "rollout_func" in arguments)
        super().__init__(*given, **others)
        self._accumulation: Any = None  # An `Accumulation`, while a step is under way.
        observer = TrainerCallback()
        observer.on_optimizer_step = lambda *_, **__: self._finish("train")
        self.add_callback(observer)

    def _calculate_rewards(self, *given: Any) -> torch.Tensor:
        by_function: torch.Tensor = super()._calculate_rewards(*given)
        self._rewards = (by_function * self.reward_weights.to(by_function.device)).nansum(dim=1)
        self._rewards[by_function.isnan().all(dim=1)] = torch.nan  # Nothing scored it, and 0 would be a score.
        return by_function

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output: dict[str, Any] = super()._generate_and_score_completions(inputs)
        rows = torch.arange(len(inputs), device=self._rewards.device) + self.accelerator.process_index * len(inputs)
        samples = self.num_generations if self.model.training else self.num_generations_eval
        return output | {"rewards": self._rewards[rows], "group": rows // samples}

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        first = self._step % self.args.steps_per_generation
        parts = self.current_gradient_accumulation_steps if self.model.training else 1
        begins = self._accumulation is None
        if begins:  # The optimizer's step begins here, and its parts lie in TRL's buffer.
            ranks = torch.distributed.group.WORLD if self.accelerator.num_processes > 1 else None
            self._accumulation = self.program.accumulate(group=ranks)
        try:
            if begins:
                window = self._buffered_inputs[first : first + parts] if self.model.training else [inputs]
                self._measure(model, window)
            scores, aux_loss = self._scores(model, inputs)
            batch = self._batch(inputs, scores)
        except BaseException as error:
            if begins:  # The other ranks come to the first share, and would wait there for this one.
                failed, self._accumulation = self._accumulation, None
                failed.fail(error)
            raise
        loss: torch.Tensor = self._accumulation.step(batch)
        if not self.model.training:
            self._finish("eval")
        return loss if aux_loss is None else loss + self.router_aux_loss_coef * aux_loss / parts

    @torch.no_grad()
    def _measure(self, model: Any, parts: list[dict[str, Any]]) -> None:
        model_first = False
        try:  # What spans the step may come from the batch alone; then the model runs once for each part.
            self.program.accumulate().measure(self._batch(parts[0], {}))
        except BatchError:
            model_first = True
        for part in parts:
            self._accumulation.measure(self._batch(part, self._scores(model, part)[0] if model_first else {}))

    def _scores(self, model: Any, inputs: dict[str, Any]) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
        """TRL's own log-probabilities, or logits where the file reads more of a row; and the loss of a router."""
        ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1)
        attention = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1)
        keep, outputs = inputs["completion_ids"].size(1), []

        def with_logits(**asked: Any) -> Any:
            labels, _ = asked.pop("labels"), asked.pop("fused_lm_head")
            outputs.append(model(**asked, logits_to_keep=torch.arange(-keep - 1, -1), use_cache=False))
            outputs[0].log_probs = labels  # It is asked for, and not used.
            return outputs[0]

        score = self._get_per_token_logps_and_entropies  # It knows what images need.
        asked = {name: inputs[name] for name in inspect.signature(score).parameters if name in inputs}
        called = with_logits if "logits" in self.program.fields else model
        log_prob, _, aux_loss = score(called, ids, attention, keep, compute_aux_loss=self.aux_loss_enabled, **asked)
        return {"logits": outputs[0].logits} if outputs else {"log_prob": log_prob}, aux_loss

    def _batch(self, inputs: dict[str, Any], scores: dict[str, torch.Tensor]) -> dict[str, torch.Tensor | None]:
        """TRL's inputs under the language's names; ``None`` is no field."""
        batch = {name: inputs[name] for name in ("advantages", "rewards", "group")} | scores
        batch["actions"], mask = inputs["completion_ids"], inputs["completion_mask"]
        batch["response_mask"] = mask * inputs["tool_mask"] if "tool_mask" in inputs else mask
        old, rollout = inputs.get("old_per_token_logps"), inputs.get("sampling_per_token_logps")
        if old is None and scores:  # TRL leaves it out where the policy has not moved since.
            old = self._scorer.step({name: x.detach() for name, x in batch.items()}).lets["score"]
        if rollout is not None and old is not None:  # NaN is what vLLM could not tell: a weight of 1, as TRL has it.
            rollout = torch.where(rollout.isnan(), old, rollout)
        batch["ref_log_prob"] = inputs.get("ref_per_token_logps")
        return batch | {"old_log_prob": old, "rollout_log_prob": rollout}

    def _finish(self, mode: str) -> None:
        output, self._accumulation = self._accumulation.finish(), None
        signals = {f"{name}/signal": signal for name, signal in output.signals.items()}
        for name, number in (self.program.coefficients | output.metrics | signals).items():
            self._metrics[mode][f"aent/{name}"].append(number)
        if mode == "train":
            self.program.observe(output)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        if self.args.should_save:
            write_json(Path(output_dir, "aent.json"), self.program.state_dict())

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            self.program.load_state_dict(json.loads(Path(checkpoint, "aent.json").read_text()))


def _refuse_contradictions(program: Program, args: GRPOConfig, rollouts_are_scored: bool) -> None:
    reads, step, generation = program.fields, args.gradient_accumulation_steps, args.steps_per_generation
    fed = _FED + ["ref_log_prob"] * (args.beta != 0) + ["rollout_log_prob"] * (args.use_vllm or rollouts_are_scored)
    if lacking := sorted(reads.difference(fed)):
        ways = "`ref_log_prob` takes a `beta` that is not 0, `rollout_log_prob` takes `use_vllm` or a `rollout_func`"
        raise ValueError(f"the file reads {lacking}, and TRL feeds {fed}; {ways}")
    unread = ["beta"] * ("ref_log_prob" not in reads)
    left = {name: getattr(GRPOConfig, name) for name in _SAID_BY_THE_FILE.split() + unread}
    left |= {"vllm_importance_sampling_correction": False} if args.use_vllm and "rollout_log_prob" not in reads else {}
    for name, value in left.items():
        if getattr(args, name) != value:
            raise ValueError(f"`{name}`: the file says the loss, expected {value!r}, found {getattr(args, name)!r}")
    if program.temperature != args.temperature:
        way = f"TRL samples at {args.temperature}: write `set temperature = {args.temperature}`"
        raise ValueError(f"the file has a temperature of {program.temperature}, and {way}")
    if generation % step or ("group" in reads and generation != step):
        expected = f"{step}, as `gradient_accumulation_steps`" + ("" if "group" in reads else ", or a multiple")
        raise ValueError(f"`steps_per_generation`: expected {expected}, found {generation}")
