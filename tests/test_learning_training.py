"""Training and its honesty: planted edges are found, noise is told so, short data is not judged."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, log_loss, roc_auc_score

from algotrade.errors import DataError, InputError, ModelError
from algotrade.learning import evaluation
from algotrade.learning.card import ModelCard, from_json
from algotrade.learning.dataset import build_dataset
from algotrade.learning.features import SEED
from algotrade.learning.training import Plan, model_params, train
from learning_markets import from_closes, market, planted, trained

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MODELS = ("rf", "logit", "hgb", "blend")


@pytest.mark.parametrize("model", MODELS)
def test_a_planted_edge_is_found(model: str) -> None:
    card = trained(model).card
    assert card.verdict.startswith("a weak edge: out of sample AUC 0.")
    assert (card.metrics["auc"] or 0) > 0.6
    assert card.kind == model
    assert set(card.baselines) == {
        *("majority_class", "always_up", "yesterdays_sign", "sma_50_over_sma_200", "base_rate")
    }


@pytest.mark.parametrize("model", MODELS)
def test_pure_noise_has_no_edge(model: str) -> None:
    card = trained(model, edge=0).card
    assert card.verdict.startswith("no evidence of an edge: out of sample AUC 0.")
    assert abs((card.metrics["auc"] or 0) - 0.5) < 0.06


def test_two_years_of_one_symbol_train_and_are_not_judged() -> None:
    made = train(build_dataset([planted("A", 1, 504, edge=0)]), Plan(), seed=1, now=5)
    assert made.card.kind == "logit"
    assert made.card.verdict == (
        "too little data to judge: 150 test dates and 30 rows without overlap out of sample,"
        " at least 250 and 60 are needed"
    )


def test_the_fewest_rows_train_without_a_single_fold() -> None:
    data = build_dataset([planted("A", 1, 305, edge=0)])
    card = train(data, Plan(), seed=1, now=5).card
    assert (len(data), card.rows, card.dropped) == (100, 100, 205)
    assert card.verdict.startswith("too little data to judge")
    assert from_json(card.to_json()) == card


def test_the_card_tells_what_happened() -> None:
    data, card = market(edge=0.008), trained("rf").card
    assert card.train_end == data.label_end.max()
    assert (card.rows, card.lookback, card.horizon, card.created) == (len(data), 200, 5, 5)
    assert card.params["min_samples_leaf"] == 100
    assert len(card.folds) == 5
    assert all(fold.train_label_end < fold.test_first for fold in card.folds)
    assert card.metrics["n"] == sum(fold.test_rows for fold in card.folds)
    assert card.metrics["n_effective"] == (card.metrics["n"] or 0) // 5
    assert {"algotrade", "python", "numpy", "scikit-learn", "joblib"} == set(card.versions)


def test_same_data_and_seed_give_the_same_id_whenever_it_is_made() -> None:
    data, first = market(edge=0.008), trained("rf")
    again = train(data, Plan(model="rf"), seed=1, now=6)
    assert again.card.id == first.card.id
    assert again.scorer == first.scorer
    assert train(data, Plan(model="rf"), seed=2, now=5).card.id != first.card.id
    assert train(data, Plan(model="rf", threshold=0.6), seed=1, now=5).card.id != first.card.id


def test_progress_counts_every_fit() -> None:
    told: list[tuple[int, int]] = []
    train(
        market(edge=0.008),
        Plan(model="logit"),
        seed=1,
        now=5,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(done, 6) for done in range(1, 7)]


def test_auto_takes_the_forest_when_rows_are_many() -> None:
    card = train(market(edge=0, symbols="AB"), Plan(), seed=1, now=5).card
    assert (card.rows, card.kind) == (2590, "rf")


def test_the_seed_preset_trains_too() -> None:
    data = build_dataset([planted("A", 1, 504, edge=0)], SEED)
    card = train(data, Plan(model="logit", params={"C": 1.0}), seed=1, now=5).card
    assert card.names == ("SMA_50", "SMA_200")
    assert card.params["C"] == 1.0


def test_what_cannot_be_trained_is_refused() -> None:
    data = market(edge=0)
    with pytest.raises(InputError, match="model 'xgb' is unknown") as caught:
        train(data, Plan(model="xgb"), seed=1, now=5)
    assert caught.value.hint == (
        "one of auto, rf, logit, hgb, blend,"
        " or an import path such as sklearn.ensemble:ExtraTreesClassifier"
    )
    with pytest.raises(InputError, match="no parameter 'depth'"):
        model_params("rf", {"depth": 3}, 1000)
    with pytest.raises(DataError, match="labels are 1: nothing to learn"):
        train(replace(data, y=np.ones_like(data.y)), Plan(), seed=1, now=5)


def test_a_market_that_only_rises_teaches_nothing() -> None:
    rising = from_closes([10**6 * (100 + day) for day in range(400)])
    with pytest.raises(DataError, match="all 195 labels are 1: nothing to learn"):
        train(build_dataset([rising]), Plan(), seed=1, now=5)
    with pytest.raises(DataError, match="0 labelled rows"):
        build_dataset([from_closes([10**8] * 400)])


def test_metrics_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 500)
    p = np.round(np.clip(rng.normal(0.5 + 0.1 * (y - 0.5), 0.1), 0.01, 0.99), 2)  # with ties
    assert evaluation.auc(y, p) == pytest.approx(roc_auc_score(y, p), abs=1e-12)
    assert evaluation.log_losses(y, p).mean() == pytest.approx(log_loss(y, p), abs=1e-12)
    assert evaluation.balanced_accuracy(y, p > 0.5) == pytest.approx(
        balanced_accuracy_score(y, p > 0.5), abs=1e-12
    )
    assert evaluation.auc(np.ones(3), p[:3]) is None
    assert evaluation.balanced_accuracy(np.ones(3), p[:3] > 0) is None


def test_symbols_that_move_together_are_not_counted_as_evidence() -> None:
    day = np.arange(1000)
    values = np.random.default_rng(2).normal(size=1000)
    alone, blocks = evaluation.standard_error(values, day, 10)
    assert blocks == 100
    assert alone == pytest.approx(1 / np.sqrt(1000), rel=0.3)
    copies, _ = evaluation.standard_error(np.tile(values, 9), np.tile(day, 9), 10)
    assert copies == pytest.approx(alone, rel=1e-9)
    assert evaluation.standard_error(values[:5], day[:5], 10) == (None, 1)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda card: card.pop("seed"), "missing or unknown"),
        (lambda card: card.update(extra=1), "missing or unknown"),
        (lambda card: card.update(rows=True), "field rows"),
        (lambda card: card.update(threshold="0.5"), "field threshold"),
        (lambda card: card.update(names="abc"), "field names"),
        (lambda card: card.update(metrics=[]), "field metrics"),
        (lambda card: card.update(kind=1), "field kind"),
        (lambda card: card.update(train_end=10**400, threshold=10**400), "field threshold"),
        (lambda card: card.update(format=1), "unknown format"),
        (lambda card: card["folds"][0].pop("test_rows"), "missing or unknown"),
    ],
)
def test_a_card_is_read_strictly(edit: Callable[[dict[str, Any]], object], message: str) -> None:
    values = json.loads(trained("logit").card.to_json())
    edit(values)
    with pytest.raises(ModelError, match=message):
        from_json(json.dumps(values).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'{"a": NaN}', b'{"a": 1, "a": 1}', b"\xff"])
def test_what_is_no_card_is_refused(data: bytes) -> None:
    with pytest.raises(ModelError):
        from_json(data)


def test_a_card_survives_its_file() -> None:
    card: ModelCard = trained("rf").card
    assert from_json(card.to_json()) == card
    assert from_json(card.to_json()).to_json() == card.to_json()
