"""A vendor's words in our messages: cleaned and cut, fit for one line of a terminal."""

from __future__ import annotations

import unicodedata

from algotrade.errors import shown

_UNPRINTABLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # C0, C1, bidi, half surrogates, line separators


def clean(text: str, limit: int = 200) -> str:
    """Make a vendor's words fit for one line of a terminal: no controls, no bidi, cut."""
    kept = "".join(c for c in text[: 10 * limit] if unicodedata.category(c) not in _UNPRINTABLE)
    return kept if len(kept) <= limit else kept[:limit] + "..."


def told(value: object) -> str:
    """Quote a JSON value in a message; of a list or an object only the kind."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return shown(value) if isinstance(value, str) else shown(str(value))[1:-1]
