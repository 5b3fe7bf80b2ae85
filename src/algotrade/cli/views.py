"""Words and shapes that several commands print the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from algotrade.domain.money import MICROS, format_quantity, format_usd, shares, usd
from algotrade.domain.orders import GTC, MARKET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from algotrade.domain.orders import Fill, Order
    from algotrade.domain.risk import Check


def money(micros: int | None) -> float | None:
    """Give micro-dollars as a JSON number of dollars."""
    return None if micros is None else usd(micros)


def cents(micros: int | None) -> str:
    """Give micro-dollars rounded to cents for a table; n/a where it cannot be told."""
    return "n/a" if micros is None else f"{micros / MICROS:,.2f}"


def signed(micros: int | None) -> str:
    """Give a profit or loss in cents with its sign."""
    return "n/a" if micros is None else f"{micros / MICROS:+,.2f}"


def fill_lines(fills: Iterable[Fill]) -> list[str]:
    """Tell each fill in a line."""
    return [
        f"filled   {'bought' if fill.quantity > 0 else 'sold'}"
        f" {format_quantity(abs(fill.quantity))} {fill.order.symbol} at {format_usd(fill.price)},"
        f" fee {format_usd(fill.fee)}, order {fill.order.id}"
        for fill in fills
    ]


def order_words(order: Order, quantity: int | None = None) -> str:
    """Tell an order in words: buy 10 AAPL limit 190.00 day."""
    size = format_quantity(order.quantity if quantity is None else quantity)
    words = [order.side, size, order.symbol]
    if order.type != MARKET:
        words.append(order.type)
    for name, price in (("stop", order.stop_price), ("limit", order.limit_price)):
        if price is not None:
            words += [] if order.type == name else [name]
            words.append(format_usd(price))
    return " ".join(words if order.time_in_force == GTC else [*words, order.time_in_force])


def in_unit(value: int | None, unit: str) -> str:
    """Give a check's value in words of its unit; unknown where it cannot be computed."""
    if value is None:
        return "unknown"
    if unit == "usd":
        return f"${value / MICROS:,.2f}"
    if unit == "bps":
        return f"{value / 100:.2f}%"
    if unit == "hundredths":
        return f"{value / 100:.2f}x"
    return format_quantity(value) if unit == "shares" else str(value)


def check_row(check: Check) -> dict[str, Any]:
    """Give one check as flat JSON; usd in dollars, shares in shares, bps as basis points."""

    def number(value: int | None) -> float | int | None:
        if value is None:
            return None
        if check.unit == "usd":
            return value / MICROS
        return shares(value) if check.unit == "shares" else value

    return {
        "id": check.id,
        "name": check.name,
        "unit": check.unit,
        "value": number(check.value),
        "limit": number(check.limit),
        "headroom": number(check.headroom),
        "status": check.status,
    }


def text_cell(name: str) -> Callable[[Mapping[str, Any]], str]:
    """Give a column's cell function: the value as text, nothing where there is none."""
    return lambda row: "" if row[name] is None else str(row[name])
