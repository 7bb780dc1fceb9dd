"""TRL's GRPO trainer with its loss in a file (``pip install aent[trl]``; see docs/trl.md)."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer
from trl import __version__ as version_of_trl
from trl.trainer.utils import nanmax, nanmin

from . import BatchError, Program
from .compiler import program_of
from .figures import figures
from .files import read_json, take_up, write_json
from .heads import add_rows, head_options, needs_logits
from .trl_internals import check

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin

check(GRPOTrainer, version_of_trl)

_FED = ["actions", "advantages", "group", "logits", "old_log_prob", "response_mask", "rewards"]
_SAID_BY_THE_FILE = """loss_type epsilon epsilon_high delta importance_sampling_level off_policy_mask_threshold
    use_bias_correction_kl top_entropy_quantile entropy_coef use_adaptive_entropy"""
_STATE = "aent.json"


class AentLoss(GRPOTrainer):
    """A ``trl.GRPOTrainer``, or one derived from it, whose loss is a file, over the optimizer's whole step.

    ``class Mine(AentLoss, MyTrainer): ...`` gives a trainer of your own the arguments below; ``AentGRPOTrainer`` is that of
    TRL's.

    Args:
        given, others: as for the trainer. Of its ``args``, what says the loss stays at its default.
        spec: a file, the text of one, or what ``aent.compile`` gave.
        params: values for ``param``s of a file or text.
        strict: whether a checkpoint must have the state of the same controllers. Otherwise what fits is taken up, and a
            warning says what begins anew.

    Raises:
        ValueError: the file is no program (``SpecError``), reads what TRL does not feed, or contradicts ``args``.
    """

    def __init__(
        self,
        *given: Any,
        spec: str | os.PathLike[str] | Program,
        params: dict[str, float | bool | str] | None = None,
        strict: bool = True,
        **others: Any,
    ) -> None:
        self.program, self._strict = program_of(spec, params, _calls_in_this_file() + 2), strict
        self._clipped_at = _clip_bounds(self.program)
        configs = (value for value in (*given, *others.values()) if isinstance(value, GRPOConfig))
        # Whatever the data set has for each prompt, the file may read.
        columns = set(getattr(others.get("train_dataset"), "column_names", None) or [])
        self._columns = sorted(self.program.fields & columns - set(_FED))
        _refuse_contradictions(
            self.program, next(configs, None) or GRPOConfig(), others.get("rollout_func") is not None, self._columns
        )
        super().__init__(*given, **others)
        add_rows(self._base_model())
        self._accumulation: Any = None  # An `Accumulation`, while a step is under way.
        observer = TrainerCallback()
        observer.on_optimizer_step = lambda *_, **__: self._finish("train")
        self.add_callback(observer)

    def train(self, *given: Any, **others: Any) -> Any:
        """As TRL's. A step that was interrupted is given up, and its generation made again."""
        self._give_up()
        return super().train(*given, **others)

    def evaluation_loop(self, *given: Any, **others: Any) -> Any:
        """As TRL's."""
        self._give_up()
        return super().evaluation_loop(*given, **others)

    def _give_up(self) -> None:
        if self._accumulation is not None:
            self._accumulation, self._step = None, 0
            self._buffered_inputs: Any = None  # TRL generates anew.

    def _calculate_rewards(self, *given: Any) -> torch.Tensor:
        by_function: torch.Tensor = super()._calculate_rewards(*given)
        self._rewards = (by_function * self.reward_weights.to(by_function.device)).nansum(dim=1)
        self._rewards[by_function.isnan().all(dim=1)] = torch.nan  # Nothing scored it, and 0 would be a score.
        return by_function

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output: dict[str, Any] = super()._generate_and_score_completions(inputs)
        rows = torch.arange(len(inputs), device=self._rewards.device) + self.accelerator.process_index * len(inputs)
        samples = self.num_generations if self.model.training else self.num_generations_eval
        columns = {name: [row.get(name) for row in inputs] for name in self._columns}
        for name, column in columns.items():
            if not all(isinstance(value, int | float) for value in column):
                raise BatchError(f"`{name}`: expected a number or a truth value for each prompt, found {column[0]!r}")
        more = {name: torch.tensor(column, device=rows.device) for name, column in columns.items()}
        return output | more | {"rewards": self._rewards[rows], "group": rows // samples}

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        first = self._step % self.args.steps_per_generation
        parts = self.current_gradient_accumulation_steps if self.model.training else 1
        begins = self._accumulation is None
        if begins:  # The optimizer's step begins here, and its parts lie in TRL's buffer.
            _refuse_temperature(self.program, self.args)  # It may have moved since the last one.
            ranks = torch.distributed.group.WORLD if self.accelerator.num_processes > 1 else None
            self._accumulation = self.program.accumulate(group=ranks)
        try:
            if begins:
                window = self._buffered_inputs[first : first + parts] if self.model.training else [inputs]
                self._measure(model, window)
            scores = self._scores(model, inputs)
            batch = self._batch(inputs, scores)
            self._log_as_trl(batch, scores)
        except BaseException as error:
            if begins:  # The other ranks come to the first share, and would wait there for this one.
                failed, self._accumulation = self._accumulation, None
                failed.fail(error)
            raise
        loss: torch.Tensor = self._accumulation(batch)
        if not self.model.training:
            self._finish("eval")
        return loss if scores.aux_loss is None else loss + self.router_aux_loss_coef * scores.aux_loss / parts

    @torch.no_grad()
    def _measure(self, model: Any, parts: list[dict[str, Any]]) -> None:
        model_first = False
        try:  # What spans the step may come from the batch alone; then the model runs once for each part.
            self.program.accumulate().measure(self._batch(parts[0], None))
        except BatchError:
            model_first = True
        for part in parts:
            self._accumulation.measure(self._batch(part, self._scores(model, part) if model_first else None))

    def _base_model(self) -> PreTrainedModel:
        """The model without what PEFT and accelerate put around it."""
        model = self.accelerator.unwrap_model(self.model)
        return model.get_base_model() if hasattr(model, "get_base_model") else model

    def _scores(self, model: Any, inputs: dict[str, Any]) -> _Scores:
        """TRL's own log-probabilities, or the file's rows where it reads more: of the hidden states, or else of the logits."""
        ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1)
        attention = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1)
        keep = inputs["completion_ids"].size(1)

        def rows(**logits: Any) -> torch.Tensor:
            actions, mask = inputs["completion_ids"], inputs["completion_mask"]
            fields = logits | self._tempered(actions)
            return self.program.rows(fields, actions=actions, response_mask=mask, more=["log_prob", "entropy"])

        def with_rows(**asked: Any) -> Any:
            del asked["labels"], asked["fused_lm_head"]
            if self.aux_loss_enabled or needs_logits(self._base_model()):
                output = model(**asked, logits_to_keep=torch.arange(-keep - 1, -1), use_cache=False)
                output.log_probs = rows(logits=output.logits)
                return output

            head: dict[str, Any] = head_options(self._base_model())
            if self.args.cast_lm_head_to_fp32:  # TRL computes the head in f32 then, wherever autocast is on.
                head["head_dtype"] = torch.float32

            def of_hidden(hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
                return rows(hidden=hidden[:, -keep - 1 : -1], lm_head=weight, lm_head_bias=bias, **head)

            return model(**asked, aent_rows=of_hidden)

        score = self._get_per_token_logps_and_entropies  # It knows what images need.
        asked = {name: inputs[name] for name in inspect.signature(score).parameters if name in inputs}
        asked["compute_aux_loss"] = self.aux_loss_enabled
        if self.program.takes_log_prob or "logits" not in self.program.fields:
            log_prob, entropy, aux_loss = score(model, ids, attention, keep, compute_entropy=True, **asked)
            return _Scores({"log_prob": log_prob}, log_prob.detach(), entropy.detach(), aux_loss)
        found, _, aux_loss = score(with_rows, ids, attention, keep, **asked)
        read, now = found.split([found.size(-1) - 2, 2], dim=-1)
        return _Scores({"rows": read}, now[..., 0].detach(), now[..., 1].detach(), aux_loss)

    def _tempered(self, actions: torch.Tensor) -> dict[str, torch.Tensor]:
        """TRL's temperature where the file takes that of each row from the batch."""
        if isinstance(name := self.program.temperature, str):
            return {name: torch.full(actions.shape[:1], float(self.args.temperature), device=actions.device)}
        return {}

    def _batch(self, inputs: dict[str, Any], scores: _Scores | None) -> dict[str, torch.Tensor | None]:
        """TRL's inputs under the language's names; ``None`` is no field."""
        fed = ("advantages", "rewards", "group", *self._columns)
        batch = {name: inputs[name] for name in fed} | (scores.fields if scores else {})
        batch["actions"], mask = inputs["completion_ids"], inputs["completion_mask"]
        batch |= self._tempered(mask)
        batch["response_mask"] = mask * inputs["tool_mask"] if "tool_mask" in inputs else mask
        old, rollout = inputs.get("old_per_token_logps"), inputs.get("sampling_per_token_logps")
        if old is None and scores:  # TRL leaves it out where the policy has not moved since.
            old = scores.log_prob
        if rollout is not None and old is not None:  # NaN is what vLLM could not tell: a weight of 1, as TRL has it.
            rollout = torch.where(rollout.isnan(), old, rollout)
        batch["ref_log_prob"] = inputs.get("ref_per_token_logps")
        return batch | {"old_log_prob": old, "rollout_log_prob": rollout}

    @torch.no_grad()
    def _log_as_trl(self, batch: dict[str, Any], scores: _Scores) -> None:
        """What TRL logs of a micro-batch beside its loss: the entropy, what was clipped, the balance of a router."""
        logged, mask = self._metrics["train" if self.model.training else "eval"], batch["response_mask"]

        def mean(x: torch.Tensor) -> float:
            sums = self.accelerator.reduce(torch.stack([(x * mask).sum(), mask.sum().float()]), reduction="sum")
            return float(sums[0] / sums[1].clamp(min=1))

        if scores.entropy is not None:
            logged["entropy"].append(mean(scores.entropy))
        if scores.aux_loss is not None:
            logged["aux_loss"].append(self.accelerator.gather_for_metrics(scores.aux_loss.detach()).mean().item())
        if self._clipped_at is None:
            return
        low, high = self._clipped_at
        ratio, advantages = (scores.log_prob - batch["old_log_prob"]).exp(), batch["advantages"]
        advantages = advantages[:, None] if advantages.dim() == 1 else advantages
        under = ((ratio < 1 - low) & (advantages < 0)).float()
        over = ((ratio > 1 + high) & (advantages > 0)).float()
        for name, clipped in (("low_mean", under), ("high_mean", over), ("region_mean", under + over)):
            logged[f"clip_ratio/{name}"].append(mean(clipped))
        for name, clipped, furthest in (("low_min", under, nanmin), ("high_max", over, nanmax)):
            by_sequence = self.accelerator.gather((clipped * mask).sum(-1) / mask.sum(-1))
            logged[f"clip_ratio/{name}"].append(furthest(by_sequence).item())

    def _finish(self, mode: str) -> None:
        output, self._accumulation = self._accumulation.finish(), None
        for name, number in figures(output, self.program).items():
            self._metrics[mode][f"aent/{name}"].append(number)
        if mode == "train":
            self.program.update(output)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """As TRL's; in a checkpoint, also one with ``save_only_model=True``, beside the state of the controllers."""
        super().save_model(output_dir, _internal_call)
        if _internal_call and output_dir is not None and self.args.should_save:
            folder = Path(output_dir)
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / _STATE, self.program.state_dict())

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None:
            return
        file = Path(checkpoint, _STATE)
        state = read_json(file, needed=bool(self.program.coefficients))
        take_up(self.program, state, f"`{file}`", strict=self._strict, way="AentGRPOTrainer(..., strict=False)")


