"""The bar store as ratios to named peers on the same rows, in one run.

    python bench/bench_store.py [ROUNDS]

Makes scratch stores of seeded random walks: a 50,000-bar page, 1 million minute bars month by
month, 500 symbols x 2,500 days, and 5 million minute bars. Peers take turns, so that a machine
that slows down slows all of them; prints the median of the per-round ratios. A ratio above 1 means
that the store is faster, and must reach the budget where there is one.
"""

from __future__ import annotations

import contextlib
import resource
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import sqlite_utils

from algotrade.bars import COLUMNS, from_rows
from algotrade.domain.times import DAY, HOUR, MINUTE
from algotrade.store.bars import load_bars, save_bars
from algotrade.store.chunks import build_chunks, drop_chunks
from algotrade.store.database import create_store, immediate
from algotrade.store.panel import load_panel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from algotrade.bars import Bars

KNOWN_AT = 2 * 10**15
SYMBOLS = [f"S{number:03}" for number in range(500)]
MONTH = 8_190  # minutes of 21 regular sessions
INSERT = "INSERT INTO bars VALUES (?,?,?,?,?,?,?,?,?)"
HISTORY = ", ".join(("ts_close - seconds * 1000000", *COLUMNS[1:]))
Rows = list[tuple[int, ...]]


def walk(symbol: str, times: NDArray[np.int64], length: int, timeframe: str, seed: int) -> Bars:
    """Give a random walk of bars that close at `times`."""
    rng = np.random.default_rng(seed)
    close = 100_000_000 + rng.integers(-20_000, 20_001, len(times)).cumsum().clip(-(9 * 10**7))
    spread = rng.integers(0, 50_000, (2, len(times)))
    columns = {
        "ts_open": times - length,
        "ts_close": times,
        "open": close,
        "high": close + spread[0],
        "low": close - spread[1],
        "close": close,
        "volume": rng.integers(0, 10**6, len(times)) * 10**6,
    }
    rows = zip(*(columns[name].tolist() for name in COLUMNS), strict=True)
    return from_rows("bench", symbol, timeframe, rows)


def minute_times(months: int) -> NDArray[np.int64]:
    """Give the closes of the minutes of regular sessions, 21 a month."""
    days = np.arange(months * 21, dtype=np.int64)[:, None] * DAY
    minutes = np.arange(1, 391, dtype=np.int64)[None, :] * MINUTE
    return (days + minutes + 17_000 * DAY + 14 * HOUR + 30 * MINUTE).ravel()


def daily_times(count: int) -> NDArray[np.int64]:
    """Give the closes of days."""
    return np.arange(count, dtype=np.int64) * DAY + 14_000 * DAY + 21 * HOUR


