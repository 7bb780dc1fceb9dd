"""A file as a policy loss of verl.

    # my_losses.py, which every worker imports: actor_rollout_ref.model.external_lib=my_losses
    import aent.verl
    aent.verl.register("aent", "aent.aent", params={"drop": 0.3})

With ``actor_rollout_ref.actor.policy_loss.loss_mode=aent`` the file is the loss. It averages as it is written to, and
divides by verl's counts of the mini-batch over all ranks, so that its gradient does not depend on how the mini-batch is
cut. When an optimizer step ends, controllers move and metrics join verl's.
"""

from __future__ import annotations

from .columns import needs
from .engine import follow
from .mini_batch import step
from .registry import register
from .state import load_state_dict, programs, state_dict

__all__ = ["follow", "load_state_dict", "needs", "programs", "register", "state_dict", "step"]