class AentGRPOTrainer(AentLoss):
    """A ``trl.GRPOTrainer`` that minimises a file, over the optimizer's whole step: all micro-batches of all ranks.

    Args:
        model: as for ``GRPOTrainer``, and so are all arguments up to ``spec``. What ``args`` says of the loss stays at its
            default.
        spec: a file, the text of one, or what ``aent.compile`` gave, for instance with ``overwrite_logits=True``.
        params: values for ``param``s of a file or text.
        strict: whether a checkpoint must have the state of the same controllers. Otherwise what fits is taken up, and a
            warning says what begins anew.

    Raises:
        ValueError: the file is no program (``SpecError``), reads what TRL does not feed, or contradicts ``args``.
    """

    def __init__(
        self,
        model: str | PreTrainedModel,
        reward_funcs: Any = None,
        args: GRPOConfig | None = None,
        train_dataset: Dataset | IterableDataset | None = None,
        eval_dataset: Any = None,
        processing_class: PreTrainedTokenizerBase | ProcessorMixin | None = None,
        reward_processing_classes: PreTrainedTokenizerBase | list[PreTrainedTokenizerBase] | None = None,
        callbacks: list[TrainerCallback] | None = None,
        optimizers: tuple[torch.optim.Optimizer | None, torch.optim.lr_scheduler.LambdaLR | None] = (None, None),
        quantization_config: Any = None,
        peft_config: Any = None,
        tools: list[Callable[..., Any]] | None = None,
        rollout_func: Callable[..., Any] | None = None,
        environment_factory: Any = None,
        *,
        spec: str | os.PathLike[str] | Program,
        params: dict[str, float | bool | str] | None = None,
        strict: bool = True,
    ) -> None:
        super().__init__(
            model,
            reward_funcs=reward_funcs,
            args=args,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            reward_processing_classes=reward_processing_classes,
            callbacks=callbacks,
            optimizers=optimizers,
            quantization_config=quantization_config,
            peft_config=peft_config,
            tools=tools,
            rollout_func=rollout_func,
            environment_factory=environment_factory,
            spec=spec,
            params=params,
            strict=strict,
        )


