"""Promotion where trials have come since: with as many shifts as they need, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from algotrade.errors import ModelError
from algotrade.learning.audit import AuditReport
from algotrade.store import trials as trial_store
from algotrade.store.bars import load_bars, save_bars
from algotrade.store.database import immediate
from algotrade.workflows import audit as audit_workflow
from algotrade.workflows.audit import Audited
from algotrade.workflows.context import DAILY
from algotrade.workflows.registry import promote
from algotrade.workflows.shifts import with_enough_shifts
from algotrade.workflows.train import TrainRequest, train_model
from algotrade.workflows.trials import judge_card
from cli_helpers import copied
from planted_markets import planted
from train_world import opened, store, trained

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from algotrade.learning.card import ModelCard
    from algotrade.workflows.context import Workspace

MORE = 99  # trials beside the model's own: 100 need 2,000 shifts


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ModelCard]:
    """Give a home with a model that one trial promotes, as it was first judged."""
    home = tmp_path_factory.mktemp("shifts") / "home"
    store(home, planted("momentum", 1, symbols=2, count=1600).bars)
    result = trained(home)
    assert result.verdict.promoted
    return home, result.card


@pytest.fixture
def ws(made: tuple[Path, ModelCard], tmp_path: Path) -> Iterator[Workspace]:
    with opened(copied(made[0], tmp_path / "home")) as found:
        yield found


def try_more(ws: Workspace, card: ModelCard, count: int = MORE) -> None:
    """Note that so many other plans were judged on the same dates."""
    first, last = card.folds[0].test_first, card.folds[-1].test_last
    with immediate(ws.db):
        for number in range(count):
            plan = f"{number:016x}"
            record = trial_store.TrialRecord(
                plan, card.source, card.symbols, trial_store.SEARCH, first, last, None, None, 1
            )
            trial_store.save_trial(ws.db, record)


def test_shifts_are_made_for_the_trials_there_are_and_are_those_of_a_training(
    ws: Workspace, made: tuple[Path, ModelCard]
) -> None:
    card = made[1]
    assert with_enough_shifts(ws, card) is card
    try_more(ws, card)
    shifts = card.metrics["permutation_shifts"] or 0
    assert shifts < 20 * (MORE + 1)
    refused = judge_card(ws, card, audit_clean=True)[1]
    assert f"{shifts} permutation shifts, 100 trials need 2000" in refused.reasons
    found = with_enough_shifts(ws, card)
    assert (found.metrics["permutation_shifts"] or 0) >= 20 * (MORE + 1)
    again = train_model(ws, TrainRequest())
    assert again.card.id == card.id
    assert found.metrics == again.card.metrics  # bit for bit


def test_a_promotion_rests_on_enough_shifts(
    ws: Workspace, made: tuple[Path, ModelCard], monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = Audited(
        AuditReport(tests=("A3",), outcomes=()), ("AAPL",), 1, "default", "logit", 5, 7, 20, {}
    )
    monkeypatch.setattr(audit_workflow, "audit_card", lambda *_, **__: clean)
    card = made[1]
    try_more(ws, card)
    with pytest.raises(ModelError) as refused:
        promote(ws, card.id)
    assert "REFUSED: permutation p " in refused.value.message  # of enough shifts, and too large
    assert "shifts" not in refused.value.message
    last = promote(ws, card.id, reason="a drill").standing.last
    assert last is not None
    assert (last.numbers["trials"], last.numbers["promoted"]) == (MORE + 1, False)
    assert last.numbers["permutation_shifts"] >= 20 * (MORE + 1)


def test_without_the_bars_of_its_day_a_model_is_not_promoted(
    ws: Workspace, made: tuple[Path, ModelCard]
) -> None:
    card = made[1]
    try_more(ws, card)
    told: list[str] = []
    bars = load_bars(ws.db, ws.source, card.symbols[0], DAILY)
    bars.close[700] = bars.high[700] - 10_000
    with immediate(ws.db):
        save_bars(ws.db, bars, recorded_at=lambda _: ws.clock.now())
    with pytest.raises(ModelError, match="permutation shifts, 100 trials need 2000"):
        promote(ws._replace(say=told.append), card.id)
    assert any("its bars have changed" in line and "train again" in line for line in told)
