"""Damage a store in 10,000 ways; every changed value must be found, and no wrong portfolio shown.

python tests/campaigns/corrupt_ledger.py --trials 10000 --seed 1 --out corrupt_ledger.json

A trial takes a copy of a store with orders, fills, marks, deposits and halts, and damages it: one
bit or a few, in the file or in its log; a stretch of zeros or of noise; cut short; the log lost; an
older store put back. Then two commands look at it, as a person would. `portfolio` must say what it
said before, or fail with one clear error; `ledger verify` must fail where any value that the seals
cover can no longer be read as it was. What is not an error of ours is counted as a bug.

The control is what SQLite finds by itself (`integrity_check`): if that were enough, the harness
would prove nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

import ledger_world
from algotrade.config import load_settings
from algotrade.errors import AlgotradeError
from algotrade.store import chain, heads
from algotrade.store.schema_care import RANGED, TRAILED
from algotrade.workflows.context import open_workspace
from algotrade.workflows.ledger import verify_ledger
from algotrade.workflows.portfolio import list_trades, show_portfolio
from campaigns.verdicts import tell

if TYPE_CHECKING:
    from collections.abc import Callable

    from algotrade.workflows.context import Workspace

ROUNDS = 12
NAME = "algotrade.db"
COVERED = (*RANGED, *TRAILED, "orders", "ledger", "settled", "grounds")
WAYS = {"flip": 50, "flips": 10, "flip in log": 10, "zeros": 5, "noise": 5, "cut": 8, "cut log": 4,
        "no log": 3, "older": 5}  # fmt: skip


@dataclass(kw_only=True)
class Result:
    """What a campaign did and saw."""

    trials: int = 0
    ways: Counter[str] = field(default_factory=Counter)
    changed: int = 0
    found: int = 0
    found_by_sqlite: int = 0
    refused: int = 0
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def told(self) -> dict[str, Any]:
        return {
            "trials": self.trials,
            "ways": dict(self.ways),
            "values_changed": self.changed,
            "found": self.found,
            "found_by_integrity_check_alone": self.found_by_sqlite,
            "portfolio_refused": self.refused,
            "wrong": len(self.wrong),
            "first_wrong": self.wrong[:5],
            "seconds": round(self.seconds, 1),
        }


class Campaign:
    """One home, restored before each trial; older states of it are kept."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311 -- places, not secrets
        self.data = folder / "home" / "data"
        self.kept = folder / "kept"
        self.settings = load_settings(
            home=str(folder / "home"), flags={"source": "polygon"}, isolated=True
        )
        self.result = Result()
        self.older: list[bytes] = []
        self._build()
        self.truth = self.values(self.kept)
        self.restore()
        self.answer = self.portfolio()
        assert self.verified() is None, "the store is wrong before anything was done to it"

    def run(self, trials: int) -> Result:
        """Damage, look, compare."""
        began = time.monotonic()
        ways = self.chance.choices([*WAYS], [*WAYS.values()], k=trials)
        for number, way in enumerate(ways):
            self.restore()
            self.damage(way)
            self.judge(f"trial {number}, {way}")
            self.result.trials += 1
            self.result.ways[way] += 1
        self.result.seconds = time.monotonic() - began
        return self.result

    def judge(self, what: str) -> None:
        """Let both commands look at a copy of their own, and compare with what was."""
        changed = self.values(self.data) != self.truth
        lost = changed or self.head() != self.truth_head
        damaged = {path.name: path.read_bytes() for path in self.data.iterdir()}
        wrong = self.verified()
        self.put(damaged)
        self.result.found_by_sqlite += changed and not self.sound()
        self.put(damaged)
        answer = self.portfolio()
        self.result.changed += changed
        self.result.found += changed and wrong is not None
        self.result.refused += answer is None
        if lost and wrong is None:
            self.result.wrong.append(f"{what}: changed, and verify says that everything holds")
        if answer is not None and answer != self.answer:
            self.result.wrong.append(f"{what}: another portfolio, and no error")
        for said in (wrong, answer):
            if isinstance(said, str) and said.startswith("BUG"):
                self.result.wrong.append(f"{what}: {said}")

    def damage(self, way: str) -> None:
        store, log = self.data / NAME, self.data / f"{NAME}-wal"
        match way:
            case "flip" | "flips" | "flip in log":
                path = log if way == "flip in log" else store
                raw = bytearray(path.read_bytes())
                for _ in range(1 if way != "flips" else self.chance.randint(2, 20)):
                    raw[self.chance.randrange(len(raw))] ^= 1 << self.chance.randrange(8)
                path.write_bytes(raw)
            case "zeros" | "noise":
                raw = bytearray(store.read_bytes())
                length = self.chance.choice((1, 16, 512, 4096))
                at = self.chance.randrange(len(raw) - length)
                fill = bytes(length) if way == "zeros" else self.chance.randbytes(length)
                raw[at : at + length] = fill
                store.write_bytes(raw)
            case "cut" | "cut log":
                path = log if way == "cut log" else store
                whole = path.read_bytes()
                path.write_bytes(whole[: self.chance.randrange(len(whole))])
            case "no log":
                log.unlink()
            case "older":
                log.unlink()
                store.write_bytes(self.chance.choice(self.older))

    def verified(self) -> str | None:
        """Give what `ledger verify` finds wrong, if it does."""

        def look(ws: Workspace) -> str | None:
            return verify_ledger(ws).wrong

        said = self._asked(look, checked=False)
        return said if said is None or isinstance(said, str) else repr(said)

    def portfolio(self) -> object:
        """Give what `portfolio` and `trades` show, or None where they refuse."""

        def look(ws: Workspace) -> object:
            return repr((show_portfolio(ws)._replace(now=0), list_trades(ws)))

        said = self._asked(look, checked=True)
        return None if isinstance(said, AlgotradeError) else said

    def _asked(self, look: Callable[[Workspace], object], *, checked: bool) -> object:
        try:
            with open_workspace(self.settings, lambda _: None, reading=True, checked=checked) as ws:
                return look(ws)
        except AlgotradeError as error:
            return error
        except Exception as error:  # noqa: BLE001  whatever else is a bug
            return f"BUG {type(error).__name__}: {error}"

    def sound(self) -> bool:
        """Tell what SQLite's own check says."""
        try:
            with contextlib.closing(sqlite3.connect(self.data / NAME)) as db:
                return bool(db.execute("PRAGMA integrity_check").fetchone()[0] == "ok")
        except (sqlite3.Error, UnicodeDecodeError):
            return False

    def values(self, folder: Path) -> dict[str, Any] | None:
        """Read every value that seals cover; None where that is not possible."""
        with tempfile.TemporaryDirectory() as apart:
            for name in (NAME, f"{NAME}-wal"):
                if (folder / name).exists():
                    shutil.copy(folder / name, apart)
            try:
                with contextlib.closing(sqlite3.connect(Path(apart) / NAME)) as db:
                    return _values(db)
            except (sqlite3.Error, UnicodeDecodeError):
                return None

    def head(self) -> object:
        values = self.values(self.data)
        return values and values["seals"][-1:]

    @property
    def truth_head(self) -> object:
        assert self.truth is not None
        return self.truth["seals"][-1:]

    def restore(self) -> None:
        self.put({path.name: path.read_bytes() for path in self.kept.iterdir()})

    def put(self, files: dict[str, bytes]) -> None:
        for path in self.data.iterdir():
            path.unlink()
        for name, raw in files.items():
            (self.data / name).write_bytes(raw)

    def _build(self) -> None:
        """Make the store: older states on the way, and its last rounds still in the log."""
        store = self.data / NAME
        with contextlib.closing(ledger_world.open_world(store)) as db:
            for number in range(ROUNDS):
                if number and number % 3 == 0:
                    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                    self.older.append(store.read_bytes())
                ledger_world.grow(db, number)
            head = chain.head(db)
            assert head is not None
            heads.write_head(store, head)
            self.kept.mkdir()
            for name in (NAME, f"{NAME}-wal", "heads"):
                shutil.copy(self.data / name, self.kept)


