"""A backtest as ratios to other engines: the same bars, the same rule, equal to the cent, one run.

    python bench/bench_backtest.py [--works panel,long,whole] [--peers NAMES] [--symbols N]
                                   [--rounds N] [--peers-python PATH] [--zipline-python PATH]

Works: `panel`, 500 symbols x 2,500 daily bars; `long`, one symbol x 100,000 minute bars; `whole`, a
whole process over one symbol x 2,500 bars that a CSV file or a store holds. Rule and rules of the
race are those of bench/peers.py; ours also checks every order, keeps the limits of the session and
writes its journal. The engines live in environments of their own (tools/peer_engines/README.md),
named by the flags or by PEERS_PYTHON and ZIPLINE_PYTHON; an engine without one is passed over.

Each engine runs in a process of its own, one after another in each round, so that a machine that
slows down slows all of them. backtrader and zipline run once, on the first N symbols of the panel
(`--symbols`; 0 is all): compare their bars per second. Prints medians; a ratio above 1 means that
ours is faster, and must reach the budget where there is one.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from algotrade.bars import Bars
from algotrade.domain.costs import CostModel
from algotrade.domain.decisions import Policy
from algotrade.domain.ledger import DEPOSIT, Entry
from algotrade.domain.risk import WIDE, Conditions, Limits
from algotrade.trading.broker import SimulatedBroker
from algotrade.trading.feed import History, Market
from algotrade.trading.runs import RunJournal
from algotrade.trading.session import Decider, run_session
from algotrade.trading.state import TradingState
from algotrade.trading.strategies import load_strategy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from engine_bars import Series

TESTS = Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS))  # engine_bars, which the tests share

PEERS = Path(__file__).with_name("peers.py")
OURS = "algotrade"
SLOW = {"backtrader", "zipline"}  # minutes on the whole panel
WORKS = {  # work: the peers that run it
    "panel": ("backtesting", "vectorbt", "backtrader", "zipline"),
    "long": ("backtesting", "vectorbt", "backtrader"),
    "whole": ("backtesting", "vectorbt", "backtrader"),
}
BUDGETS = {
    ("panel", "backtesting"): 8.0,
    ("panel", "backtrader"): 60.0,
    ("panel", "zipline"): 150.0,
    ("long", "backtesting"): 3.5,
    ("whole", "backtesting"): 10.0,
}
MOST_MB = 500  # of ours, on the panel
CENT = 0.01
REPEAT = {"panel": 1, "long": 3, "whole": 1}
COLUMNS = ("open", "high", "low", "close", "volume")


class Result(NamedTuple):
    """What an engine says at the end, in dollars: open trades are marked at the last close."""

    equity: float
    fills: int


class Run(NamedTuple):
    """One process of one engine."""

    seconds: float
    bars: int
    result: Result | None  # None: a whole process, of which only the time is taken
    peak_mb: float

    @property
    def rate(self) -> float:
        """Give bars per second."""
        return self.bars / self.seconds


# ---- ours

LIMITS = Limits(  # of size as wide as the other engines', of losses as in live trading
    **{
        name: getattr(WIDE, name)
        for name in Limits._fields
        if name not in ("daily_loss_reduce_bps", "daily_loss_halt_bps", "drawdown_halt_bps")
    }
)
CASH = 10**15  # a billion dollars


def run_ours(panel: Sequence[Series]) -> Callable[[], Result]:
    """Make our bars of `panel`, untimed; give what the clock measures: objects, run, result.

    SMA 50/200 cross, 100 shares, next open, 10 bps, a billion dollars; orders checked, limits of
    the session kept, journal written.
    """
    import engine_bars

    opens, closes = engine_bars.opens(panel[0]), engine_bars.closes(panel[0])
    prices = ("open", "high", "low", "close", "volume")
    histories = [
        Bars(
            source="csv",
            symbol=series.symbol,
            timeframe="1d",
            ts_open=opens,
            ts_close=closes,
            **{name: getattr(series, name) for name in prices},
        )
        for series in panel
    ]
    costs = CostModel(
        commission_per_share=0,
        commission_bps=10,
        commission_minimum=0,
        slippage_bps=0,
        volume_cap_bps=10_000,
    )

    def run() -> Result:
        rule = load_strategy("sma-cross", {"fast": "50", "slow": "200"})
        policy = Policy(account="backtest", strategy=rule.source, quantity=100 * 10**9)
        market = Market([History(bars, rule.history(bars)) for bars in histories], policy)
        state, journal = TradingState(account="backtest"), RunJournal()
        opening = Entry(ts=market.times[0] - 1, kind=DEPOSIT, ref="opening", amount=CASH)
        journal.append(opening)
        state.book(opening)
        done = run_session(
            market.turns(state, LIMITS),
            state=state,
            broker=SimulatedBroker(costs),
            journal=journal,
            decider=Decider(
                policy=policy,
                limits=LIMITS,
                conditions=lambda moment: Conditions(moment.ts, moment.close),
            ),
        )
        journal.finish(market.last_decided())
        return Result((state.equity or 0) / 1e6, len(done.fills))

    return run


def ours_command(bars: Path, home: Path) -> list[str]:
    """Prepare a home with the bars of a CSV file, untimed; give the command line to time."""
    program = [str(Path(sys.executable).with_name("algotrade"))]
    place = ["--home", str(home), "--source", "csv"]
    if home.exists():
        shutil.rmtree(home)  # a run that is known already would not be written again
    subprocess.run([*program, "import", str(bars), "-q", *place], check=True)
    asked = "--strategy sma-cross --qty 100 --commission 0.1% --slippage 0 --limits wide"
    return [*program, "backtest", bars.stem, *asked.split(), "--cash", "1000000000", *place]


def child(path: Path, repeat: int) -> None:
    """Time our engine on stored bars and print the line that a peer would print."""
    panel = read(path)
    run = run_ours(panel)
    seconds: list[float] = []
    for _ in range(repeat):
        gc.collect()
        began = time.perf_counter()
        result = run()
        seconds.append(time.perf_counter() - began)
    line = {
        "bars": sum(len(series.day) for series in panel),
        "seconds": seconds,
        "equity": result.equity,
        "fills": result.fills,
        "peak_mb": peak_mb(),
    }
    print(json.dumps(line))


def peak_mb() -> float:
    """Give the most memory this program held. ru_maxrss would count its parent's, too."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


