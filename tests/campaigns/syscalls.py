"""Kill or fail every call of `trade` that changes a file, once each; one more run must mend it.

python tests/campaigns/syscalls.py --out syscalls.json            (every call)
python tests/campaigns/syscalls.py --trials 12 --seed 1           (so many of them)

An undisturbed `trade` on the sample under `strace` tells how often it calls each of pwrite64,
write, fsync, fdatasync, ftruncate, rename, unlink and fallocate. A trial takes one of these calls:
the process is killed at it, or the call fails with EIO or ENOSPC. The run must end as documented
(killed, 0 or 11, one clear line and no traceback). Then `trade` runs once more as it stands: one
order, the very ledger of the undisturbed run, and a store that verifies.

The control writes order and fill in two commits, as peers do: killed between them it must fail.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from campaigns.verdicts import tell
from cli_helpers import cli, query

CALLS = ("pwrite64", "write", "fsync", "fdatasync", "ftruncate", "rename", "unlink", "fallocate")
BLOWS = ("signal=SIGKILL", "error=EIO", "error=ENOSPC")
TRADE = ("trade", "--symbol", "AAPL", "--qty", "10", "--no-model")
ENDS = (0, 11)
LEDGER = "SELECT * FROM ledger ORDER BY account, seq"
ORDERS = "SELECT * FROM orders ORDER BY key"
# the control: an order in one commit, its fill in the next
FOOL = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
if not db.execute("SELECT 1 FROM orders").fetchone():  # else it is placed already
    db.execute("PRAGMA synchronous = FULL")
    db.execute("INSERT INTO orders (key, account, strategy, symbol, side, quantity, bar_ts,"
               " placed_at, client_id) VALUES ('k','sample','s','AAPL','buy',10,1,1,'')")
    last = db.execute("SELECT hash FROM ledger ORDER BY seq DESC").fetchone()[0]
    db.execute("INSERT INTO ledger VALUES ('sample',2,1,1,'fill','k.1','AAPL',10,1,-10,0,'',?,'h')",
               (last,))
"""
EVENTS = "SELECT key, seq, ts, state, detail FROM order_events ORDER BY key, seq"


class Blow(NamedTuple):
    """What befalls which call."""

    call: str
    nth: int
    how: str


@dataclass(kw_only=True)
class Result:
    """What a campaign did and saw."""

    program: str
    calls: dict[str, int] = field(default_factory=dict)
    trials: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def told(self) -> dict[str, Any]:
        return {
            "program": self.program,
            "calls_of_an_undisturbed_run": self.calls,
            "trials": self.trials,
            "ends": dict(self.ends),
            "wrong": len(self.wrong),
            "first_wrong": self.wrong[:5],
            "seconds": round(self.seconds, 1),
        }


class Campaign:
    """One program in a home that is new for each trial."""

    def __init__(self, program: str, folder: Path) -> None:
        self.program, self.folder = program, folder
        self.ready = folder / "ready"
        cli("fetch", "AAPL", "-q", home=self.ready).well()
        self.result = Result(program=program)
        home = self.fresh()
        log = folder / "calls.txt"
        done = self.trade(home, "-e", f"trace={','.join(CALLS)}", "-o", str(log))
        assert done.returncode == 0, done.stderr
        made = re.findall(r"^\d+ +(\w+)\(", log.read_text("utf-8", "replace"), re.MULTILINE)
        self.result.calls = dict(Counter(name for name in made if name in CALLS))
        self.expected = _kept(home)
        assert len(self.expected[1]) == 1, "the undisturbed run must place one order"

    def blows(self) -> list[Blow]:
        """Give everything that can befall a call."""
        calls = self.result.calls.items()
        return [
            Blow(call, n + 1, how) for call, count in calls for n in range(count) for how in BLOWS
        ]

    def run(self, blows: list[Blow]) -> Result:
        """Strike, run once more, compare."""
        began = time.monotonic()
        for blow in blows:
            home = self.fresh()
            inject = f"inject={blow.call}:{blow.how}:when={blow.nth}"
            # only the call that is struck is traced: the others run at their own pace
            done = self.trade(home, "-e", f"trace={blow.call}", "-e", inject, "-o", "/dev/null")
            self.judge(blow, home, done)
            self.result.trials += 1
        self.result.seconds = time.monotonic() - began
        return self.result

    def judge(self, blow: Blow, home: Path, done: subprocess.CompletedProcess[str]) -> None:
        where = f"{blow.call} {blow.nth}, {blow.how}"
        self.result.ends[f"{blow.how}: {done.returncode}"] += 1
        killed = blow.how == BLOWS[0]
        if not killed and self.program == "algotrade":
            told = done.stderr
            if done.returncode not in ENDS or "Traceback" in told or "a bug" in told:
                self.result.wrong.append(f"{where}: ended {done.returncode}: {told[-200:]}")
        again = self.again(home)
        if again:
            self.result.wrong.append(f"{where}: one more run: {again}")
            return
        with contextlib.suppress(sqlite3.Error):
            kept = _kept(home)
            for name, was, now in zip(
                ("ledger", "orders", "states"), self.expected, kept, strict=True
            ):
                if was != now:
                    self.result.wrong.append(f"{where}: {name}: {len(was)} rows, now {len(now)}")
            return
        self.result.wrong.append(f"{where}: the store cannot be read")

    def again(self, home: Path) -> str | None:
        """Run once more, undisturbed, and look the store over; give what is wrong."""
        if self.program != "algotrade":
            subprocess.run([*self._fool(home)], check=False, timeout=60)
            return None
        for command in (TRADE, ("ledger", "verify")):
            ran = cli(*command, home=home)
            if ran.code:
                return f"{command[0]} ended {ran.code}: {ran.err[-200:]}"
        return None

    def _fool(self, home: Path) -> list[str]:
        return [sys.executable, "-S", "-c", FOOL, str(home / "data" / "algotrade.db")]

    def fresh(self) -> Path:
        home = self.folder / "home"
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(self.ready, home)
        return home

    def trade(self, home: Path, *flags: str) -> subprocess.CompletedProcess[str]:
        start = [sys.executable, "-c", "from algotrade.cli.main import run; run()", *TRADE]
        if self.program != "algotrade":
            start = self._fool(home)
        paths = ":".join(path for path in sys.path if path)
        env = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "ALGOTRADE_HOME": str(home),
               "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": paths}  # fmt: skip
        return subprocess.run(
            ["strace", "-f", *flags, *start],
            env=env, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip


def _kept(home: Path) -> tuple[list[Any], list[Any], list[Any]]:
    return query(home, LEDGER), query(home, ORDERS), query(home, EVENTS)


def campaign(program: str, folder: Path, *, trials: int | None, seed: int) -> Result:
    """Strike every call once in every way, or so many chosen ones."""
    made = Campaign(program, folder)
    blows = made.blows()
    if trials is not None and trials < len(blows):
        blows = random.Random(seed).sample(blows, trials)  # noqa: S311 -- places, not secrets
    return made.run(blows)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=None)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def main() -> int:
    """Run the campaign and its control; tell what came out."""
    given = _arguments()
    with tempfile.TemporaryDirectory(prefix="syscalls") as place:
        ours, control = (
            campaign(program, Path(place) / program, trials=trials, seed=given.seed)
            for program, trials in (("algotrade", given.trials), ("naive", None))
        )
    good = not ours.wrong and bool(control.wrong)
    seen = {
        "campaign": ours.told(),
        "control": control.told() | {"must": "fail"},
    }
    return tell(given.seed, seen, good=good, out=given.out)


if __name__ == "__main__":
    raise SystemExit(main())
