"""A collection of features: those that look ahead, those that are recursive, and honest ones.

Each is a plain function of a frame of bars, as a user would write it. `by` names the tests of the
audit that must find it; an honest one must be found by none.
"""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from algotrade.bars import adjusted
from algotrade.learning.audit_subject import Subject, subject
from algotrade.learning.features import DEFAULT, PRESETS, SEED
from algotrade.learning.own_features import features, own_features
from learning_markets import planted

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Literal, TypeAlias

    from numpy.typing import NDArray

    from algotrade.bars import Bars
    from algotrade.learning.audit_subject import Change, Rows

    Frame: TypeAlias = pd.DataFrame
    Column: TypeAlias = Any  # a Series or an array: what users return, loosely typed by pandas

LOOKBACK = 60
WHOLE = ("A1", "A1b", "A2")  # a statistic of the whole sample also changes with the start
AHEAD = ("A1", "A1b")


class Specimen(NamedTuple):
    name: str
    subject: Subject
    by: tuple[str, ...]
    ahead: int | None = None


def of(
    name: str,
    by: tuple[str, ...],
    build: Callable[[Frame], object],
    *,
    ahead: int | None = None,
    scale_free: bool = True,
) -> Specimen:
    """A specimen of one column."""

    def function(bars: Frame) -> Frame:
        return pd.DataFrame({name: build(bars)}, index=bars.index)

    marked = features(lookback=LOOKBACK, scale_free=scale_free)(function)
    return Specimen(name, subject(own_features(marked, name=name).spec()), by, ahead)


def times(bars: Frame) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(bars.index)


def move(bars: Frame) -> Column:
    return bars["close"].pct_change()


def away(bars: Frame, days: int = 20) -> Column:
    """The close over its average: the honest column that most leaks are made of."""
    return bars["close"] / bars["close"].rolling(days).mean() - 1


# ---- features that look ahead


def reversed_low(bars: Frame) -> Column:
    return bars["close"][::-1].rolling(5).min()[::-1] / bars["close"]


def whole_rank(bars: Frame) -> Column:
    return away(bars).rank(pct=True)


def detrended(bars: Frame) -> Column:
    steps = np.arange(len(bars))
    trend = np.polyval(np.polyfit(steps, bars["close"], 1), steps)
    return bars["close"] / trend - 1


def pca_on_all(bars: Frame) -> Column:
    table = pd.concat([move(bars).shift(lag) for lag in range(5)], axis=1).fillna(0.0)
    centred = table - table.mean()
    axis = np.linalg.eigh(np.cov(centred.T))[1][:, -1]
    return np.asarray(centred @ (axis * np.sign(axis.sum() or 1.0)))


