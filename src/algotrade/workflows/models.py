"""Models: choose the one to use, load it verified, and ask it.

The one in use is the one that is named, else the promoted one, else the newest trained that nobody
has retired; a live account takes a promoted one only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.errors import DataError, ModelError
from algotrade.record import NamedTuple
from algotrade.store import bars as bar_store
from algotrade.store import records
from algotrade.store.models import (
    HAND,
    PROMOTED,
    REFIT,
    REMOVED,
    RETIRED,
    TRAINED,
    ModelState,
    model_states,
)
from algotrade.workflows.context import CSV, DAILY, Workspace, check_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from algotrade.learning.card import ModelCard
    from algotrade.learning.scorers import Scorer


NO_EDGE = "no evidence of an edge"


class Standing(NamedTuple):
    """What a model is: trained, promoted, retired or removed; and whether the gate let it pass.

    last: the step that made it so; None while it is trained.
    """

    state: str
    passed: bool
    last: ModelState | None

    @property
    def words(self) -> str:
        """Tell it in a few words, stamped where the gate refused."""
        stamp = "" if self.passed else f", {NO_EDGE}"
        if self.last is None or self.state != PROMOTED:
            return f"{self.state}{stamp}"
        if self.last.by == HAND:
            return f"promoted by hand: {self.last.reason}{stamp}"
        if self.last.by == REFIT:
            return f"promoted, {self.last.reason}{stamp}"
        return f"promoted by gate{stamp}"


class Model(NamedTuple):
    """A model ready to be asked: its card, its verified scorer, and what it is."""

    card: ModelCard
    scorer: Scorer
    standing: Standing = Standing(TRAINED, passed=False, last=None)

    @property
    def words(self) -> str:
        """Name it with what it is."""
        return f"{self.card.id} ({self.standing.words})"

    @property
    def direction_only(self) -> bool:
        """Tell whether the gate let it pass for its direction only: no size rests on its p(up)."""
        return is_direction_only(self.card, self.standing)


def is_direction_only(card: ModelCard, standing: Standing) -> bool:
    """Tell what the newest judgement says: that of its promotion, else that of its training."""
    last = standing.last
    if last is not None and "direction_only" in last.numbers:
        return bool(last.numbers["direction_only"])
    return card.judgement is not None and card.judgement.direction_only


def load_model(
    ws: Workspace, model_id: str | None = None, *, as_of: int | None = None, live: bool = False
) -> Model:
    """Load the named model, else the one in use on this source; every byte is verified.

    as_of: the one in use then; where there was none, a later one, and it is told. live: for a real
    account, which takes a promoted one only.
    """
    from algotrade.learning.registry import load_card, load_scorer

    record = choose_model_for(ws, model_id, as_of=as_of, live=live)
    card = load_card(ws.settings.models, record.model_id, record.card_sha256)
    scorer = load_scorer(ws.settings.models, card)
    return Model(card, scorer, standing_of(ws, card, until=as_of))


def load_card_of(ws: Workspace, model_id: str) -> ModelCard:
    """Load the verified card of a registered model; raises ModelError."""
    from algotrade.learning.registry import load_card

    record = named_model(ws, model_id)
    return load_card(ws.settings.models, record.model_id, record.card_sha256)


def standing_of(ws: Workspace, card: ModelCard, *, until: int | None = None) -> Standing:
    """Tell what a model is, or was at an instant."""
    own = [one for one in model_states(ws.db, until=until) if one.model_id == card.id]
    passed = card.judgement is not None and card.judgement.promoted
    if not own or own[-1].state == REMOVED:  # a card that is here was trained again since
        return Standing(TRAINED, passed, None)
    judged = next((one for one in reversed(own) if "promoted" in one.numbers), None)
    if judged is not None:
        passed = bool(judged.numbers["promoted"])
    return Standing(own[-1].state, passed, own[-1])


def tell_model(ws: Workspace, model: Model) -> None:
    """Say what a person should know before they believe a model: its stamp, how it is scored."""
    if not model.standing.passed or model.standing.state != PROMOTED:
        ws.say(f"model {model.words}")
    tell_note(ws, model)


def tell_note(ws: Workspace, model: Model) -> None:
    """Say where a model has no scorer of plain numbers."""
    note = getattr(model.scorer, "note", None)
    if note:
        ws.say(f"model {model.card.id}: {note}")


def note_drift(ws: Workspace, symbols: Iterable[str]) -> None:
    """Note the drift at the newest bar of each symbol for the model in use, if there is one."""
    from algotrade.learning.registry import load_card
    from algotrade.workflows.crowd import Crowd
    from algotrade.workflows.model_drift import note_symbol

    quiet = ws._replace(say=lambda _: None)
    try:
        record = choose_model_for(quiet)
        card = load_card(ws.settings.models, record.model_id, record.card_sha256)
    except ModelError:  # no model yet, or one that predict and trade will refuse by name
        return
    crowd = Crowd(ws)
    for symbol in symbols:
        note_symbol(ws, card, symbol, crowd)


def no_bars(ws: Workspace, symbol: str) -> DataError:
    """Say that a symbol has no bars of this source, and which other source has.

    Where a key is missing that they could be fetched with, that is raised (SecretError).
    """
    check_key(ws.settings, ws.source)
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


def choose_model_for(
    ws: Workspace, model_id: str | None = None, *, as_of: int | None = None, live: bool = False
) -> records.TrainingRecord:
    """Give the record of the model to use; raises ModelError where there is none.

    live: only a promoted one will do, named or not.
    """
    known = records.trainings(ws.db)
    steps = model_states(ws.db, source=ws.source, until=as_of)
    if model_id is not None:
        found = named_model(ws, model_id, known)
        if live and found.model_id != promoted_model(steps):
            raise ModelError(
                f"model {model_id} is not promoted, and a real account takes no other",
                hint=f"algotrade models promote {model_id}",
            )
        return found
    usable = [record for record in known if record.source == ws.source]
    promoted = promoted_model(steps)
    if promoted is not None:
        return next(record for record in usable if record.model_id == promoted)
    if live:
        raise ModelError(
            f"no model of source {ws.source} is promoted, and a real account takes no other",
            hint="algotrade models list, then algotrade models promote ID",
        )
    gone = {
        one.model_id
        for one in last_states(steps).values()
        if one.state == RETIRED
        or (one.state == REMOVED and not (ws.settings.models / one.model_id).exists())
    }
    usable = [record for record in usable if record.model_id not in gone]
    if not usable:
        if not bar_store.stored_symbols(ws.db, ws.source, DAILY):
            check_key(ws.settings, ws.source)
        trained_on = f"; there is one of source {known[0].source}" if known else ""
        raise ModelError(f"no model of source {ws.source}{trained_on}", hint="algotrade train")
    if as_of is None:
        return usable[0]
    by_then = [record for record in usable if record.trained_at <= as_of]
    if not by_then:
        ws.say(f"model {usable[0].model_id} was trained later: it may have seen what came after")
    return (by_then or usable)[0]


def named_model(
    ws: Workspace, model_id: str, known: Sequence[records.TrainingRecord] | None = None
) -> records.TrainingRecord:
    """Give the record of a model by its id; raises ModelError, DataError of another source."""
    found = [record for record in known or records.trainings(ws.db) if record.model_id == model_id]
    if not found:
        raise ModelError(
            f"no model {model_id!a} is registered", hint="algotrade models list names them"
        )
    if found[0].source != ws.source:
        raise DataError(
            f"model {model_id} was trained on source {found[0].source}, this run uses {ws.source}",
            hint=f"algotrade train, or --source {found[0].source}",
        )
    return found[0]


def last_states(steps: Sequence[ModelState]) -> dict[str, ModelState]:
    """Give the newest state of each model that has one."""
    return {one.model_id: one for one in steps}


def promoted_model(steps: Sequence[ModelState]) -> str | None:
    """Give the promoted model of one source's states, or None."""
    found = [one.model_id for one in last_states(steps).values() if one.state == PROMOTED]
    return found[-1] if found else None
