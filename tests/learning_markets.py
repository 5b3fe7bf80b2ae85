"""Markets for the learning tests: seeded bars with splits anywhere, planted edges, pure noise."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from algotrade.bars import Bars, from_rows
from algotrade.domain.actions import Split
from algotrade.domain.times import DAY, HOUR, to_date
from algotrade.learning.dataset import Dataset, build_dataset
from algotrade.learning.training import Plan, TrainedModel, train

if TYPE_CHECKING:
    from collections.abc import Sequence

FIRST_DAY = 10_000
DOLLAR = 1_000_000
RATIOS = ((1, 2), (2, 3), (1, 7), (10, 1))


def bar_times(index: int) -> tuple[int, int]:
    opened = (FIRST_DAY + index) * DAY + 14 * HOUR + 30 * 60 * DOLLAR
    return opened, opened + 390 * 60 * DOLLAR


def from_closes(closes: Sequence[int], *, symbol: str = "AAPL") -> Bars:
    """Bars whose open, high, low and close are the same; a million shares each."""
    rows = [(*bar_times(i), c, c, c, c, 10**6 * DOLLAR) for i, c in enumerate(closes)]
    return from_rows("sample", symbol, "1d", rows)


def with_splits(bars: Bars, places: Sequence[tuple[int, tuple[int, int]]]) -> Bars:
    """Add splits on the session of bar `index`; prices stay as they are, as traded."""
    splits = [
        Split(
            symbol=bars.symbol,
            ex_date=to_date(FIRST_DAY + index),
            split_from=ratio[0],
            split_to=ratio[1],
        )
        for index, ratio in places
    ]
    return replace(bars, splits=tuple(sorted(splits, key=lambda split: split.ex_date)))


def random_bars(seed: int, count: int, *, mood: str = "walk", symbol: str = "AAPL") -> Bars:
    """Any integer bars: `walk`, `wild` (prices over ten decades) or `flat` (stretches of it)."""
    rng = random.Random(seed)  # noqa: S311 - a test market
    price, rows = rng.randrange(10**6, 10**8), []
    for index in range(count):
        if mood == "wild":
            price = rng.randrange(1, 10**10)
        elif mood == "walk" or rng.random() < 0.1:
            price = max(1, price + rng.randrange(-price // 20, price // 20 + 1))
        low, high = price - rng.randrange(price // 50 + 1), price + rng.randrange(price // 50 + 1)
        traded = 0 if mood == "flat" and index % 40 < 25 else rng.randrange(10**15)
        if mood == "flat":
            low = high = price
        rows.append((*bar_times(index), rng.randint(low, high), high, max(1, low), price, traded))
    return from_rows("sample", symbol, "1d", rows)


def planted(symbol: str, seed: int, count: int, *, edge: float) -> Bars:
    """A random walk whose drift is slow and hidden; `edge` 0 is pure noise."""
    rng = random.Random(seed)  # noqa: S311 - a test market
    price, drift, rows = 100e6, 0.0, []
    for index in range(count):
        drift = 0.95 * drift + 0.3 * rng.gauss(0, 1)
        opened = price * (1 + rng.gauss(0, 0.003))
        price = opened * (1 + rng.gauss(0, 0.012) + edge * drift)
        high, low = max(opened, price) * 1.004, min(opened, price) * 0.996
        prices = (int(opened), int(high), int(low), int(price))
        rows.append((*bar_times(index), *prices, rng.randrange(10**6, 10**7) * DOLLAR))
    return from_rows("sample", symbol, "1d", rows)


@cache
def market(*, edge: float, count: int = 1500, symbols: str = "ABCD") -> Dataset:
    bars = [planted(symbol, 7 + i, count, edge=edge) for i, symbol in enumerate(symbols)]
    return build_dataset(bars)


@cache
def trained(model: str, *, edge: float = 0.008) -> TrainedModel:
    return train(market(edge=edge), Plan(model=model), seed=1, now=5)
