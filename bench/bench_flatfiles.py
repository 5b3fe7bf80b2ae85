"""One million minute bars from flat files into a store, against a bare executemany of the rows.

    python bench/bench_flatfiles.py [ROUNDS]

Writes a month of flat files (21 sessions, 122 tickers) to a scratch folder, then, round by round,
reads, checks and saves them, and beside it sends the same rows, already tuples in memory, through
one bare executemany into the same table; prints rows a second and the median of the ratios.
"""

from __future__ import annotations

import contextlib
import gzip
import random
import statistics
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from algotrade.clock import monotonic
from algotrade.domain.times import MINUTE, to_date
from algotrade.market.calendar import exchange_calendar
from algotrade.market.flatfiles import flat_files, read_flat_files
from algotrade.store.bars import save_bars
from algotrade.store.database import create_store, immediate

if TYPE_CHECKING:
    import sqlite3

    from algotrade.market.calendar import Calendar

TICKERS = [f"{a}{b}" for a in "ABCDEFGHIJK" for b in "ABCDEFGHIJKL"][:122]
BUDGET = 0.5  # of the rate of a bare executemany
INSERT = "INSERT INTO bars VALUES (?,?,?,?,?,?,?,?,?)"


def write_files(folder: Path, calendar: Calendar) -> int:
    """Write the flat files; give how many rows they have."""
    draw = random.Random(7)  # noqa: S311  prices for a benchmark
    rows = 0
    for day, opens, closes in zip(calendar.day, calendar.opens, calendar.closes, strict=True):
        lines = ["ticker,volume,open,close,high,low,window_start,transactions\n"]
        for ticker in TICKERS:
            cents = draw.randrange(2_000, 40_000)
            for ts in range(opens, closes, MINUTE):
                cents = max(100, cents + draw.randrange(-9, 10))
                high, low = cents + draw.randrange(9), cents - draw.randrange(9)
                prices = f"{cents / 100},{cents / 100},{high / 100},{low / 100}"
                volume, trades = draw.randrange(100, 90_000), draw.randrange(1, 900)
                lines.append(f"{ticker},{volume},{prices},{ts * 1000},{trades}\n")
        rows += len(lines) - 1
        path = folder / f"{to_date(day)}.csv.gz"
        path.write_bytes(gzip.compress("".join(lines).encode()))
    return rows


def import_files(db: sqlite3.Connection, folder: Path, calendar: Calendar) -> tuple[float, float]:
    """Read, check and save; give the seconds of all of it, and those of reading and checking."""
    began = monotonic()
    reading = 0.0
    paths = [path for _, path in flat_files(folder, calendar).files]
    batches = read_flat_files(paths, timeframe="1m", calendar=calendar, by_month=True)
    with immediate(db):
        mark = monotonic()
        for batch in batches:
            reading += monotonic() - mark
            for bars in batch.bars:
                save_bars(db, bars, recorded_at=lambda ts_close: ts_close)
            mark = monotonic()
    return monotonic() - began, reading


def bare(db: sqlite3.Connection, rows: list[tuple[int, ...]]) -> float:
    """Send rows that are tuples already; give the seconds."""
    for number, ticker in enumerate(TICKERS, start=1):
        db.execute("INSERT INTO series VALUES (?,'polygon',?,'1m')", (number, ticker))
    began = monotonic()
    with immediate(db):
        db.executemany(INSERT, rows)
    return monotonic() - began


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    calendar = exchange_calendar(date(2024, 1, 2), date(2024, 1, 31))
    ratios = []
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        count = write_files(home, calendar)
        for number in range(rounds):
            with contextlib.closing(create_store(home / f"ours{number}.db")) as db:
                ours, reading = import_files(db, home, calendar)
                rows = db.execute("SELECT * FROM bars ORDER BY series_id, ts_close").fetchall()
            with contextlib.closing(create_store(home / f"bare{number}.db")) as db:
                theirs = bare(db, rows)
            if len(rows) != count:
                raise SystemExit(f"{len(rows)} bars were stored of {count}")
            ratios.append(theirs / ours)
            print(
                f"{count} bars: parse, check and insert {count / ours:9,.0f} rows/s"
                f" (parse and check {count / reading:9,.0f}), bare executemany"
                f" {count / theirs:9,.0f} rows/s, ratio {ratios[-1]:.2f}"
            )
    ratio = statistics.median(ratios)
    print(f"median {ratio:.2f} x bare executemany (budget {BUDGET})")
    sys.exit(ratio < BUDGET)


if __name__ == "__main__":
    main()