def _values(db: sqlite3.Connection) -> dict[str, Any]:
    found = {
        table: sorted(map(repr, db.execute(f"SELECT * FROM {table}")))  # noqa: S608 -- our own
        for table in COVERED
    }
    found["meta"] = db.execute(chain.STATE["meta"]).fetchall()
    found["seals"] = db.execute("SELECT * FROM seals ORDER BY seq").fetchall()
    return found


def campaign(trials: int, seed: int, folder: Path) -> Result:
    """Run the campaign in a folder."""
    return Campaign(folder, seed).run(trials)


def passed(result: Result) -> bool:
    """Tell whether nothing was missed, and whether SQLite alone would have missed something."""
    return not result.wrong and result.found == result.changed > result.found_by_sqlite


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def main() -> int:
    """Run, and tell what came out."""
    given = _arguments()
    with tempfile.TemporaryDirectory(prefix="corrupt_ledger") as folder:
        result = campaign(given.trials, given.seed, Path(folder))
    seen = {
        "campaign": result.told(),
        "control": {
            "what": "integrity_check alone",
            "missed": result.changed - result.found_by_sqlite,
            "must": "miss some",
        },
    }
    return tell(given.seed, seen, good=passed(result), out=given.out)


if __name__ == "__main__":
    raise SystemExit(main())
