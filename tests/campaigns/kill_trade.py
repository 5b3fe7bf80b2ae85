"""Kill -9 trade, cancel and recovery at random moments; then ledger and broker must agree.

python tests/campaigns/kill_trade.py --trials 10000 --seed 1 --out kill_trade.json

A trial is a home of its own: an order is placed (on the sample, or at a broker on loopback that
fills at once, in parts, by half or never and may answer badly), in half of the trials cancelled
afterwards, and each of these commands is killed at a random moment, up to five times in a row, so
that recovery is killed, too. Then the command runs to its end, and once more `reconcile`. The
broker's own log is the truth: each order must be there once, each execution in the ledger once, and
nothing else. On the sample the ledger must be the one of a run that nobody disturbed.

All code is imported once and each command is a fork of that process. The control makes the key
of an order when it is sent: it must double orders, else the harness proves nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import http.client
import json
import os
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
from urllib.parse import urlsplit

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from algotrade import __version__
from algotrade.broker import alpaca, alpaca_wire
from algotrade.cli import main as _main
from broker_server import SECRET
from cli_helpers import cli, live, query, served
from polygon_server import PolygonServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from algotrade.broker.protocol import Answer
    from algotrade.domain.orders import Order

NOW = "2026-11-20T21:05:00Z"
MOST_KILLS = 5
FAULTS = ("", "", "", "", "504-after", "500-after", "reset", "empty", "bad", "429-before")
TRADE = ("trade", "--symbol", "AAPL", "--qty", "10", "--no-model")
CANCEL = ("cancel", "--all")


@dataclass(kw_only=True)
class Result:
    """What a campaign did and saw."""

    trials: int = 0
    kills: int = 0
    commands: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Bench:
    """Prepared homes, a broker in a process of its own, and a process that forks itself."""

    def __init__(self, folder: Path, chance: random.Random, *, key_at_call: bool = False) -> None:
        self.folder, self.chance, self.key_at_call = folder, chance, key_at_call
        self.result = Result()
        self._spans: dict[tuple[bool, str], float] = {}
        self._server = subprocess.Popen(
            [sys.executable, str(Path(__file__).parents[1] / "broker_server.py")],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert self._server.stdout is not None
        self.base = self._server.stdout.readline().strip()
        self._wire = http.client.HTTPConnection(urlsplit(self.base).netloc)
        self._prepare()

    def close(self) -> None:
        """End the broker's process."""
        self._wire.close()
        self._server.terminate()
        self._server.wait()
        if self._server.stdout:
            self._server.stdout.close()

    def _prepare(self) -> None:
        """Fetch once for either kind of home, and load every module that a command needs."""
        homes = {True: self.folder / "loopback", False: self.folder / "sample"}
        with PolygonServer({"AAPL": served()}) as server:
            cli("fetch", "AAPL", home=homes[True], env=live(server.base)).well()
        cli("fetch", "AAPL", home=homes[False]).well()
        for at_broker, home in homes.items():
            _fold_in(home)
            for command in (TRADE, CANCEL, TRADE):  # warm: imports, then the true duration
                copy = self.home(at_broker=at_broker)
                began = time.monotonic()
                cli(*command, home=copy, env=self.env(copy, at_broker=at_broker))
                self._spans[at_broker, command[0]] = time.monotonic() - began
                shutil.rmtree(copy)
        undisturbed = self.home(at_broker=False)
        cli(*TRADE, home=undisturbed).well()
        self._true_ledger = _ledger(undisturbed)
        shutil.rmtree(undisturbed)

    def trial(self) -> None:
        """Place and perhaps cancel, killed again and again; then compare."""
        self.result.trials += 1
        at_broker = self.chance.random() < 0.7
        home = self.home(at_broker=at_broker)
        if at_broker:
            fill = self.chance.choice(("at-once", "parts", "half", "wait"))
            faults = {"post": [self.chance.choice(FAULTS) for _ in range(2)], "forget": 0}
            faults["forget"] = self.chance.choice((0, 0, 1))
            self.ask("POST", "/_world", {"key": home.name, "fill": fill, "faults": faults})
        env = self.env(home, at_broker=at_broker)
        commands = [TRADE, CANCEL] if at_broker and self.chance.random() < 0.5 else [TRADE]
        for command in commands:
            for _ in range(self.chance.randint(1, MOST_KILLS)):
                self._killed(command, env, span=self._spans[at_broker, command[0]])
            codes = self._until_done(command, env)
            if codes[-1] != 0:
                self._wrong(home, f"{command[0]} ends with {codes}")
        (self._look_at_broker if at_broker else self._look_at_sample)(home, env)
        shutil.rmtree(home)

    def _killed(self, command: tuple[str, ...], env: dict[str, str], *, span: float) -> None:
        child = self.fork(command, env)
        time.sleep(self.chance.uniform(0, span * 1.5))
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        self.result.kills += os.WIFSIGNALED(status)

    def _until_done(self, command: tuple[str, ...], env: dict[str, str]) -> list[int]:
        """Run the command as cron would, again while it asks for it."""
        codes = []
        for _ in range(4):
            _, status = os.waitpid(self.fork(command, env), 0)
            codes.append(os.waitstatus_to_exitcode(status))
            if codes[-1] not in (7, 8, 9):
                break
        self.result.codes[f"{command[0]} {codes[-1]}"] += 1
        return codes

    def fork(
        self, command: tuple[str, ...], env: dict[str, str], *, gate: int | None = None
    ) -> int:
        """Run a command in a fork; give its process id. gate: a pipe to wait at."""
        self.result.commands += 1
        child = os.fork()
        if child:
            return child
        try:  # the fork: nothing of it may come back into the campaign
            if self.key_at_call:
                _make_keys_late()
            alpaca_wire.TIMEOUTS = (2.0, 5.0, 10.0)
            if gate is not None:
                os.read(gate, 1)
            ran = cli(*command, home=Path(env["ALGOTRADE_HOME"]), env=env)
            if ran.code not in (0, 3):
                (self.folder / "last_failure").write_text(repr(ran), encoding="utf-8")
            os._exit(ran.code)
        finally:
            os._exit(99)

    def _look_at_broker(self, home: Path, env: dict[str, str]) -> None:
        _, status = os.waitpid(self.fork(("reconcile",), env), 0)
        code = os.waitstatus_to_exitcode(status)
        if code != 0:
            self._wrong(home, f"reconcile ends with {code}")
        truth = self.ask("GET", f"/_world?key={home.name}")
        if len(truth["orders"]) != 1:
            self._wrong(home, f"{len(truth['orders'])} orders at the broker for one that was asked")
        done = Counter((row["id"], row["qty"]) for row in truth["activities"])
        booked = Counter(
            (note, f"{abs(quantity) / 1e9:g}")
            for note, quantity in query(
                home, "SELECT note, quantity FROM ledger WHERE kind = 'fill' AND account LIKE '%:%'"
            )
        )
        if done != booked:
            self._wrong(home, f"the broker executed {done}, the ledger has {booked}")
        if query(home, "SELECT count(*) FROM halts") != [(0,)]:
            self._wrong(home, "halted")

    def _look_at_sample(self, home: Path, env: dict[str, str]) -> None:
        del env
        if _ledger(home) != self._true_ledger:
            self._wrong(home, f"the ledger is {_ledger(home)}, should be {self._true_ledger}")
        if query(home, "SELECT count(*) FROM orders") != [(1,)]:
            self._wrong(home, "not one order")

    def _wrong(self, home: Path, line: str) -> None:
        self.result.wrong.append(f"trial {home.name}: {line}")

    def home(self, *, at_broker: bool) -> Path:
        """Copy a prepared home."""
        name = f"t{self.chance.getrandbits(60):015x}"
        base = self.folder / ("loopback" if at_broker else "sample")
        return Path(shutil.copytree(base, self.folder / name))

    def env(self, home: Path, *, at_broker: bool) -> dict[str, str]:
        """Give the environment of a home; its name is its key at the broker."""
        env = {"ALGOTRADE_HOME": str(home)}
        if at_broker:
            env |= {
                "ALGOTRADE_NOW": NOW,
                "ALGOTRADE_BROKER": "alpaca",
                "ALGOTRADE_BROKER_BASE": self.base,
                "ALPACA_PAPER_KEY_ID": home.name,
                "ALPACA_PAPER_SECRET": SECRET,
            }
        return env

    def ask(self, method: str, path: str, body: Any = None) -> Any:  # noqa: ANN401  JSON
        """Set or read a world at the broker."""
        self._wire.request(method, path, None if body is None else json.dumps(body))
        return json.loads(self._wire.getresponse().read())


