"""Kill -9 a fetch at random moments; after one more run the store must be the undisturbed one.

python tests/campaigns/kill_fetch.py --kills 200 --seed 1 --out kill_fetch.json

A round is a new home in which a fetch of all symbols is killed again and again, until everything is
there; then one whole run, and every table that matters is compared, hash for hash, with that of a
run that nobody disturbed. After each kill the store is looked at, too (a copy, so that looking
mends nothing): each symbol is there whole or not at all. Half of the kills come at a random time
after the start, half a few milliseconds after a random call reached the server, early calls more
often, so that a home sees many kills.

The control is the same harness around a saver that commits page by page and notes a symbol as
covered before its last page: if that one passed, the harness would prove nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import platform
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from polygon_server import KEY, PolygonServer, plausible_bars

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = "2026-11-20T21:05:00Z"
BARS, PAGE = 300, 150
LONGEST = 120.0  # seconds that an undisturbed run may take

# what must be equal; not: numbers that rows were given, how often a span was answered
TABLES = {
    "bars": "SELECT source, symbol, timeframe, ts_close, seconds, open, high, low, close, volume,"
    " known_at FROM bars JOIN series USING (series_id)",
    "bar_revisions": "SELECT source, symbol, timeframe, ts_close, seconds, open, high, low, close,"
    " volume, known_at, superseded_at FROM bar_revisions JOIN series USING (series_id)",
    "coverage": "SELECT source, symbol, timeframe, first_day, last_day, asked_at FROM coverage"
    " JOIN series USING (series_id)",
    "rejected_bars": "SELECT source, symbol, timeframe, bar, reason, seen_at FROM rejected_bars"
    " JOIN series USING (series_id)",
    "series": "SELECT source, symbol, timeframe FROM series",
    "splits": "SELECT * FROM splits",
    "dividends": "SELECT * FROM dividends",
    "sessions": "SELECT * FROM sessions",
    "meta": "SELECT * FROM meta",
    "accounts": "SELECT * FROM accounts",
    "ledger": "SELECT * FROM ledger",
}
WHOLE = """
SELECT s.symbol, count(DISTINCT b.ts_close), count(DISTINCT c.coverage_id),
  EXISTS (SELECT 1 FROM meta WHERE name = 'actions:' || s.source || ':' || s.symbol)
