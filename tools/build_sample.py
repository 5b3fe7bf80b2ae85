#!/usr/bin/env python3
"""Build the built-in sample from `_data/stocks.csv.gz` of bokeh_sampledata 2026.1 or later.

    python tools/build_sample.py path/to/stocks.csv.gz

Bars are copied as traded. Splits and dividends are not in the set: they are read off its adjusted
closes. The set's convention, found by trying: going back over an ex-date the adjusted close is
divided by F = (adj_t / adj_t-1) / (close_t / close_t-1), where F is the share ratio of a split, and
1 + amount / close_t for a dividend, with the *ex-date's* close. (The other usual convention,
1 / (1 - amount / close_t-1), gives amounts such as 0.1276 for IBM's 0.1300 and is ruled out.)

Each row is checked, each action must be a round number to within 1e-9 USD, and the adjusted closes
rebuilt from what was written must equal the set's. Nothing is repaired: a doubt stops the script.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import struct
import sys
import zlib
from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from algotrade.domain.actions import Dividend, Split
from algotrade.domain.money import MICROS, format_usd
from algotrade.domain.times import to_day
from algotrade.market import sample
from algotrade.market.calendar import exchange_calendar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Action = Split | Dividend

UNIT = 10_000  # prices in units of 1e-4 USD: the set's finest
NOISE = 1e-11  # of F around 1: the set prints 13 or more significant digits
DOUBT = 1e-9  # USD: how far an amount may lie from whole cents
TOLERANCE = 1e-12  # relative, of a rebuilt adjusted close
RATIOS = Path(__file__).parents[1] / "tests" / "data" / "sample_adjustment.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the set; prices in units of 1e-4 USD, volume in shares."""

    day: date
    open: int
    high: int
    low: int
    close: int
    volume: int
    adjusted: float


def main() -> None:
    """Read the set, write the package's data and the test's ratios, say what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("path", type=Path, help="stocks.csv.gz of bokeh_sampledata")
    rows = read_set(parser.parse_args().path)
    actions: list[Action] = []
    for symbol in sample.SYMBOLS:
        check_rows(symbol, rows[symbol])
        found = list(derive_actions(symbol, rows[symbol]))
        check_adjusted(symbol, rows[symbol], found)
        (sample.DATA / f"{symbol}.bars").write_bytes(pack(symbol, rows[symbol]))
        check_packed(symbol, rows[symbol])
        actions += found
        report(symbol, rows[symbol], found)
    lines = ["symbol,ex_date,kind,value", *map(action_line, actions)]
    write_lines(sample.DATA / "actions.csv", lines)
    write_lines(RATIOS, ["symbol,from,adjusted_over_close", *ratio_lines(rows)])
    if list(sample.read_actions()) != actions:
        raise SystemExit("actions.csv does not read back as written")
    for path in sorted(sample.DATA.glob("*.[bc]*")):
        content = path.read_bytes()
        say(f"{hashlib.sha256(content).hexdigest()}  {len(content):6}  {path.name}")


def read_set(path: Path) -> dict[str, list[Row]]:
    """Read the set's CSV into rows per symbol, in its order."""
    rows: dict[str, list[Row]] = defaultdict(list)
    with gzip.open(path, "rt", encoding="ascii", newline="") as lines:
        for line in csv.DictReader(lines):
            rows[line["Ticker"]].append(
                Row(
                    day=date.fromisoformat(line["Date"]),
                    open=units(line["Open"]),
                    high=units(line["High"]),
                    low=units(line["Low"]),
                    close=units(line["Close"]),
                    volume=int(line["Volume"]),
                    adjusted=float(line["Adj Close"]),
                )
            )
    return rows


def units(text: str) -> int:
    """Read a price into units of 1e-4 USD; a finer one stops the script."""
    scaled = Decimal(text) * UNIT
    if scaled != int(scaled):
        raise SystemExit(f"price {text} is finer than 1e-4 USD")
    return int(scaled)


def check_rows(symbol: str, rows: list[Row]) -> None:
    """Stop on a row that contradicts itself, and on a date without a session or a session gap."""
    for row in rows:
        low, high = min(row.open, row.close), max(row.open, row.close)
        if not 0 < row.low <= low <= high <= row.high or row.volume <= 0:
            raise SystemExit(f"{symbol} {row.day}: the row contradicts itself: {row}")
    calendar = exchange_calendar(rows[0].day, rows[-1].day)
    if (off := set(calendar.day) ^ {to_day(row.day) for row in rows}) or len(calendar) != len(rows):
        raise SystemExit(f"{symbol}: dates and XNYS sessions differ: {sorted(off)}")


