"""The shadow: a model that speaks beside the one in use, is written down and never followed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from algotrade.errors import AlgotradeError
from algotrade.record import NamedTuple
from algotrade.store import bars as bar_store
from algotrade.store import models as model_store
from algotrade.store import readonly
from algotrade.store.models import ShadowWord
from algotrade.workflows.context import DAILY, Workspace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from algotrade.domain.predictions import Prediction
    from algotrade.learning.card import ModelCard
    from algotrade.workflows.crowd import Crowd
    from algotrade.workflows.models import Model


class Beside(NamedTuple):
    """A shadow beside one used model, on bars whose outcome is known.

    bars: how many. Scores are of (shadow, used). agreement: share of bars on which both said the
    same; difference: mean of the shadow's p(up) less the used one's. waiting: bars without an
    outcome yet.
    """

    used: str
    bars: int
    waiting: int
    accuracy: tuple[float, float] | None
    log_loss: tuple[float, float] | None
    difference: float | None
    agreement: float | None


def let_shadow_speak(ws: Workspace, used: Model, predictions: Sequence[Prediction]) -> None:
    """Ask the shadow about the same bars and write down both; it fails without consequence."""
    from algotrade.workflows.crowd import Crowd
    from algotrade.workflows.models import load_model

    name = model_store.shadow_of(ws.db, ws.source)
    if name is None or name == used.card.id or not predictions:
        return
    try:
        shadow = load_model(ws, name)
        crowd = Crowd(ws)
        words = [_word(ws, shadow, used, one, crowd) for one in predictions]
    except AlgotradeError as error:
        ws.say(f"shadow {name} said nothing: {error.message}")
        return
    if not readonly.note(ws.db, lambda: _save(ws, words)):
        ws.say(f"what shadow {name} said is not noted, the store cannot be written here")


def _save(ws: Workspace, words: Sequence[ShadowWord]) -> None:
    for word in words:
        model_store.save_word(ws.db, word)


def _word(ws: Workspace, shadow: Model, used: Model, said: Prediction, crowd: Crowd) -> ShadowWord:
    from algotrade.learning.predictor import predict_row

    bars = bar_store.load_bars(
        ws.db, ws.source, said.symbol, DAILY, until=said.ts, last=shadow.card.lookback
    )
    spec = crowd.features(shadow.card, bars)
    p_up = predict_row(shadow.card, shadow.scorer, bars, spec=spec).p_up
    return ShadowWord(
        shadow.card.id, used.card.id, said.symbol, said.ts, ws.clock.now(), p_up, said.p_up
    )


def compare_shadow(ws: Workspace, card: ModelCard) -> list[Beside]:
    """Compare what a model said as a shadow with each used one, by the shadow's own label."""
    words = model_store.shadow_words(ws.db, card.id)
    outcomes = {
        symbol: _outcomes(ws, card, symbol) for symbol in sorted({one.symbol for one in words})
    }
    found = []
    for used in dict.fromkeys(one.used for one in words):
        said = [one for one in words if one.used == used]
        known = [
            (one, outcome)
            for one in said
            if (outcome := outcomes[one.symbol].get(one.bar_ts)) is not None
        ]
        found.append(_beside(used, card.threshold, len(said), known))
    return found


def _outcomes(ws: Workspace, card: ModelCard, symbol: str) -> dict[int, int]:
    """Give 1 or 0 by bar: whether the open after the horizon was above the next open."""
    from algotrade.learning.labels import UNKNOWN, LabelSpec, compute_labels

    bars = bar_store.load_bars(ws.db, ws.source, symbol, DAILY, until=ws.clock.now())
    labels = compute_labels(bars, LabelSpec(horizon=card.horizon)).y.tolist()
    pairs = zip(bars.ts_close, labels, strict=True)
    return {ts: label for ts, label in pairs if label != UNKNOWN}


def _beside(
    used: str, threshold: float, count: int, known: Sequence[tuple[ShadowWord, int]]
) -> Beside:
    n = len(known)
    if not n:
        return Beside(used, 0, count, None, None, None, None)

    def mean(values: list[float]) -> float:
        return math.fsum(values) / n

    right = [
        mean([float((p > threshold) == (y == 1)) for p, y in pairs])
        for pairs in ([(w.shadow_p, y) for w, y in known], [(w.used_p, y) for w, y in known])
    ]
    loss = [
        mean([-math.log(max(1e-15, p if y else 1 - p)) for p, y in pairs])
        for pairs in ([(w.shadow_p, y) for w, y in known], [(w.used_p, y) for w, y in known])
    ]
    return Beside(
        used=used,
        bars=n,
        waiting=count - n,
        accuracy=(right[0], right[1]),
        log_loss=(loss[0], loss[1]),
        difference=mean([w.shadow_p - w.used_p for w, _ in known]),
        agreement=mean(
            [float((w.shadow_p > threshold) == (w.used_p > threshold)) for w, _ in known]
        ),
    )
