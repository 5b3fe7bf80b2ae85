"""Shifts: the permutation test of a saved model again, where trials have come since it was made.

A card keeps the shifts that the trials of its day needed. More trials need more, and a count of too
few can never be small enough, so that the test blocks are walked again by the card's own plan.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from algotrade.store import bars as bar_store
from algotrade.workflows.context import DAILY
from algotrade.workflows.trials import trials_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from algotrade.learning.card import ModelCard
    from algotrade.learning.dataset import Dataset
    from algotrade.learning.significance import Permutation
    from algotrade.workflows.context import Workspace

_CLOSE = 1e-9  # of two AUCs of the same rows


def with_enough_shifts(
    ws: Workspace, card: ModelCard, *, told: Callable[[str], None] | None = None
) -> ModelCard:
    """Give the card with a permutation test of as many shifts as today's trials need.

    The card comes back as it is where it has enough, and where they cannot be made: its bars have
    changed, or a search chose a point for each block. Then the gate refuses it by that number.
    """
    from algotrade.learning.significance import SHIFTS_A_TRIAL

    trials = trials_of(ws, card).count
    shifts = card.metrics.get("permutation_shifts")
    if shifts is None or shifts >= SHIFTS_A_TRIAL * trials:
        return card
    say = told or ws.say
    if "search" in card.tables:
        say(f"model {card.id}: a search is not walked again; {_TRAIN}")
        return card
    dataset = _dataset(ws, card)
    if dataset.fingerprint != card.fingerprint:
        say(f"model {card.id}: its bars have changed, so its shifts cannot be made; {_TRAIN}")
        return card
    test = _walked_again(dataset, card, trials)
    own = card.metrics.get("auc")
    if test is None or own is None or not math.isclose(test.auc, own, abs_tol=_CLOSE):
        say(f"model {card.id}: its test blocks do not come out as they did; {_TRAIN}")
        return card
    say(f"model {card.id}: {test.shifts:,} permutation shifts for {trials} trials")
    made = {
        "permutation_p": test.p,
        "permutation_counted": test.counted,
        "permutation_shifts": test.shifts,
        "permutation_independent": test.independent,
    }
    return replace(card, metrics={**card.metrics, **made})


_TRAIN = "train again on newer bars"


def _dataset(ws: Workspace, card: ModelCard) -> Dataset:
    from algotrade.learning.dataset import build_dataset
    from algotrade.learning.labels import LabelSpec
    from algotrade.learning.own_features import card_features

    histories = [
        bar_store.load_bars(ws.db, ws.source, name, DAILY, until=card.last_ts)
        for name in card.symbols
    ]
    return build_dataset(histories, card_features(card), LabelSpec(horizon=card.horizon))


def _walked_again(dataset: Dataset, card: ModelCard, trials: int) -> Permutation | None:
    """Predict the test blocks again and shift the labels, by the draws that training would make."""
    import numpy as np

    from algotrade.learning.rows import pair_rows
    from algotrade.learning.significance import permutation_test
    from algotrade.learning.training import choose_model, test_fold, usable_folds, walked_of
    from algotrade.workflows.audit import plan_of

    plan = plan_of(card)
    kind, folds = choose_model(plan.model, len(dataset)), usable_folds(dataset, plan)
    walked = walked_of(folds, [test_fold(dataset, one, kind, plan, card.seed) for one in folds])
    if not len(walked.outcome.rows):
        return None
    rows = pair_rows(dataset, walked.outcome, threshold=plan.threshold)
    draws = np.random.default_rng(card.seed).spawn(1)[0]  # as in `learning.report`
    return permutation_test(rows, draws, trials=trials)
