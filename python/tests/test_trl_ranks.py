"""The trainer on two processes is the trainer on one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from trl_rank_worker import run
from trl_tiny import save_model

WORKER = Path(__file__).with_name("trl_rank_worker.py")


def test_two_ranks_take_the_steps_of_one(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "model")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    workers = []
    for rank in range(2):
        ranks = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true"}
        command = [sys.executable, str(WORKER), str(folder), "2", str(tmp_path / f"{rank}.pt")]
        workers.append(subprocess.Popen(command, env=os.environ | ranks | meeting))
    expected = run(folder, 1)
    assert [worker.wait(timeout=120) for worker in workers] == [0, 0]
    found = [torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in range(2)]
    assert found[0]["state"] == found[1]["state"]
    torch.testing.assert_close(found[0]["weights"], found[1]["weights"], rtol=0, atol=0)
    torch.testing.assert_close(found[0]["weights"], expected["weights"], rtol=1e-4, atol=1e-5)
    for ours, whole in zip(found[0]["log"], expected["log"], strict=True):
        for name in ("loss", "reward", "aent/coefficient/beta", "aent/signal/beta", "aent/spread", "aent/prompts"):
            assert ours[name] == pytest.approx(whole[name], rel=1e-4, abs=1e-6)
    assert expected["log"][0]["aent/coefficient/beta"] != expected["log"][1]["aent/coefficient/beta"]
