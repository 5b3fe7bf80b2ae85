"""A broker's numbers and words, read strictly: decimal text to integers, times to microseconds."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from algotrade.domain.money import MICROS, NANOS
from algotrade.domain.times import to_ts
from algotrade.errors import DataError, shown

_NUMBER = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,18})?", re.ASCII)
_LONGEST = 160
_UNPRINTABLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def micros(value: object, field: str) -> int:
    """Read dollars into micro-dollars, half-even below a micro-dollar."""
    return int((_decimal(value, field) * MICROS).to_integral_value(ROUND_HALF_EVEN))


def nanos(value: object, field: str) -> int:
    """Read shares into nano-shares, exactly."""
    scaled = _decimal(value, field) * NANOS
    if scaled != int(scaled):
        raise DataError(f"the broker's {field} {_told(value)} is finer than a nano-share")
    return int(scaled)


def instant(value: object, field: str) -> int:
    """Read an ISO 8601 time with a zone into microseconds UTC."""
    try:
        return to_ts(datetime.fromisoformat(value if isinstance(value, str) else ""))
    except (ValueError, OverflowError):
        raise DataError(f"the broker's {field} {_told(value)} is not a time") from None


def text(row: Any, field: str) -> str:  # noqa: ANN401  JSON
    """Give a word that must be there."""
    value = row.get(field) if isinstance(row, dict) else None
    if not isinstance(value, str) or not value:
        raise DataError(f"the broker's answer has no {field}")
    return value


def clean(words: object) -> str:
    """Make a broker's words fit for one line: no control characters, no bidi marks, cut."""
    said = str(words)[: 4 * _LONGEST]
    kept = "".join(c for c in said if unicodedata.category(c) not in _UNPRINTABLE)
    return kept if len(kept) <= _LONGEST else kept[:_LONGEST] + "..."


def _decimal(value: object, field: str) -> Decimal:
    written = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if not _NUMBER.fullmatch(written):
        raise DataError(f"the broker's {field} {_told(value)} is not a number")
    return Decimal(written)


def _told(value: object) -> str:
    return shown(clean(value))
