"""The report of a model: complete, plain enough for a card, and the same for the same generator."""

from __future__ import annotations

import json
import math
from array import array
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from algotrade.bars import from_rows
from algotrade.learning.dataset import Dataset, build_dataset
from algotrade.learning.evaluation import OutOfSample, Report, evaluate
from algotrade.learning.labels import LabelSpec, compute_labels
from algotrade.learning.report import full_report, with_money
from algotrade.learning.rows import midranks, pair_rows
from algotrade.learning.stability import Part
from learning_markets import bar_times, from_closes, with_splits
from planted_cases import learn
from planted_markets import planted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@cache
def case() -> tuple[Dataset, OutOfSample, tuple[Part, ...]]:
    dataset = build_dataset(planted("regime", 1, symbols=2, count=1_000).bars)
    outcome, parts = learn(dataset, model="logit")
    return dataset, outcome, tuple(parts)


def told(seed: int = 1) -> Report:
    dataset, outcome, parts = case()
    rng = np.random.default_rng(seed)
    return full_report(dataset, outcome, rng, threshold=0.5, parts=parts, draws=100)


def test_a_full_report_adds_to_the_quick_one_and_changes_nothing_of_it() -> None:
    dataset, outcome, _ = case()
    quick, full = evaluate(dataset, outcome, threshold=0.5), told()
    assert quick.metrics.items() <= full.metrics.items()
    assert (full.baselines, full.verdict) == (quick.baselines, quick.verdict)
    assert list(full.tables) == ["calibration", "years", "folds", "symbols", "importance"]
    assert list(full.tables["folds"]) == ["1", "2", "3", "4", "5"]
    assert list(full.tables["symbols"]) == ["S00", "S01"]
    assert set(full.tables["importance"]) == set(dataset.features.names)
    for name in ("auc", "accuracy", "log_loss_skill"):
        low, high = full.metrics[f"{name}_low"], full.metrics[f"{name}_high"]
        assert low is not None
        assert high is not None
        assert low <= (full.metrics[name] or 0) <= high


def test_every_figure_is_a_finite_number_or_none() -> None:
    found = with_money(told(), {"excess": 0.1})
    everything = json.loads(json.dumps([found.metrics, found.tables, found.baselines]))
    assert everything == [found.metrics, found.tables, found.baselines]
    rows = [found.metrics, *(row for table in found.tables.values() for row in table.values())]
    values = [value for row in rows for value in row.values()]
    assert all(value is None or math.isfinite(value) for value in values)
    assert found.metrics["excess"] == 0.1


def test_the_generator_decides_what_is_drawn() -> None:
    assert told(1) == told(1)
    assert told(1).metrics != told(2).metrics


def test_the_range_carries_the_regime() -> None:
    importance = told().tables["importance"]
    first = next(iter(importance))
    assert first == "range_vol"
    assert (importance[first]["blocks"] or 0) >= 0.8
    assert (importance[first]["auc"] or 0) > 0.02


def test_importance_is_what_the_scores_lose() -> None:
    """A model of one feature loses all it knows; one that nobody reads loses nothing."""
    dataset, outcome, _ = case()
    column = dataset.features.names.index("range_vol")

    def predict(x: Floats) -> Floats:
        return np.where(x[:, column] > np.median(dataset.x[:, column]), 0.4, 0.6)

    rows = outcome.rows
    found = full_report(
        dataset,
        replace(outcome, p=predict(dataset.x[rows])),
        np.random.default_rng(1),
        threshold=0.5,
        parts=[Part(rows, predict)],
        draws=10,
    ).tables["importance"]
    own = roc_auc_score(dataset.y[rows], predict(dataset.x[rows]))
    assert found["range_vol"]["auc"] == pytest.approx(own - 0.5, abs=0.03)
    others = [row for name, row in found.items() if name != "range_vol"]
    assert all(row == {"log_loss": 0.0, "auc": 0.0, "blocks": 0.0} for row in others)


def test_blocks_are_told_apart_by_their_base_rate_where_nobody_numbers_them() -> None:
    dataset, outcome, _ = case()
    numbered = pair_rows(dataset, outcome, threshold=0.5)
    plain = pair_rows(dataset, replace(outcome, fold=None), threshold=0.5)
    assert (numbered.fold == plain.fold).all()
    backwards = OutOfSample(
        rows=outcome.rows[::-1],
        p=outcome.p[::-1],
        base=outcome.base[::-1],
        fold=None if outcome.fold is None else outcome.fold[::-1],
    )
    assert (pair_rows(dataset, backwards, threshold=0.5).p == numbered.p).all()
    assert set(numbered.year.tolist()) == {2002, 2003}


def test_nothing_tested_gives_the_quick_report() -> None:
    dataset, _, _ = case()
    nothing = OutOfSample(rows=np.zeros(0, np.intp), p=np.zeros(0), base=np.zeros(0))
    found = full_report(dataset, nothing, np.random.default_rng(1), threshold=0.5)
    assert found == evaluate(dataset, nothing, threshold=0.5)


def test_midranks_within_groups() -> None:
    values, group = np.array([3.0, 1, 1, 5, 5, 2]), np.array([0, 0, 0, 1, 1, 1])
    assert midranks(values, group).tolist() == [3, 1.5, 1.5, 2.5, 2.5, 1]
    assert midranks(values).tolist() == [4, 1.5, 1.5, 5.5, 5.5, 3]
    assert midranks(np.zeros(0)).tolist() == []


def test_a_change_is_the_return_from_open_to_open_across_splits() -> None:
    rows = []
    for index, price in enumerate((100, 110, 121, 60, 66)):
        micros = price * 1_000_000
        rows.append((*bar_times(index), micros, micros, micros, micros, 10**12))
    bars = with_splits(from_rows("sample", "AAPL", "1d", rows), [(3, (1, 2))])
    found = compute_labels(bars, LabelSpec(horizon=1))
    assert found.change[:3] == pytest.approx([0.1, 120 / 121 - 1, 0.1])
    assert np.isnan(found.change[3:]).all()
    assert found.y.tolist() == [1, 0, 1, -1, -1]


def test_a_dataset_carries_the_change_of_its_rows() -> None:
    dataset, _, _ = case()
    assert ((dataset.change > 0) == (dataset.y == 1)).all()
    steady = from_closes(array("q", range(10**8, 10**8 + 320)))
    falling = replace(steady, open=array("q", reversed(steady.open)))
    assert np.isfinite(compute_labels(falling, LabelSpec()).change[:314]).all()