def low_pass(bars: Frame) -> Column:
    waves = np.fft.rfft(bars["close"])
    waves[len(waves) // 8 :] = 0
    return np.asarray(np.fft.irfft(waves, len(bars)) / bars["close"])


def filled_between(bars: Frame) -> Column:
    weekly = away(bars).where(np.arange(len(bars)) % 5 == 0)
    return weekly.interpolate(limit_direction="forward")


def joined(bars: Frame, direction: Literal["forward", "nearest"]) -> Column:
    """Join quarterly figures, stamped with the quarter's last close, by the wrong direction."""
    facts = bars[["close"]].iloc[30::63].rename(columns={"close": "fact"})
    left = bars[["close"]].reset_index()
    found = pd.merge_asof(left, facts.reset_index(), on="ts_close", direction=direction)
    return np.asarray(bars["close"]) / np.asarray(found["fact"])


def week_before_it_closed(bars: Frame) -> Column:
    days = times(bars).tz_localize(None).to_period("W")
    return bars["close"] / bars["close"].groupby(days).transform("last")


def month_high(bars: Frame) -> Column:
    months = times(bars).tz_localize(None).to_period("M")
    return bars["close"] / bars["high"].groupby(months).transform("max")


def before_a_gap(bars: Frame) -> Column:
    """Rare: marks the day before an opening gap of 1.5% and is 0 otherwise."""
    gap = bars["open"].shift(-1) / bars["close"] - 1
    return (gap.abs() > 0.015).astype(float)


def peak(bars: Frame) -> Column:
    close = bars["close"]
    return ((close > close.shift(1)) & (close > close.shift(-1))).astype(float)


def both_ways(bars: Frame) -> Column:
    """An exponential mean forward and backward, without a phase shift."""
    return bars["close"][::-1].ewm(span=5).mean()[::-1] / bars["close"]


def future_low(bars: Frame) -> Column:
    return bars["low"][::-1].cummin()[::-1] / bars["close"]


def weekday_edge(bars: Frame) -> Column:
    """Target encoding: what the next day of such a weekday gave on average, on all rows."""
    return move(bars).shift(-1).groupby(times(bars).day_of_week).transform("mean")


def regime_of_all(bars: Frame) -> Column:
    spread = move(bars).rolling(20).std()
    return (spread > spread.median()).astype(float)


def place_in_history(bars: Frame) -> Column:
    return np.arange(len(bars)) / len(bars)


def best_window(bars: Frame) -> Column:
    """The average out of three that would have earned most over the whole history."""
    gain = move(bars).shift(-1)
    kinds = [away(bars, days) for days in (10, 20, 40)]
    return max(kinds, key=lambda kind: float((np.sign(kind) * gain).sum()))


def clipped_by_all(bars: Frame) -> Column:
    kind = move(bars)
    return kind.clip(float(kind.quantile(0.05)), float(kind.quantile(0.95)))


def later_shares(bars: Bars) -> Column:
    """Dollars in the shares of the last bar: a split moves every row before it."""
    return adjusted(bars).numpy("close")[:, None] / 1e6


# ---- features that compare a symbol with others


@cache
def others() -> tuple[Bars, ...]:
    """Eleven symbols with the closes of the one that is looked at."""
    return tuple(planted(f"P{number:02}", 40 + number, 520, edge=0.0) for number in range(11))


def comparing(
    name: str,
    by: tuple[str, ...],
    build: Callable[[Bars, Frame], Column],
    *,
    ahead: int | None = None,
) -> Specimen:
    """A specimen of one column, built of a symbol and the closes of others at its own times."""

    def rows(bars: Bars, change: Change) -> NDArray[np.float64]:
        closes = {
            one.symbol: pd.Series(one.numpy("close") / 1e6, index=one.numpy("ts_close"))
            for one in change(others())
        }
        table = pd.DataFrame(closes).reindex(bars.numpy("ts_close"))
        return np.asarray(build(bars, table), float)[:, None]

    def among(change: Change) -> Rows:
        return partial(rows, change=change)

    seen = Subject(names=(name,), rows=among(list), lookback=LOOKBACK, among=among)
    return Specimen(name, seen, by, ahead)


def ranked_by_all(bars: Bars, table: Frame) -> Column:
    """The place of a symbol among the others by what each gained over the whole history."""
    gains = table.iloc[-1] / table.iloc[0]
    close = adjusted(bars).numpy("close")
    return np.full(len(bars), float((gains < close[-1] / close[0]).mean() + len(bars) * 1e-6))


LEAKS = [
    of("tomorrow's return", AHEAD, lambda b: move(b).shift(-1), ahead=1),
    of("next open", AHEAD, lambda b: b["open"].shift(-1) / b["close"], ahead=1),
    of("return of five days to come", AHEAD, lambda b: -b["close"].pct_change(-5), ahead=5),
    of("centred mean", AHEAD, lambda b: b["close"] / b["close"].rolling(11, center=True).mean()),
    of(
        "centred median, short at the end",
        AHEAD,
        lambda b: b["close"] / b["close"].rolling(7, center=True, min_periods=1).median(),
    ),
    of("rolling minimum of the reversed", AHEAD, reversed_low),
    of("z-score of all", WHOLE, lambda b: (away(b) - away(b).mean()) / away(b).std()),
    of("min-max of all", WHOLE, lambda b: away(b) / (away(b).max() - away(b).min())),
    of("rank of all", WHOLE, whole_rank),
    of("quantile of all", WHOLE, lambda b: pd.qcut(away(b), 10, labels=False)),
    of("clipped by quantiles of all", WHOLE, clipped_by_all),
    of("detrended", WHOLE, detrended),
    of("principal component of all", WHOLE, pca_on_all),
    of("low-pass by Fourier", WHOLE, low_pass),
    of("over the last value", AHEAD, lambda b: b["close"] / b["close"].iloc[-1]),
    of("back-filled warm-up", AHEAD, lambda b: away(b).bfill()),
    of("interpolated", WHOLE, filled_between),
    of("filled with the mean of all", AHEAD, lambda b: away(b).fillna(away(b).mean())),
    of("joined forward", AHEAD, lambda b: joined(b, "forward")),
    of("joined with the nearest", WHOLE, lambda b: joined(b, "nearest")),
    of("this week's last close", AHEAD, week_before_it_closed),
    of("this month's high", AHEAD, month_high),
    of("the day before a gap (rare)", ("A1b",), before_a_gap, ahead=1),
    of("local peak", AHEAD, peak, ahead=1),
    of("filtered both ways", AHEAD, both_ways),
    of("low of all days to come", AHEAD, future_low),
    of("weekday encoded by the target", WHOLE, weekday_edge),
    of("regime by the median of all", AHEAD, regime_of_all),
    of("share of the history gone", ("A1", "A2"), place_in_history),
    of("average chosen on all", WHOLE, best_window),
    comparing(
        "tomorrow's market",
        AHEAD,
        lambda _, table: table.pct_change().mean(axis=1).shift(-1),
        ahead=1,
    ),
    comparing("rank among others by all", WHOLE, ranked_by_all),
    Specimen(
        "prices in later shares",
        Subject(names=("close",), rows=later_shares, lookback=1, in_dollars=frozenset(("close",))),
        ("A1",),
    ),
]

# ---- recursive ones: no look-ahead, but the declared look-back is not true


def wilder(bars: Frame, days: int = 14) -> Column:
    change = bars["close"].diff()
    rise = change.clip(lower=0).ewm(alpha=1 / days, adjust=False).mean()
    fall = (-change).clip(lower=0).ewm(alpha=1 / days, adjust=False).mean()
    return rise / (rise + fall)


def macd(bars: Frame) -> Column:
    slow, fast = (bars["close"].ewm(span=span).mean() for span in (26, 12))
    return (fast - slow).ewm(span=9).mean() / bars["close"]


def on_balance(bars: Frame) -> Column:
    return (np.sign(move(bars)) * bars["volume"]).cumsum() / bars["volume"].rolling(20).mean()


RECURSIVE = [
    of("exponential mean", ("A2",), lambda b: b["close"] / b["close"].ewm(span=60).mean()),
    of("Wilder's RSI", ("A2",), wilder),
    of("MACD", ("A2",), macd),
    of("on-balance volume", ("A2",), on_balance),
    of("mean since the start", ("A2",), lambda b: b["close"] / b["close"].expanding().mean()),
    of("below the highest ever", ("A2",), lambda b: b["close"] / b["close"].cummax()),
    of("longer than declared", ("A2",), lambda b: away(b, 90)),
    of("dollars that claim to be none", ("A7",), lambda b: b["close"]),
]

# ---- honest ones


def last_week(bars: Frame) -> Column:
    """The close over that of the last week that had ended."""
    days = times(bars).tz_localize(None).to_period("W")
    ends = bars["close"].groupby(days).last().shift(1)
    return bars["close"] / ends.reindex(days).to_numpy()


def reversed_twice(bars: Frame) -> Column:
    return bars["close"][::-1].rolling(5).min()[::-1].shift(4) / bars["close"]


def slope(bars: Frame) -> Column:
    steps = np.arange(20) - 9.5
    return bars["close"].rolling(20).apply(lambda x: float(x @ steps), raw=True) / bars["close"]


def cutler(bars: Frame) -> Column:
    change = bars["close"].diff()
    rise, fall = change.clip(lower=0).rolling(14).sum(), (-change).clip(lower=0).rolling(14).sum()
    return rise / (rise + fall)


def scored(bars: Frame) -> Column:
    return (away(bars) - away(bars).rolling(30).mean()) / away(bars).rolling(30).std()


def facts_as_known(bars: Frame) -> Column:
    """Join a dated table of somebody else backward: what was published by then."""
    stamps = pd.DatetimeIndex(np.arange(9_900, 12_000, 91).astype("datetime64[D]"), tz="UTC")
    facts = pd.DataFrame({"ts_close": stamps.as_unit("us"), "fact": np.arange(len(stamps)) * 1.0})
    left = bars[["close"]].reset_index()
    return np.asarray(pd.merge_asof(left, facts, on="ts_close")["fact"])


def rare_event(bars: Frame) -> Column:
    return ((bars["open"] / bars["close"].shift(1) - 1).abs() > 0.008).astype(float)


HONEST = [
    of("close over its average", (), away),
    of("yesterday's return", (), move),
    of("momentum", (), lambda b: b["close"].pct_change(20)),
    of("score in its window", (), scored),
    of("rank in its window", (), lambda b: b["close"].rolling(40).rank(pct=True)),
    of("channel of earlier days", (), lambda b: b["close"] / b["high"].shift(1).rolling(55).max()),
    of("Cutler's RSI", (), cutler),
    of("slope", (), slope),
    of("volatility", (), lambda b: move(b).rolling(20).std()),
    of("volume", (), lambda b: b["volume"] / b["volume"].rolling(20).mean()),
    of("volume with price", (), lambda b: b["volume"].rolling(20).corr(b["close"])),
    of("last week's close", (), last_week),
    of("facts as they were known", (), facts_as_known),
    of("weekday", (), lambda b: times(b).day_of_week.to_numpy(dtype=float)),
    of("gap", (), lambda b: b["open"] / b["close"].shift(1) - 1),
    of("rare event", (), rare_event),
    of("reversed twice", (), reversed_twice),
    of("exponential mean that has faded", (), lambda b: b["close"] / b["close"].ewm(span=4).mean()),
    of("filled forward", (), lambda b: away(b).where(away(b) > 0).ffill(limit=10)),
    of("dollars that say so", (), lambda b: b["close"].rolling(50).mean(), scale_free=False),
    of("median in its window", (), lambda b: b["close"] / b["close"].rolling(15).median()),
    comparing("today's market", (), lambda _, table: table.pct_change().mean(axis=1)),
    Specimen("preset cross", subject(PRESETS["cross"], others()), ()),
    Specimen("preset default", subject(DEFAULT), ()),
    Specimen("preset seed", subject(SEED), ()),
]