def tuples(bars: Bars, series: int = 1) -> Rows:
    """Give bars as rows of the table, ready for the driver."""
    lengths = [(z - a) // 10**6 for a, z in zip(bars.ts_open, bars.ts_close, strict=True)]
    values = (bars.column(name) for name in COLUMNS[2:])
    return list(zip(repeat(series), bars.ts_close, lengths, *values, repeat(KNOWN_AT)))


def seconds(work: Callable[[], object]) -> float:
    """Give the wall time of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@contextlib.contextmanager
def store(folder: Path, name: str) -> Iterator[sqlite3.Connection]:
    """Open a store of that name in the folder."""
    with contextlib.closing(create_store(folder / f"{name}.db")) as db:
        yield db


@contextlib.contextmanager
def empty_store(folder: Path, *, triggers: bool = True) -> Iterator[sqlite3.Connection]:
    """Open a new store with one series, removed at the end."""
    with tempfile.TemporaryDirectory(dir=folder) as home, store(Path(home), "empty") as db:
        db.execute("INSERT INTO series VALUES (1, 'bench', 'S000', '1m')")
        if not triggers:
            db.execute("DROP TRIGGER bars_insert_drops_chunk")
        yield db


class Table:
    """Prints measures beside their budget, and remembers whether one was missed."""

    def __init__(self) -> None:
        self.missed = False

    def ratio(self, what: str, found: list[float], budget: float | None = None) -> None:
        """Print a median ratio."""
        median = statistics.median(found)
        self.missed |= budget is not None and median < budget
        told = "" if budget is None else f"   (budget {budget:g})"
        print(f"{what:<68} {median:8.2f} x{told}", flush=True)

    def value(self, what: str, value: float, unit: str, most: float | None = None) -> None:
        """Print a measure."""
        self.missed |= most is not None and value > most
        told = "" if most is None else f"   (at most {most:g})"
        print(f"{what:<68} {value:8,.2f} {unit}{told}", flush=True)


def save_all(db: sqlite3.Connection, pages: list[Bars]) -> None:
    """Save pages, one commit each."""
    for page in pages:
        with immediate(db):
            save_bars(db, page, recorded_at=lambda _: KNOWN_AT)


def insert_all(db: sqlite3.Connection, pages: list[Rows]) -> None:
    """Insert pages of rows as the driver does it, one commit each."""
    for page in pages:
        with immediate(db):
            db.executemany(INSERT, page)


def to_sql(folder: Path, rows: Rows) -> float:
    """Append rows by pandas, in one transaction of the driver."""
    names = ["series_id", "ts_close", "seconds", *COLUMNS[2:], "known_at"]
    frame = pd.DataFrame(rows, columns=names)
    with peer_store(folder) as db:
        return seconds(lambda: frame.to_sql("peer", db, index=False, if_exists="append"))


def upsert_all(folder: Path, rows: Rows) -> float:
    """Upsert rows by sqlite-utils, in its own transactions."""
    names = ("series_id", "ts_close", "seconds", *COLUMNS[2:], "known_at")
    dicts = [dict(zip(names, row, strict=True)) for row in rows]
    with peer_store(folder) as db:
        peer = sqlite_utils.Database(db).table("peer", pk=("series_id", "ts_close"))
        return seconds(lambda: peer.upsert_all(dicts))


@contextlib.contextmanager
def peer_store(folder: Path) -> Iterator[sqlite3.Connection]:
    """Open a new file as the peers expect it: the driver begins transactions, the peer commits."""
    with (
        tempfile.TemporaryDirectory(dir=folder) as home,
        contextlib.closing(sqlite3.connect(Path(home) / "peer.db")) as db,
    ):
        for pragma in ("journal_mode = WAL", "synchronous = FULL"):
            db.execute(f"PRAGMA {pragma}")
        yield db


def page_of_50_000(folder: Path, table: Table, rounds: int) -> None:
    """Compare saving a page with its peers."""
    bars = walk("S000", minute_times(7)[:50_000], MINUTE, "1m", seed=1)
    rows = tuples(bars)
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        with empty_store(folder) as db:
            ours = seconds(lambda: save_all(db, [bars]))
            same = seconds(lambda: save_all(db, [bars]))
        with empty_store(folder) as db:
            bare = seconds(lambda: insert_all(db, [rows]))
        with empty_store(folder, triggers=False) as db:
            plain = seconds(lambda: insert_all(db, [rows]))
        for name, taken in {
            "bare executemany, same table": bare,
            "bare executemany, same table without its triggers": plain,
            "pandas.to_sql, no key": to_sql(folder, rows),
            "sqlite-utils upsert_all": upsert_all(folder, rows),
        }.items():
            found.setdefault(name, []).append(taken / ours)
        found.setdefault("saving it again, all of it known, beside saving it", []).append(
            ours / same
        )
    for (name, ratios), budget in zip(found.items(), (0.8, 0.5, None, None, None), strict=True):
        table.ratio(f"50,000-bar page: {name}", ratios, budget)


def million_by_months(folder: Path, table: Table, rounds: int) -> None:
    """Compare a million minute bars, a month a commit."""
    times = minute_times(122)[:1_000_000]
    whole = walk("S000", times, MINUTE, "1m", seed=2)
    pages = [whole.slice(at, min(at + MONTH, len(times))) for at in range(0, len(times), MONTH)]
    rows = [tuples(page) for page in pages]
    ratios = []
    rates = []
    for _ in range(max(1, rounds // 2)):
        with empty_store(folder) as db:
            ours = seconds(lambda: save_all(db, pages))
        with empty_store(folder, triggers=False) as db:
            ratios.append(seconds(lambda: insert_all(db, rows)) / ours)
        rates.append(len(times) / ours / 1000)
    table.ratio("1M minute bars by month: bare executemany without triggers", ratios, 0.5)
    table.value("1M minute bars by month: saved", statistics.median(rates), "thousand bars/s")


def pivot(db: sqlite3.Connection) -> pd.DataFrame:
    """Read all closes as the vendor's users do."""
    sql = (
        "SELECT symbol, ts_close, close FROM bars JOIN series USING (series_id)"
        " WHERE source = 'bench' AND timeframe = '1d'"
    )
    frame = pd.read_sql(sql, db)
    return frame.pivot(index="ts_close", columns="symbol", values="close")  # noqa: PD010 - the peer


def daily_store(folder: Path, table: Table, rounds: int) -> None:
    """Measure reads of 500 symbols x 2,500 days."""
    times = daily_times(2_500)
    with store(folder, "daily") as db:
        for number, symbol in enumerate(SYMBOLS):
            save_all(db, [walk(symbol, times, 6 * HOUR, "1d", seed=number)])
        frame = pivot(db)
        began = seconds(lambda: load_panel(db, "bench", SYMBOLS, "1d"))
        panel = load_panel(db, "bench", SYMBOLS, "1d")
        if not np.array_equal(panel.columns["close"], frame.to_numpy()):
            raise AssertionError("the panel differs from the peer's")
        found = []
        for _ in range(rounds):
            ours = seconds(lambda: load_panel(db, "bench", SYMBOLS, "1d"))
            found.append(seconds(lambda: pivot(db)) / ours)
        table.ratio("500 x 2,500 closes: pandas.read_sql + pivot", found, 30)
        table.value("500 x 2,500 closes: panel", 1e3 * ours, "ms")
        table.value("500 x 2,500 closes: first panel, which builds the cache", 1e3 * began, "ms")
        last = [
            seconds(lambda: load_bars(db, "bench", symbol, "1d", last=250))  # noqa: B023
            for symbol in SYMBOLS
        ]
        table.value("last 250 of one of 500 symbols", 1e3 * statistics.median(last), "ms", 1)
        cached = [
            seconds(lambda: load_bars(db, "bench", symbol, "1d"))  # noqa: B023
            for symbol in SYMBOLS
        ]
        table.value("one history of 2,500 bars, cached", 1e3 * statistics.median(cached), "ms")
        sizes(db, folder / "daily.db", table, "daily")


def sizes(db: sqlite3.Connection, path: Path, table: Table, what: str) -> None:
    """Print bytes per bar of the file with and without the cache."""
    (bars,) = db.execute("SELECT count(*) FROM bars").fetchone()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    free, page = (db.execute(f"PRAGMA {n}").fetchone()[0] for n in ("freelist_count", "page_size"))
    table.value(f"{what}: rows and cache", (path.stat().st_size - free * page) / bars, "bytes/bar")
    drop_chunks(db)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    free = db.execute("PRAGMA freelist_count").fetchone()[0]
    table.value(f"{what}: rows alone", (path.stat().st_size - free * page) / bars, "bytes/bar")


def minute_store(folder: Path, table: Table) -> None:
    """Measure 5 million minute bars of 10 symbols in one file."""
    times = minute_times(62)[:500_000]
    taken = 0.0
    with store(folder, "minute") as db:
        for number, symbol in enumerate(SYMBOLS[:10]):
            whole = walk(symbol, times, MINUTE, "1m", seed=number)
            starts = range(0, len(times), MONTH)
            pages = [whole.slice(at, min(at + MONTH, len(times))) for at in starts]
            taken += seconds(lambda: save_all(db, pages))  # noqa: B023
        table.value("5M minute bars: saved", 10 * len(times) / taken / 1000, "thousand bars/s")
        last = [
            seconds(lambda: load_bars(db, "bench", symbol, "1m", last=250))  # noqa: B023
            for symbol in SYMBOLS[:10] * 10
        ]
        table.value("5M minute bars: last 250 of one", 1e3 * statistics.median(last), "ms", 1)
        sql = f"SELECT {HISTORY} FROM bars WHERE series_id = 1 ORDER BY ts_close"  # noqa: S608
        rows = seconds(lambda: db.execute(sql).fetchall())
        build = seconds(lambda: build_chunks(db, range(1, 11)))
        cached = [
            seconds(lambda: load_bars(db, "bench", symbol, "1m"))  # noqa: B023
            for symbol in SYMBOLS[:10]
        ]
        found = [rows / one for one in cached]
        table.ratio("5M minute bars: 500,000 of one as rows, beside the cache", found)
        table.value("5M minute bars: 500,000 of one, cached", 1e3 * statistics.median(cached), "ms")
        table.value("5M minute bars: building the whole cache", build, "s")
        panel = [seconds(lambda: load_panel(db, "bench", SYMBOLS[:10], "1m")) for _ in range(3)]
        table.value("5M minute bars: panel of all closes", 1e3 * statistics.median(panel), "ms")
        sizes(db, folder / "minute.db", table, "minute")


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    table = Table()
    folder = Path(tempfile.mkdtemp())
    try:
        page_of_50_000(folder, table, rounds)
        million_by_months(folder, table, rounds)
        daily_store(folder, table, rounds)
        minute_store(folder, table)
    finally:
        shutil.rmtree(folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    table.value("peak memory of this process, data and peers included", peak, "MiB")
    sys.exit(table.missed)


if __name__ == "__main__":
    main()
