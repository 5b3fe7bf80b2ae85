"""Walk-forward: refit on the live schedule over a history, so that a backtest learns as live does.

The refit at T is the model that `train` would fit live at T: on the bars known at T, hence on the
labels that had ended before T. It speaks from the bar that closes at T on, until the next refit.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from algotrade.domain.times import iso
from algotrade.errors import DataError
from algotrade.learning.cross import bind
from algotrade.learning.dataset import FEWEST_ROWS, build_dataset, take_rows
from algotrade.learning.familiar import reasons
from algotrade.learning.features import compute_features
from algotrade.learning.forecast import score_rows, signals
from algotrade.learning.pool import alone
from algotrade.learning.splits import sessions
from algotrade.learning.training import refit
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from algotrade.bars import Bars
    from algotrade.domain.signals import Signals
    from algotrade.learning.dataset import Dataset
    from algotrade.learning.labels import LabelSpec
    from algotrade.learning.pool import Pool
    from algotrade.learning.presets import FeatureSpec
    from algotrade.learning.training import Plan, Progress, TrainedModel

MONTH = 21  # sessions between two refits


class Refit(NamedTuple):
    """One refit: when, what came of it, and what it had seen; microseconds UTC."""

    ts: int
    model_id: str
    train_rows: int
    train_end: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WalkForward:
    """What was said by whom.

    signals: by symbol, one item for each bar given; NONE before the first refit and after the
    end of the span. models: by id, empty unless they were asked for.
    """

    signals: dict[str, Signals]
    refits: tuple[Refit, ...]
    models: dict[str, TrainedModel]


def walk_forward_forecast(
    histories: Sequence[Bars],
    spec: FeatureSpec,
    labels: LabelSpec,
    plan: Plan,
    *,
    seed: int,
    from_ts: int,
    until_ts: int | None = None,
    every: int = MONTH,
    window: int | None = None,
    keep_models: bool = False,
    pool: Pool = alone,
    progress: Progress | None = None,
) -> WalkForward:
    """Refit every `every` sessions from the first that closes at or after `from_ts`.

    The first refit waits until there are 100 labelled rows of both kinds; a later one that finds
    fewer (in a rolling window) is left out and the model before it goes on. A refit is
    `training.refit` on `known_then(histories, ...)`, so its scorer is that of a live `train` on
    the bars until then; its card is made at T and has no scores.

    until_ts: no bar that closes later is read. window: None for all that is known, else the
    sessions whose decisions train; it and `every` are at least 1. keep_models: for storing; a
    forest of the sample takes 0.3 MB. pool: who makes the refits, which do not know of each other.
    progress(done, total) is called after each refit. Raises DataError where no model can be fitted
    by `until_ts`, and as `build_dataset` and `training.refit`.
    """
    past = _until(histories, until_ts)
    bound = bind(spec, past)
    times = refit_times(past, spec, labels, from_ts=from_ts, every=every, window=window)
    tracks = [_Track(bars, bound, from_ts) for bars in past]
    refits, models = [], {}
    learned = pool(_refit_at, _Learner(past, spec, labels, plan, seed, window), times)
    for done, (ts, model) in enumerate(zip(times, learned, strict=True), start=1):
        refits.append(Refit(ts, model.card.id, model.card.rows, model.card.train_end))
        for track in tracks:
            track.say(model, ts, times[done] if done < len(times) else None)
        if keep_models:
            models[model.card.id] = model
        if progress is not None:
            progress(done, len(times))
    said = {
        bars.symbol: track.signals(len(bars), plan.threshold)
        for bars, track in zip(histories, tracks, strict=True)
    }
    return WalkForward(signals=said, refits=tuple(refits), models=models)


class _Learner(NamedTuple):
    """What every refit reads, wherever it is made."""

    past: Sequence[Bars]
    spec: FeatureSpec
    labels: LabelSpec
    plan: Plan
    seed: int
    window: int | None


def _refit_at(learner: _Learner, ts: int) -> TrainedModel:
    import numpy as np

    past, spec, labels, plan, seed, window = learner
    dataset = build_dataset(known_then(past, spec, ts, window=window), spec, labels)
    if spec.crosses and window is not None:
        start = _window_start(_session_closes(past), ts, window)
        dataset = take_rows(dataset, np.flatnonzero(dataset.ts >= start))
    return refit(dataset, plan, seed=seed, now=ts)


def estimate_refits(
    histories: Sequence[Bars],
    spec: FeatureSpec,
    labels: LabelSpec,
    *,
    from_ts: int,
    until_ts: int | None = None,
    every: int = MONTH,
) -> int:
    """Count the refits to come without computing a feature, to tell how long it will take.

    Exact but for bars that give no row (flat, halted), windows that fall short and labels that
    are all the same.
    """
    past = _until(histories, until_ts)
    lost = spec.lookback + labels.horizon  # bars known of a symbol that give no labelled row
    ready = [
        ts
        for ts in _session_closes(past)
        if ts >= from_ts
        and sum(max(0, bisect_right(bars.ts_close, ts) - lost) for bars in past) >= FEWEST_ROWS
    ]
    return len(ready[::every])


def refit_times(
    histories: Sequence[Bars],
    spec: FeatureSpec,
    labels: LabelSpec,
    *,
    from_ts: int,
    every: int = MONTH,
    window: int | None = None,
) -> list[int]:
    """Give the instants of the refits: each is the first close of a session.

    Later bars move none of them. Raises DataError where there is none, and as `build_dataset`.
    """
    whole = build_dataset(histories, spec, labels)
    closes, known_at = _session_closes(histories), _known_at(histories, whole)

    def trains(ts: int) -> bool:
        y = whole.y[(known_at <= ts) & (whole.ts >= _window_start(closes, ts, window))]
        return len(y) >= FEWEST_ROWS and bool(y.min() != y.max())

    later = closes[bisect_left(closes, from_ts) :]
    first = next((place for place, ts in enumerate(later) if trains(ts)), None)
    if first is None:
        raise DataError(
            f"no model can be fitted from {iso(from_ts)} on: at no session there are"
            f" {FEWEST_ROWS} labelled rows before it, ups and downs",
            hint="load earlier bars: algotrade fetch with an earlier start",
        )
    return [ts for ts in later[first::every] if trains(ts)]


def known_then(
    histories: Sequence[Bars], spec: FeatureSpec, ts: int, *, window: int | None = None
) -> list[Bars]:
    """Cut histories to the bars that a live `train` at `ts`, a session's first close, would read.

    All that had closed by then; with a window, those of its sessions and before them what their
    look-back needs. A symbol without any is left out: not listed yet, or not any more.
    Features that compare symbols read all that had closed; those without any count as missing.
    """
    start = _window_start(_session_closes(histories), ts, window)
    parts = []
    for bars in histories:
        first, stop = bisect_left(bars.ts_close, start), bisect_right(bars.ts_close, ts)
        if spec.crosses:
            parts.append(bars.slice(0, stop))
        elif first < stop:
            parts.append(bars.slice(max(0, first - spec.lookback + 1), stop))
    return parts


class _Track:
    """One symbol's probabilities, filled stretch by stretch as models come and go."""

    def __init__(self, bars: Bars, spec: FeatureSpec, from_ts: int) -> None:
        import numpy as np

        self._bars = bars
        self._first = max(0, bisect_left(bars.ts_close, from_ts) - spec.lookback + 1)
        self._matrix = compute_features(bars.slice(self._first, len(bars)), spec)
        self._p = np.full(len(bars), np.nan)
        self._why = np.zeros(len(bars), np.uint8)
        self._sources: list[tuple[int, str]] = []

    def say(self, model: TrainedModel, ts: int, stop_ts: int | None) -> None:
        """Let a model speak at the bars that close in [ts, stop_ts)."""
        closes = self._bars.ts_close
        start = bisect_left(closes, ts)
        stop = len(closes) if stop_ts is None else bisect_left(closes, stop_ts)
        if start < stop:
            rows = self._matrix[start - self._first : stop - self._first]
            self._p[start:stop] = score_rows(model.scorer, rows, model.estimator)
            spoken = self._bars.numpy("ts_close")[start:stop]
            self._why[start:stop] = reasons(model.card, spoken, rows)
            self._sources.append((start, model.card.id))

    def signals(self, length: int, threshold: float) -> Signals:
        """Give what was said; nothing at the bars after the last that was read."""
        import numpy as np

        unread = length - len(self._p)
        p = np.concatenate([self._p, np.full(unread, np.nan)])
        why = np.concatenate([self._why, np.zeros(unread, np.uint8)])
        return signals(tuple(self._sources), p, threshold, why)


