"""Take backups while others write; each must restore and verify, and hold what was there.

python tests/campaigns/backups.py --trials 100 --seed 1 --out backups.json

Writers commit without pause. Meanwhile `backup` copies the store again and again; each copy is then
restored into a home of its own and looked over whole, and must have every commit that was there
when the copy began.

The control copies the file as `cp` does: it must miss commits, or be torn.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
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

import ledger_world
from algotrade.config import load_settings
from algotrade.errors import AlgotradeError
from algotrade.store.backup import write_backup
from algotrade.store.database import open_store, sqlite_errors
from algotrade.store.ledger_check import check_store
from algotrade.workflows.backup import restore
from campaigns.verdicts import tell

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "algotrade.db"
PAUSE = 0.01  # seconds between rounds of four commits: else the store outgrows the campaign


@dataclass(kw_only=True)
class Result:
    """What a campaign did and saw."""

    way: str
    backups: int = 0
    commits: list[int] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def told(self) -> dict[str, Any]:
        return {
            "way": self.way,
            "backups": self.backups,
            "commits_first_last": [self.commits[0], self.commits[-1]] if self.commits else None,
            "wrong": len(self.wrong),
            "first_wrong": self.wrong[:5],
            "seconds": round(self.seconds, 1),
        }


@contextlib.contextmanager
def load(store: Path) -> Iterator[None]:
    """Write to the store in another process meanwhile."""
    command = [sys.executable, str(Path(__file__)), "--write", str(store)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout
        child.stdout.readline()
        try:
            yield
        finally:
            child.terminate()


def write_on(store: Path) -> None:
    """Commit until somebody ends this process, or the one that started it is gone."""
    with contextlib.closing(open_store(store)) as db:
        number = ledger_world.size(db) // ledger_world.COMMITS
        ledger_world.grow(db, number)
        sys.stdout.write("writing\n")
        sys.stdout.flush()
        parent = os.getppid()
        while os.getppid() == parent:  # nobody is left to end it otherwise
            number += 1
            ledger_world.grow(db, number)
            time.sleep(PAUSE)


def campaign(way: str, trials: int, seed: int, folder: Path) -> Result:
    """Take so many backups in one way, under load, and restore each."""
    began = time.monotonic()
    chance = random.Random(seed)  # noqa: S311 -- pauses, not secrets
    store = folder / way / "home" / "data" / NAME
    ledger_world.built(store, 3)
    result = Result(way=way)
    with load(store), contextlib.closing(open_store(store)) as db:
        for number in range(trials):
            time.sleep(chance.uniform(0, 0.05))
            before = ledger_world.size(db)
            target = folder / way / f"{number}.db"
            try:
                _copy(way, db, store, target)
                found = _restored(target, folder / way / f"restored{number}")
            except (AlgotradeError, sqlite3.Error) as error:
                result.wrong.append(f"backup {number}: {type(error).__name__}: {error}")
            else:
                result.commits.append(found)
                if found < before:
                    result.wrong.append(f"backup {number}: {before} commits, {found} copied")
            result.backups += 1
    result.seconds = time.monotonic() - began
    return result


def _copy(way: str, db: sqlite3.Connection, store: Path, target: Path) -> None:
    if way == "backup":
        write_backup(db, target, made_at=1)
    else:
        shutil.copyfile(store, target)


def _restored(backup: Path, home: Path) -> int:
    """Restore into a home of its own, look it over, and count its commits."""
    settings = load_settings(home=str(home), isolated=True)
    restore(settings, str(backup), "a copy by cp has no manifest")
    with sqlite_errors(settings.store), contextlib.closing(open_store(settings.store)) as db:
        list(check_store(db))
        found = ledger_world.size(db)
    shutil.rmtree(home)
    return found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--control-trials", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    """Run the campaign and its control; tell what came out."""
    given = _arguments()
    if given.write:
        write_on(given.write)
        return 0
    with tempfile.TemporaryDirectory(prefix="backups") as place:
        ours, control = (
            campaign(way, trials, given.seed, Path(place))
            for way, trials in (("backup", given.trials), ("cp", given.control_trials))
        )
    good = not ours.wrong and bool(control.wrong)
    seen = {
        "campaign": ours.told(),
        "control": control.told() | {"must": "fail"},
    }
    return tell(given.seed, seen, good=good, out=given.out)


if __name__ == "__main__":
    raise SystemExit(main())
