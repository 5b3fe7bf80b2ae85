"""Kinds of models: defaults, import paths, refusals, and the same id on any machine's threads."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import joblib
import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin

from algotrade.errors import InputError, ModelError
from algotrade.learning import registry
from algotrade.learning.card import from_json
from algotrade.learning.models import (
    MODELS,
    choose_model,
    clear_padding,
    fit_model,
    make_model,
    model_params,
    short_name,
)
from algotrade.learning.predictor import predict_row
from algotrade.learning.registry import load_card, load_estimator, load_scorer, save_model
from algotrade.learning.training import Plan, TrainedModel, train
from campaigns.corrupt_models import campaign
from learning_markets import market, planted, trained

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray

BAYES = "sklearn.naive_bayes:GaussianNB"
TREES = "sklearn.ensemble:ExtraTreesClassifier"
SMALL = {"n_estimators": 5, "max_depth": 3}


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> str:
    """This file as a module that can be imported by its name, as a user's own would be."""
    monkeypatch.setitem(sys.modules, "own_models", sys.modules[__name__])
    return "own_models"


class ByMomentum(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn ships no types
    """A user's own classifier: a step on the first column, as seen in training."""

    def __init__(self, height: float = 0.6) -> None:
        self.height = height

    def fit(self, x: NDArray[np.float64], y: NDArray[np.int8]) -> ByMomentum:
        self.cut_ = float(np.median(x[:, 0]))
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        p = np.where(x[:, 0] > self.cut_, self.height, 1 - self.height)
        return np.column_stack([1 - p, p])


class Explosive(ByMomentum):
    def __init__(self, height: float = 0.6) -> None:  # noqa: ARG002 - never gets that far
        raise ValueError("not\ntoday")


class Mute(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn ships no types
    def fit(self, _x: object, _y: object) -> Mute:
        return self


def small(model: str, params: dict[str, Any] | None = None) -> TrainedModel:
    data = market(edge=0.008, count=700, symbols="AB")
    return train(data, Plan(model=model, folds=1, params=params or {}), seed=1, now=5)


@pytest.mark.parametrize(
    ("rows", "leaf"), [(100, 20), (500, 20), (1000, 40), (5000, 200), (10**6, 200)]
)
def test_boosting_has_smaller_leaves_on_small_data(rows: int, leaf: int) -> None:
    assert model_params("hgb", {}, rows)["min_samples_leaf"] == leaf
    assert model_params("blend", {}, rows)["hgb__min_samples_leaf"] == leaf


def test_the_parts_of_a_blend_take_their_own_parameters() -> None:
    params = model_params("blend", {"logit__C": 1.0, "hgb__max_iter": 7}, 1000)
    voters = dict(make_model("blend", params, 3).estimators)
    assert voters["logit"].get_params()["logisticregression__C"] == 1.0
    assert voters["logit"].get_params()["logisticregression__max_iter"] == 1000
    boosting = voters["hgb"].get_params()
    assert (boosting["max_iter"], boosting["learning_rate"]) == (7, 0.03)
    assert (boosting["random_state"], boosting["early_stopping"]) == (3, False)
    with pytest.raises(InputError, match="model blend has no parameter 'C'"):
        model_params("blend", {"C": 1.0}, 1000)


def test_the_smallest_dataset_trains_every_kind() -> None:
    data = market(edge=0, count=305, symbols="A")
    for model in MODELS:
        made = train(data, Plan(model=model), seed=1, now=5)
        assert (made.card.rows, made.card.kind, made.card.id.split("-")[0]) == (100, model, model)


def test_the_card_names_the_scorer() -> None:
    kinds = {model: trained(model).card.scorer for model in MODELS}
    assert kinds == {"rf": "forest", "logit": "linear", "hgb": "boosting", "blend": "blend"}


@pytest.mark.parametrize("path", [TREES, TREES.replace(":", ".")])
def test_an_import_path_is_a_model(path: str) -> None:
    card = small(path, dict(SMALL)).card
    assert (card.kind, card.scorer, card.params) == (TREES, "forest", SMALL)
    assert card.id.startswith("extratreesclassi-")
    assert from_json(card.to_json()) == card


def test_seeds_of_an_imported_estimator_are_set() -> None:
    made = make_model(TREES, {}, 11)
    assert made.get_params()["random_state"] == 11
    chosen = make_model(TREES, {"random_state": 3}, 11)
    assert chosen.get_params()["random_state"] == 3
    assert small(TREES, dict(SMALL)).card.id == small(TREES, dict(SMALL)).card.id
    assert small(TREES, SMALL | {"bootstrap": True}).card.params["bootstrap"] is True


def test_what_has_no_arrays_falls_back_to_its_estimator_and_says_so(tmp_path: Path) -> None:
    made = small(BAYES)
    assert (made.card.kind, made.card.scorer) == (BAYES, "estimator")
    assert "no plain arrays" in str(made.scorer.note)
    saved = save_model(tmp_path, made)
    card = load_card(tmp_path, saved.model_id, saved.card_sha256)
    scorer = load_scorer(tmp_path, card)
    assert scorer == made.scorer
    bars = planted("A", 7, 300, edge=0)
    said = predict_row(card, scorer, bars)
    assert said == predict_row(made.card, made.scorer, bars)
    total = said.base + sum(part for _, part in said.drivers)
    assert total == pytest.approx(said.p_up, abs=1e-12)


def test_a_users_own_class_works(here: str, tmp_path: Path, monkeypatch: Any) -> None:  # noqa: ANN401 - pytest's own
    monkeypatch.setattr(ByMomentum, "__module__", here)
    made = small(f"{here}:ByMomentum", {"height": 0.7})
    assert made.card.versions[here] == "unknown"
    saved = save_model(tmp_path, made)
    card = load_card(tmp_path, saved.model_id, saved.card_sha256)
    assert set(load_scorer(tmp_path, card).score_many(market(edge=0.008).x[:99])) <= {
        *(0.7, 1 - 0.7)
    }
    monkeypatch.setattr(sys.modules[here], "__version__", "2.0", raising=False)
    with pytest.raises(ModelError, match=r"saved by own_models unknown, this is 2\.0"):
        load_scorer(tmp_path, card)


def test_a_users_own_class_that_is_gone_is_told(
    here: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ByMomentum, "__module__", here)
    saved = save_model(tmp_path, small(f"{here}:ByMomentum"))
    card = load_card(tmp_path, saved.model_id, saved.card_sha256)
    monkeypatch.delitem(sys.modules, here)
    with pytest.raises(ModelError, match="needs 'own_models:ByMomentum', which cannot") as caught:
        load_scorer(tmp_path, card)
    assert caught.value.hint == "install it beside algotrade, or put its folder on PYTHONPATH"


def test_an_estimator_that_its_libraries_cannot_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = save_model(tmp_path, small(BAYES))
    card = load_card(tmp_path, saved.model_id, saved.card_sha256)
    monkeypatch.delattr("sklearn.naive_bayes.GaussianNB")
    with pytest.raises(ModelError, match="cannot be read by these libraries") as caught:
        load_scorer(tmp_path, card)
    assert caught.value.hint == "train again: algotrade train"


def test_a_foreign_scikit_learn_refuses_the_fallback_only(tmp_path: Path) -> None:
    for model, refused in ((BAYES, True), ("hgb", False)):
        made = small(model)
        old = replace(made.card, versions=made.card.versions | {"scikit-learn": "1.5.2"})
        saved = save_model(tmp_path, replace(made, card=old))
        card = load_card(tmp_path, saved.model_id, saved.card_sha256)
        with pytest.raises(ModelError, match=r"saved by scikit-learn 1\.5\.2"):
            load_estimator(tmp_path, card)
        if refused:
            with pytest.raises(ModelError, match=r"saved by scikit-learn 1\.5\.2"):
                load_scorer(tmp_path, card)
        else:
            assert load_scorer(tmp_path, card) == made.scorer


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("xgb", "model 'xgb' is unknown"),
        ("", "model '' is unknown"),
        ("os:system(1)", "is unknown"),
        ("a b:C", "is unknown"),
        ("no_such_library:Model", "no_such_library cannot be imported: No module named"),
        ("sklearn.no_such_part:Model", "cannot be imported"),
        ("sklearn.ensemble:NoSuchClassifier", "has no estimator class NoSuchClassifier"),
        ("os:system", "has no estimator class system"),
        ("os:PathLike", "has no estimator class PathLike"),
        ("own_models:Explosive", "cannot be made: not today"),
        ("own_models:Mute", "gives no probabilities"),
        ("sklearn.linear_model:Ridge", "gives no probabilities"),
        ("sklearn.svm:LinearSVC", "gives no probabilities"),
        ("sklearn.ensemble:VotingClassifier", "cannot be made: .* 'estimators'"),
    ],
)
def test_what_is_no_model_is_refused(here: str, name: str, message: str) -> None:
    assert here == "own_models"
    with pytest.raises(InputError, match=message) as caught:
        small(name)
    assert caught.value.exit_code == 2
    assert caught.value.hint
    assert "\n" not in caught.value.message


