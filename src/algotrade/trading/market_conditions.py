"""What the market does around the account: moves, spreads, silence; pure, for whoever watches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.domain.money import BPS
from algotrade.domain.risk import FAIL, NOT_APPLICABLE, PASS, Check
from algotrade.domain.times import MICROSECONDS, MINUTE
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from algotrade.domain.live import LivePrice

DELAY = 15 * MINUTE  # of a feed that the provider shows late
RANGE_SPAN = 30 * MINUTE


class MarketLimits(NamedTuple):
    """Bounds on what the market does; exactly at a bound passes. Shares of a price in bps."""

    max_age_s: int = 300
    max_move_bps: int = 1_500
    max_spread_bps: int = 50
    max_index_bps: int = 500
    max_range_bps: int = 500
    silence_minutes: int = 15


class MarketView(NamedTuple):
    """What is known of the market at one moment.

    prices: newest of each symbol, in the ledger's share basis; closes: the last stored close.
    ranges: lowest and highest price of the last half hour. stakes: symbols held or ordered.
    benchmark: symbol that stands for the market, or empty. is_open: whether regular trading goes
    on; None where prices are not live, so that their age says nothing.
    """

    now: int
    prices: Mapping[str, LivePrice]
    closes: Mapping[str, int]
    ranges: Mapping[str, tuple[int, int]]
    stakes: tuple[str, ...]
    benchmark: str
    is_open: bool | None


def market_checks(view: MarketView, limits: MarketLimits) -> tuple[Check, ...]:
    """Give each condition with its value; a stake without a price fails, rows that cannot be n/a.

    M01 seconds since any price; M02 largest move of a stake since its last close; M03 widest
    spread; M04 move of the index; M05 widest range in half an hour; M06 stakes that are silent or
    at the exchange's price band.
    """
    live = {name: view.prices[name] for name in view.stakes if name in view.prices}
    missing = len(live) < len(view.stakes)
    is_live = view.is_open is not None and bool(view.stakes)
    spreads = [_spread(price) for price in live.values()]
    known = [spread for spread in spreads if spread is not None]
    index = view.prices.get(view.benchmark)
    reference = view.closes.get(view.benchmark)
    rows = (
        _row(
            ("M01", "age of prices", "seconds"),
            _age(live.values(), view.now),
            limits.max_age_s,
            asked=is_live and view.is_open is True,
        ),
        _row(
            ("M02", "move since the close", "bps"),
            None if missing else _largest(_moves(live, view.closes)),
            limits.max_move_bps,
            asked=bool(view.stakes),
        ),
        _row(("M03", "spread", "bps"), _largest(known), limits.max_spread_bps, asked=bool(known)),
        _row(
            ("M04", "move of the index", "bps"),
            move_bps(index.price, reference) if index and reference else None,
            limits.max_index_bps,
            asked=index is not None and reference is not None,
        ),
        _row(
            ("M05", "range in 30 minutes", "bps"),
            _largest(move_bps(high, low) for low, high in view.ranges.values()),
            limits.max_range_bps,
            asked=is_live and bool(view.ranges),
        ),
        _row(
            ("M06", "silent or at the band", "symbols"),
            sum(_is_stuck(price, view.now, limits.silence_minutes) for price in live.values())
            + (len(view.stakes) - len(live)),
            0,
            asked=is_live and view.is_open is True,
        ),
    )
    return tuple(rows)


def move_bps(price: int, reference: int) -> int:
    """Give how far a price lies from a positive reference, in bps rounded up."""
    return -(-abs(price - reference) * BPS // reference)


def _row(what: tuple[str, str, str], value: int | None, limit: int, *, asked: bool) -> Check:
    if not asked:
        return Check(*what, None, limit, NOT_APPLICABLE)
    return Check(*what, value, limit, PASS if value is not None and value <= limit else FAIL)


def _age(prices: Iterable[LivePrice], now: int) -> int | None:
    """Give the seconds since the newest price, beyond the delay of a late feed."""
    ages = [now - one.ts - (DELAY if one.delayed else 0) for one in prices]
    return max(0, min(ages) // MICROSECONDS) if ages else None


def _moves(prices: Mapping[str, LivePrice], closes: Mapping[str, int]) -> list[int]:
    return [move_bps(one.price, closes[name]) for name, one in prices.items() if closes.get(name)]


def _largest(values: Iterable[int]) -> int:
    return max(values, default=0)


def _spread(price: LivePrice) -> int | None:
    """Give ask less bid, of their middle, in bps; None without both, or where they cross."""
    if not price.bid or not price.ask or price.ask < price.bid:
        return None
    return -(-2 * (price.ask - price.bid) * BPS // (price.ask + price.bid))


def _is_stuck(price: LivePrice, now: int, minutes: int) -> bool:
    """Tell whether a symbol does not trade, or trades at the edge of its band."""
    silent = now - price.ts - (DELAY if price.delayed else 0) > minutes * MINUTE
    low, high = price.low_band, price.high_band
    return (
        silent
        or (low is not None and price.price <= low)
        or (high is not None and price.price >= high)
    )
