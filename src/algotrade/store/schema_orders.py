"""The schema of order life at real brokers."""

from __future__ import annotations

APPEND_ONLY_ORDERS: dict[str, str] = {}

ORDERS = ""
