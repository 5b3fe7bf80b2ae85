"""What other engines made of the bars in engine_bars.py, read from golden/engines.

`tools/peer_engines/make_goldens.py` wrote them, having proved the trade lists equal to those of a
plain loop; docs/engines.md tells the rules. Numbers are given in the package's units.
"""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

GOLDEN = Path(__file__).parent / "golden" / "engines"
NAMES = tuple(sorted(path.stem for path in GOLDEN.glob("*.json")))


class Trade(NamedTuple):
    """A round trip; `exit_*` are None while it is open at the last bar.

    Sessions of the fills; prices in micro-dollars; quantity in nano-shares.
    """

    symbol: str
    entry_date: date
    entry_price: int
    exit_date: date | None
    exit_price: int | None
    quantity: int


class Case(NamedTuple):
    """A rule with its numbers, and what the engines agree on. Micro-dollars, nano-shares.

    equity: by engine, with open trades marked at the last close. deviations: by engine, what it
    did otherwise than `trades` and `commission` say, in words. habits: by how much the equity
    moves where an engine is left to its own ways.
    """

    bar_set: str
    rule: str  # cross or state
    fast: int
    slow: int
    quantity: int
    commission_bps: int
    cash: int
    money_tolerance: int
    price_tolerance: int
    trades: tuple[Trade, ...]  # by symbol and entry
    commission: int
    equity: Mapping[str, int]
    deviations: Mapping[str, tuple[str, ...]]
    habits: Mapping[str, int]

    @property
    def name(self) -> str:
        """Say the case in one word for a test's id."""
        size = Decimal(self.quantity) / 10**9
        return f"{self.bar_set}-{self.rule}-{self.fast}-{self.slow}-{size}-{self.commission_bps}bps"

    @property
    def agreeing(self) -> dict[str, int]:
        """Give the equity of the engines that did exactly as `trades` says."""
        return {name: value for name, value in self.equity.items() if name not in self.deviations}


class Golden(NamedTuple):
    """One file: a set of bars, the engines, the cases."""

    bar_set: str
    symbols: tuple[str, ...]
    bars: int  # of each symbol
    sha256: str  # engine_bars.identity of the bars
    engines: Mapping[str, str]  # versions
    cases: tuple[Case, ...]


@cache
def load(name: str) -> Golden:
    """Read the golden of a set of bars."""
    stored = json.loads((GOLDEN / f"{name}.json").read_text("ascii"), parse_float=Decimal)
    bars = stored["bars"]
    return Golden(
        bar_set=bars["set"],
        symbols=tuple(bars["symbols"]),
        bars=bars["count"],
        sha256=bars["sha256"],
        engines=stored["engines"],
        cases=tuple(_case(stored, each) for each in stored["cases"]),
    )


def cases() -> Iterator[Case]:
    """Give every case of every golden."""
    for name in NAMES:
        yield from load(name).cases


def _case(stored: dict[str, Any], case: dict[str, Any]) -> Case:
    quantity = _units(case["size"], 10**9)
    rows = stored["trades"][f"{case['rule']} {case['fast']}/{case['slow']}"]
    return Case(
        bar_set=stored["bars"]["set"],
        rule=case["rule"],
        fast=case["fast"],
        slow=case["slow"],
        quantity=quantity,
        commission_bps=case["bps"],
        cash=_micros(stored["cash"]),
        money_tolerance=_micros(stored["tolerance"]["money"]),
        price_tolerance=_micros(stored["tolerance"]["price"]),
        trades=tuple(_trade(row, quantity) for row in rows),
        commission=_micros(case["commission"]),
        equity={name: _micros(value) for name, value in case["equity"].items()},
        deviations={name: tuple(words) for name, words in case["deviations"].items()},
        habits={name: _micros(value) for name, value in case["habits"].items()},
    )


def _trade(row: list[Any], quantity: int) -> Trade:
    symbol, entry_date, entry_price, exit_date, exit_price = row
    return Trade(
        symbol=symbol,
        entry_date=date.fromisoformat(entry_date),
        entry_price=_micros(entry_price),
        exit_date=None if exit_date is None else date.fromisoformat(exit_date),
        exit_price=None if exit_price is None else _micros(exit_price),
        quantity=quantity,
    )


def _micros(number: Decimal | int) -> int:
    return _units(number, 10**6)


def _units(number: Decimal | int, unit: int) -> int:
    """Turn a stored number into whole units; the goldens hold no finer ones."""
    units = Decimal(number) * unit
    if units != int(units):
        raise ValueError(f"{number} is finer than 1/{unit}")
    return int(units)
