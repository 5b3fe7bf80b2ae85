"""Predict: ask the model in use about the newest bars, and let a shadow speak beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.record import NamedTuple
from algotrade.store import bars as bar_store
from algotrade.workflows.context import DAILY, Workspace
from algotrade.workflows.crowd import Crowd
from algotrade.workflows.model_drift import drift_now
from algotrade.workflows.models import Model, load_model, no_bars, tell_note
from algotrade.workflows.shadow import let_shadow_speak
from algotrade.workflows.state import stale_sessions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from algotrade.domain.predictions import Prediction


class Asked(NamedTuple):
    """What a model in use says of each symbol."""

    model: Model
    predictions: list[Prediction]


def predict_symbol(
    ws: Workspace, model: Model, symbol: str, crowd: Crowd, *, as_of: int | None = None
) -> Prediction:
    """Predict from the newest stored bars of one symbol, or from those known at `as_of`."""
    from algotrade.learning.predictor import predict_row

    until = ws.clock.now() if as_of is None else as_of
    bars = bar_store.load_bars(
        ws.db, ws.source, symbol, DAILY, until=until, known_at=as_of, last=model.card.lookback
    )
    if not len(bars):
        raise no_bars(ws, symbol)
    if symbol not in model.card.symbols:
        ws.say(f"{symbol}: model {model.card.id} was not trained on it")
    found = drift_now(ws, model.card, symbol, bars.ts_close[-1], crowd, known_at=as_of)
    spec = crowd.features(model.card, bars, known_at=as_of)
    return predict_row(model.card, model.scorer, bars, found.over, spec)


def predict(
    ws: Workspace,
    symbols: Sequence[str],
    model_id: str | None = None,
    *,
    as_of: int | None = None,
) -> Asked:
    """Predict for each symbol, or for all that are stored; say where data are stale."""
    names = list(dict.fromkeys(symbols)) or bar_store.stored_symbols(ws.db, ws.source, DAILY)
    if not names:
        raise no_bars(ws, "any symbol")
    model = load_model(ws, model_id, as_of=as_of)
    tell_note(ws, model)
    crowd = Crowd(ws)
    predictions = [predict_symbol(ws, model, name, crowd, as_of=as_of) for name in names]
    if as_of is None:
        let_shadow_speak(ws, model, predictions)
    for prediction in predictions if as_of is None else ():
        behind = stale_sessions(ws, prediction.ts)
        if behind:
            ws.say(f"{prediction.symbol}: {behind} completed sessions newer than the data")
    _tell_expiry(ws, model, predictions)
    return Asked(model, predictions)


def _tell_expiry(ws: Workspace, model: Model, predictions: Sequence[Prediction]) -> None:
    from algotrade.domain.signals import EXPIRED
    from algotrade.domain.times import session_date

    if any(prediction.abstains == EXPIRED for prediction in predictions):
        day = session_date(model.card.expires)
        ws.say(f"model {model.card.id} expired on {day}: nothing is entered; algotrade train")