def _make_keys_late() -> None:
    """Break the program as others are broken: the key is made when the order is sent."""
    sent = alpaca.Alpaca.submit

    def submit(self: alpaca.Alpaca, order: Order) -> Answer:
        return sent(self, order._replace(key=os.urandom(16).hex()))

    alpaca.Alpaca.submit = submit  # type: ignore[method-assign]


def _ledger(home: Path) -> list[tuple[Any, ...]]:
    return query(home, "SELECT ts, kind, ref, symbol, quantity, price, amount, fee FROM ledger")


def _fold_in(home: Path) -> None:
    """Write the log back into the file, so that a copy of the folder is a copy of the store."""
    with contextlib.closing(sqlite3.connect(home / "data" / "algotrade.db")) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@contextlib.contextmanager
def bench(folder: Path, seed: int, *, key_at_call: bool = False) -> Iterator[Bench]:
    """Prepare, and end the broker's process afterwards."""
    found = Bench(folder, random.Random(seed), key_at_call=key_at_call)  # noqa: S311  moments
    try:
        yield found
    finally:
        found.close()


def memory() -> str | None:
    """Give a folder in memory, where there is one: a kill does not ask what is on the disk."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  made for this


def campaign(trials: int, seed: int, *, key_at_call: bool = False) -> dict[str, Any]:
    """Run trials; give what was done and seen."""
    with (
        tempfile.TemporaryDirectory(prefix="kill_trade_", dir=memory()) as folder,
        bench(Path(folder), seed, key_at_call=key_at_call) as running,
    ):
        gc.freeze()  # forks share what is there
        began = time.monotonic()
        for _ in range(trials):
            running.trial()
        seconds = time.monotonic() - began
    result = running.result
    return {
        "campaign": "kill_trade",
        "control": key_at_call,
        "seed": seed,
        "trials": result.trials,
        "kills_delivered": result.kills,
        "commands": result.commands,
        "ends": dict(result.codes),
        "breaches": len(result.wrong),
        "first": result.wrong[:5],
        "seconds": round(seconds, 1),
        "trials_a_minute": round(60 * result.trials / max(seconds, 0.001)),
        "versions": {
            "algotrade": __version__,
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            "entry": _main.__name__,
        },
    }


def main() -> int:
    """Run the campaign and its control; tell both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    control = campaign(min(60, asked.trials), asked.seed, key_at_call=True)
    result = campaign(asked.trials, asked.seed) | {"control_breaches": control["breaches"]}
    text = json.dumps(result, indent=2)
    if asked.out:
        asked.out.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(text + "\n")
    return 0 if not result["breaches"] and control["breaches"] else 1


if __name__ == "__main__":
    sys.exit(main())
