"""The program ``aent``."""

from __future__ import annotations

import sys

from ._aent import run


def main() -> int:
    """Runs the command line and gives its exit status."""
    return run(["aent", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
