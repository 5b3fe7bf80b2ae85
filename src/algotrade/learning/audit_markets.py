"""Markets for the audit: another future, another past, another price level, no signal at all."""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import TYPE_CHECKING

from algotrade.bars import Bars, adjusted
from algotrade.domain.money import MICROS
from algotrade.domain.times import DAY, HOUR, MINUTE
from algotrade.learning.basis import split_cuts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import NDArray

PRICES = ("open", "high", "low", "close")
DAILY_MOVE = 0.05  # of the other path: large, so that a comparison with it turns out differently
FARTHEST = 20.0  # times or parts of the real price
FIRST_NULL_DAY = 12_000


def other_future(bars: Bars, last: int, seed: int) -> Bars:
    """Replace all bars after bar `last` by another path, with 0.2 to 5 times the volume."""
    return _other(bars, range(last + 1, len(bars)), seed)


def other_past(bars: Bars, first: int, seed: int) -> Bars:
    """Replace all bars before bar `first` by another path."""
    return _other(bars, range(first), seed)


def futures(histories: Sequence[Bars], ts: int, seed: int) -> list[Bars]:
    """Give every symbol another future from the first bar that closes after `ts`."""
    from bisect import bisect_right

    return [
        other_future(bars, bisect_right(bars.ts_close, ts) - 1, seed + index)
        for index, bars in enumerate(histories)
    ]


def rescaled(bars: Bars, factor: int) -> Bars:
    """Multiply every price by a whole number."""
    scaled: dict[str, Any] = {
        name: array("q", [x * factor for x in bars.column(name)]) for name in PRICES
    }
    return replace(bars, **scaled)


def without_splits(bars: Bars) -> Bars:
    """Give the bars in the shares of the last, so that every cut of them is in one share basis."""
    return adjusted(bars) if split_cuts(bars) else replace(bars, splits=())


def null_market(symbol: str, seed: int, count: int) -> Bars:
    """Give daily bars of a fair walk: up and down are equally likely whatever came before."""
    import numpy as np

    rng = np.random.default_rng(seed)
    gap, move = rng.normal(0, 0.004, count), rng.normal(0, 0.014, count)
    close = 100 * np.exp(np.cumsum(gap + move))
    opened = close * np.exp(-move)
    spread = 1 + np.abs(rng.normal(0, 0.004, (2, count)))
    high, low = np.maximum(opened, close) * spread[0], np.minimum(opened, close) / spread[1]
    ts = (FIRST_NULL_DAY + np.arange(count)) * DAY + 14 * HOUR + 30 * MINUTE
    prices: dict[str, Any] = {
        name: _integers(values * MICROS)
        for name, values in (("open", opened), ("high", high), ("low", low), ("close", close))
    }
    return Bars(
        source="null",
        symbol=symbol,
        timeframe="1d",
        ts_open=_integers(ts),
        ts_close=_integers(ts + 390 * MINUTE),
        volume=_integers(rng.integers(10**6, 10**7, count) * MICROS),
        **prices,
    )


def _other(bars: Bars, places: range, seed: int) -> Bars:
    import numpy as np

    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.normal(0, DAILY_MOVE, len(places)))
    reach = float(np.log(FARTHEST))
    factor = np.ones(len(bars))
    factor[places.start : places.stop] = np.exp(np.clip(walk, -reach, reach))
    traded = np.ones(len(bars))
    traded[places.start : places.stop] = rng.uniform(0.2, 5, len(places))
    changed: dict[str, Any] = {
        name: _integers(
            np.maximum(1, np.where(factor == 1, bars.numpy(name), bars.numpy(name) * factor))
        )
        for name in PRICES
    }
    volume = _integers(np.where(traded == 1, bars.numpy("volume"), bars.numpy("volume") * traded))
    return replace(bars, volume=volume, **changed)


def _integers(values: NDArray[Any]) -> array[int]:
    import numpy as np

    return array("q", np.rint(values).astype(np.int64).tobytes())
