"""The schema of learning: trials, states of models, what shadows say."""

from __future__ import annotations

APPEND_ONLY_LEARNING: dict[str, str] = {}

LEARNING = ""
