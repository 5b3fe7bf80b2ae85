"""Features of your own: a plain function of a window of bars, asked once for each bar.

A row is what the function says of the last bar when it sees the last `lookback` bars and nothing
else. Training, audit and live trading ask in the same way, so a row cannot read a later bar and is
the same bit for bit wherever it is computed, whatever the function does inside (running sums,
recursive averages). Rows are remembered by the content of their window.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from algotrade.domain.money import MICROS
from algotrade.domain.times import DAY, HOUR, iso, session_date
from algotrade.errors import InputError, ModelError
from algotrade.learning.basis import check_prices, price_runs, split_cuts, volume_runs
from algotrade.learning.formulas import FORMULAS, LOOKBACK, PRICES
from algotrade.learning.presets import CROSS, FeatureSpec, feature_spec
from algotrade.own_code import LARGEST_LOOKBACK, load_function, told
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Iterator

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from algotrade.bars import Bars
    from algotrade.learning.basis import Run
    from algotrade.learning.card import ModelCard

    Matrix = NDArray[np.float64]

F = TypeVar("F", bound="Callable[..., object]")

COLUMNS = (*PRICES, "volume")
CHECKED = 8  # bars of which the function is asked once more
REMEMBERED = 200_000  # rows kept before the memory is emptied
ENOUGH_ROWS = 20  # rows of which a column must say something
_HASH_DIGITS = 32
_WHAT = ("feature function", "feature functions")


def features(*, lookback: int, scale_free: bool = True) -> Callable[[F], F]:
    """Mark `build(bars: DataFrame) -> DataFrame` as features that read `lookback` bars.

    scale_free: whether they stay the same when every price is multiplied by a constant, as ratios
    do and dollars do not. The audit holds the function to both.
    """

    def mark(function: F) -> F:
        vars(function).update(lookback=lookback, scale_free=scale_free)
        return function

    return mark


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnFeatures:
    """A function somebody wrote, with what it declares; see `features`.

    name: where it stands, as a model card keeps it. columns: what it gives, in order.
    """

    name: str
    label: str
    path: str
    sha256: str
    lookback: int
    scale_free: bool
    columns: tuple[str, ...]
    function: Callable[..., object] = field(repr=False, compare=False)
    memory: dict[bytes, tuple[float, ...]] = field(default_factory=dict, repr=False, compare=False)

    def __reduce__(self) -> tuple[object, ...]:
        """Travel to another process by name: the same bytes are loaded there, or none."""
        return _again, (self.name, self.sha256)

    def spec(self) -> FeatureSpec:
        """Give the spec that datasets, training and forecasts take."""
        return FeatureSpec(
            preset=f"{self.name}@{self.sha256[:_HASH_DIGITS]}",
            names=self.columns,
            lookback=max(self.lookback, LOOKBACK),  # the trend beside it needs its bars, too
            own=self,
        )

    def matrix(self, bars: Bars) -> Matrix:
        """Compute every row: (len(bars), columns), NaN before `lookback` bars are there.

        Raises InputError where the function fails, gives something else than a row for each bar
        under the same names, answers otherwise when asked again, or has a column without numbers.
        """
        import numpy as np

        matrix = np.full((len(bars), len(self.columns)), np.nan)
        asked = range(self.lookback - 1, len(bars))
        for seen in _windows(bars, self.lookback):
            matrix[seen.at] = self._remembered(seen, bars)
        self._check_again(bars, matrix)
        silent = ~np.isfinite(matrix).any(axis=0)
        if len(asked) >= ENOUGH_ROWS and silent.any():
            raise InputError(
                f"{self.label}: {self.columns[int(silent.argmax())]} is no number at any of"
                f" {len(asked)} bars of {bars.symbol}",
                hint="the last row of each window counts: it can read neither later bars nor more"
                f" than its lookback={self.lookback} bars",
            )
        return matrix

    def row(self, bars: Bars) -> tuple[float, ...]:
        """Compute the row of the last bar from its window alone, with the bits of `matrix`."""
        last = bars.slice(len(bars) - self.lookback, len(bars))
        return self._remembered(_last(last), last)

    def whole(self, bars: Bars) -> Matrix:
        """Ask once about all bars, in the shares of the last: what the audit looks at."""
        block, ts = _block(bars, 0, len(bars))
        return self._ask(_frame(block, ts), bars, len(bars) - 1)

    def _ask(self, window: pd.DataFrame, bars: Bars, at: int) -> Matrix:
        """Call the function about the window that ends at a bar; check the form of its answer."""
        import pandas as pd

        index = window.index
        try:
            answer = self.function(window)
        except (Exception, SystemExit) as error:
            raise InputError(
                f"{self.label} failed at {_bar(bars, at)}: {told(error, self.path)}",
                hint=f"mend {self.path}, or declare a longer lookback if it reads further back",
            ) from error
        if not isinstance(answer, pd.DataFrame) or not answer.index.equals(index):
            raise self._wrong(f"gave {_kind(answer)} for {len(index)} bars", bars, at)
        names = tuple(str(name) for name in answer.columns)
        if names != self.columns:
            raise self._wrong(f"gave the columns {', '.join(names)[:80] or 'of nothing'}", bars, at)
        try:
            return answer.to_numpy(dtype=float, na_value=float("nan"))
        except (TypeError, ValueError) as error:
            raise self._wrong(f"gave no numbers ({told(error)})", bars, at) from error

    def _wrong(self, what: str, bars: Bars, at: int) -> InputError:
        return InputError(
            f"{self.label} {what} at {_bar(bars, at)}",
            hint="return a DataFrame of numbers with the index of the bars and always the same"
            " columns",
        )

    def _remembered(self, seen: Seen, bars: Bars) -> tuple[float, ...]:
        import hashlib

        content = seen.block.tobytes() + seen.ts.tobytes()
        key = hashlib.blake2b(content, digest_size=16).digest()
        if key not in self.memory:
            if len(self.memory) >= REMEMBERED:
                self.memory.clear()
            self.memory[key] = self._fresh(seen, bars)
        return self.memory[key]

    def _fresh(self, seen: Seen, bars: Bars) -> tuple[float, ...]:
        answer = self._ask(_frame(seen.block.copy(), seen.ts), bars, seen.at)
        return tuple(answer[-1].tolist())

    def _check_again(self, bars: Bars, matrix: Matrix) -> None:
        """Ask of a few bars once more, the last first: a function that remembers is found."""
        import numpy as np

        first = self.lookback - 1
        step = max(1, (len(bars) - first) // CHECKED)
        for at in range(len(bars) - 1, first - 1, -step):
            again = np.array(self._fresh(_last(bars.slice(at - first, at + 1)), bars))
            if not np.array_equal(again, matrix[at], equal_nan=True):
                raise InputError(
                    f"{self.label} said two things of the same window at {_bar(bars, at)}",
                    hint="compute from the window alone: nothing remembered, no clock, no random"
                    " number",
                )


# ---- from a name to a spec


def load_features(name: str, *, sha256: str = "") -> FeatureSpec:
    """Give the spec of a preset, or of your own `package.module:function` or `file.py:function`.

    sha256: how the hash of the file must begin, else ModelError before a line of it runs. Raises
    InputError for what cannot be loaded, declares no look-back or answers in another form.
    """
    if ":" not in name:
        return feature_spec(name)
    found = load_function(name, _WHAT, sha256=sha256)
    where, _, called = name.rpartition(":")
    at = Path(found.path).absolute() if where.endswith(".py") else where
    return own_features(
        found.function,
        name=f"{at}:{called}",
        label=found.label,
        path=found.path,
        sha256=found.sha256,
    ).spec()


def _again(name: str, sha256: str) -> object:
    return load_features(name, sha256=sha256).own


def own_features(
    function: Callable[..., object], *, name: str, label: str = "", path: str = "", sha256: str = ""
) -> OwnFeatures:
    """Take a function as features, after asking it about one made-up window for its columns."""
    lookback = getattr(function, "lookback", None)
    if type(lookback) is not int or not 2 <= lookback <= LARGEST_LOOKBACK:
        what = "declares no lookback" if lookback is None else f"has lookback {lookback!r:.40}"
        raise InputError(
            f"{label or name} {what}",
            hint=f"put @features(lookback=21) above it: a whole number, 2 to {LARGEST_LOOKBACK}",
        )
    made = OwnFeatures(
        name=name,
        label=label or name,
        path=path or name,
        sha256=sha256,
        lookback=lookback,
        scale_free=bool(getattr(function, "scale_free", True)),
        columns=(),
        function=function,
    )
    return replace(made, columns=_columns(made))


def card_features(card: ModelCard) -> FeatureSpec:
    """Give the spec a model was trained with; raises ModelError where your file has changed."""
    if ":" not in card.preset:
        return FeatureSpec(preset=card.preset, names=card.names, lookback=card.lookback)
    name, _, sha256 = card.preset.rpartition("@")
    if len(sha256) != _HASH_DIGITS:
        raise ModelError(f"model {card.id}: its features are not named by their hash")
    spec = load_features(name, sha256=sha256)
    if (spec.names, spec.lookback) != (card.names, card.lookback):
        raise ModelError(
            f"model {card.id}: {name} now gives other columns",
            hint="what that file imports has changed: train again: algotrade train",
        )
    return spec


def _columns(made: OwnFeatures) -> tuple[str, ...]:
    """Ask about a made-up window which columns there are; raises InputError."""
    import numpy as np
    import pandas as pd

    steps = np.arange(made.lookback)
    close = 100 + 5 * np.sin(steps * 0.7) + 3 * np.cos(steps * 0.13)
    volume = 1e6 + 1e3 * (steps % 17)
    block = np.column_stack([close - 0.2, close + 1.0, close - 1.0, close, volume])
    try:
        answer = made.function(_frame(block, (11_000 + steps) * DAY + 21 * HOUR))
    except (Exception, SystemExit) as error:
        raise InputError(
            f"{made.label} failed on a made-up window: {told(error, made.path)}",
            hint=f"mend {made.path}, or declare a longer lookback if it reads further back",
        ) from error
    names = [str(name) for name in answer.columns] if isinstance(answer, pd.DataFrame) else []
    if not names or len(set(names)) < len(names):
        raise InputError(
            f"{made.label} gave {_kind(answer)} for a window of {made.lookback} bars",
            hint="return a DataFrame with at least one column, no name twice",
        )
    if taken := sorted({*names} & {*FORMULAS, *CROSS}):
        raise InputError(
            f"{made.label} calls a column {taken[0]}, which is a feature of algotrade",
            hint="choose another name for it",
        )
    return tuple(names)


# ---- windows


class Seen(NamedTuple):
    """A window that ends at bar `at`: (lookback, 5) dollars and shares, and its closing times."""

    at: int
    block: Matrix
    ts: NDArray[np.int64]


def _windows(bars: Bars, lookback: int) -> Iterator[Seen]:
    """Give the window of each bar that has enough bars before it, in its own shares."""
    edges = sorted({0, len(bars), *(cut[0] for cut in split_cuts(bars))})
    for start, stop in pairwise(edges):
        first = max(start, lookback - 1)
        low = first - lookback + 1
        if first < stop:
            block, ts = _block(bars, low, stop)
            for at in range(first, stop):
                part = slice(at - first, at - first + lookback)
                yield Seen(at, block[part], ts[part])


def _last(bars: Bars) -> Seen:
    block, ts = _block(bars, 0, len(bars))
    return Seen(len(bars) - 1, block, ts)


def _block(bars: Bars, low: int, stop: int) -> tuple[Matrix, NDArray[np.int64]]:
    """Give bars [low, stop) in the shares of the last: each the double nearest to the exact value.

    That double is the same whatever else the block holds, so windows can be cut from it.
    """
    import numpy as np

    ts = bars.numpy("ts_close")[low:stop]
    if low == stop:
        return np.zeros((0, len(COLUMNS))), ts
    cuts = split_cuts(bars)
    runs, shares = price_runs(cuts, low, stop), volume_runs(cuts, low, stop)
    columns = [_scaled(bars.column(name)[low:stop], runs, low) for name in PRICES]
    check_prices(bars, [(min(bars.low[low:stop]), 0)])
    return np.array([*columns, _scaled(bars.volume[low:stop], shares, low)]).T.copy(), ts


def _scaled(values: array[int], runs: list[Run], low: int) -> list[float]:
    unit = runs[-1][2] * MICROS
    return [
        value * factor / unit
        for start, stop, factor in runs
        for value in values[start - low : stop - low]
    ]


def _frame(block: Matrix, ts: NDArray[np.int64]) -> pd.DataFrame:
    import pandas as pd

    index = pd.DatetimeIndex(ts.astype("datetime64[us]"), tz="UTC", name="ts_close")
    return pd.DataFrame(block, index=index, columns=list(COLUMNS))


def _bar(bars: Bars, at: int) -> str:
    if not len(bars):
        return bars.symbol
    daily = bars.timeframe == "1d"
    return f"{bars.symbol} {session_date(bars.ts_open[at]) if daily else iso(bars.ts_close[at])}"


def _kind(answer: object) -> str:
    shape = getattr(answer, "shape", None)
    what = type(answer).__name__
    return f"a {what} of shape {shape}" if shape is not None else f"{answer!r:.40} ({what})"
