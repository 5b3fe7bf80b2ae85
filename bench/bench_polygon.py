"""A page of 50,000 minute bars from bytes to committed rows, as ratios within one run.

    python bench/bench_polygon.py [ROUNDS]

Each round does everything once, in turn, so that a machine that slows down slows all of it; the
median of the per-round ratios is printed. The budget is the one that the project promises: parsed,
checked and committed within twice the time of `json.loads` and a bare `executemany` of the very
same rows, which are made beforehand, into the same table.
"""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import statistics
import sys
import tempfile
import time
from datetime import date
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from algotrade.domain.times import MINUTE
from algotrade.market.calendar import exchange_calendar
from algotrade.market.polygon import PolygonSource
from algotrade.market.polygon_bars import Asked, read_page
from algotrade.market.polygon_http import PolygonHttp, strict_json
from algotrade.market.source import Span
from algotrade.store import bars as bar_store
from algotrade.store.database import create_store, immediate

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

    from algotrade.bars import Bars
    from algotrade.market.calendar import Calendar

BUDGET = 2.0
BARS = 50_000
SPAN = Span(start=date(2026, 1, 2), end=date(2026, 11, 21))
NEVER = 2**62


def timed(work: Callable[[], object]) -> float:
    """Give the seconds of one call."""
    gc.collect()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def page() -> tuple[bytes, Any]:
    """Make the page, and give it with the module that can serve it."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    import polygon_server

    rows = polygon_server.plausible_minutes(53, first_minute=240, count=960)[:BARS]
    counts = dict.fromkeys(("queryCount", "resultsCount", "count"), BARS)
    answer = {"ticker": "AAPL", **counts, "adjusted": False, "results": rows, "status": "OK"}
    return json.dumps(answer).encode(), polygon_server


class Bench:
    """The page, the calendar and a folder for scratch stores."""

    def __init__(self, body: bytes, folder: Path) -> None:
        self.body, self.folder, self.numbers = body, folder, count()
        self.calendar: Calendar = exchange_calendar(date(2025, 12, 1), date(2026, 12, 31))
        self.asked = Asked("AAPL", "1m", SPAN.start, SPAN.end, NEVER)

    def store(self) -> sqlite3.Connection:
        """Make a scratch store that knows the series."""
        db = create_store(self.folder / f"{next(self.numbers)}.db")
        with immediate(db):
            bar_store.series_id(db, "polygon", "AAPL", "1m")
        return db

    def bars(self) -> Bars:
        """Parse and check the page."""
        answer: Any = strict_json(self.body, "no-key")
        return read_page(answer, self.asked, self.calendar, -1)[0].bars

    def save(self, db: sqlite3.Connection) -> None:
        """Parse, check and commit the page."""
        with immediate(db):
            bar_store.save_bars(db, self.bars(), recorded_at=lambda ts_close: ts_close + MINUTE)

    def bare(self, db: sqlite3.Connection, rows: list[tuple[Any, ...]]) -> None:
        """Parse the page, and commit rows made beforehand."""
        json.loads(self.body)
        marks = ", ".join("?" * len(rows[0]))
        with immediate(db):
            db.executemany(f"INSERT INTO bars VALUES ({marks})", rows)  # noqa: S608 -- marks only

    def to_sql(self) -> None:
        """Do as a script with pandas does."""
        import sqlite3

        import pandas as pd

        frame = pd.DataFrame(json.loads(self.body)["results"])
        with contextlib.closing(sqlite3.connect(self.folder / f"{next(self.numbers)}.db")) as db:
            frame.to_sql("bars", db, index=False)

    def upsert_all(self) -> None:
        """Do as a script with sqlite-utils does."""
        import sqlite_utils

        database = sqlite_utils.Database(self.folder / f"{next(self.numbers)}.db")
        table: Any = database["bars"]
        table.upsert_all(json.loads(self.body)["results"], pk="t")
        database.close()


def rows_of(bench: Bench) -> list[tuple[Any, ...]]:
    """Give the rows as the table holds them."""
    with contextlib.closing(bench.store()) as db:
        bench.save(db)
        return db.execute("SELECT * FROM bars ORDER BY ts_close").fetchall()


def over_the_wire(bench: Bench, base: str, key: str) -> Iterator[tuple[str, float]]:
    """Time what a user of either client gets from a loopback server."""
    import pandas as pd
    from polygon import RESTClient

    logging.getLogger("RESTClient").handlers.clear()
    client = RESTClient(api_key=key, base=base)
    first, last = str(SPAN.start), "2026-11-20"
    yield (
        "vendor's client, list_aggs to DataFrame",
        timed(
            lambda: pd.DataFrame(client.list_aggs("AAPL", 1, "minute", first, last, limit=50_000))
        ),
    )
    http = PolygonHttp(base=base, key=key, rate_per_minute=0, announce=print)
    source = PolygonSource(http, bench.calendar, today=SPAN.end, now=NEVER, announce=print)
    yield "ours, bars() to checked columns", timed(lambda: list(source.bars("AAPL", "1m", SPAN)))
    http.close()


def one_round(bench: Bench, rows: list[tuple[Any, ...]], base: str, key: str) -> dict[str, float]:
    """Give the seconds of each way."""
    found = {"json.loads": timed(lambda: json.loads(bench.body))}
    with contextlib.closing(bench.store()) as db:
        found["json.loads + executemany"] = timed(lambda: bench.bare(db, rows))
    found["ours, parsed and checked"] = timed(bench.bars)
    with contextlib.closing(bench.store()) as db:
        found["ours, parsed, checked and committed"] = timed(lambda: bench.save(db))
    found["json.loads + DataFrame.to_sql"] = timed(bench.to_sql)
    found["json.loads + sqlite-utils upsert_all"] = timed(bench.upsert_all)
    return found | dict(over_the_wire(bench, base, key))


RATIOS = (
    ("ours, parsed, checked and committed", "json.loads + executemany"),
    ("ours, parsed and checked", "json.loads"),
    ("json.loads + DataFrame.to_sql", "ours, parsed, checked and committed"),
    ("json.loads + sqlite-utils upsert_all", "ours, parsed, checked and committed"),
    ("vendor's client, list_aggs to DataFrame", "ours, bars() to checked columns"),
)


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    body, served = page()
    fault = served.Fault(kind="reply", value=body.decode())
    with (
        tempfile.TemporaryDirectory() as folder,
        served.PolygonServer(faults=[fault]) as server,
    ):
        bench = Bench(body, Path(folder))
        rows = rows_of(bench)
        if len(rows) != BARS:
            sys.exit(f"only {len(rows)} bars were stored")
        one_round(bench, rows, server.base, served.KEY)  # imports and caches
        found = [one_round(bench, rows, server.base, served.KEY) for _ in range(rounds)]
    print(f"{BARS:,} minute bars, {len(body) / 1e6:.1f} MB of JSON; medians of {rounds} rounds\n")
    for name in found[0]:
        print(f"{name:<42} {1000 * statistics.median(one[name] for one in found):7.1f} ms")
    print()
    ratios = [statistics.median(one[a] / one[b] for one in found) for a, b in RATIOS]
    for (a, b), ratio in zip(RATIOS, ratios, strict=True):
        print(f"{ratio:5.2f} x   {a} / {b}")
    print(f"\nbudget of the first: {BUDGET}")
    sys.exit(ratios[0] > BUDGET)


if __name__ == "__main__":
    main()
