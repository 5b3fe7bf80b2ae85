"""Train: fit a model on stored bars, judge it, and register it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.store import bars as bar_store
from algotrade.store import records
from algotrade.store.database import immediate
from algotrade.workflows.context import DAILY, Workspace
from algotrade.workflows.models import load_model, no_bars

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from algotrade.learning.card import ModelCard


def train_model(
    ws: Workspace,
    symbols: Sequence[str],
    *,
    as_of: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ModelCard:
    """Train on stored bars and register the model; files first, then the record that names them.

    as_of: train on the bars as they were known then, and on none that closed later; the training
    counts as of then, so that a newer model stays the one in use.
    """
    from algotrade.learning.dataset import build_dataset
    from algotrade.learning.features import feature_spec
    from algotrade.learning.labels import LabelSpec
    from algotrade.learning.registry import save_model
    from algotrade.learning.training import Plan, train
    from algotrade.store.chunks import prepare_chunks

    names = list(dict.fromkeys(symbols)) or bar_store.stored_symbols(ws.db, ws.source, DAILY)
    found = [bar_store.find_series(ws.db, ws.source, name, DAILY) for name in names]
    prepare_chunks(ws.db, [series for series in found if series is not None])
    histories = [
        bar_store.load_bars(ws.db, ws.source, name, DAILY, until=as_of, known_at=as_of)
        for name in names
    ]
    empty = [bars.symbol for bars in histories if not len(bars)]
    if empty or not names:
        raise no_bars(ws, empty[0] if empty else "any symbol")
    settings = ws.settings
    labels = LabelSpec(horizon=settings.number("train.horizon"))
    dataset = build_dataset(histories, feature_spec("default"), labels)
    plan = Plan(model=settings.text("train.model"), threshold=settings.threshold)
    trained = train(
        dataset, plan, seed=settings.number("train.seed"), now=ws.clock.now(), progress=progress
    )
    settings.models.mkdir(parents=True, exist_ok=True, mode=0o700)
    saved = save_model(settings.models, trained)
    trained_at = ws.clock.now() if as_of is None else as_of
    record = records.TrainingRecord(saved.model_id, ws.source, trained_at, saved.card_sha256)
    with immediate(ws.db):
        records.save_training(ws.db, record)
    return load_model(ws, saved.model_id).card
