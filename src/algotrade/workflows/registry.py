"""The registry of models: list, compare, promote, roll back, verify and remove them.

A model is trained, promoted, retired, removed; each step is appended and none is taken back. One
model of a source is promoted at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from algotrade.errors import InputError, ModelError, shown
from algotrade.record import NamedTuple
from algotrade.store import models as model_store
from algotrade.store import records
from algotrade.store.database import immediate
from algotrade.store.models import GATE, HAND, PROMOTED, REFIT, REMOVED, RETIRED, ModelState
from algotrade.workflows.models import (
    Standing,
    choose_model_for,
    is_direction_only,
    load_card_of,
    load_model,
    named_model,
    promoted_model,
    standing_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from algotrade.learning.card import ModelCard
    from algotrade.workflows.audit import Audited
    from algotrade.workflows.context import Workspace
    from algotrade.workflows.model_drift import Drift
    from algotrade.workflows.shadow import Beside

    Progress: TypeAlias = Callable[[int, int], None]

LONGEST_REASON = 200
DRIFT_SHOWN = 50  # symbols of a model whose drift is looked at when it is shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One registered model. fault: why its card is refused, None where it is not."""

    record: records.TrainingRecord
    card: ModelCard | None
    standing: Standing | None
    fault: str | None
    used: bool
    shadow: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A model with its history, how far its input has drifted, and what it said as a shadow."""

    card: ModelCard
    standing: Standing
    trained: tuple[int, ...]
    states: tuple[ModelState, ...]
    drift: dict[str, Drift]
    shadow: tuple[Beside, ...]
    note: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """What a promotion came to; audited is None where nothing had to be done."""

    card: ModelCard
    standing: Standing
    before: str | None
    sentence: str
    audited: Audited | None


class Checked(NamedTuple):
    """A model whose files were hashed again; fault: what is wrong with them, or None."""

    model_id: str
    files: int
    fault: str | None


def list_models(ws: Workspace) -> list[Listed]:
    """Give the models of this source, the newest first; a card that is refused says so."""
    from algotrade.learning.registry import load_card

    try:
        used = choose_model_for(ws._replace(say=lambda _: None)).model_id
    except ModelError:
        used = ""
    shadow = model_store.shadow_of(ws.db, ws.source)
    found = []
    for record in _distinct(ws):
        card, standing, fault = None, None, None
        if not _is_removed(ws, record.model_id):
            try:
                card = load_card(ws.settings.models, record.model_id, record.card_sha256)
                standing = standing_of(ws, card)
            except ModelError as error:
                fault = error.message
        found.append(
            Listed(
                record=record,
                card=card,
                standing=standing,
                fault=fault,
                used=record.model_id == used,
                shadow=record.model_id == shadow,
            )
        )
    return found


def show_model(ws: Workspace, model_id: str | None = None) -> Shown:
    """Give everything that is known of a model: the one in use unless it is named."""
    from algotrade.workflows.crowd import Crowd
    from algotrade.workflows.model_drift import note_symbol
    from algotrade.workflows.shadow import compare_shadow

    model = load_model(ws, model_id)
    card, crowd = model.card, Crowd(ws)
    drift = {symbol: note_symbol(ws, card, symbol, crowd) for symbol in card.symbols[:DRIFT_SHOWN]}
    return Shown(
        card=card,
        standing=model.standing,
        trained=tuple(
            one.trained_at for one in records.trainings(ws.db) if one.model_id == card.id
        ),
        states=tuple(one for one in model_store.model_states(ws.db) if one.model_id == card.id),
        drift={symbol: found for symbol, found in drift.items() if found is not None},
        shadow=tuple(compare_shadow(ws, card)),
        note=getattr(model.scorer, "note", None),
    )


def promote(
    ws: Workspace, model_id: str, *, reason: str | None = None, progress: Progress | None = None
) -> Promotion:
    """Promote a model: by the gate, or where it refuses by a person who says why.

    The full audit runs first and must be clean; the gate counts today's trials. The promoted model
    before it is retired. Raises ModelError for a failed audit, a refusal without a reason, and
    files that are not those that were saved.
    """
    from algotrade.workflows.audit import audit_card, insist_clean
    from algotrade.workflows.shifts import with_enough_shifts
    from algotrade.workflows.trials import judge_card

    told = _reason(reason)
    card = verified(ws, model_id)
    before = promoted_model(model_store.model_states(ws.db, source=ws.source))
    if before == card.id:
        standing = standing_of(ws, card)
        return Promotion(
            card=card, standing=standing, before=None, sentence="promoted already", audited=None
        )
    judged = with_enough_shifts(ws, card)
    _, verdict = judge_card(ws, judged, audit_clean=True)
    if not verdict.promoted and told is None:
        raise ModelError(
            f"model {card.id} is not promoted. {verdict.sentence}",
            hint="--reason TEXT promotes it by hand, once the audit is clean",
        )
    audited = audit_card(ws, card, progress=progress)
    insist_clean(audited, f"model {card.id} is not promoted")
    judged = with_enough_shifts(ws, judged, told=lambda _: None)  # trials may have come meanwhile
    _, verdict = judge_card(ws, judged, audit_clean=True)
    by = GATE if verdict.promoted else HAND
    if by == HAND and told is None:
        raise ModelError(f"model {card.id} is not promoted. {verdict.sentence}")
    numbers = {
        **verdict.numbers,
        "permutation_shifts": judged.metrics.get("permutation_shifts"),
        "promoted": verdict.promoted,
        "direction_only": verdict.direction_only,
        "audit": audited.report.results(),
    }
    words = verdict.sentence if by == GATE else told or ""
    _append(ws, card.id, before, by=by, reason=words, numbers=numbers)
    return Promotion(
        card=card,
        standing=standing_of(ws, card),
        before=before,
        sentence=verdict.sentence,
        audited=audited,
    )


def inherit_promotion(ws: Workspace, card: ModelCard) -> bool:
    """Promote a refit of the promoted plan in its place; tell whether it was one.

    The same plan on bars that are no older, with a clean audit of `train`; it is said aloud.
    """
    from algotrade.learning.card import plan_hash

    now = promoted_model(model_store.model_states(ws.db, source=ws.source))
    if now is None or now == card.id:
        return False
    try:
        old = load_card_of(ws, now)
    except ModelError as error:
        ws.say(f"{card.id} inherits nothing: {error.message}")
        return False
    audit = card.judgement.audit if card.judgement else {}
    same = plan_hash(old) == plan_hash(card) and card.last_ts >= old.last_ts
    if not same or not audit or "failed" in audit.values():
        return False
    standing = standing_of(ws, old)
    passed = standing.passed
    flat = is_direction_only(old, standing) or is_direction_only(card, standing_of(ws, card))
    numbers = {"promoted": passed, "direction_only": flat}
    _append(ws, card.id, now, by=REFIT, reason=f"refit of {now}", numbers=numbers)
    stamp = "" if passed else ", no evidence of an edge"
    ws.say(f"{card.id} is promoted as a refit of {now}, which is retired{stamp}")
    return True


def rollback(ws: Workspace, *, reason: str | None = None) -> Promotion:
    """Promote the model that was promoted before the one that is now; raises ModelError."""
    told = _reason(reason)
    steps = model_store.model_states(ws.db, source=ws.source)
    stack: list[ModelState] = []
    for step in steps:
        if step.state == PROMOTED and step.numbers.get("rollback"):
            stack.pop()
        elif step.state == PROMOTED:
            stack.append(step)
    if len(stack) < 2:
        raise ModelError(
            f"no model of source {ws.source} was promoted before"
            + (f" {stack[0].model_id}" if stack else ""),
            hint="algotrade models list",
        )
    now, target = stack[-1].model_id, stack[-2]
    card = verified(ws, target.model_id)
    words = f"rolled back from {now}" + (f": {told}" if told else "")
    numbers = {**target.numbers, "rollback": True}
    _append(ws, card.id, now, by=HAND, reason=words, numbers=numbers)
    standing = standing_of(ws, card)
    return Promotion(card=card, standing=standing, before=now, sentence=words, audited=None)


def verify_models(ws: Workspace, model_id: str | None = None) -> list[Checked]:
    """Hash every file of a model, or of all of this source, again."""
    from algotrade.learning.registry import verify_files

    chosen = [named_model(ws, model_id)] if model_id else _distinct(ws)
    found = []
    for record in chosen:
        if model_id is None and _is_removed(ws, record.model_id):
            continue
        try:
            card = verify_files(ws.settings.models, record.model_id, record.card_sha256)
            found.append(Checked(record.model_id, 1 + len(card.files), None))
        except ModelError as error:
            found.append(Checked(record.model_id, 0, error.message))
    return found


def remove(ws: Workspace, model_id: str) -> None:
    """Remove a model's files and note it; refused where something stored still needs them."""
    from algotrade.learning.registry import remove_files

    record = named_model(ws, model_id)
    steps = model_store.model_states(ws.db, source=ws.source)
    if promoted_model(steps) == model_id:
        raise InputError(
            f"model {model_id} is promoted", hint="promote another, or algotrade models rollback"
        )
    if model_store.shadow_of(ws.db, ws.source) == model_id:
        raise InputError(f"model {model_id} is the shadow", hint="algotrade models shadow off")
    needed = model_store.is_named(ws.db, model_id)
    if needed is not None:
        raise InputError(
            f"model {model_id} is named by {needed}, which could not be replayed without it",
            hint="keep it, or move the folder away by hand: then replay says that it is missing",
        )
    remove_files(ws.settings.models, record.model_id)
    state = ModelState(model_id, ws.source, REMOVED, ws.clock.now(), HAND, "", {})
    with immediate(ws.db):
        model_store.save_state(ws.db, state)


