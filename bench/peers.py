"""One other engine on given bars, run where it is installed; prints one line of JSON.

    python bench/peers.py ENGINE BARS.npz [--repeat N]     seconds of the engine alone
    python bench/peers.py ENGINE BARS.csv                  a whole process, for who times it outside

The work: buy 100 shares at the open after the average of 50 closes crossed above that of 200, sell
them at the open after it crossed below, 0.1% commission, a billion dollars. Seconds count the
making of the engine's objects and its run, not the imports, the bars or their first conversion
(zipline: its ingest). Nothing of this package is imported here. docs/engines.md tells how each
engine is told to do the same as the others.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import json
import os
import tempfile
import time
import warnings
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

FAST, SLOW, SHARES, COMMISSION, CASH = 50, 200, 100, 0.001, 1_000_000_000
PRICES = ("open", "high", "low", "close")
Frames = dict[
    str, Any
]  # pandas frames by symbol; pandas is the engines' own, and has no types here


class Result(NamedTuple):
    """What an engine says at the end: open trades are marked at the last close."""

    equity: float
    fills: int


# Each engine: from frames to a function that makes its objects, runs, and gives the result.


def backtesting(frames: Frames) -> Callable[[], Result]:
    """One run per symbol, as the engine has one instrument; the gains are added."""
    engine: Any = import_module("backtesting")  # ships no types
    pd: Any = import_module("pandas")

    def average(values: Any, bars: int) -> Any:  # noqa: ANN401 # pandas has no types here
        return pd.Series(values).rolling(bars).mean()

    class Cross(engine.Strategy):  # type: ignore[misc] # the base has no types
        def init(self) -> None:
            self.fast = self.I(average, self.data.Close, FAST)
            self.slow = self.I(average, self.data.Close, SLOW)

        def next(self) -> None:
            fast, slow = self.fast, self.slow
            if fast[-2] <= slow[-2] and fast[-1] > slow[-1]:
                if not self.position:
                    self.buy(size=SHARES)
            elif fast[-2] >= slow[-2] and fast[-1] < slow[-1] and self.position:
                self.position.close()

    def run() -> Result:
        gained, fills = 0.0, 0
        for frame in frames.values():
            test = engine.Backtest(frame, Cross, cash=CASH, commission=COMMISSION)
            stats = test.run()
            gained += stats["_equity_curve"]["Equity"].iloc[-1] - CASH
            fills += 2 * len(stats["_trades"]) + len(stats["_strategy"].trades)
        return Result(CASH + gained, fills)

    return run


def backtrader(frames: Frames) -> Callable[[], Result]:
    """One run over all symbols."""
    bt: Any = import_module("backtrader")  # ships no types
    strategy = backtrader_strategy(bt)

    def run() -> Result:
        cerebro = bt.Cerebro(stdstats=False)
        cerebro.broker.setcash(CASH)
        cerebro.broker.setcommission(commission=COMMISSION)
        for symbol, frame in frames.items():
            cerebro.adddata(bt.feeds.PandasData(dataname=frame), name=symbol)
        cerebro.addstrategy(strategy)
        (ran,) = cerebro.run()
        return Result(cerebro.broker.getvalue(), ran.fills)

    return run


def backtrader_strategy(bt: Any) -> Any:  # noqa: ANN401 # has no types
    """Give the rule as a class of the engine."""

    class Cross(bt.Strategy):  # type: ignore[misc] # the base has no types
        def __init__(self) -> None:
            self.fills = 0
            self.averages = [
                (d, bt.ind.SMA(d.close, period=FAST), bt.ind.SMA(d.close, period=SLOW))
                for d in self.datas
            ]

        def next(self) -> None:
            if len(self) <= SLOW:
                return
            for data, fast, slow in self.averages:
                if (fast[0] > slow[0]) == (fast[-1] > slow[-1]):
                    continue  # no tie in these bars, so that this is: no cross
                held = self.getposition(data).size
                if fast[0] > slow[0]:
                    self.buy(data, size=SHARES)
                elif held:
                    self.close(data)

        def notify_order(self, order: Any) -> None:  # noqa: ANN401 # has no types
            self.fills += order.status == order.Completed

    return Cross


def vectorbt(frames: Frames) -> Callable[[], Result]:
    """One run over all symbols as columns that share their cash."""
    vbt: Any = import_module("vectorbt")  # ships no types
    pd: Any = import_module("pandas")
    close = pd.DataFrame({symbol: frame["Close"] for symbol, frame in frames.items()})
    opens = pd.DataFrame({symbol: frame["Open"] for symbol, frame in frames.items()})

    def run() -> Result:
        fast = vbt.MA.run(close, FAST).ma.to_numpy()
        slow = vbt.MA.run(close, SLOW).ma.to_numpy()
        enter, leave = np.zeros_like(fast, dtype=bool), np.zeros_like(fast, dtype=bool)
        before, after = fast[:-2] - slow[:-2], fast[1:-1] - slow[1:-1]
        enter[2:] = (before <= 0) & (after > 0)
        leave[2:] = (before >= 0) & (after < 0)
        portfolio = vbt.Portfolio.from_signals(
            close=close,
            entries=enter,
            exits=leave,
            price=opens,
            size=SHARES,
            fees=COMMISSION,
            init_cash=CASH,
            cash_sharing=True,
            group_by=True,
        )
        return Result(float(portfolio.final_value()), len(portfolio.orders.records))

    run()  # compiles, or reads what was compiled; the timed runs are warm
    return run


def zipline(frames: Frames) -> Callable[[], Result]:
    """One run over all symbols, from a bundle of CSV files that is ingested beforehand."""
    root = tempfile.mkdtemp(prefix="zipline-")
    os.environ["ZIPLINE_ROOT"] = root
    pd: Any = import_module("pandas")
    api: Any = import_module("zipline.api")  # ships no types
    finance: Any = import_module("zipline.finance")
    bundles: Any = import_module("zipline.data.bundles")
    engine: Any = import_module("zipline")
    folder = Path(root) / "csv" / "daily"
    folder.mkdir(parents=True)
    for symbol, frame in frames.items():
        lower = frame.rename(columns=str.lower)
        lower.to_csv(folder / f"{symbol}.csv", index_label="date")
    sessions = next(iter(frames.values())).index
    first, last = sessions[0], sessions[-1]
    bundles.register(
        "bench",
        import_module("zipline.data.bundles.csvdir").csvdir_equities(["daily"], str(folder.parent)),
        calendar_name="NYSE",
        start_session=first,
        end_session=last,
    )
    bundles.ingest("bench", show_progress=False)

    class NextOpen(finance.slippage.SlippageModel):  # type: ignore[misc] # the base has no types
        def process_order(self, data: Any, order: Any) -> tuple[float, int]:  # noqa: ANN401 # has no types
            return data.current(order.asset, "open"), order.amount

    def initialize(context: Any) -> None:  # noqa: ANN401 # has no types
        api.set_slippage(NextOpen())
        api.set_commission(finance.commission.PerDollar(cost=COMMISSION))
        context.assets = [api.symbol(symbol) for symbol in frames]
        context.bar = -1

    def handle_data(context: Any, data: Any) -> None:  # noqa: ANN401 # has no types
        context.bar += 1
        if context.bar < SLOW:
            return
        closes = data.history(context.assets, "close", SLOW + 1, "1d").to_numpy()
        now = closes[-FAST:].mean(axis=0) - closes[-SLOW:].mean(axis=0)
        old = closes[-FAST - 1 : -1].mean(axis=0) - closes[-SLOW - 1 : -1].mean(axis=0)
        positions = context.portfolio.positions
        for index in np.flatnonzero(((old <= 0) & (now > 0)) | ((old >= 0) & (now < 0))):
            asset = context.assets[index]
            held = positions[asset].amount if asset in positions else 0
            if now[index] > 0 and not held:
                api.order(asset, SHARES)
            elif now[index] < 0 and held:
                api.order(asset, -held)

    def run() -> Result:
        done = engine.run_algorithm(
            start=first,
            end=last,
            initialize=initialize,
            handle_data=handle_data,
            capital_base=CASH,
            data_frequency="daily",
            bundle="bench",
            benchmark_returns=pd.Series(0.0, index=sessions),
        )
        fills = sum(len(day) for day in done["transactions"])
        return Result(float(done["portfolio_value"].iloc[-1]), fills)

    return run


ENGINES = {
    "backtesting": ("backtesting", backtesting),
    "backtrader": ("backtrader", backtrader),
    "vectorbt": ("vectorbt", vectorbt),
    "zipline": ("zipline-reloaded", zipline),
}


def read(path: Path) -> Frames:
    """Read bars: `.npz` with integer columns, or the `.csv` of one symbol."""
    pd: Any = import_module("pandas")
    if path.suffix == ".csv":
        return {path.stem: pd.read_csv(path, index_col=0, parse_dates=True)}
    stored = np.load(path)
    index = pd.DatetimeIndex(stored["times"].astype("datetime64[us]").astype("datetime64[ns]"))
    columns: dict[str, NDArray[np.float64]] = {
        name.capitalize(): stored[name] / 1_000_000 for name in (*PRICES, "volume")
    }
    return {
        str(symbol): pd.DataFrame({name: c[row] for name, c in columns.items()}, index=index)
        for row, symbol in enumerate(stored["symbols"])
    }


def peak_mb() -> float:
    """Give the most memory this program held. ru_maxrss would count its parent's, too."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main() -> None:
    """Run an engine and print what it took."""
    parser = argparse.ArgumentParser(description="Time another engine on given bars.")
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("bars", type=Path)
    parser.add_argument("--repeat", type=int, default=1)
    given = parser.parse_args()
    package, prepare = ENGINES[given.engine]
    warnings.filterwarnings("ignore")  # theirs, not ours
    frames = read(given.bars)
    seconds: list[float] = []
    with contextlib.redirect_stderr(io.StringIO()):  # bars of progress
        run = prepare(frames)
        for _ in range(given.repeat):
            gc.collect()
            began = time.perf_counter()
            result = run()
            seconds.append(time.perf_counter() - began)
    line = {
        "engine": given.engine,
        "version": version(package),
        "symbols": len(frames),
        "bars": sum(map(len, frames.values())),
        "seconds": seconds,
        "equity": result.equity,
        "fills": result.fills,
        "peak_mb": peak_mb(),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
