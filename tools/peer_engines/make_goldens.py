"""Run backtesting.py, backtrader and vectorbt on the bars of the tests and write down their trades.

Needs an environment of its own (README.md beside this file); the package's own engine is not used.
Each engine is told the same rule, and its trade list must equal that of a plain loop in whole
numbers before anything is written. Where an engine differs, the difference is written down.
docs/engines.md tells what each engine does of its own accord.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import warnings
from importlib import import_module
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from engine_bars import PAIRS, PRICES, SETS, bar_set, dates, identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from engine_bars import Series

GOLDEN = Path(__file__).parents[2] / "tests" / "golden" / "engines"
CASH = 10_000_000  # dollars: no order is ever short of cash
RULES = ("cross", "state")
SIZES = (100.0, 12.5)  # shares
COMMISSIONS = (0, 20)  # basis points of the value of each fill
MONEY, PRICE = 0.01, 1e-6  # dollars: how far an engine may be from the plain loop
MICROS = 1_000_000
UNIT = 0.5  # a share's part that backtesting.py counts; a power of two scales prices exactly
DIGITS = 6
MAY_DIFFER = {"tie"}  # the two averages are equal at one close: see docs/engines.md


class Case(NamedTuple):
    """A rule with its numbers."""

    rule: str
    fast: int
    slow: int
    size: float
    bps: int


class Trade(NamedTuple):
    """A round trip; `exit_*` are None while it is open. Prices in dollars."""

    symbol: str
    entry_date: str
    entry_price: float
    exit_date: str | None
    exit_price: float | None
    size: float


Fill = tuple[str, float]  # date, price


class Outcome(NamedTuple):
    """What an engine says at the end: open trades are marked at the last close."""

    trades: list[Trade]
    equity: float
    commission: float


Panel = tuple["Series", ...]


def frame(series: Series) -> pd.DataFrame:
    """Give the bars as the engines want them: floats of dollars, naive dates."""
    columns = {name.capitalize(): series.prices(name) / MICROS for name in (*PRICES, "volume")}
    return pd.DataFrame(columns, index=pd.DatetimeIndex(pd.to_datetime(dates(series))))


# ---- the rule in whole numbers, and the plain loop


def signals(series: Series, case: Case) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Say for each close whether the rule enters, whether it leaves."""
    total = np.concatenate(([0], series.prices("close").cumsum()))
    ends = np.arange(case.slow, len(total))
    gap = np.zeros(len(total) - 1, dtype=np.int64)
    gap[case.slow - 1 :] = (total[ends] - total[ends - case.fast]) * case.slow - (
        total[ends] - total[ends - case.slow]
    ) * case.fast
    full = np.arange(len(gap)) >= case.slow - 1
    if case.rule == "state":
        return full & (gap > 0), full & (gap <= 0)
    before = np.concatenate(([0], gap[:-1]))
    both = np.arange(len(gap)) >= case.slow
    return both & (before <= 0) & (gap > 0), both & (before >= 0) & (gap < 0)


def plain(panel: Panel, case: Case) -> Outcome:
    """Trade the rule with whole numbers: micro-dollars and nano-shares, rounded half to even."""
    size = round(case.size * 10**9)
    cash, held, paid = CASH * MICROS, 0, 0
    trades: list[Trade] = []
    for series in panel:
        enter, leave = signals(series, case)
        days = [day.isoformat() for day in dates(series)]
        entry: int | None = None
        for bar, price in enumerate(series.open[1:], start=1):
            if not (leave if entry is not None else enter)[bar - 1]:
                continue
            value = half_even(size * price, 10**9)
            fee = half_even(value * case.bps, 10_000)
            paid += fee
            cash += (value if entry is not None else -value) - fee
            if entry is None:
                entry = bar
            else:
                trades.append(trade(series, days, entry, bar, case))
                entry = None
        if entry is not None:
            trades.append(trade(series, days, entry, None, case))
            held += half_even(size * series.close[-1], 10**9)
    return Outcome(trades, (cash + held) / MICROS, paid / MICROS)


def half_even(numerator: int, denominator: int) -> int:
    """Divide positive integers, rounding to nearest, ties to even."""
    quotient, rest = divmod(numerator, denominator)
    return quotient + (2 * rest > denominator or (2 * rest == denominator and quotient % 2))


def trade(series: Series, days: list[str], entry: int, leave: int | None, case: Case) -> Trade:
    """Name a trade by the bars at whose opens it was filled."""
    fills = [(days[bar], series.open[bar] / MICROS) for bar in (entry, leave) if bar is not None]
    return round_trip(series.symbol, case.size, *fills)


