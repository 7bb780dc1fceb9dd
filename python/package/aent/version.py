"""The torch that computes."""

from __future__ import annotations

from types import ModuleType

OLDEST = (2, 8)


def require_torch() -> ModuleType:
    """Imports torch, which nothing needs before a tensor comes.

    Raises:
        ImportError: torch is missing, or older than 2.8.
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError("aent computes with torch 2.8 or newer, and there is none: `pip install torch`") from error
    found = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2] if part.isdigit())
    if found < OLDEST:
        raise ImportError(f"aent computes with torch 2.8 or newer, found torch {torch.__version__}")
    return torch