FROM series s LEFT JOIN bars b USING (series_id) LEFT JOIN coverage c USING (series_id)
GROUP BY s.symbol
"""


@dataclass(kw_only=True)
class Result:
    """What a campaign did and saw."""

    saver: str
    symbols: int
    kills: int = 0
    rounds: int = 0
    moments: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        return not self.wrong

    def told(self) -> dict[str, Any]:
        return {
            "saver": self.saver,
            "passed": self.passed,
            "symbols": self.symbols,
            "kills_delivered": self.kills,
            "rounds_compared": self.rounds,
            "kills_when": dict(self.moments),
            "wrong": len(self.wrong),
            "first_wrong": self.wrong[:5],
            "seconds": round(self.seconds, 1),
        }


class Campaign:
    """One saver under one server; the same fetch over and over in homes of its own."""

    def __init__(
        self, server: PolygonServer, saver: str, folder: Path, chance: random.Random
    ) -> None:
        self.server, self.folder, self.chance = server, folder, chance
        self.symbols = sorted(server.bars)
        self.result = Result(saver=saver, symbols=len(self.symbols))
        program = [str(Path(sys.executable).with_name("algotrade")), "fetch", "-q"]
        naive = [sys.executable, str(Path(__file__)), "--save-like-a-fool"]
        self.command = [*(program if saver == "algotrade" else naive), *self.symbols]

    def run(self, kills: int) -> Result:
        """Kill so often, in as many homes as that takes."""
        began = time.monotonic()
        self.leave_alone()
        while self.result.kills < kills:
            home = self.folder / f"{self.result.saver}{self.result.rounds}"
            self.round(home, kills)
            shutil.rmtree(home)
        self.result.seconds = time.monotonic() - began
        return self.result

    def leave_alone(self) -> None:
        """Make the run that nobody disturbs, and keep what it leads to."""
        calls = len(self.server.calls)
        self.length = self.finish(self.folder / "undisturbed")
        self.calls = len(self.server.calls) - calls
        self.expected = hashes(self.folder / "undisturbed")

    def round(self, home: Path, kills: int) -> None:
        complete = False
        while not complete and self.result.kills < kills:
            if not self.disturb(home, *self.moment()):
                break  # it was done before the blow fell
            complete = self.look(home)
        self.compare(home)

    def compare(self, home: Path) -> None:
        """Run once more, undisturbed, and compare what is stored."""
        self.finish(home)
        found = hashes(home)
        different = [name for name in TABLES if found[name] != self.expected[name]]
        if different:
            self.result.wrong.append(f"round {self.result.rounds}: {', '.join(different)} differ")
        self.result.rounds += 1

    def moment(self) -> tuple[int, float]:
        """Choose when to kill: how many calls must have come, and the seconds after that."""
        if self.chance.random() < 0.5:
            return 0, self.chance.uniform(0, self.length)
        early_more_often = int(self.calls ** self.chance.random())
        return early_more_often, self.chance.uniform(0, 0.008)

    def disturb(self, home: Path, calls: int, pause: float) -> bool:
        """Start a fetch and kill it; tell whether it was alive until then."""
        until = len(self.server.calls) + calls
        child = self.start(home)
        while len(self.server.calls) < until and child.poll() is None:
            time.sleep(0.0005)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(pause)
        child.kill()
        code = child.wait()
        if code == -signal.SIGKILL:
            self.result.kills += 1
            self.result.moments["call" if calls else "time"] += 1
            return True
        if code:
            self.result.wrong.append(f"round {self.result.rounds}: a run ended with {code}")
        return False

    def look(self, home: Path) -> bool:
        """Check that each symbol is whole or absent; tell whether all are there."""
        with copy_of(home) as db:
            try:
                rows = db.execute(WHOLE).fetchall()
            except sqlite3.OperationalError:  # killed before there were tables
                return False
            sound = db.execute("PRAGMA integrity_check").fetchone()[0]
        torn = [row for row in rows if row[1:] != (BARS, 1, 1)]
        if torn or sound != "ok":
            self.result.wrong.append(f"round {self.result.rounds}: torn {torn[:3]}, {sound}")
        return len(rows) == len(self.symbols)

    def finish(self, home: Path) -> float:
        began = time.monotonic()
        code = self.start(home).wait(LONGEST)
        if code:
            self.result.wrong.append(f"round {self.result.rounds}: the last run ended with {code}")
        return time.monotonic() - began

    def start(self, home: Path) -> subprocess.Popen[bytes]:
        env = {
            "PATH": "/usr/bin:/bin",
            "HOME": "/nonexistent",
            "ALGOTRADE_HOME": str(home),
            "ALGOTRADE_API_BASE": self.server.base,
            "ALGOTRADE_RATE": "0",
            "ALGOTRADE_NOW": NOW,
            "POLYGON_API_KEY": KEY,
        }
        return subprocess.Popen(
            self.command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )


def hashes(home: Path) -> dict[str, str]:
    """Give a digest of each table that matters, in an order of its own."""
    with contextlib.closing(sqlite3.connect(home / "data" / "algotrade.db")) as db:
        return {
            name: hashlib.sha256(repr(sorted(db.execute(query).fetchall())).encode()).hexdigest()
            for name, query in TABLES.items()
        }


@contextlib.contextmanager
def copy_of(home: Path) -> Iterator[sqlite3.Connection]:
    """Open a copy of the store as the dead process left it."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("algotrade.db", "algotrade.db-wal"):
            if (home / "data" / name).exists():
                shutil.copy(home / "data" / name, folder)
        with contextlib.closing(sqlite3.connect(Path(folder) / "algotrade.db")) as db:
            yield db