def round_trip(symbol: str, size: float, bought: Fill, sold: Fill | None = None) -> Trade:
    """Join a buy to its sale, if there was one."""
    day, price = sold or (None, None)
    return Trade(symbol, *bought, day, price, size)


def told(
    rule: str, before: tuple[float, float] | None, now: tuple[float, float]
) -> tuple[bool, bool]:
    """Say for (fast, slow) at the bar before and now whether the rule enters, whether it leaves."""
    (fast, slow), (old_fast, old_slow) = now, before or (np.nan, np.nan)
    if rule == "state":
        return bool(fast > slow), bool(fast <= slow)
    return bool(old_fast <= old_slow and fast > slow), bool(old_fast >= old_slow and fast < slow)


# ---- backtesting.py


def run_backtesting(panel: Panel, case: Case) -> Outcome:
    """Run one symbol after another, as the engine has one instrument, and add what each gained."""
    outcomes = [backtesting_one(series, case) for series in panel]
    return Outcome(
        [trade for outcome in outcomes for trade in outcome.trades],
        CASH + sum(outcome.equity - CASH for outcome in outcomes),
        sum(outcome.commission for outcome in outcomes),
    )


def backtesting_one(
    series: Series, case: Case, *, finalize: bool = False, own_wait: bool = False
) -> Outcome:
    """Run one symbol; `finalize` and `own_wait` turn on habits that docs/engines.md tells of."""
    engine: Any = import_module("backtesting")  # ships no types
    library: Any = import_module("backtesting.lib")
    fast, slow = case.fast, case.slow

    class Averages(engine.Strategy):  # type: ignore[misc] # the base has no types
        def init(self) -> None:
            close = pd.Series(np.asarray(self.data.Close))
            self.fast = self.I(lambda: close.rolling(fast).mean())
            self.slow = self.I(lambda: close.rolling(slow).mean())
            if not own_wait:  # plain arrays, so that the engine waits for no bar
                self.fast, self.slow = np.asarray(self.fast), np.asarray(self.slow)

        def next(self) -> None:
            bar = len(self.data) - 1
            before = self.fast[bar - 1], self.slow[bar - 1]
            enter, leave = told(case.rule, before, (self.fast[bar], self.slow[bar]))
            if enter and not self.position:
                self.buy(size=round(case.size / unit))
            elif leave and self.position:
                self.position.close()

    whole = case.size == int(case.size)
    unit = 1.0 if whole else UNIT
    settings = {"cash": CASH, "commission": case.bps / 10_000, "finalize_trades": finalize}
    test = (
        engine.Backtest(frame(series), Averages, **settings)
        if whole
        else library.FractionalBacktest(frame(series), Averages, fractional_unit=UNIT, **settings)
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Some trades remain open")
        warnings.filterwarnings("ignore", message="Some prices are larger")
        stats = quietly(test.run)
    days = [day.isoformat() for day in dates(series)]
    closed = [
        round_trip(
            series.symbol,
            row.Size,
            (days[row.EntryBar], row.EntryPrice),
            (days[row.ExitBar], row.ExitPrice),
        )
        for row in stats["_trades"].itertuples()
    ]
    still = [
        round_trip(series.symbol, t.size * unit, (days[t.entry_bar], t.entry_price / unit))
        for t in stats["_strategy"].trades
    ]
    fills = [p for t in closed + still for p in (t.entry_price, t.exit_price) if p is not None]
    fees = sum(stats["_trades"]["Commission"]) if closed else 0.0
    fees += sum(t.entry_price * t.size * case.bps / 10_000 for t in still)
    if abs(fees - sum(fills) * case.size * case.bps / 10_000) > MONEY:
        raise SystemExit("backtesting.py: commissions do not follow from the fills")
    return Outcome(closed + still, float(stats["_equity_curve"]["Equity"].iloc[-1]), float(fees))


# ---- backtrader


def run_backtrader(panel: Panel, case: Case, *, own_cross: bool = False) -> Outcome:
    """Run all symbols at once; `own_cross` uses the engine's own indicator of crosses."""
    bt: Any = import_module("backtrader")  # ships no types
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.broker.setcash(CASH)
    cerebro.broker.setcommission(commission=case.bps / 10_000)
    for series in panel:
        cerebro.adddata(bt.feeds.PandasData(dataname=frame(series)), name=series.symbol)
    cerebro.addstrategy(backtrader_strategy(bt, case, own_cross=own_cross))
    (ran,) = cerebro.run()
    return Outcome(
        [trade for symbol, done in ran.fills.items() for trade in paired(symbol, done)],
        cerebro.broker.getvalue(),
        sum(comm for done in ran.fills.values() for *_, comm in done),
    )


def backtrader_strategy(bt: Any, case: Case, *, own_cross: bool) -> Any:  # noqa: ANN401 # has no types
    """Give the rule as a class of the engine."""

    class Averages(bt.Strategy):  # type: ignore[misc] # the base has no types
        def __init__(self) -> None:
            self.fast = {d: bt.ind.SMA(d.close, period=case.fast) for d in self.datas}
            self.slow = {d: bt.ind.SMA(d.close, period=case.slow) for d in self.datas}
            pairs = {d: (self.fast[d], self.slow[d]) for d in self.datas if own_cross}
            self.cross = {d: bt.ind.CrossOver(*pair, plot=False) for d, pair in pairs.items()}
            self.fills: dict[str, list[tuple[str, float, float, float]]] = {}

        def next(self) -> None:
            for data in self.datas:
                fast, slow = self.fast[data], self.slow[data]
                full = len(data) > case.slow  # of the bar before, too
                before = (fast[-1], slow[-1]) if full else None
                enter, leave = told(case.rule, before, (fast[0], slow[0]))
                if own_cross:
                    enter, leave = self.cross[data][0] > 0, self.cross[data][0] < 0
                held = self.getposition(data).size
                if enter != leave and enter != bool(held):
                    self.order_target_size(data, target=case.size if enter else 0)

        def notify_order(self, order: Any) -> None:  # noqa: ANN401 # has no types
            if order.status == order.Completed:
                done, name = order.executed, order.data._name  # noqa: SLF001 # its only name
                day = bt.num2date(done.dt).date().isoformat()
                self.fills.setdefault(name, []).append((day, done.price, done.size, done.comm))
            elif order.status not in {order.Submitted, order.Accepted}:
                raise SystemExit(f"backtrader refused an order: {order}")

    return Averages


def paired(symbol: str, done: list[tuple[str, float, float, float]]) -> Iterator[Trade]:
    """Join each buy to the sale after it."""
    for index in range(0, len(done), 2):
        bought, *sold = done[index : index + 2]
        if sold and sold[0][2] != -bought[2]:
            raise SystemExit("backtrader: a sale of another size than the buy before it")
        yield round_trip(symbol, bought[2], bought[:2], *(fill[:2] for fill in sold))


# ---- vectorbt


def run_vectorbt(panel: Panel, case: Case) -> Outcome:
    """Run all symbols at once, as one group that shares its cash."""
    vbt: Any = import_module("vectorbt")  # ships no types
    frames = {series.symbol: frame(series) for series in panel}
    close = pd.DataFrame({symbol: f["Close"] for symbol, f in frames.items()})
    opens = pd.DataFrame({symbol: f["Open"] for symbol, f in frames.items()})
    fast = vbt.MA.run(close, case.fast).ma.set_axis(close.columns, axis=1)
    slow = vbt.MA.run(close, case.slow).ma.set_axis(close.columns, axis=1)
    if case.rule == "state":
        enter, leave = fast > slow, fast <= slow
    else:
        enter = (fast.shift(1) <= slow.shift(1)) & (fast > slow)
        leave = (fast.shift(1) >= slow.shift(1)) & (fast < slow)
    portfolio = vbt.Portfolio.from_signals(
        close=close,
        entries=enter.shift(1, fill_value=False),
        exits=leave.shift(1, fill_value=False),
        price=opens,
        size=case.size,
        fees=case.bps / 10_000,
        init_cash=CASH,
        cash_sharing=True,
        group_by=True,
        freq="1D",
    )
    rows = portfolio.trades.records
    days = [day.isoformat() for day in dates(panel[0])]
    trades = [
        round_trip(
            panel[row.col].symbol,
            row.size,
            (days[row.entry_idx], row.entry_price),
            (days[row.exit_idx], row.exit_price) if row.status else None,
        )
        for row in rows.itertuples()
    ]
    paid = float(rows["entry_fees"].sum() + rows["exit_fees"][rows["status"] == 1].sum())
    return Outcome(trades, float(portfolio.final_value()), paid)


ENGINES: dict[str, Callable[[Panel, Case], Outcome]] = {
    "backtesting": run_backtesting,
    "backtrader": run_backtrader,
    "vectorbt": run_vectorbt,
}


# ---- compare and write


def quietly(run: Callable[[], Any]) -> Any:  # noqa: ANN401 # what it runs has no types
    """Run without the engine's bar of progress."""
    with contextlib.redirect_stderr(io.StringIO()):
        return run()


def differences(expected: Outcome, found: Outcome) -> list[str]:
    """Say in words where an engine differs from the plain loop."""
    wanted, given = sorted(expected.trades, key=order), sorted(found.trades, key=order)
    words = [f"{len(given)} trades, not {len(wanted)}"] if len(wanted) != len(given) else []
    for want, give in zip(wanted, given, strict=False):
        if not same(want, give):
            words.append(f"{list(give)}, not {list(want)}")
            break
    if abs(found.equity - expected.equity) > MONEY:
        words.append(f"final equity {found.equity - expected.equity:+.2f}")
    if abs(found.commission - expected.commission) > MONEY:
        words.append(f"commission {found.commission - expected.commission:+.2f}")
    return words


def order(trade: Trade) -> tuple[str, str]:
    """Sort by symbol and entry."""
    return trade.symbol, trade.entry_date


def same(want: Trade, give: Trade) -> bool:
    """Compare names and dates exactly, numbers to a millionth."""
    pairs = zip(want, give, strict=True)
    return all(
        abs(a - b) <= PRICE if isinstance(a, float) and isinstance(b, float) else a == b
        for a, b in pairs
    )


def habits(panel: Panel, case: Case, expected: Outcome) -> dict[str, float]:
    """Give by how much the final equity moves where an engine is left to its own habits."""
    found: dict[str, float] = {}
    if len(panel) == 1 and case.size == SIZES[0]:
        closed = backtesting_one(panel[0], case, finalize=True)
        found["backtesting closes at the last open"] = closed.equity
        if case.rule == "state":
            late = backtesting_one(panel[0], case, own_wait=True)
            found["backtesting waits a bar more"] = late.equity
        else:
            found["backtrader's CrossOver"] = run_backtrader(panel, case, own_cross=True).equity
    return {
        name: round(equity - expected.equity, 2)
        for name, equity in found.items()
        if abs(equity - expected.equity) > MONEY
    }


def golden(name: str) -> dict[str, Any]:
    """Run every case of a set of bars and give what is written down."""
    panel = bar_set(name)
    cases: list[dict[str, Any]] = []
    trades: dict[str, list[list[object]]] = {}
    for rule, (fast, slow) in product(RULES, PAIRS):
        if min(len(series.day) for series in panel) <= slow:
            continue
        for size, bps in product(SIZES, COMMISSIONS):
            case = Case(rule, fast, slow, size, bps)
            expected = plain(panel, case)
            trades[f"{rule} {fast}/{slow}"] = [
                list(t[:-1]) for t in sorted(expected.trades, key=order)
            ]
            cases.append({**case._asdict(), **compared(name, panel, case, expected)})
    return {
        "bars": {
            "set": name,
            "symbols": [series.symbol for series in panel],
            "count": len(panel[0].day),
            "first": dates(panel[0])[0].isoformat(),
            "last": dates(panel[0])[-1].isoformat(),
            "sha256": identity(panel),
        },
        "engines": {engine: version(engine) for engine in ENGINES},
        "cash": CASH,
        "tolerance": {"money": MONEY, "price": PRICE},
        "trades": trades,
        "cases": cases,
    }


def compared(name: str, panel: Panel, case: Case, expected: Outcome) -> dict[str, Any]:
    """Run the engines on one case and give their figures and their differences."""
    found = {engine: run(panel, case) for engine, run in ENGINES.items()}
    deviations = {
        engine: words
        for engine, outcome in found.items()
        if (words := differences(expected, outcome))
    }
    for engine, words in deviations.items():
        print(f"{name} {tuple(case)} {engine}: {'; '.join(words)}")
    if deviations and name not in MAY_DIFFER:
        raise SystemExit("engines differ: find out why before anything is written")
    return {
        "equity": {engine: round(outcome.equity, DIGITS) for engine, outcome in found.items()},
        "commission": round(expected.commission, DIGITS),
        "deviations": deviations,
        "habits": habits(panel, case, expected),
    }


def write(name: str, content: dict[str, Any]) -> None:
    """Write a golden, one trade and one case on a line."""
    text = json.dumps(content, indent=1, ensure_ascii=True)
    GOLDEN.mkdir(parents=True, exist_ok=True)
    (GOLDEN / f"{name}.json").write_text(compact(text) + "\n", encoding="ascii")


def compact(text: str) -> str:
    """Join the lines that lie deeper than three levels."""
    lines: list[str] = []
    for line in text.splitlines():
        deep = len(line) - len(line.lstrip())
        if deep > 3 or (
            deep == 3 and line.strip() in {"]", "],", "}", "},"} and lines[-1].startswith("   ")
        ):
            lines[-1] += (
                "" if lines[-1].endswith(("[", "{")) or line.strip()[0] in "]}" else " "
            ) + line.strip()
        else:
            lines.append(line)
    return "\n".join(lines)


def main(names: Sequence[str]) -> None:
    """Write the goldens of the named sets, or of all."""
    for name in names or SETS:
        content = golden(name)
        write(name, content)
        traded = sum(map(len, content["trades"].values()))
        print(f"{name}: {len(content['cases'])} cases, {traded} trades", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