def test_a_module_that_fails_when_imported_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_broken_module.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match="cannot be imported: division by zero"):
        choose_model("own_broken_module:Model", 100)


@pytest.mark.parametrize(
    ("model", "params", "message"),
    [
        (TREES, {"depth": 3}, "has no parameter 'depth'"),
        (TREES, {"max_depth": -3}, "cannot be fitted: .*max_depth"),
        ("rf", {"max_samples": "many"}, "cannot be fitted: .*max_samples"),
        ("hgb", {"early_stopping": 1}, "has no parameter 'early_stopping'"),
    ],
)
def test_odd_parameters_are_refused(model: str, params: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        small(model, params)
    assert caught.value.hint


def test_ids_begin_with_letters_whatever_the_class_is_called() -> None:
    names = {"a:B": "b", "m:_9": "model", "m:HTTP2Model": "httpmodel", "hgb": "hgb"}
    assert {name: short_name(name) for name in names} == names


def test_other_threads_and_hashes_give_the_same_files(tmp_path: Path) -> None:
    """The same data, seed and versions give the same id and the same bytes in every process."""
    code = """
import sys
sys.path.insert(0, sys.argv[1])
import hashlib
from pathlib import Path
from algotrade.learning.registry import save_model
from algotrade.learning.training import Plan, train
from learning_markets import market
for model in ("rf", "logit", "hgb", "blend"):
    data = market(edge=0.008, count=700, symbols="AB")
    made = train(data, Plan(model=model, folds=1), seed=1, now=5)
    print(save_model(Path(sys.argv[2]), made))
"""
    said = []
    for threads, hashes in (("1", "1"), ("2", "2")):
        env = os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        run = subprocess.run(
            [sys.executable, "-c", code, os.path.dirname(__file__), str(tmp_path)],  # noqa: PTH120 - a text
            env=env | {"PYTHONHASHSEED": hashes},
            check=True,
            capture_output=True,
            text=True,
        )
        said.append(run.stdout)
    assert said[0] == said[1]
    assert len(list(tmp_path.iterdir())) == 4
    assert {small(model).card.id for model in MODELS} == {path.name for path in tmp_path.iterdir()}


def test_corrupted_models_are_refused(tmp_path: Path) -> None:
    """Short form of tests/campaigns/corrupt_models.py."""
    result = campaign(tmp_path / "ours", trials=300, seed=5)
    assert result.wrong == []
    assert sum(result.refused.values()) == 300
    assert len(result.refused) >= 10
    assert result.unpickled == 0


def test_without_its_hashes_the_registry_would_accept_some(tmp_path: Path) -> None:
    result = campaign(tmp_path / "control", trials=100, seed=5, hashes=False)
    assert result.accepted > 10
    assert result.unpickled > 0
    assert registry._check_hash.__module__ == registry.__name__  # and it is as it was


def test_equal_forests_have_equal_files_whatever_memory_held() -> None:
    """What lies between the fields of a tree's nodes is not part of the forest."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(600, 4)), rng.integers(0, 2, 600)
    for kind in ("rf", "sklearn.ensemble:GradientBoostingClassifier"):
        made = fit_model(make_model(kind, model_params(kind, {"n_estimators": 3}, 600), 1), x, y)
        before = registry._pickled(made)
        for tree in np.ravel(np.array(made.estimators_, object)).tolist():
            nodes = tree.tree_.__getstate__()["nodes"]
            nodes.view(np.uint8).reshape(len(nodes), -1)[:, 57:] = 7
        assert registry._pickled(made) != before
        clear_padding(made)
        assert registry._pickled(made) == before
        assert [registry._pickled(made) for _ in range(20)] == [before] * 20
        again = joblib.load(io.BytesIO(before))
        assert np.array_equal(again.predict_proba(x), made.predict_proba(x))
