"""Ticker symbols: one spelling for each, decided where a person types them."""

from __future__ import annotations

import re

from algotrade.errors import InputError, shown
from algotrade.record import NamedTuple

_PLAIN = re.compile(r"[A-Z]{1,5}(\.[A-Z]{1,2})?", re.ASCII)
_PREFERRED = re.compile(r"[A-Z]{1,4}p[A-Z]?", re.ASCII)  # KIMpL: the vendor's own mixed case


class SymbolChoice(NamedTuple):
    """A canonical symbol, and a note where it differs from what was typed."""

    symbol: str
    note: str | None


def parse_symbol(text: str) -> SymbolChoice:
    """Read one ticker symbol as typed; `aapl`, `BRK/B` and `BF-B` are mapped with a note."""
    if _PLAIN.fullmatch(text) or _PREFERRED.fullmatch(text):
        return SymbolChoice(text, None)
    canonical = text.upper().replace("/", ".").replace("-", ".") if text.isascii() else text
    if not _PLAIN.fullmatch(canonical):
        raise InputError(
            f"symbol {shown(text)} is not a ticker",
            hint="one to five letters, share class after a dot: AAPL, BRK.B",
        )
    return SymbolChoice(canonical, f"symbol {shown(text)} read as {canonical}")
