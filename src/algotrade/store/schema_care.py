"""The schema of the care of the ledger: chains, history of limits, heartbeats."""

from __future__ import annotations

APPEND_ONLY_CARE: dict[str, str] = {}

CARE = ""
