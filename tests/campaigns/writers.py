"""Eight processes write to one store; nothing is lost, and nobody is told that it is locked.

python tests/campaigns/writers.py --writers 8 --trials 5000 --seed 1 --out writers.json

Each writer makes so many transactions of its own: it reads a count, writes the next one, appends a
ledger entry to its account, and now and then decides to give up and roll back. Afterwards every
count, every entry and every seal must be there.

The control begins its transactions as `BEGIN` does by itself, deferred: the first read is of one
moment and the write of another, so that it must fail as locked or lose a count.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from algotrade.domain.ledger import DEPOSIT, Entry
from algotrade.store.chain import check_all
from algotrade.store.database import create_store, immediate, open_store
from algotrade.store.journal import StoreJournal, verify_chain
from algotrade.store.records import AccountRecord, get_meta, open_account, set_meta
from campaigns.verdicts import tell

if TYPE_CHECKING:
    from collections.abc import Iterator

COUNT = "head:count"  # a note that is sealed
_GIVE_UP = 0.02


@dataclass(kw_only=True)
class Result:
    """What a campaign did and saw."""

    begin: str
    writers: int
    transactions: int = 0
    rolled_back: int = 0
    locked: int = 0
    seals: int = 0
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def told(self) -> dict[str, Any]:
        return {
            "begin": self.begin,
            "writers": self.writers,
            "transactions": self.transactions,
            "rolled_back_on_purpose": self.rolled_back,
            "told_locked": self.locked,
            "seals_checked": self.seals,
            "wrong": self.wrong[:5],
            "per_second": round(self.transactions / self.seconds) if self.seconds else None,
            "seconds": round(self.seconds, 1),
        }


@contextlib.contextmanager
def deferred(db: sqlite3.Connection) -> Iterator[None]:
    """Begin as SQLite does by itself: the control."""
    db.execute("BEGIN")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def work(store: Path, begin: str, number: int, trials: int, seed: int) -> dict[str, int]:
    """Be one writer; give how its transactions ended."""
    chance = random.Random(seed * 1000 + number)  # noqa: S311 -- moments, not secrets
    account = f"w{number}"
    done = {"committed": 0, "rolled_back": 0, "locked": 0}
    with contextlib.closing(open_store(store)) as db:
        for ref in range(trials):
            entry = Entry(ts=ref, kind=DEPOSIT, ref=str(ref), amount=1)
            try:
                with immediate(db) if begin == "immediate" else deferred(db):
                    count = int(get_meta(db, COUNT) or 0)
                    set_meta(db, COUNT, str(count + 1))
                    StoreJournal(db, account, recorded_at=ref).append(entry)
                    1 // int(chance.random() >= _GIVE_UP)  # gives up now and then
                done["committed"] += 1
            except ZeroDivisionError:
                done["rolled_back"] += 1
            except sqlite3.OperationalError:
                done["locked"] += 1
    return done


def campaign(begin: str, writers: int, trials: int, seed: int, folder: Path) -> Result:
    """Let them write at once, then count."""
    began = time.monotonic()
    store = folder / begin / "algotrade.db"
    with contextlib.closing(create_store(store)) as db, immediate(db):
        for number in range(writers):
            open_account(db, AccountRecord(f"w{number}", "csv", 1))
    me = [sys.executable, str(Path(__file__)), "--write", str(store), begin]
    racing = [
        subprocess.Popen([*me, str(n), str(trials), str(seed)], stdout=subprocess.PIPE, text=True)
        for n in range(writers)
    ]
    ended = [(child.communicate()[0], child.returncode) for child in racing]
    result = Result(begin=begin, writers=writers)
    result.wrong += [f"a writer ended with {code}" for _, code in ended if code]
    done = [json.loads(out) for out, code in ended if not code]
    result.transactions = sum(one["committed"] for one in done)
    result.rolled_back = sum(one["rolled_back"] for one in done)
    result.locked = sum(one["locked"] for one in done)
    with contextlib.closing(open_store(store)) as db:
        count = int(get_meta(db, COUNT) or 0)
        entries = [verify_chain(db, f"w{number}") for number in range(writers)]
        if begin == "immediate":
            result.seals = check_all(db)
    if (count, sum(entries)) != (result.transactions, result.transactions):
        result.wrong.append(
            f"{result.transactions} committed, {count} counted, {sum(entries)} kept"
        )
    if begin == "immediate" and result.seals != result.transactions + 2:  # made, opened
        result.wrong.append(f"{result.seals} seals of {result.transactions} transactions")
    if result.locked:
        result.wrong.append(f"told {result.locked} times that the store is locked")
    result.seconds = time.monotonic() - began
    return result


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=5000, help="transactions of each writer")
    parser.add_argument("--control-trials", type=int, default=200)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--write", nargs=5, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    """Run the campaign and its control; tell what came out."""
    given = _arguments()
    if given.write:
        store, begin, number, trials, seed = given.write
        sys.stdout.write(json.dumps(work(Path(store), begin, int(number), int(trials), int(seed))))
        return 0
    with tempfile.TemporaryDirectory(prefix="writers") as place:
        ours, control = (
            campaign(begin, given.writers, trials, given.seed, Path(place))
            for begin, trials in (("immediate", given.trials), ("deferred", given.control_trials))
        )
    good = not ours.wrong and bool(control.wrong)
    seen = {
        "campaign": ours.told(),
        "control": control.told() | {"must": "fail"},
    }
    return tell(given.seed, seen, good=good, out=given.out)


if __name__ == "__main__":
    raise SystemExit(main())
