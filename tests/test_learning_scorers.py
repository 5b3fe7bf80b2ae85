"""Every kind of scorer: its estimator's word, one arithmetic, exact reasons, strict files."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from array import array
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import (
    AdaBoostClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from algotrade.errors import DataError, ModelError
from algotrade.learning import scorer_batch
from algotrade.learning.scorer_estimator import PROBED, estimator_scorer
from algotrade.learning.scorer_files import read_scorer
from algotrade.learning.scorers import (
    BlendScorer,
    BoostingScorer,
    ForestScorer,
    LinearScorer,
    ScaledScorer,
    array_scorer,
    build_scorer,
    check_scorer,
    sigmoid,
    sigmoids,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray

    from algotrade.learning.scorers import Scorer

NAMES = ("a", "b", "c", "d", "e")
ODDS = 2**40

# one boosted tree: a <= 0.5 ? 1 : (b <= 1 ? -1 : 3), on a baseline of 0.5
BOOSTED = BoostingScorer(
    names=("a", "b"),
    roots=(0,),
    feature=(0, -1, 1, -1, -1),
    threshold=(0.5, 0.0, 1.0, 0.0, 0.0),
    left=(1, -1, 3, -1, -1),
    right=(2, -1, 4, -1, -1),
    value=(ODDS, ODDS, ODDS, -ODDS, 3 * ODDS),
    single=False,
    baseline=ODDS // 2,
)
LINE = LinearScorer(
    names=("a", "b"), intercept=0.0, mean=(0.0, 0.0), scale=(1.0, 1.0), weight=(1.0, -1.0)
)
BLEND = BlendScorer(members=(LINE, BOOSTED), weights=(1.0, 3.0))
SCALED = ScaledScorer(mean=(1.0, 0.0), scale=(2.0, 1.0), inner=BOOSTED)


@cache
def table(rows: int = 1500) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Columns of very different sizes, one of them whole numbers, and labels they tell of."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(rows, len(NAMES))) * (1.0, 1e-4, 50.0, 1.0, 1.0) + (0, 0, 500.0, 0, 0)
    x[:, 3] = np.round(x[:, 3] * 3)
    y = (x[:, 0] + (x[:, 2] - 500) / 50 * np.sign(x[:, 3]) + rng.normal(size=rows) > 0).astype(
        np.int8
    )
    return x, y


def scaled(model: Any) -> Any:  # noqa: ANN401 - scikit-learn ships no types
    return make_pipeline(StandardScaler(), model)


ARRAYS: dict[str, tuple[Callable[[], Any], str]] = {
    "forest": (lambda: RandomForestClassifier(15, max_depth=5, random_state=1), "forest"),
    "deep forest": (lambda: RandomForestClassifier(7, random_state=1), "forest"),
    "weighted": (
        lambda: RandomForestClassifier(5, max_depth=3, class_weight="balanced", random_state=1),
        "forest",
    ),
    "extra trees": (lambda: ExtraTreesClassifier(9, max_depth=7, random_state=1), "forest"),
    "one tree": (lambda: DecisionTreeClassifier(random_state=1), "forest"),
    "stump": (lambda: DecisionTreeClassifier(min_samples_leaf=1000, random_state=1), "forest"),
    "hist boosting": (
        lambda: HistGradientBoostingClassifier(max_iter=40, random_state=1),
        "boosting",
    ),
    "boosting": (
        lambda: GradientBoostingClassifier(n_estimators=30, random_state=1),
        "boosting",
    ),
    "boosting from zero": (
        lambda: GradientBoostingClassifier(n_estimators=5, init="zero", random_state=1),
        "boosting",
    ),
    "logistic": (lambda: LogisticRegression(max_iter=5000), "linear"),
    "scaled logistic": (lambda: scaled(LogisticRegression()), "linear"),
    "half scaled": (
        lambda: make_pipeline(StandardScaler(with_mean=False), LogisticRegression(max_iter=5000)),
        "linear",
    ),
    "scaled forest": (
        lambda: scaled(RandomForestClassifier(9, max_depth=5, random_state=1)),
        "scaled",
    ),
    "scaled boosting": (
        lambda: scaled(HistGradientBoostingClassifier(max_iter=20, random_state=1)),
        "scaled",
    ),
    "pipeline of one": (
        lambda: make_pipeline("passthrough", DecisionTreeClassifier(max_depth=3, random_state=1)),
        "forest",
    ),
    "vote": (
        lambda: VotingClassifier(
            [
                ("l", scaled(LogisticRegression())),
                ("b", HistGradientBoostingClassifier(max_iter=20, random_state=1)),
                ("f", RandomForestClassifier(9, max_depth=5, random_state=1)),
            ],
            voting="soft",
            weights=[1, 2, 0.5],
        ),
        "blend",
    ),
}


@cache
def fitted(name: str) -> tuple[Any, Scorer]:
    x, y = table()
    estimator = ARRAYS[name][0]().fit(x, y)
    return estimator, build_scorer(estimator, NAMES, x)


def bits(values: Sequence[float] | NDArray[np.float64]) -> bytes:
    return np.asarray(values, np.float64).tobytes()


@pytest.mark.parametrize("name", ARRAYS)
def test_the_scorer_says_what_the_estimator_says(name: str) -> None:
    (estimator, scorer), (x, _) = fitted(name), table()
    check_scorer(scorer, estimator, x)
    assert (scorer.kind, scorer.note, scorer.names) == (ARRAYS[name][1], None, NAMES)
    own = scorer.score_many(x)
    assert np.abs(own - estimator.predict_proba(x)[:, 1]).max() <= 1e-9
    assert bits(own[:300]) == bits([scorer.score(row) for row in x[:300].tolist()])
    assert bits(own[7:8]) == bits(scorer.score_many(x[7:8]))
    assert scorer.score_many(x[:0]).shape == (0,)


@pytest.mark.parametrize("name", ARRAYS)
def test_base_and_parts_are_the_score(name: str) -> None:
    scorer = fitted(name)[1]
    for row in table()[0][:50].tolist():
        base, unit, parts = scorer.explain(row)
        total = base + sum(parts)
        assert len(parts) == len(NAMES)
        p = total if unit == "probability" else sigmoid(total)
        assert p == pytest.approx(scorer.score(row), abs=1e-12)


@pytest.mark.parametrize("name", ARRAYS)
def test_a_scorer_survives_its_file(name: str) -> None:
    scorer = fitted(name)[1]
    again = read_scorer(scorer.to_json())
    assert again == scorer
    assert again.to_json() == scorer.to_json()


@pytest.mark.parametrize("name", ["forest", "deep forest", "hist boosting", "boosting"])
def test_rows_on_and_beside_a_threshold_go_the_same_way(name: str) -> None:
    estimator, scorer = fitted(name)
    asked = [pair for pair in zip(scorer.feature, scorer.threshold, strict=True) if pair[0] >= 0]  # type: ignore[attr-defined] # made of trees
    rows = []
    for column, threshold in asked[:60]:
        single = array("f", [threshold])[0]
        rows += [
            [value if place == column else 0.1 for place in range(len(NAMES))]
            for value in (threshold, single, *near(threshold), *near(single))
        ]
    x = np.array(rows)
    own = scorer.score_many(x)
    assert bits(own) == bits([scorer.score(row) for row in rows])
    assert np.abs(own - estimator.predict_proba(x)[:, 1]).max() <= 1e-9


def near(value: float) -> tuple[float, float]:
    return math.nextafter(value, -math.inf), math.nextafter(value, math.inf)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted(ARRAYS)))
def test_one_arithmetic_for_one_row_and_for_many(data: st.DataObject, name: str) -> None:
    wide = st.floats(-1e30, 1e30) | st.floats(-3, 3)
    row = st.lists(wide, min_size=len(NAMES), max_size=len(NAMES))
    rows = data.draw(st.lists(row, min_size=1, max_size=5))
    scorer = fitted(name)[1]
    assert bits(scorer.score_many(np.array(rows))) == bits([scorer.score(row) for row in rows])


@pytest.mark.parametrize("pairs", [1, 3, 100])
def test_the_size_of_a_block_changes_no_bit(pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer, x = fitted("forest")[1], table()[0][:40]
    whole = scorer.score_many(x)
    monkeypatch.setattr(scorer_batch, "PAIRS", pairs)
    assert bits(scorer.score_many(x)) == bits(whole)


def test_columns_in_any_layout_are_scored_alike() -> None:
    x = table()[0][:100]
    for name in ARRAYS:
        scorer = fitted(name)[1]
        assert bits(scorer.score_many(np.asfortranarray(x))) == bits(scorer.score_many(x))
        assert bits(scorer.score_many(x[::2])) == bits(scorer.score_many(x)[::2])


def test_sigmoids_are_sigmoid() -> None:
    odds = np.concatenate([np.random.default_rng(1).normal(size=5000) * 20, [0.0, -0.0, 800, -800]])
    own = sigmoids(odds)
    assert bits(own) == bits([sigmoid(value) for value in odds.tolist()])
    assert own[-4:].tolist() == [0.5, 0.5, 1.0, 0.0]
    true = [1 / (1 + math.exp(-value)) for value in odds[:5000].tolist()]
    assert np.abs(own[:5000] / true - 1).max() <= 1e-15


def test_a_sigmoid_never_falls() -> None:
    odds = np.linspace(-40, 40, 400_001)  # over every seam of the halvings
    assert (np.diff(sigmoids(odds)) >= 0).all()


def test_boosting_by_hand() -> None:
    odds = [BOOSTED.baseline / ODDS + part for part in (1, -1, 3)]
    rows = ((0.5, 9.0), (0.6, 1.0), (0.6, 1.1))
    assert [BOOSTED.score(row) for row in rows] == [sigmoid(value) for value in odds]
    # the root's mean is 1: at 0.6 the first question moves nothing, the second adds 2
    assert BOOSTED.explain((0.6, 1.1)) == (1.5, "log-odds", (0.0, 2.0))
    assert BOOSTED.explain((0.5, 9.0)) == (1.5, "log-odds", (0.0, 0.0))
    # scikit-learn's histogram trees compare in double precision, its other trees in single
    barely_more = 0.5 + 1e-9
    assert BOOSTED.score((barely_more, 1.0)) == sigmoid(-0.5)
    assert replace(BOOSTED, single=True).score((barely_more, 1.0)) == sigmoid(1.5)


def test_a_vote_and_a_scaler_by_hand() -> None:
    row = (3.0, 1.0)
    assert BLEND.score(row) == (sigmoid(2.0) + 3 * sigmoid(-0.5)) / 4
    base, unit, parts = BLEND.explain(row)
    assert (unit, base) == ("probability", 0.5 / 4 + 0.75 * sigmoid(1.5))
    # the line says +3 -1 of 2, so its move of p is shared 1.5 to -0.5
    move = sigmoid(2.0) - 0.5
    boosted = sigmoid(-0.5) - sigmoid(1.5)
    assert parts == pytest.approx((1.5 * move / 4, -0.5 * move / 4 + 0.75 * boosted), abs=1e-15)
    assert SCALED.score((2.0, 9.0)) == BOOSTED.score((0.5, 9.0))
    assert SCALED.explain((2.2, 1.1)) == BOOSTED.explain(((2.2 - 1.0) / 2.0, 1.1))
    even = BLEND.explain((0.0, 0.0))  # nothing moved by the line: shares of nothing
    assert sum(even[2]) + even[0] == pytest.approx(BLEND.score((0.0, 0.0)), abs=1e-15)


@pytest.mark.parametrize("scorer", [BOOSTED, BLEND, SCALED])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e39])
def test_a_value_that_is_not_a_number_is_named(scorer: Scorer, bad: float) -> None:
    for ask in (scorer.score, scorer.explain, lambda row: scorer.score_many(np.array([row, row]))):
        with pytest.raises(DataError, match="feature b is"):
            ask((1.0, bad))
    with pytest.raises(DataError, match="a row of 1 features"):
        scorer.score((1.0,))


def at(*path: str | int, value: object) -> Callable[[Any], None]:
    def edit(table: Any) -> None:  # noqa: ANN401 - JSON
        for step in path[:-1]:
            table = table[step]
        table[path[-1]] = value

    return edit


@pytest.mark.parametrize(
    ("scorer", "edit"),
    [
        (BOOSTED, at("baseline", value=0.5)),
        (BOOSTED, at("baseline", value=2**53)),
        (BOOSTED, at("value", 0, value=2**53)),
        (BOOSTED, at("value", 0, value=-(2**53))),
        (BOOSTED, at("single", value=0)),
        (BOOSTED, at("left", 0, value=0)),
        (BOOSTED, at("threshold", 0, value=1e999)),
        (BOOSTED, lambda table: table.pop("single")),
        (BOOSTED, lambda table: table.update(kind="forest")),
        (BOOSTED, lambda table: table.update(kind=["boosting"])),
        (BOOSTED, lambda table: table.pop("kind")),
        (SCALED, at("scale", 0, value=0.0)),
        (SCALED, at("mean", value=[1.0])),
        (SCALED, at("inner", value=[])),
        (SCALED, at("inner", "feature", 0, value=7)),
        (SCALED, lambda table: table.update(names=["a", "b"])),
        (BLEND, at("weights", value=[0.0, 0.0])),
        (BLEND, at("weights", value=[2.0, -1.0])),
        (BLEND, at("weights", value=[1.0])),
        (BLEND, at("weights", value=[1e308, 1e308])),
        (BLEND, at("members", value={})),
        (BLEND, lambda table: table.update(members=[], weights=[])),
        (BLEND, at("members", 0, "names", value=["b", "a"])),
        (BLEND, at("members", 0, "scale", 0, value=-1.0)),
    ],
)
def test_an_odd_scorer_is_refused(scorer: Scorer, edit: Callable[[Any], object]) -> None:
    read = json.loads(scorer.to_json())
    assert read_scorer(json.dumps(read).encode()) == scorer
    edit(read)
    with pytest.raises(ModelError):
        read_scorer(json.dumps(read).encode())


def test_a_scorer_inside_too_many_others_is_refused() -> None:
    scorer: Scorer = LINE
    for _ in range(9):
        scorer = BlendScorer(members=(scorer,), weights=(1.0,))
    with pytest.raises(ModelError, match="too deep"):
        read_scorer(scorer.to_json())


@pytest.mark.parametrize(
    "make",
    [
        GaussianNB,
        lambda: AdaBoostClassifier(n_estimators=5),
        lambda: make_pipeline(MinMaxScaler(), LogisticRegression()),
        lambda: VotingClassifier([("n", GaussianNB())], voting="soft"),
        lambda: HistGradientBoostingClassifier(max_iter=2, categorical_features=[3]),
        lambda: OwnForest(5, max_depth=3, random_state=1),
    ],
)
def test_what_has_no_arrays_we_know_is_asked_itself(make: Callable[[], Any]) -> None:
    x, y = table()
    x = np.column_stack([x[:, :3], x[:, 3] + 20, x[:, 4]])  # categories are not negative
    estimator = make().fit(x, y)
    assert array_scorer(estimator, NAMES) is None
    scorer = build_scorer(estimator, NAMES, x)
    assert scorer.kind == "estimator"
    assert "no plain arrays" in str(scorer.note)
    assert np.abs(scorer.score_many(x) - estimator.predict_proba(x)[:, 1]).max() <= 1e-12
    assert bits(scorer.score_many(x[:20])) == bits([scorer.score(row) for row in x[:20].tolist()])
    base, unit, parts = scorer.explain(x[0].tolist())
    assert unit == "probability"
    assert base + sum(parts) == pytest.approx(scorer.score(x[0].tolist()), abs=1e-12)
    unbound = read_scorer(scorer.to_json())
    assert unbound == scorer
    with pytest.raises(ModelError, match="without its estimator"):
        unbound.score(x[0].tolist())
    with pytest.raises(DataError, match="feature a is nan"):
        scorer.score_many(np.full((1, 5), math.nan))


class OwnForest(RandomForestClassifier):  # type: ignore[misc] # scikit-learn ships no types
    """A subclass may predict in its own way."""

    def predict_proba(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        certain: NDArray[np.float64] = (super().predict_proba(x) > 0.5).astype(float)
        return certain


def test_an_estimator_whose_answers_depend_on_company_is_asked_row_by_row() -> None:
    x, y = table()
    network = scaled(MLPClassifier((40,), max_iter=400, tol=1e-2, random_state=1)).fit(x, y)
    one_by_one = estimator_scorer(network, NAMES, x)
    many = one_by_one.score_many(x[:50])
    assert bits(many) == bits([one_by_one.score(row) for row in x[:50].tolist()])
    moody = estimator_scorer(Moody(), NAMES, x)
    assert moody.alone
    assert moody.score_many(x[:3]).tolist() == [0.5] * 3
    assert len(x) > PROBED


class Moody:
    """Says something else in company."""

    def predict_proba(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.full((len(x), 2), 0.5 if len(x) == 1 else math.nextafter(0.5, 1))


@pytest.mark.parametrize(
    "said", [np.zeros((1, 3)), np.full((1, 2), math.nan), np.full((1, 2), 1.5), np.zeros((1, 1))]
)
def test_what_is_no_probability_is_refused(said: NDArray[np.float64]) -> None:
    class Odd:
        def predict_proba(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.repeat(said, len(x), axis=0)

    with pytest.raises(ModelError, match="Odd gives no probabilities"):
        estimator_scorer(Odd(), NAMES, table()[0])


def test_a_scorer_that_differs_is_refused() -> None:
    (estimator, scorer), (x, _) = fitted("hist boosting"), table()
    assert isinstance(scorer, BoostingScorer)
    with pytest.raises(ModelError, match="differs from its estimator"):
        check_scorer(replace(scorer, baseline=scorer.baseline + 10_000), estimator, x)
    forest, leaves = fitted("forest")
    assert isinstance(leaves, ForestScorer)
    moved = tuple(value // 2 for value in leaves.value)
    with pytest.raises(ModelError, match="at most 1e-09"):
        check_scorer(replace(leaves, value=moved), forest, x)


@pytest.mark.parametrize("name", ["forest", "hist boosting", "scaled boosting", "vote"])
def test_one_row_needs_no_heavy_library(name: str, tmp_path: Path) -> None:
    scorer, row = fitted(name)[1], table()[0][0].tolist()
    path = tmp_path / "scorer.json"
    path.write_bytes(scorer.to_json())
    code = f"""
import sys
from pathlib import Path
from algotrade.learning.scorer_files import read_scorer
scorer = read_scorer(Path({str(path)!r}).read_bytes())
print(repr(scorer.score({row!r})), repr(scorer.explain({row!r})))
heavy = {{'numpy', 'pandas', 'sklearn', 'joblib', 'scipy'}} & set(sys.modules)
assert not heavy, heavy
"""
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout == f"{scorer.score(row)!r} {scorer.explain(row)!r}\n"
