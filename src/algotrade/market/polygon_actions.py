"""Splits and dividends as Polygon tells of them, read row by row into exact facts."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

from algotrade.domain.actions import Dividend, Split
from algotrade.domain.money import MICROS
from algotrade.domain.times import parse_date
from algotrade.errors import DataError, InputError
from algotrade.market import polygon_fields as fields
from algotrade.market.polygon_paging import Request
from algotrade.market.polygon_words import told

if TYPE_CHECKING:
    from datetime import date

    from algotrade.market.polygon_http import JsonObject

ACTION_PAGES = 50
_ACTION_LIMIT = 1_000
DATE_FIELDS = {"splits": "execution_date", "dividends": "ex_dividend_date"}


def new_request(symbol: str, kind: str) -> Request:
    """Give the first call to the endpoint of today."""
    return Request(
        f"/stocks/v1/{kind}",
        (
            ("ticker", symbol),
            ("limit", str(_ACTION_LIMIT)),
            ("sort", f"{DATE_FIELDS[kind]}.asc"),
        ),
    )


def old_request(symbol: str, kind: str) -> Request:
    """Give the first call to the endpoint before it."""
    return Request(
        f"/v3/reference/{kind}",
        (
            ("ticker", symbol),
            ("limit", str(_ACTION_LIMIT)),
            ("order", "asc"),
            ("sort", DATE_FIELDS[kind]),
        ),
    )


def read_split(symbol: str, row: JsonObject) -> Split:
    """Read a split; a ratio such as 1 : 1.5 becomes 2 : 3."""
    ex_date = _date(symbol, row, "execution_date")
    old, new = (
        Fraction(_number(symbol, row, name, highest=fields.HIGHEST_RATIO))
        for name in ("split_from", "split_to")
    )
    if not old or not new:
        raise DataError(f"polygon: the split of {symbol} on {ex_date} has a zero")
    scale = math.lcm(old.denominator, new.denominator)
    return Split(
        symbol=symbol, ex_date=ex_date, split_from=int(old * scale), split_to=int(new * scale)
    )


def ratio(split: Split) -> Fraction:
    """Give the new shares for one old share."""
    return Fraction(split.split_to, split.split_from)


def read_dividend(symbol: str, row: JsonObject) -> Dividend:
    """Read a dividend into micro-dollars a share, finer amounts rounded half-even."""
    cash = _number(symbol, row, "cash_amount", highest=fields.HIGHEST_PRICE)
    amount = int((cash * MICROS).to_integral_value(rounding=ROUND_HALF_EVEN))
    ex_date = _date(symbol, row, "ex_dividend_date")
    return Dividend(symbol=symbol, ex_date=ex_date, amount=amount)


def _date(symbol: str, row: JsonObject, name: str) -> date:
    value = row.get(name)
    try:
        return parse_date(value if isinstance(value, str) else "", field=name)
    except InputError:
        raise DataError(f"polygon: {name} {told(value)} of {symbol} is not a date") from None


def _number(symbol: str, row: JsonObject, name: str, *, highest: float) -> Decimal:
    """Read a number not below zero by its shortest decimal text, which is what was sent."""
    try:
        number = fields.number(row, name, highest=highest)
    except ValueError as why:
        raise DataError(f"polygon: {why} ({symbol})") from None
    if number < 0:
        raise DataError(f"polygon: {name} {number} is negative ({symbol})")
    return Decimal(repr(number))
