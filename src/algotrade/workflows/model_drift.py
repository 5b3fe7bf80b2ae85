"""Drift of a model's input: how far a symbol's last 63 rows are from training, noted once a bar.

It is looked at when bars come in and where a decision needs it; a backtest does not look at it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.errors import DataError, ModelError
from algotrade.learning import familiar
from algotrade.record import NamedTuple
from algotrade.store import bars as bar_store
from algotrade.store import models as model_store
from algotrade.store import readonly
from algotrade.workflows.context import DAILY, Workspace

if TYPE_CHECKING:
    from algotrade.bars import Bars
    from algotrade.learning.card import ModelCard
    from algotrade.learning.presets import FeatureSpec
    from algotrade.workflows.crowd import Crowd


class Drift(NamedTuple):
    """How far the input of a model has drifted at one bar.

    indices: the stability index of each feature; empty where nobody could tell. over: features
    beyond the limit that counts for abstaining; noticed: beyond the one that is worth a line.
    """

    indices: dict[str, float]
    over: tuple[tuple[str, float], ...] = ()
    noticed: tuple[tuple[str, float], ...] = ()

    @property
    def abstains(self) -> bool:
        """Tell whether enough features have drifted for the model to enter nothing."""
        return len(self.over) >= familiar.FEWEST


def drift_of(ws: Workspace, card: ModelCard, symbol: str, bar_ts: int) -> Drift | None:
    """Give the drift noted for a bar, None where it was not looked at."""
    found = model_store.load_drift(ws.db, card.id, symbol, bar_ts)
    return None if found is None else _judged(card, found)


def drift_now(
    ws: Workspace,
    card: ModelCard,
    symbol: str,
    bar_ts: int,
    crowd: Crowd,
    *,
    known_at: int | None = None,
    keep: bool = False,
) -> Drift:
    """Give the drift at a bar: as noted, else computed, and noted where asked.

    In plain Python where the model compares no symbols. known_at: from the bars known then; what
    was noted is left aside. A line is said once.
    """
    noted = drift_of(ws, card, symbol, bar_ts) if known_at is None else None
    if noted is not None:
        return noted
    bars = bar_store.load_bars(
        ws.db, ws.source, symbol, DAILY, until=bar_ts, known_at=known_at, last=_bars_read(card)
    )
    if len(bars) < _bars_read(card) or not card.ranges:
        return Drift({})
    try:
        spec = crowd.features(card, bars, known_at=known_at)
        indices = _plainly(card, bars) if spec is None else _at_once(card, bars, spec)
    except DataError:  # the newest row has the same fault, and tells of it
        return Drift({})
    found = _judged(card, indices)
    if keep and found.indices:
        _note(ws, card, symbol, bar_ts, found)
    return found


def note_symbol(ws: Workspace, card: ModelCard, symbol: str, crowd: Crowd) -> Drift | None:
    """Note the drift at a symbol's newest bar, computed at once; None without enough bars."""
    from algotrade.learning.own_features import card_features

    bars = bar_store.load_bars(
        ws.db, ws.source, symbol, DAILY, until=ws.clock.now(), last=_bars_read(card)
    )
    if len(bars) < _bars_read(card) or not card.ranges:
        return None
    noted = drift_of(ws, card, symbol, bars.ts_close[-1])
    if noted is not None:
        return noted
    try:
        spec = crowd.features(card, bars) or card_features(card)
        indices = _at_once(card, bars, spec)
    except (DataError, ModelError):  # whoever asks the model is told
        return None
    if not indices:
        return None
    found = _judged(card, indices)
    _note(ws, card, symbol, bars.ts_close[-1], found)
    return found


def _plainly(card: ModelCard, bars: Bars) -> dict[str, float]:
    from algotrade.learning.features import feature_row
    from algotrade.learning.predictor import spec_of

    spec, first = spec_of(card), len(bars) - familiar.ROWS + 1
    rows = [
        feature_row(bars.slice(stop - card.lookback, stop), spec)
        for stop in range(first, len(bars) + 1)
    ]
    return familiar.drift_of_rows(card, rows)


def _at_once(card: ModelCard, bars: Bars, spec: FeatureSpec) -> dict[str, float]:
    """Give the indices; none where symbols are compared and were too few at one of the bars."""
    import numpy as np

    from algotrade.learning.features import compute_features

    matrix = compute_features(bars, spec)
    if spec.crosses and not np.isfinite(matrix[-familiar.ROWS :]).all():
        return {}
    return familiar.drift_of_matrix(card, matrix)


def _judged(card: ModelCard, indices: dict[str, float]) -> Drift:
    return Drift(
        indices,
        familiar.drifted(card, indices),
        familiar.drifted(card, indices, familiar.NOTICE),
    )


def _bars_read(card: ModelCard) -> int:
    return card.lookback + familiar.ROWS - 1


def _note(ws: Workspace, card: ModelCard, symbol: str, bar_ts: int, found: Drift) -> None:
    is_new = True

    def save() -> None:
        nonlocal is_new
        is_new = model_store.save_drift(
            ws.db, card.id, symbol, bar_ts, noted_at=ws.clock.now(), indices=found.indices
        )

    if not readonly.note(ws.db, save):
        ws.say(f"{symbol}: drift is not noted, the store cannot be written here")
    if is_new and found.noticed:
        name, index = found.noticed[0]
        many = len(found.over)
        what = f"{many} features have drifted: nothing is entered" if found.abstains else "noted"
        ws.say(
            f"{symbol}: the input of model {card.id} is moving away from training, {name}"
            f" {index:.2f} ({what})"
        )
