"""Models: choose the one to use, load it verified, and ask it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.errors import DataError, ModelError
from algotrade.record import NamedTuple
from algotrade.store import bars as bar_store
from algotrade.store import records
from algotrade.workflows.context import CSV, DAILY, Workspace
from algotrade.workflows.state import stale_sessions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from algotrade.domain.predictions import Prediction
    from algotrade.learning.card import ModelCard
    from algotrade.learning.scorers import Scorer


class Model(NamedTuple):
    """A model ready to be asked: its card and its verified scorer."""

    card: ModelCard
    scorer: Scorer


def load_model(ws: Workspace, model_id: str | None = None, *, as_of: int | None = None) -> Model:
    """Load the named model, else the newest trained on this source; every byte is verified.

    as_of: the newest that was trained by then; where there is none, a later one, and it is told.
    """
    from algotrade.learning.registry import load_card, load_scorer

    record = _choose(ws, model_id, as_of)
    card = load_card(ws.settings.models, record.model_id, record.card_sha256)
    return Model(card=card, scorer=load_scorer(ws.settings.models, card))


def predict_symbol(
    ws: Workspace, model: Model, symbol: str, *, as_of: int | None = None
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
    return predict_row(model.card, model.scorer, bars)


def predict(
    ws: Workspace,
    symbols: Sequence[str],
    model_id: str | None = None,
    *,
    as_of: int | None = None,
) -> list[Prediction]:
    """Predict for each symbol, or for all that are stored; say where data are stale."""
    names = list(dict.fromkeys(symbols)) or bar_store.stored_symbols(ws.db, ws.source, DAILY)
    if not names:
        raise no_bars(ws, "any symbol")
    model = load_model(ws, model_id, as_of=as_of)
    predictions = [predict_symbol(ws, model, name, as_of=as_of) for name in names]
    for prediction in predictions if as_of is None else ():
        behind = stale_sessions(ws, prediction.ts)
        if behind:
            ws.say(f"{prediction.symbol}: {behind} completed sessions newer than the data")
    return predictions


def no_bars(ws: Workspace, symbol: str) -> DataError:
    """Say that a symbol has no bars of this source, and which other source has."""
    others = sorted(
        {found.source for found in bar_store.summaries(ws.db) if found.symbol == symbol}
        - {ws.source}
    )
    what = f"no {ws.source} bars of {symbol} in the store"
    if others:
        return DataError(
            f"{what}; there are bars of source {others[0]}, and sources are never mixed",
            hint=f"algotrade fetch {symbol}, or --source {others[0]}",
        )
    if ws.source == CSV:
        return DataError(what, hint="algotrade import FILE_OR_FOLDER")
    return DataError(what, hint=f"algotrade fetch {'AAPL' if ' ' in symbol else symbol}")


def _choose(ws: Workspace, model_id: str | None, as_of: int | None) -> records.TrainingRecord:
    known = records.trainings(ws.db)
    if model_id is not None:
        named = [record for record in known if record.model_id == model_id]
        if not named:
            raise ModelError(
                f"no model {model_id!a} is registered", hint="algotrade status lists the newest"
            )
        if named[0].source != ws.source:
            raise DataError(
                f"model {model_id} was trained on source {named[0].source},"
                f" this run uses {ws.source}",
                hint=f"algotrade train, or --source {named[0].source}",
            )
        return named[0]
    usable = [record for record in known if record.source == ws.source]
    if not usable:
        trained_on = f"; there is one of source {known[0].source}" if known else ""
        raise ModelError(f"no model of source {ws.source}{trained_on}", hint="algotrade train")
    if as_of is None:
        return usable[0]
    by_then = [record for record in usable if record.trained_at <= as_of]
    if not by_then:
        ws.say(f"model {usable[0].model_id} was trained later: it may have seen what came after")
    return (by_then or usable)[0]