def set_shadow(ws: Workspace, model_id: str | None) -> None:
    """Let a model speak beside the one in use from now on; None ends it."""
    if model_id is not None:
        card = load_model(ws, model_id).card
        if card.id == choose_model_for(ws).model_id:
            raise InputError(
                f"model {card.id} is the one in use", hint="a shadow is another: models list"
            )
    with immediate(ws.db):
        model_store.set_shadow(ws.db, ws.source, model_id or "", ws.clock.now())


def verified(ws: Workspace, model_id: str) -> ModelCard:
    """Give the card of a registered model after every file of it was hashed; raises ModelError."""
    from algotrade.learning.registry import verify_files

    record = named_model(ws, model_id)
    return verify_files(ws.settings.models, record.model_id, record.card_sha256)


def _append(
    ws: Workspace,
    model_id: str,
    before: str | None,
    *,
    by: str,
    reason: str,
    numbers: dict[str, Any],
) -> None:
    """Promote one model and retire the one before, at once; raises ModelError in a race."""
    now = ws.clock.now()
    with immediate(ws.db):
        found = promoted_model(model_store.model_states(ws.db, source=ws.source))
        if found != before:
            raise ModelError(f"model {found} was promoted meanwhile", hint="look, then try again")
        if before is not None:
            gone = ModelState(before, ws.source, RETIRED, now, by, f"{model_id} took its place", {})
            model_store.save_state(ws.db, gone)
        made = ModelState(model_id, ws.source, PROMOTED, now, by, reason, numbers)
        model_store.save_state(ws.db, made)
        if model_store.shadow_of(ws.db, ws.source) == model_id:
            model_store.set_shadow(ws.db, ws.source, "", now)  # it speaks aloud now


def _distinct(ws: Workspace) -> list[records.TrainingRecord]:
    found: dict[str, records.TrainingRecord] = {}
    for record in records.trainings(ws.db):
        if record.source == ws.source:
            found.setdefault(record.model_id, record)
    return list(found.values())


def _is_removed(ws: Workspace, model_id: str) -> bool:
    """Tell whether a model was removed and not trained again since."""
    states = [one for one in model_store.model_states(ws.db) if one.model_id == model_id]
    gone = bool(states) and states[-1].state == REMOVED
    return gone and not (ws.settings.models / model_id).exists()


def _reason(text: str | None) -> str | None:
    if text is None:
        return None
    if not text.strip() or len(text) > LONGEST_REASON or not text.isprintable():
        raise InputError(
            f"--reason {shown(text)} cannot be used", hint=f"a line of up to {LONGEST_REASON}"
        )
    return text.strip()
