"""Exact money and quantities: integer micro-dollars and integer billionths of a share.

Names say the unit: a plain `price`, `cash`, `notional` is in micro-dollars (1e-6 USD), a plain
`quantity` in nano-shares (1e-9 share). People and vendors are met at the doors below.
"""

from __future__ import annotations

import re

from algotrade.errors import InputError, shown

MICROS = 1_000_000  # micro-dollars in a dollar, micro-shares in a share of volume
NANOS = 1_000_000_000  # nano-shares in a share
BPS = 10_000  # basis points in one

_QUANTITY = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)
_USD = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?", re.ASCII)


def parse_quantity(text: str, *, field: str = "--qty") -> int:
    """Read a positive number of shares into nano-shares; at most 9 digits and 9 decimals."""
    if not _QUANTITY.fullmatch(text):
        raise InputError(
            f"{field} {shown(text)} is not a quantity",
            hint="a positive number of shares such as 10 or 0.5 (at most 9 digits, 9 decimals)",
        )
    quantity = scaled(text, 9)
    if not quantity:
        raise InputError(
            f"{field} {shown(text)} is zero", hint="a positive number of shares such as 10"
        )
    return quantity


def parse_usd(text: str, *, field: str) -> int:
    """Read a positive dollar amount into micro-dollars; at most 12 digits and 6 decimals."""
    if not _USD.fullmatch(text):
        raise InputError(
            f"{field} {shown(text)} is not an amount in dollars",
            hint="a positive amount such as 2500 or 19.99 (at most 12 digits, 6 decimals)",
        )
    amount = scaled(text, 6)
    if not amount:
        raise InputError(f"{field} {shown(text)} is zero", hint="a positive amount such as 2500")
    return amount


def scaled(text: str, digits: int) -> int | None:
    """Read plain decimal text as a count of 10 ** -digits, or None where decimals would be lost."""
    whole, _, part = text.partition(".")
    part = part.rstrip("0")
    return int(whole + part.ljust(digits, "0")) if len(part) <= digits else None


def divide_half_even(numerator: int, denominator: int) -> int:
    """Divide integers, rounding to nearest, ties to even; `denominator` > 0."""
    quotient, remainder = divmod(numerator, denominator)
    twice = 2 * remainder
    if twice > denominator or (twice == denominator and quotient % 2):
        quotient += 1
    return quotient


def notional(quantity: int, price: int) -> int:
    """Value `quantity` nano-shares at `price` micro-dollars, in micro-dollars, half-even."""
    return divide_half_even(quantity * price, NANOS)


def usd(micros: int) -> float:
    """Give micro-dollars as a dollar number for JSON; exact to the micro below 8.5e9 USD."""
    return micros / MICROS


def shares(nanos: int) -> float:
    """Give nano-shares as a number of shares for JSON; whole shares as a whole number."""
    return nanos // NANOS if nanos % NANOS == 0 else nanos / NANOS


def format_usd(micros: int) -> str:
    """Give micro-dollars as text with cents, or with all six decimals where cents lose some."""
    sign = "-" if micros < 0 else ""
    whole, part = divmod(abs(micros), MICROS)
    decimals = f"{part // 10_000:02d}" if part % 10_000 == 0 else f"{part:06d}".rstrip("0")
    return f"{sign}{whole:,}.{decimals}"


def format_quantity(nanos: int) -> str:
    """Give nano-shares as text without needless zeros: 10, 0.5."""
    sign = "-" if nanos < 0 else ""
    whole, part = divmod(abs(nanos), NANOS)
    return f"{sign}{whole:,}" + (f".{part:09d}".rstrip("0") if part else "")
