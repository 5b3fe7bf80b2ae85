"""Data diff: what the source changed afterwards, and who had used the old values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from algotrade.domain.money import MICROS
from algotrade.domain.times import session_date, to_date
from algotrade.errors import ModelError
from algotrade.store import records, revisions
from algotrade.workflows.crowd import bars_compared

if TYPE_CHECKING:
    from collections.abc import Mapping

    from algotrade.learning.card import ModelCard
    from algotrade.store.revisions import Revision
    from algotrade.workflows.context import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One fact that changed: the values that differ, when, and what had used the old ones.

    old, new: dollars, shares and ratios by name; new is None where the fact is gone.
    decisions: ids of decisions that read the old value; models: ids of models trained on it.
    """

    symbol: str
    what: str
    known_at: int
    changed_at: int
    old: Mapping[str, float]
    new: Mapping[str, float] | None
    decisions: tuple[int, ...]
    models: tuple[str, ...]


def diff_data(ws: Workspace, symbol: str | None, since: int | None) -> list[Change]:
    """List changes, oldest first, of one symbol or all, made at or after `since`."""
    cards = _cards(ws)
    lookbacks = {model_id: card.lookback for model_id, card in cards.items()}
    changes = []
    for revision in revisions.list_revisions(ws.db, ws.source, symbol, since):
        comparing = {
            model_id: bars_compared(card)
            for model_id, card in cards.items()
            if bars_compared(card) and revision.symbol in card.symbols
        }
        users = revisions.users_of(ws.db, revision, lookbacks, comparing)
        trained = dict.fromkeys(
            record.model_id
            for record in users.trainings
            if _trained_on(cards.get(record.model_id), revision)
        )
        changes.append(_change(revision, tuple(d.decision_id for d in users.decisions), trained))
    return changes


def _change(revision: Revision, decisions: tuple[int, ...], models: Mapping[str, None]) -> Change:
    new = revision.new
    changed = [name for name in revision.old if new is None or new[name] != revision.old[name]]
    return Change(
        symbol=revision.symbol,
        what=_what(revision),
        known_at=revision.known_at,
        changed_at=revision.superseded_at,
        old={name: _readable(name, revision.old[name]) for name in changed},
        new=None if new is None else {name: _readable(name, new[name]) for name in changed},
        decisions=decisions,
        models=tuple(models),
    )


def _what(revision: Revision) -> str:
    if revision.ts_close is not None:
        return f"{revision.timeframe} bar of {session_date(revision.ts_close)}"
    return f"{revision.kind} of {to_date(revision.ex_day or 0)}"


def _readable(name: str, value: int) -> float:
    return float(value) if name in {"seconds", "split_from", "split_to"} else value / MICROS


def _cards(ws: Workspace) -> dict[str, ModelCard]:
    """Load the cards that are still there; a model that was removed names no bars."""
    from algotrade.learning.registry import load_card

    cards = {}
    for record in records.trainings(ws.db):
        try:
            cards[record.model_id] = load_card(
                ws.settings.models, record.model_id, record.card_sha256
            )
        except ModelError as error:
            ws.say(error.message)
    return cards


def _trained_on(card: ModelCard | None, revision: Revision) -> bool:
    """Tell whether a model's training span holds the bar; an unreadable card may have."""
    if card is None or revision.symbol not in card.symbols:
        return card is None
    return revision.ts_close is None or card.first_ts <= revision.ts_close <= card.train_end
