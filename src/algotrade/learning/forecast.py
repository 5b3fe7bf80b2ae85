"""Forecasts: what one model says at every bar of a history, with the bits of `predict_row`."""

from __future__ import annotations

from array import array
from datetime import timedelta
from typing import TYPE_CHECKING

from algotrade.domain.signals import DOWN, KEEP, NONE, UP, Signals
from algotrade.domain.times import iso, session_date
from algotrade.errors import ModelError
from algotrade.learning.familiar import reasons
from algotrade.learning.predictor import check_fit
from algotrade.learning.scorers import LARGEST_SINGLE

if TYPE_CHECKING:
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    from algotrade.bars import Bars
    from algotrade.learning.card import ModelCard
    from algotrade.learning.presets import FeatureSpec
    from algotrade.learning.scorers import Scorer

SCORED_ROWS = 8_192  # rows scored at once: a forest needs kilobytes for each


def forecast(
    card: ModelCard, scorer: Scorer, bars: Bars, spec: FeatureSpec | None = None
) -> Signals:
    """Give what the model says at the close of every bar; it reads no bar after that one.

    p_up: NaN, and the stance NONE, where `predict_row` would refuse the bar's last `lookback`
    bars: before the warm-up is over, and where a feature is not a number. spec: the model's
    features where they are bound to the bars of other symbols. Weights and volatilities are left
    out; see `sizing.py`. Raises as `predict_row` for bars of another source
    or timeframe and for a card that does not fit its scorer; `check_unseen` is the caller's part.
    """
    from algotrade.learning.features import compute_features
    from algotrade.learning.own_features import card_features

    check_fit(card, scorer, bars)
    matrix = compute_features(bars, spec or card_features(card))
    why = reasons(card, bars.numpy("ts_close"), matrix)
    return signals(((0, card.id),), score_rows(scorer, matrix), card.threshold, why)


def check_unseen(card: ModelCard, from_ts: int) -> None:
    """Refuse a span that starts at or before the end of the model's newest label.

    The hint names the next session date, from which on no decision is one the model has seen.
    Raises ModelError.
    """
    if from_ts <= card.train_end:
        first = session_date(card.train_end) + timedelta(days=1)
        raise ModelError(
            f"model {card.id} has seen labels up to {iso(card.train_end)}:"
            f" from {session_date(from_ts)} on it would be judged by what it learned",
            hint=f"--from {first} or later, or --walk-forward to refit on the way",
        )


def score_rows(
    scorer: Scorer,
    matrix: NDArray[np.float64],
    estimator: Any = None,  # noqa: ANN401 - scikit-learn ships no types
) -> NDArray[np.float64]:
    """Give p(up) of each row of (n, k): the bits of `score`, NaN where `score` refuses the row."""
    import numpy as np

    p = np.full(len(matrix), np.nan)
    usable = np.flatnonzero((np.abs(matrix) <= LARGEST_SINGLE).all(axis=1))
    for start in range(0, len(usable), SCORED_ROWS):
        rows = usable[start : start + SCORED_ROWS]
        p[rows] = scorer.score_many(matrix[rows], estimator)
    return p


def signals(
    sources: tuple[tuple[int, str], ...],
    p: NDArray[np.float64],
    threshold: float,
    why: NDArray[np.uint8] | None = None,
) -> Signals:
    """Turn probabilities into signals: UP where over the threshold, NONE where NaN.

    why: the reason to enter nothing at each bar, as its place in ABSTAINS; there UP is KEEP.
    """
    import numpy as np

    stances = np.where(np.isnan(p), NONE, np.where(p > threshold, UP, DOWN)).astype(np.uint8)
    said = Signals(sources, stances.tobytes(), array("d", p.tobytes()), threshold)
    if why is None or not why.any():
        return said
    stances[(stances == UP) & (why > 0)] = KEEP
    return said._replace(stances=stances.tobytes(), abstains=why.tobytes())
