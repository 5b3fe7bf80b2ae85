"""Tell how a campaign ended, as JSON: seed, versions, what was seen, and whether that is a pass."""

from __future__ import annotations

import json
import platform
import sqlite3
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def tell(seed: int, seen: dict[str, Any], *, good: bool, out: Path | None) -> int:
    """Print the report, write it to `out` too, and give the exit code: 0 for a pass."""
    from algotrade import __version__

    report = {
        "seed": seed,
        "algotrade": __version__,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "system": platform.platform(),
        **seen,
        "result": "pass" if good else "FAIL",
    }
    text = json.dumps(report, indent=2)
    sys.stdout.write(text + "\n")
    if out:
        out.write_text(text + "\n", encoding="utf-8")
    return 0 if good else 1
