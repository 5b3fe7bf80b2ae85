"""Decision latency beside the design that this package replaces, rebuilt for the bench.

    python bench/bench_decision.py [ROUNDS] [--service-python PYTHON] [--folder FOLDER]

Replaced: a trader asks a Flask service on loopback for the prediction (`service.py`, a process of
its own), checks risk, inserts the trade into SQLite (WAL, synchronous=FULL) and commits. Flask is
no dependency of this package: `pip install flask` here, or name a Python that has it together with
scikit-learn and pandas. Both designs read the same forest (100 trees of depth 8 on SMA_50 and
SMA_200) and the same rows, each of which leads to an order; they take turns, round by round, on
one file system.

    decision         features given, as the service is given them: score, decide with every risk
                     check, decision + order + event into a real store, one FULL commit each
    500 in one commit  500 rows scored in one batch, decided in one pass, one FULL commit: durable
                     a bar, not a decision - another promise than that of a commit for each
    whole path       `trade` itself, model loaded: orders of the day before settled from the bars,
                     200 bars loaded a symbol, features, score, reasons, state rebuilt from the
                     verified ledger, risk, commit; for one symbol and for 500 in one pass
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import http.client
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import joblib
import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier

from algotrade.bars import Bars
from algotrade.clock import FixedClock
from algotrade.config import load_settings
from algotrade.domain.decisions import Policy
from algotrade.domain.ledger import DEPOSIT, Entry
from algotrade.domain.money import MICROS, NANOS
from algotrade.domain.orders import BUY
from algotrade.domain.risk import Conditions, Limits
from algotrade.domain.signals import UP, Signal
from algotrade.domain.times import DAY, HOUR, MINUTE, iso
from algotrade.learning.card import ModelCard
from algotrade.learning.features import SEED
from algotrade.learning.scorers import build_scorer
from algotrade.store import bars as bar_store
from algotrade.store import database, journal, records
from algotrade.trading.broker import SimulatedBroker
from algotrade.trading.decision import Moment
from algotrade.trading.session import Decider, Turn, run_session
from algotrade.trading.state import TradingState, opening_state
from algotrade.workflows.context import Workspace, ensure_account
from algotrade.workflows.models import Model
from algotrade.workflows.speakers import Speaker
from algotrade.workflows.trade import PLACED, Request, trade

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from algotrade.learning.scorers import Scorer

COLUMNS = ("SMA_50", "SMA_200")
SYMBOLS, BARS, FIRST_DAY = 500, 200, 18_000
THEIRS, OURS, PASSES, WHOLE = 40, 500, 3, 5  # how many of each a round
BUDGETS = {"decision": (25.0, 50.0), "500 in one commit": (500.0, 1_500.0)}  # must hold, aim
CASH = 10**9  # dollars: no row is refused for lack of money
Matrix = np.ndarray[Any, np.dtype[np.float64]]


class World(NamedTuple):
    """What both designs read: bars, their last averages, the forest, and our form of it."""

    histories: list[Bars]
    rows: Matrix
    forest: RandomForestClassifier
    scorer: Scorer


# ---- the world


def make_world(days: int) -> World:
    """Make symbols on whose last averages the forest says up, in both designs."""
    rng = np.random.default_rng(7)
    slow = rng.uniform(20, 250, 20_000)
    x = np.stack([slow * rng.normal(1, 0.1, len(slow)), slow], axis=1)
    y = (x[:, 0] / x[:, 1] + rng.normal(0, 0.1, len(slow)) > 1).astype(np.int8)
    forest = RandomForestClassifier(100, max_depth=8, random_state=7)
    forest.fit(pd.DataFrame(x, columns=COLUMNS), y)
    scorer = build_scorer(forest, COLUMNS, x)
    histories: list[Bars] = []
    rows: list[list[float]] = []
    while len(rows) < SYMBOLS:
        bars = make_bars(f"S{len(rows):03d}", BARS + days, rng)
        x = averages(bars)
        row = pd.DataFrame(x[:1], columns=COLUMNS)
        if scorer.score_many(x).min() > 0.5 and forest.predict(row)[0]:
            histories.append(bars)
            rows.append(x[0].tolist())
    return World(histories, np.array(rows), forest, scorer)


def averages(bars: Bars) -> Matrix:
    """Give SMA_50 and SMA_200 in dollars of every day that has them."""
    close = np.array(bars.close) / MICROS
    windows = np.lib.stride_tricks.sliding_window_view(close, BARS)
    return np.stack([windows[:, -50:].mean(axis=1), windows.mean(axis=1)], axis=1)


def make_bars(symbol: str, count: int, rng: np.random.Generator) -> Bars:
    """Make a price that grows, so that the fast average is over the slow one."""
    steps = rng.normal(0.002, 0.004, count)
    close = np.round(rng.uniform(30, 80) * np.exp(np.cumsum(steps)) * 100).astype(np.int64) * 10_000
    bars = Bars(source="csv", symbol=symbol, timeframe="1d")
    columns = {"open": close - 10_000, "high": close + 20_000, "low": close - 20_000}
    columns |= {"close": close, "volume": np.full(count, 10**12)}
    columns |= {"ts_open": np.array([opens(day) for day in range(count)])}
    columns |= {"ts_close": np.array([closes(day) for day in range(count)])}
    for name, values in columns.items():
        bars.column(name).extend(values.tolist())
    return bars


def opens(day: int) -> int:
    """Give the opening of a session."""
    return (FIRST_DAY + day) * DAY + 14 * HOUR + 30 * MINUTE


def closes(day: int) -> int:
    """Give the close of a session."""
    return (FIRST_DAY + day) * DAY + 21 * HOUR


# ---- the replaced design


@contextlib.contextmanager
def service(python: str, model: Path) -> Iterator[http.client.HTTPConnection]:
    """Run the predict service; give a connection that stays open."""
    command = [python, str(Path(__file__).with_name("service.py")), str(model)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line:
                sys.exit(f"the service did not start: {python} -m pip install flask")
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", int(line))) as link:
                yield link
        finally:
            process.terminate()


class Trader:
    """The trader of the replaced design: risk, prediction over HTTP, trade into SQLite."""

    def __init__(self, path: Path, link: http.client.HTTPConnection) -> None:
        self._link = link
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute(
            "CREATE TABLE trades (id INTEGER PRIMARY KEY, timestamp TEXT NOT NULL,"
            " symbol TEXT NOT NULL, quantity REAL NOT NULL, price REAL NOT NULL,"
            " side TEXT NOT NULL)"
        )
        self._cash, self._exposure = float(CASH), 0.0

    def execute(self, symbol: str, row: Sequence[float], price: float) -> bool:
        """Evaluate risk, predict, save the trade where the prediction is 1."""
        value = price * 1.0
        if value > 10_000 or self._exposure + value > CASH or value > self._cash:
            return False
        body = json.dumps(dict(zip(COLUMNS, row, strict=True))).encode()
        self._link.request("POST", "/predict", body, {"Content-Type": "application/json"})
        if json.loads(self._link.getresponse().read())["prediction"] != 1:
            return False
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute(
            "INSERT INTO trades (timestamp, symbol, quantity, price, side) VALUES (?,?,?,?,?)",
            ("2026-01-02T21:00:00Z", symbol, 1.0, price, "buy"),
        )
        self._db.execute("COMMIT")
        self._cash, self._exposure = self._cash - value, self._exposure + value
        return True


# ---- ours, features given


class Desk:
    """An account in a store of ours, that is given features and decides."""

    def __init__(self, home: Path, world: World) -> None:
        self._db = database.create_store(home / "ours.db")
        self._world = world
        self._bar = closes(BARS)
        self._policy = Policy(account="csv", strategy="model", quantity=NANOS, side=BUY)
        self._symbols = [bars.symbol for bars in world.histories]
        self._closes = [bars.close[BARS - 1] for bars in world.histories]
        with database.immediate(self._db):
            records.open_account(self._db, records.AccountRecord("csv", "csv", 0))
            journal.StoreJournal(self._db, "csv", recorded_at=0).append(
                Entry(ts=0, kind=DEPOSIT, ref="opening", amount=CASH * MICROS)
            )

    def new_state(self) -> TradingState:
        """Begin another bar with the account as it was opened."""
        self._bar += DAY
        return opening_state(
            "csv",
            journal.load_entries(self._db, "csv"),
            open_orders=(),
            marks=(),
            prices={},
            now=self._bar,
            halt=None,
        )

    def decide(self, state: TradingState, place: int) -> None:
        """Decide for one row, in a commit of its own."""
        row = self._world.rows[place].tolist()
        self._run(state, [self._moment(place, self._world.scorer.score(row))])

    def decide_all(self, state: TradingState) -> None:
        """Decide for every row, in one commit."""
        p_up = self._world.scorer.score_many(self._world.rows).tolist()
        self._run(state, [self._moment(place, p) for place, p in enumerate(p_up)])

    def placed(self) -> int:
        """Count the orders."""
        return int(self._db.execute("SELECT count(*) FROM orders").fetchone()[0])

    def _moment(self, place: int, p_up: float) -> Moment:
        close = self._closes[place]
        signal = Signal("rf-bench", UP if p_up > 0.5 else 0, p_up=p_up, threshold=0.5)
        return Moment(
            self._bar,
            self._symbols[place],
            self._bar - 6 * HOUR,
            close,
            close,
            close,
            close,
            0,
            signal=signal,
        )

    def _run(self, state: TradingState, moments: Sequence[Moment]) -> None:
        now = self._bar + MINUTE
        book = journal.StoreJournal(self._db, "csv", recorded_at=now)
        with database.immediate(self._db), book.together():
            run_session(
                [Turn(self._bar, moments, {})],
                state=state,
                broker=SimulatedBroker(COSTS),
                journal=book,
                decider=Decider(
                    self._policy, Limits(), lambda moment: Conditions(now, moment.close)
                ),
            )


COSTS = load_settings(home=tempfile.gettempdir(), isolated=True).costs()


# ---- ours, from the stored bars


class Floor:
    """A workspace with stored bars, in which `trade` runs once a day."""

    def __init__(self, home: Path, world: World, symbols: int) -> None:
        rates = ("max_orders_minute", "max_orders_day", "max_strategy_orders_day")
        most = (*rates, "max_model_days", "max_equal_predictions")
        flags = {"source": "csv", "cash_usd": str(CASH)} | {
            f"risk.{name}": "100000" for name in most
        }
        self._settings = load_settings(home=str(home), flags=flags, isolated=True)
        self._db = database.create_store(self._settings.store)
        self._day = BARS - 1
        self._speaker = Speaker("model", model=Model(make_card(world), world.scorer))
        histories = world.histories[:symbols]
        names = tuple(bars.symbol for bars in histories)
        self._request = Request(symbols=names, quantity=NANOS, side=BUY)
        sessions = range(len(histories[0]) + 5)
        with database.immediate(self._db):
            records.save_sessions(
                self._db, ((FIRST_DAY + day, opens(day), closes(day)) for day in sessions)
            )
            for bars in histories:
                bar_store.save_bars(self._db, bars, recorded_at=int)
            ensure_account(self._workspace())

    def trade(self) -> None:
        """Trade the newest bar of every symbol; each must lead to an order."""
        results = trade(self._workspace(), self._request, speaker=self._speaker)
        assert all(result.outcome == PLACED for result in results), results[0]  # noqa: S101

    def next_day(self) -> None:
        """Move on to the next session's close."""
        self._day += 1

    def _workspace(self) -> Workspace:
        now = closes(self._day) + MINUTE
        settings = self._settings._replace(now=iso(now))
        return Workspace(settings, self._db, "csv", "csv", FixedClock(now), lambda _: None)


