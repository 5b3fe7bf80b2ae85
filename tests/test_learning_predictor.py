"""The scorers against scikit-learn, their explanations, their files; predictions."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from algotrade.errors import DataError, ModelError
from algotrade.learning.predictor import predict_row
from algotrade.learning.scorer_files import read_scorer
from algotrade.learning.scorers import (
    ForestScorer,
    LinearScorer,
    check_scorer,
    sigmoid,
)
from learning_markets import from_closes, market, planted, trained

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MODELS = ("rf", "logit", "hgb", "blend")

# one tree: x <= 0.5 ? 0.25 : (y <= 1 ? 0.5 : 1.0), up-rate 0.5 at the root and 0.75 inside
TREE = ForestScorer(
    names=("x", "y"),
    roots=(0,),
    feature=(0, -1, 1, -1, -1),
    threshold=(0.5, 0.0, 1.0, 0.0, 0.0),
    left=(1, -1, 3, -1, -1),
    right=(2, -1, 4, -1, -1),
    value=(500_000_000, 250_000_000, 750_000_000, 500_000_000, 1_000_000_000),
)
LINE = LinearScorer(
    names=("x", "y"), intercept=0.5, mean=(1.0, 2.0), scale=(2.0, 4.0), weight=(3.0, -1.0)
)


def test_a_tree_by_hand() -> None:
    assert [TREE.score(row) for row in ((0.5, 9), (0.6, 1), (0.6, 2))] == [0.25, 0.5, 1.0]
    assert TREE.explain((0.6, 2)) == (0.5, "probability", (0.25, 0.25))
    assert TREE.explain((0.0, 2)) == (0.5, "probability", (-0.25, 0.0))
    # 0.5 + 1e-9 is 0.5 in single precision, in which scikit-learn compares
    assert TREE.score((0.5 + 1e-9, 2)) == 0.25


def test_a_line_by_hand() -> None:
    assert LINE.explain((3.0, 6.0)) == (0.5, "log-odds", (3.0, -1.0))
    assert LINE.score((3.0, 6.0)) == pytest.approx(1 / (1 + math.exp(-2.5)), rel=5e-16)
    assert (sigmoid(0.0), sigmoid(1e6), sigmoid(-1e6)) == (0.5, 1.0, 0.0)


@pytest.mark.parametrize("model", MODELS)
def test_the_scorer_is_the_estimator(model: str) -> None:
    made, x = trained(model), market(edge=0.008).x
    own = made.scorer.score_many(x)
    allowed = {"rf": 1e-9, "logit": 1e-12}.get(model, 1e-11)
    assert np.abs(own - made.estimator.predict_proba(x)[:, 1]).max() <= allowed
    assert own.tobytes() == made.scorer.score_many(x, made.estimator).tobytes()
    assert own[:200].tolist() == [made.scorer.score(row) for row in x[:200].tolist()]


@pytest.mark.parametrize("model", MODELS)
def test_contributions_and_base_are_the_score(model: str) -> None:
    scorer = trained(model).scorer
    for row in market(edge=0.008).x[:100].tolist():
        base, unit, parts = scorer.explain(row)
        total = base + sum(parts)
        p_up = total if unit == "probability" else sigmoid(total)
        assert p_up == pytest.approx(scorer.score(row), abs=1e-12)


def test_a_scorer_that_differs_is_refused() -> None:
    made, x = trained("logit"), market(edge=0.008).x
    assert isinstance(made.scorer, LinearScorer)
    wrong = replace(made.scorer, intercept=made.scorer.intercept + 1e-9)
    with pytest.raises(ModelError, match="differs from its estimator"):
        check_scorer(wrong, made.estimator, x)


@pytest.mark.parametrize("scorer", [TREE, LINE])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e39])
def test_a_value_that_is_not_a_number_is_named(
    scorer: ForestScorer | LinearScorer, bad: float
) -> None:
    for ask in (scorer.score, scorer.explain, lambda row: scorer.score_many(np.array([row, row]))):
        with pytest.raises(DataError, match="feature y is"):
            ask((1.0, bad))
    with pytest.raises(DataError, match="a row of 1 features"):
        scorer.score((1.0,))
    assert scorer.score_many(np.zeros((0, 2))).shape == (0,)


@pytest.mark.parametrize("model", MODELS)
def test_a_scorer_survives_its_file(model: str) -> None:
    scorer = trained(model).scorer
    assert read_scorer(scorer.to_json()) == scorer
    assert read_scorer(scorer.to_json()).to_json() == scorer.to_json()


def at(name: str, index: int, value: object) -> Callable[[dict[str, Any]], None]:
    def edit(table: dict[str, Any]) -> None:
        table[name][index] = value

    return edit


@pytest.mark.parametrize(
    ("scorer", "edit"),
    [
        (TREE, lambda table: table.update(kind="neural")),
        (TREE, lambda table: table.update(more=1)),
        (TREE, lambda table: table.pop("left")),
        (TREE, lambda table: table["left"].pop()),
        (TREE, lambda table: table.update(names=["x", "x"])),
        (TREE, lambda table: table.update(names=["x"])),
        (TREE, lambda table: table.update(roots=[])),
        (TREE, lambda table: table.update(roots=[0, 0])),
        (TREE, lambda table: table.update(roots=[0, 9])),
        (TREE, lambda table: table.update(roots=[0, 3])),
        (TREE, at("left", 0, 0)),  # a loop
        (TREE, at("right", 2, 1)),  # backwards
        (TREE, at("right", 2, 5)),  # out of range
        (TREE, at("right", 0, 1)),  # one node reached twice, one never
        (TREE, at("left", 1, 2)),  # a leaf with a child
        (TREE, at("feature", 0, 2)),
        (TREE, at("feature", 0, -2)),
        (TREE, at("value", 0, -1)),
        (TREE, at("value", 0, 1_000_000_001)),
        (TREE, at("value", 0, 0.5)),
        (TREE, lambda table: table.update(value=[True] * 5)),
        (TREE, at("threshold", 0, 1)),
        (TREE, at("threshold", 0, None)),
        (LINE, at("scale", 0, 0.0)),
        (LINE, at("weight", 0, "1.0")),
        (LINE, lambda table: table["mean"].pop()),
        (LINE, lambda table: table.update(intercept=[0.5])),
        (LINE, lambda table: table.update(intercept=1e999)),
    ],
)
def test_an_odd_scorer_is_refused(
    scorer: ForestScorer | LinearScorer, edit: Callable[[dict[str, Any]], object]
) -> None:
    table = json.loads(scorer.to_json())
    assert read_scorer(json.dumps(table).encode()) == scorer
    edit(table)
    with pytest.raises(ModelError):
        read_scorer(json.dumps(table).encode())


@pytest.mark.parametrize("model", MODELS)
def test_a_prediction_tells_its_inputs_and_reasons(model: str) -> None:
    made, bars = trained(model), planted("A", 7, 1500, edge=0.008)
    said = predict_row(made.card, made.scorer, bars)
    assert [name for name, _ in said.features] == ["SMA_50", "SMA_200", *made.card.names]
    row = [value for _, value in said.features[2:]]
    assert said.p_up == made.scorer.score(row)
    assert said.value == int(said.p_up > 0.5)
    assert (said.model_id, said.symbol, said.ts) == (made.card.id, "A", bars.ts_close[-1])
    sizes = [abs(part) for _, part in said.drivers]
    assert sizes == sorted(sizes, reverse=True)
    assert {name for name, _ in said.drivers} == set(made.card.names)
    total = said.base + sum(part for _, part in said.drivers)
    assert (total if said.unit == "probability" else sigmoid(total)) == pytest.approx(
        said.p_up, abs=1e-12
    )
    assert predict_row(made.card, made.scorer, bars.slice(1300, 1500)) == said


def test_predictions_that_cannot_be_are_refused() -> None:
    made, bars = trained("logit"), planted("A", 7, 300, edge=0)
    with pytest.raises(DataError, match="trained on source sample, these bars are polygon"):
        predict_row(made.card, made.scorer, replace(bars, source="polygon"))
    with pytest.raises(DataError, match="trained on timeframe 1d, these bars are 1m"):
        predict_row(made.card, made.scorer, replace(bars, timeframe="1m"))
    with pytest.raises(DataError, match="199 bars"):
        predict_row(made.card, made.scorer, bars.slice(0, 199))
    with pytest.raises(DataError, match="feature momentum_1 is nan"):
        predict_row(made.card, made.scorer, from_closes([10**8] * 200, symbol="A"))
    with pytest.raises(ModelError, match="different features"):
        predict_row(made.card, LINE, bars)