def _until(histories: Sequence[Bars], until_ts: int | None) -> list[Bars]:
    if until_ts is None:
        return list(histories)
    return [bars.slice(0, bisect_right(bars.ts_close, until_ts)) for bars in histories]


def _session_closes(histories: Sequence[Bars]) -> list[int]:
    """Give the first close of every session that any of them has, in order.

    The first, not the last: what closes later in a session moves nothing that was said in it.
    """
    import numpy as np

    closes = np.unique(np.concatenate([bars.numpy("ts_close") for bars in histories]))
    _, first = np.unique(sessions(closes), return_index=True)
    found: list[int] = closes[first].tolist()
    return found


def _window_start(closes: list[int], ts: int, window: int | None) -> int:
    """Give the first close of the oldest session whose decisions train at `ts`."""
    if window is None:
        return closes[0]
    return closes[max(0, bisect_right(closes, ts) - window)]


def _known_at(histories: Sequence[Bars], dataset: Dataset) -> NDArray[np.int64]:
    """Give when each row's label is known to somebody who reads closed bars only.

    `label_end` is the opening whose price ends the label; the bar that brings it closes later.
    """
    import numpy as np

    known = np.empty(len(dataset), np.int64)
    named = {bars.symbol: bars for bars in histories}
    for index, symbol in enumerate(dataset.symbols):
        rows, bars = dataset.symbol == index, named[symbol]
        bar = np.searchsorted(bars.numpy("ts_open"), dataset.label_end[rows])
        known[rows] = bars.numpy("ts_close")[bar]
    return known
