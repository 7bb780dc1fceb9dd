"""The one torch that the extension module was compiled against."""

from __future__ import annotations

TORCH = "2.11.0"


def require_torch() -> None:
    """Imports torch, whose libraries the extension shares.

    Raises:
        ImportError: torch is missing, or is another version. C++ promises nothing between versions, so the extension
            would not fail but misread memory.
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError(f"aent needs torch {TORCH}, and there is none: `pip install torch=={TORCH}`") from error
    found = torch.__version__.split("+")[0]
    if found != TORCH:
        raise ImportError(
            f"aent was compiled against torch {TORCH}, found torch {torch.__version__}: "
            f"`pip install torch=={TORCH}`, or build aent against another torch"
        )