def save_like_a_fool(symbols: list[str]) -> None:
    """Commit page by page, and note a symbol as covered before its last page: the control."""
    from algotrade.config import load_settings
    from algotrade.domain.times import to_day
    from algotrade.store import actions, coverage, records
    from algotrade.store.bars import save_bars, series_id
    from algotrade.store.database import immediate
    from algotrade.workflows.context import ensure_account, open_workspace
    from algotrade.workflows.fetch_plan import FetchRequest, plan_symbol
    from algotrade.workflows.sources import ensure_calendar, open_feed

    with open_workspace(load_settings(), lambda _: None, create=True) as ws:
        calendar = ensure_calendar(ws)
        source = open_feed(ws, calendar).source
        now = ws.clock.now()
        for symbol in symbols:
            task = plan_symbol(ws, symbol, calendar, FetchRequest())
            if task.known:
                continue
            [[span]] = task.units
            splits, dividends = source.splits(symbol), source.dividends(symbol)
            for page in source.bars(symbol, "1d", span):
                with immediate(ws.db):
                    series = series_id(ws.db, ws.source, symbol, "1d")
                    first, last = to_day(span.start), to_day(task.last)
                    coverage.note_covered(ws.db, series, first, last, asked_at=now, bars=PAGE)
                    save_bars(ws.db, page.bars, recorded_at=lambda _: now)
                    actions.save_splits(ws.db, ws.source, symbol, splits, known_at=now)
                    actions.save_dividends(ws.db, ws.source, symbol, dividends, known_at=now)
                    records.set_meta(ws.db, f"actions:{ws.source}:{symbol}", str(last))
        with immediate(ws.db):
            ensure_account(ws)


def world(symbols: int) -> PolygonServer:
    """Serve so many symbols with two pages each; some split, some pay."""
    names = [f"S{chr(65 + n // 26)}{chr(65 + n % 26)}" for n in range(symbols)]
    splits = [
        {
            "id": name,
            "ticker": name,
            "execution_date": "2026-06-15",
            "split_from": 1,
            "split_to": 4,
            "adjustment_type": "forward_split",
        }
        for name in names[::5]
    ]
    dividends = [
        {
            "id": name + day,
            "ticker": name,
            "ex_dividend_date": day,
            "cash_amount": 0.25,
            "currency": "USD",
            "frequency": 4,
        }
        for name in names[::3]
        for day in ("2026-02-09", "2026-05-11", "2026-08-10")
    ]
    daily = {name: plausible_bars(BARS, seed=n) for n, name in enumerate(names, start=1)}
    return PolygonServer(daily, splits=splits, dividends=dividends, page_size=PAGE)


def campaign(saver: str, kills: int, symbols: int, seed: int, folder: Path) -> Result:
    """Run one saver under the harness."""
    chance = random.Random(seed)  # noqa: S311 -- moments, not secrets
    with world(symbols) as server:
        return Campaign(server, saver, folder, chance).run(kills)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--symbols", type=int, default=50)
    parser.add_argument("--control-kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--save-like-a-fool", nargs="+", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    """Run the campaign and its control; tell what came out."""
    given = _arguments()
    if given.save_like_a_fool:
        save_like_a_fool(given.save_like_a_fool)
        return 0
    from algotrade import __version__

    with tempfile.TemporaryDirectory(prefix="kill_fetch") as folder:
        ours, control = (
            campaign(saver, kills, given.symbols, given.seed, Path(folder) / saver)
            for saver, kills in (("algotrade", given.kills), ("naive", given.control_kills))
        )
    report = {
        "seed": given.seed,
        "algotrade": __version__,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "system": platform.platform(),
        "campaign": ours.told(),
        "control": control.told() | {"must": "fail"},
        "result": "pass" if ours.passed and not control.passed else "FAIL",
    }
    text = json.dumps(report, indent=2)
    sys.stdout.write(text + "\n")
    if given.out:
        given.out.write_text(text + "\n", encoding="utf-8")
    return 0 if report["result"] == "pass" else 1


if __name__ == "__main__":
    raise SystemExit(main())
