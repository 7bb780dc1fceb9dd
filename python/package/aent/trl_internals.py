"""All that ``aent.trl`` knows of TRL beyond its documented interface, and whether the TRL that is installed has it."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from pathlib import Path

TESTED = "1.16.0"
# Methods of ``GRPOTrainer`` that are overridden or called, with the parameters that are passed.
METHODS = {
    "_calculate_rewards": ("inputs", "prompts", "completions", "completion_ids_list"),
    "_compute_loss": ("model", "inputs"),
    "_generate_and_score_completions": ("inputs",),
    "_get_per_token_logps_and_entropies": (
        "model",
        "input_ids",
        "attention_mask",
        "logits_to_keep",
        "compute_entropy",
        "compute_aux_loss",
    ),
    "_load_optimizer_and_scheduler": ("checkpoint",),
    "evaluation_loop": (),
    "save_model": ("output_dir", "_internal_call"),
}
# What its constructor sets. The first two are also set anew when a step is given up.
ATTRIBUTES = """_step _buffered_inputs _metrics aux_loss_enabled num_generations num_generations_eval reward_weights
    router_aux_loss_coef"""
# What it puts into a batch.
COLUMNS = """advantages completion_ids completion_mask old_per_token_logps prompt_ids prompt_mask ref_per_token_logps
    sampling_per_token_logps tool_mask"""
# What it asks of a model that is given in place of its own, and takes from what comes back.
CALL = ("labels=labels", "fused_lm_head=True", "outputs.log_probs", "outputs.aux_loss")


def check(trainer: type, version: str) -> None:
    """Refuses a TRL whose internals are others.

    Args:
        trainer: ``GRPOTrainer``.
        version: TRL's.

    Raises:
        ImportError: something is not there, with its name and the version that is tested.
    """
    changed = sorted(_changed(trainer))
    if changed:
        raise ImportError(
            f"aent.trl is tested with TRL {TESTED}, and TRL {version} has no {' and no '.join(changed)}: "
            f"`pip install trl=={TESTED}`, or a newer aent"
        )


def text(trainer: type) -> str:
    """The file of a class."""
    return Path(inspect.getfile(trainer)).read_text(encoding="utf-8")


def _changed(trainer: type) -> Iterable[str]:
    for name, expected in METHODS.items():
        method = getattr(trainer, name, None)
        if method is None:
            yield f"`{trainer.__name__}.{name}`"
        else:
            found = inspect.signature(method).parameters
            yield from (f"`{of}` in `{trainer.__name__}.{name}`" for of in expected if of not in found)
    source = text(trainer)
    yield from (f"`{trainer.__name__}.{name}`" for name in ATTRIBUTES.split() if f"self.{name} =" not in source)
    yield from (f"column `{name}`" for name in COLUMNS.split() if f'"{name}"' not in source)
    yield from (f"`{of}` in the call of its model" for of in CALL if of not in source)