def derive_actions(symbol: str, rows: list[Row]) -> Iterator[Action]:
    """Read splits and dividends off the jumps of adjusted over traded close."""
    for before, row in pairwise(rows):
        factor = (row.adjusted / before.adjusted) / (row.close / before.close)
        if abs(factor - 1) < NOISE:
            continue
        if abs(factor - round(factor)) < NOISE:
            yield Split(symbol=symbol, ex_date=row.day, split_from=1, split_to=round(factor))
            continue
        dollars = (factor - 1) * row.close / UNIT
        cents = round(dollars * 100)
        if cents <= 0 or abs(dollars - cents / 100) > DOUBT:
            raise SystemExit(f"{symbol} {row.day}: {dollars} USD is not a round dividend")
        yield Dividend(symbol=symbol, ex_date=row.day, amount=cents * MICROS // 100)


def check_adjusted(symbol: str, rows: list[Row], actions: list[Action]) -> None:
    """Rebuild the adjusted closes from the actions; stop where one differs from the set's."""
    by_date = {action.ex_date: action for action in actions}
    ratio = rows[-1].adjusted / rows[-1].close  # later actions, outside the sample
    worst = 0.0
    for row in reversed(rows):
        worst = max(worst, abs(row.close * ratio / row.adjusted - 1))
        match by_date.get(row.day):
            case Split() as split:
                ratio *= split.split_from / split.split_to
            case Dividend() as dividend:
                ratio /= 1 + dividend.amount / MICROS / (row.close / UNIT)
    if worst > TOLERANCE:
        raise SystemExit(f"{symbol}: a rebuilt adjusted close is off by {worst:.1e}")
    say(f"{symbol}: adjusted closes rebuilt to {worst:.1e}")


def pack(symbol: str, rows: list[Row]) -> bytes:
    """Give the content of the symbol's `.bars` file, as `algotrade.market.sample` describes it."""
    body = b"".join(
        column[byte::4]
        for values in zip(*encoded(rows), strict=True)
        for column in [struct.pack(f"<{len(rows)}i", *values)]
        for byte in range(4)
    )
    return zlib.compress(f"{sample.MAGIC} {symbol} {len(rows)}\n".encode() + body, 9)


def encoded(rows: list[Row]) -> Iterator[tuple[int, ...]]:
    """Give each row as the integers of `sample.LAYOUT`."""
    day = before = 0
    for row in rows:
        open_, high, low, close = (p // 100 for p in (row.open, row.high, row.low, row.close))
        yield (
            to_day(row.day) - day,
            zigzag(open_ - before),
            zigzag(close - open_),
            high - max(open_, close),
            min(open_, close) - low,
            row.volume // 100,
            *(price % 100 for price in (row.open, row.close, row.high, row.low)),
            row.volume % 100,
        )
        day, before = to_day(row.day), close


def zigzag(value: int) -> int:
    """Turn 0, -1, 1, -2, 2 ... into 0, 1, 2, 3, 4 ..."""
    return (value << 1) ^ (value >> 31)


def check_packed(symbol: str, rows: list[Row]) -> None:
    """Stop where the written file does not read back as the set's rows."""
    read = list(zip(*sample.read_columns(symbol), strict=True))
    micro = MICROS // UNIT
    meant = [
        (
            to_day(row.day),
            *(price * micro for price in (row.open, row.high, row.low, row.close)),
            row.volume * MICROS,
        )
        for row in rows
    ]
    if read != meant:
        raise SystemExit(f"{symbol}: the written file reads back differently")


def ratio_lines(rows: dict[str, list[Row]]) -> Iterator[str]:
    """Give the set's own adjusted-over-traded ratio, one line for each run of equal ratios."""
    for symbol in sample.SYMBOLS:
        ratio = 0.0
        for row in rows[symbol]:
            here = row.adjusted / (row.close / UNIT)
            if abs(here - ratio) > NOISE * here:
                ratio = here
                yield f"{symbol},{row.day},{ratio:.15g}"


def action_line(action: Action) -> str:
    """Give an action as its line of actions.csv."""
    if isinstance(action, Split):
        return f"{action.symbol},{action.ex_date},split,{action.split_from}:{action.split_to}"
    return f"{action.symbol},{action.ex_date},dividend,{format_usd(action.amount)}"


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines with plain newlines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="ascii", newline="\n")


def report(symbol: str, rows: list[Row], actions: list[Action]) -> None:
    """Say what a symbol holds, and its rows that look odd but are true."""
    splits = sum(isinstance(action, Split) for action in actions)
    finer = sum(any(p % 100 for p in (r.open, r.high, r.low, r.close)) for r in rows)
    odd = [str(row.day) for row in rows if row.volume % 100]
    say(
        f"{symbol}: {len(rows)} rows {rows[0].day}..{rows[-1].day}, {splits} splits, "
        f"{len(actions) - splits} dividends, {finer} rows finer than a cent, odd volumes {odd}"
    )
    for before, row in pairwise(rows):
        move = row.close / before.close - 1
        if abs(move) > 0.2:
            say(f"  {row.day} close {before.close / UNIT} -> {row.close / UNIT} ({move:+.1%})")


def say(line: str) -> None:
    """Tell the person who runs the script."""
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