@dataclass(frozen=True)
class _Scores:
    """What the model says of a micro-batch: the fields for the file, and what TRL logs, without gradient."""

    fields: dict[str, torch.Tensor]
    log_prob: torch.Tensor
    entropy: torch.Tensor | None
    aux_loss: torch.Tensor | None


def _calls_in_this_file() -> int:
    """How many constructors of this file lie between ``AentLoss.__init__`` and who makes the trainer."""
    frame, calls = inspect.currentframe(), -1
    while frame is not None and frame.f_code.co_filename == __file__:
        frame, calls = frame.f_back, calls + 1
    return calls


def _clip_bounds(program: Program) -> tuple[float, float] | None:
    """The constant ``low`` and ``high`` of the one ``clip_ppo`` of the batch's advantages; TRL's ``clip_ratio`` is of those."""
    calls = [of for of in program.terms if of["name"] == "clip_ppo" and of["reads"]["advantages"] == "advantages"]
    bounds = [(call["args"]["low"], call["args"]["high"]) for call in calls]
    constant = len(bounds) == 1 and all(isinstance(bound, float) for bound in bounds[0])
    return bounds[0] if constant else None


def _refuse_contradictions(program: Program, args: GRPOConfig, rollouts_are_scored: bool, columns: list[str]) -> None:
    reads, step, generation = program.fields, args.gradient_accumulation_steps, args.steps_per_generation
    fed = (
        _FED
        + columns
        + [program.temperature] * isinstance(program.temperature, str)
        + ["ref_log_prob"] * (args.beta != 0)
        + ["rollout_log_prob"] * (args.use_vllm or rollouts_are_scored)
    )
    if lacking := sorted(reads.difference(fed)):
        ways = (
            "`ref_log_prob` takes a `beta` that is not 0, `rollout_log_prob` takes `use_vllm` or a `rollout_func`, an "
        )
        ways += "`input` of one number for each answer a column of the data set"
        raise ValueError(f"the file reads {lacking}, and TRL feeds {fed}; {ways}")
    unread = ["beta"] * ("ref_log_prob" not in reads)
    left = {name: getattr(GRPOConfig, name) for name in _SAID_BY_THE_FILE.split() + unread}
    left |= {"vllm_importance_sampling_correction": False} if args.use_vllm and "rollout_log_prob" not in reads else {}
    for name, value in left.items():
        if getattr(args, name) != value:
            raise ValueError(f"`{name}`: the file says the loss, expected {value!r}, found {getattr(args, name)!r}")
    _refuse_temperature(program, args)
    if program.temperature in columns:
        raise ValueError(
            f"`set temperature = {program.temperature}` is a column of the data set, and TRL samples every answer at its own "
            f"`temperature`: give the `input` a name that is no column, and it is fed with {args.temperature}"
        )
    if generation % step or ("group" in reads and generation != step):
        expected = f"{step}, as `gradient_accumulation_steps`" + ("" if "group" in reads else ", or a multiple")
        raise ValueError(f"`steps_per_generation`: expected {expected}, found {generation}")


def _refuse_temperature(program: Program, args: GRPOConfig) -> None:
    if not isinstance(program.temperature, str) and program.temperature != args.temperature:
        way = f"TRL samples at {args.temperature}: write `set temperature = {args.temperature}`"
        raise ValueError(f"the file has a temperature of {program.temperature}, and {way}")