def make_card(world: World) -> ModelCard:
    """Make the forest's card; what is not read in trading is left empty."""
    return ModelCard(
        id="rf-bench",
        kind="rf",
        scorer="forest",
        created=0,
        versions={},
        source="csv",
        symbols=tuple(bars.symbol for bars in world.histories),
        timeframe="1d",
        first_ts=0,
        last_ts=0,
        rows=0,
        dropped=0,
        fingerprint="",
        preset=SEED.preset,
        names=COLUMNS,
        lookback=SEED.lookback,
        horizon=1,
        threshold=0.5,
        seed=7,
        params={},
        train_end=0,
        folds=(),
        metrics={},
        baselines={},
        verdict="",
    )


# ---- the measurement


def seconds(work: Callable[[], object]) -> float:
    """Give the wall time of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


class Contest:
    """All of them side by side; a round gives the seconds of every call."""

    def __init__(self, folder: Path, world: World, link: http.client.HTTPConnection) -> None:
        self._rows = world.rows.tolist()
        self._names = [bars.symbol for bars in world.histories]
        self._prices = [bars.close[BARS - 1] / MICROS for bars in world.histories]
        self._trader = Trader(folder / "theirs.db", link)
        self._desk = Desk(folder, world)
        self._floors = [Floor(folder / f"home{n}", world, n) for n in (1, SYMBOLS)]
        self._at = 0

    def round(self) -> dict[str, list[float]]:
        """Let each have its turn."""
        found = {"replaced": [seconds(self._next) for _ in range(THEIRS)]}
        before, state = self._desk.placed(), self._desk.new_state()
        work = [partial(self._desk.decide, state, place) for place in range(OURS)]
        found["decision"] = [seconds(one) for one in work]
        passes = found["500 in one commit"] = []
        for _ in range(PASSES):
            state = self._desk.new_state()
            passes.append(seconds(partial(self._desk.decide_all, state)))
        assert self._desk.placed() - before == OURS + PASSES * SYMBOLS  # noqa: S101
        for floor, name, times in zip(
            self._floors,
            ("whole path, 1 symbol", "whole path, 500 symbols"),
            (WHOLE, 1),
            strict=True,
        ):
            found[name] = []
            for _ in range(times):
                floor.next_day()
                found[name].append(seconds(floor.trade))
        return found

    def _next(self) -> None:
        self._at = (self._at + 1) % SYMBOLS
        at = self._at
        assert self._trader.execute(self._names[at], self._rows[at], self._prices[at])  # noqa: S101


def report(rounds: list[dict[str, list[float]]]) -> bool:
    """Print medians and the medians of the per-round ratios; tell whether the budgets hold."""
    held = True
    print(f"{'':<26}{'median':>11}{'p99':>12}{'decisions/s':>13}")
    for name in rounds[0]:
        count = SYMBOLS if "500" in name else 1
        times = [each for found in rounds for each in found[name]]
        middle, late = statistics.median(times), float(np.quantile(times, 0.99))
        pairs = [(statistics.median(f["replaced"]), statistics.median(f[name])) for f in rounds]
        ratio = statistics.median(theirs / ours * count for theirs, ours in pairs)
        line = f"{name:<26}{middle * 1e3:>8.3f} ms{late * 1e3:>9.3f} ms{count / middle:>13,.0f}"
        if name != "replaced":
            line += f"{ratio:>9.1f} x"
        if name in BUDGETS:
            budget, aim = BUDGETS[name]
            held &= ratio >= budget
            line += f"  (budget {budget:g}, aim {aim:g}{'' if ratio >= budget else ': MISSED'})"
        print(line)
    return held


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("rounds", nargs="?", type=int, default=9)
    parser.add_argument("--service-python", default=sys.executable)
    parser.add_argument("--folder", default=None, help="where the stores are made")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as made:
        folder = Path(made)
        world = make_world(2 + WHOLE * (chosen.rounds + 1))
        joblib.dump(world.forest, folder / "model.joblib")
        with service(chosen.service_python, folder / "model.joblib") as link:
            contest = Contest(folder, world, link)
            contest.round()  # everything is loaded and warm
            gc.collect()
            rounds = [contest.round() for _ in range(chosen.rounds)]
    sys.exit(not report(rounds))


if __name__ == "__main__":
    main()
