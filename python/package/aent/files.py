"""Files that are whole or not there."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any


def write_json(path: Path, value: Any) -> None:
    """Writes beside the file first and then in its place, so that several ranks may write the same one."""
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=f".{path.name}.", delete=False, encoding="utf-8"
    ) as file:
        json.dump(value, file)
    Path(file.name).replace(path)