# ---- bars in files


def save(path: Path, panel: Sequence[Series]) -> None:
    """Store bars as integer columns, one row for each symbol."""
    days = np.asarray(panel[0].day, dtype=np.int64)
    minutes = np.asarray(panel[0].minute or [0] * len(days), dtype=np.int64)
    columns: dict[str, Any] = {
        name: np.stack([series.prices(name) for series in panel]) for name in COLUMNS
    }  # Any: or savez takes a column for its flag
    np.savez(
        path,
        symbols=np.array([series.symbol for series in panel]),
        times=(days * 1_440 + minutes) * 60_000_000,  # microseconds, for engines without zones
        **columns,
    )


def read(path: Path) -> list[Series]:
    """Read what `save` stored."""
    from engine_bars import Series

    stored = np.load(path)
    minutes = stored["times"] // 60_000_000
    day, minute = (_integers(part) for part in (minutes // 1_440, minutes % 1_440))
    columns = {name: stored[name] for name in COLUMNS}
    return [
        Series(
            symbol=str(symbol),
            day=day,
            minute=minute if any(minute) else None,
            **{name: _integers(rows[index]) for name, rows in columns.items()},
        )
        for index, symbol in enumerate(stored["symbols"])
    ]


def _integers(values: np.ndarray) -> array[int]:
    return array("q", values.astype(np.int64).tobytes())


def save_csv(path: Path, series: Series) -> None:
    """Write daily bars in dollars and shares."""
    from engine_bars import dates

    columns = [series.prices(name).tolist() for name in COLUMNS]
    lines = ["Date," + ",".join(name.capitalize() for name in COLUMNS)]
    for day, *prices, volume in zip(dates(series), *columns, strict=True):
        cells = [f"{price / 1_000_000:.2f}" for price in prices]
        lines.append(",".join([day.isoformat(), *cells, str(volume // 1_000_000)]))
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


class Files(NamedTuple):
    """The bars of the works, each in one file; `few` is the panel for the slow engines."""

    panel: Path
    few: Path
    long: Path
    whole: Path


def make_files(folder: Path, symbols: int) -> Files:
    """Write the bars of all works."""
    from engine_bars import long, panel

    files = Files(*(folder / name for name in ("panel.npz", "few.npz", "long.npz", "ONE.csv")))
    bars = panel()
    save(files.panel, bars)
    save(files.few, bars[: symbols or None])
    save(files.long, long())
    save_csv(files.whole, bars[0])
    return files


# ---- processes


def run_process(command: Sequence[str]) -> tuple[float, str]:
    """Run a program to its end; give its wall time and what it printed last."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stderr}")
    return seconds, (done.stdout.splitlines() or [""])[-1]


def engine_run(command: Sequence[str], repeat: int) -> Run:
    """Run an engine over a file of columns; the engine times itself, the median counts."""
    _, line = run_process([*command, "--repeat", str(repeat)])
    told = json.loads(line)
    result = Result(told["equity"], told["fills"])
    return Run(statistics.median(told["seconds"]), told["bars"], result, told["peak_mb"])


def whole_run(command: Sequence[str], bars: int) -> Run:
    """Time a whole process."""
    seconds, _ = run_process(command)
    return Run(seconds, bars, None, 0.0)


class Race:
    """The engines that there are, and their runs."""

    def __init__(self, pythons: dict[str, str], files: Files, folder: Path) -> None:
        self.pythons = pythons
        self.files = files
        self.folder = folder
        self.missed = False

    def once(self, work: str, engine: str) -> Run:
        """Run an engine on a work, once."""
        if work == "whole":
            from engine_bars import ONE_BARS

            command = (
                ours_command(self.files.whole, self.folder / "home")
                if engine == OURS
                else [self.pythons[engine], str(PEERS), engine, str(self.files.whole)]
            )
            return whole_run(command, ONE_BARS)
        return engine_run(self.command(engine, self.file(work, engine)), REPEAT[work])

    def file(self, work: str, engine: str) -> Path:
        """Give the bars that an engine gets."""
        few = work == "panel" and engine in SLOW
        path: Path = getattr(self.files, "few" if few else work)
        return path

    def command(self, engine: str, path: Path) -> list[str]:
        """Give the command line of an engine over a file of columns."""
        if engine == OURS:
            return [sys.executable, __file__, "--ours", str(path)]
        return [self.pythons[engine], str(PEERS), engine, str(path)]

    def work(self, work: str, rounds: int) -> None:
        """Run all engines on a work, by turns, and print what was found."""
        peers = [engine for engine in WORKS[work] if engine in self.pythons]
        runs: dict[str, list[Run]] = {engine: [] for engine in [OURS, *peers]}
        for index in range(rounds):
            for engine, found in runs.items():
                if index == 0 or engine not in SLOW or work == "whole":
                    found.append(self.once(work, engine))
        for engine, found in runs.items():
            self.tell(work, engine, found, runs[OURS])
        if work != "whole":
            self.compare(work, runs)

    def tell(self, work: str, engine: str, found: list[Run], ours: list[Run]) -> None:
        """Print an engine's speed and, for a peer, the median of the ratios of the rounds."""
        speed = statistics.median(run.rate for run in found)
        took = statistics.median(run.seconds for run in found)
        words = f"{work:<6} {engine:<12} {speed:>12,.0f} bars/s {took:>9.3f} s"
        if found[0].peak_mb:
            words += f" {max(run.peak_mb for run in found):6.0f} MB"
        if engine == OURS:
            self.missed |= work == "panel" and max(run.peak_mb for run in found) > MOST_MB
            words += f"   (at most {MOST_MB} MB)" if work == "panel" else ""
        else:
            ratio = statistics.median(o.rate / p.rate for o, p in zip(ours, found, strict=False))
            budget = BUDGETS.get((work, engine))
            self.missed |= budget is not None and ratio < budget
            words += f" {ratio:8.1f} x" + (f"   (budget {budget:g})" if budget else "")
        print(words, flush=True)

    def compare(self, work: str, runs: dict[str, list[Run]]) -> None:
        """Say whether the engines that had the same bars end with the same money, to the cent."""
        results: dict[Path, dict[str, Result]] = {}
        for engine, found in runs.items():
            if found[0].result is not None:
                results.setdefault(self.file(work, engine), {})[engine] = found[0].result
        for path, by_engine in results.items():
            if OURS not in by_engine:  # the slow ones' part of the panel
                ours = engine_run(self.command(OURS, path), 1).result
                by_engine.update({OURS: ours} if ours else {})
            equal = agree(list(by_engine.values()))
            self.missed |= not equal
            print(f"{work:<6} {path.stem}: {'equal' if equal else 'UNEQUAL'} to the cent", end=": ")
            print(", ".join(f"{e} {r.equity:,.2f} ({r.fills} fills)" for e, r in by_engine.items()))


def agree(results: Sequence[Result]) -> bool:
    """Say whether all end with the same money, to the cent, after as many fills."""
    first = results[0]
    return all(abs(r.equity - first.equity) < CENT and r.fills == first.fills for r in results)


def main() -> None:
    """Run the works and say by the exit code whether a budget was missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--works", default=",".join(WORKS))
    parser.add_argument("--peers", default="backtesting,vectorbt,backtrader,zipline")
    parser.add_argument(
        "--symbols", type=int, default=50, help="of the panel, for the slow; 0: all"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers-python", default=os.environ.get("PEERS_PYTHON"))
    parser.add_argument("--zipline-python", default=os.environ.get("ZIPLINE_PYTHON"))
    parser.add_argument("--ours", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--repeat", type=int, default=1, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ours:
        child(given.ours, given.repeat)
        return
    places = {
        name: given.zipline_python if name == "zipline" else given.peers_python
        for name in given.peers.split(",")
    }
    pythons = {name: place for name, place in places.items() if place}
    if missing := sorted(set(places) - set(pythons)):
        print(f"passed over, as no environment is named: {', '.join(missing)}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        race = Race(pythons, make_files(folder, given.symbols), folder)
        for work in given.works.split(","):
            race.work(work, given.rounds)
    sys.exit(race.missed)


if __name__ == "__main__":
    main()
