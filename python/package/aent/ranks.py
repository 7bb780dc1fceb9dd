"""The processes that share a step, over ``torch.distributed``."""

from __future__ import annotations

import atexit
import threading
import time
from typing import Any

import torch
import torch.distributed as dist

from .errors import StepError

# Set when the interpreter ends, which waits for steps that are under way: they no longer wait for another rank.
_ends = threading.Event()
atexit.register(_ends.set)


class Ranks:
    """A process group as the core sees it: who we are, how many we are, and everybody's tensor.

    Args:
        group: a ``ProcessGroup``, or a one-dimensional ``DeviceMesh``.
        name: the argument that it came as.
    """

    def __init__(self, group: Any, name: str = "group") -> None:
        if not dist.is_available() or not dist.is_initialized():
            raise StepError(f"`{name}`: `torch.distributed` is not initialized; call `init_process_group` first")
        if hasattr(group, "get_group"):
            group = group.get_group()
        if not isinstance(group, dist.ProcessGroup):
            expected = "a tensor or a process group" if name == "group" else "a process group"
            raise StepError(f"`{name}`: expected {expected}, found a `{type(group).__name__}`")
        self.group = group
        self.rank = dist.get_rank(group)
        self.size = dist.get_world_size(group)
        if self.rank < 0:
            raise StepError(f"`{name}`: this process is not in the group")
        # NCCL moves what lies on a GPU only. Counts may lie on the host.
        on_gpu = dist.get_backend(group) == "nccl"
        self._device = torch.device("cuda", torch.cuda.current_device()) if on_gpu else None

    @torch.no_grad()
    def all_gather(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """Everybody's tensor in the order of ranks, where ``tensor`` lies. All have one shape and kind."""
        here = tensor if self._device is None else tensor.to(self._device)
        gathered = [torch.empty_like(here, memory_format=torch.contiguous_format) for _ in range(self.size)]
        work = dist.all_gather(gathered, here.contiguous(), group=self.group, async_op=True)
        # Waiting inside of torch would hold Ctrl-C back until the other ranks have come.
        pause = 1e-5
        while not work.is_completed():
            if _ends.is_set():
                raise StepError("the interpreter ends, and this rank does not wait for the others")
            time.sleep(pause)
            pause = min(2 * pause, 1e-3)
        work.wait()
        return [other.to(tensor.device) for other in gathered]
