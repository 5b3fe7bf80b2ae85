"""Kinds of models: their regularised defaults, how to make them, and how to fit them repeatably.

A kind is a name in MODELS or the import path of a scikit-learn classifier, as in
`sklearn.ensemble:ExtraTreesClassifier`.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from algotrade.errors import InputError, shown
from algotrade.learning.threads import one_thread

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    from algotrade.learning.card import Params

    Estimator: TypeAlias = Any  # scikit-learn ships no types

ENOUGH_FOR_FOREST = 2_000
EXAMPLE = "sklearn.ensemble:ExtraTreesClassifier"
_PATH = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)[:.]([A-Za-z_]\w*)", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A kind of model: its default parameters for a number of rows, and how to make it."""

    defaults: Callable[[int], Params]
    make: Callable[[Params, int], Estimator]


def _forest_defaults(rows: int) -> Params:
    # shallow trees with large leaves kept 90% of a planted edge, scikit-learn's defaults 55%
    return {
        "n_estimators": 60,
        "max_depth": 6,
        "min_samples_leaf": max(100, rows // 200),
        "max_samples": 0.5,
    }


def _boosting_defaults(rows: int) -> Params:
    # slow and shallow kept 82%, scikit-learn's defaults 46%; leaves shrink with small data
    return {
        "learning_rate": 0.03,
        "max_iter": 120,
        "max_leaf_nodes": 8,
        "min_samples_leaf": min(200, max(20, rows // 25)),
        "l2_regularization": 10.0,
    }


def _logit_defaults(_: int) -> Params:
    return {"C": 0.05, "max_iter": 1000}


def _blend_defaults(rows: int) -> Params:
    parts = {"logit": _logit_defaults(rows), "hgb": _boosting_defaults(rows)}
    return {f"{part}__{name}": value for part in parts for name, value in parts[part].items()}


def _make_forest(params: Params, seed: int) -> Estimator:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(**params, random_state=seed, n_jobs=1)


def _make_logit(params: Params, seed: int) -> Estimator:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(**params, random_state=seed))


def _make_boosting(params: Params, seed: int) -> Estimator:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(**params, early_stopping=False, random_state=seed)


def _make_blend(params: Params, seed: int) -> Estimator:
    from sklearn.ensemble import VotingClassifier

    voters = [
        (part, MODELS[part].make(_under(params, f"{part}__"), seed)) for part in ("logit", "hgb")
    ]
    return VotingClassifier(voters, voting="soft")


def _under(params: Params, prefix: str) -> Params:
    return {
        name.removeprefix(prefix): value
        for name, value in params.items()
        if name.startswith(prefix)
    }


MODELS = {
    "rf": Model(defaults=_forest_defaults, make=_make_forest),
    "logit": Model(defaults=_logit_defaults, make=_make_logit),
    "hgb": Model(defaults=_boosting_defaults, make=_make_boosting),
    "blend": Model(defaults=_blend_defaults, make=_make_blend),
}
_HINT = f"one of auto, {', '.join(MODELS)}, or an import path such as {EXAMPLE}"


def choose_model(name: str, rows: int) -> str:
    """Resolve `auto` and check the name; an import path becomes `module:Class`.

    Raises InputError for a name that is neither in MODELS nor a classifier's import path.
    """
    if name == "auto":
        return "rf" if rows >= ENOUGH_FOR_FOREST else "logit"
    if name in MODELS:
        return name
    found = _PATH.fullmatch(name)
    if found is None:
        raise InputError(f"model {shown(name)} is unknown", hint=_HINT)
    _import_class(name)
    return ":".join(found.groups())


def model_params(kind: str, overrides: Params, rows: int) -> Params:
    """Give a model's parameters for that many rows; raises InputError for an unknown override.

    Those of an imported classifier are its own defaults and not listed, only the overrides.
    """
    known: list[str]
    if kind in MODELS:
        defaults = MODELS[kind].defaults(rows)
        known = list(defaults)
    else:
        defaults = {}
        known = sorted(_construct(kind, {}).get_params())
    for name in overrides:
        if name not in known:
            raise InputError(
                f"model {kind} has no parameter {shown(name)}", hint=f"one of {', '.join(known)}"
            )
    return defaults | overrides


def make_model(kind: str, params: Params, seed: int) -> Estimator:
    """Make an unfitted estimator, every seed in it set; raises InputError where it cannot be."""
    if kind in MODELS:
        return MODELS[kind].make(params, seed)
    estimator = _construct(kind, params)
    if not hasattr(estimator, "predict_proba"):
        raise InputError(
            f"model {kind} gives no probabilities with these parameters",
            hint=f"a classifier with predict_proba, such as {EXAMPLE}",
        )
    seeds = {
        name: seed
        for name, value in estimator.get_params().items()
        if value is None and name.rpartition("__")[2] == "random_state"
    }
    return estimator.set_params(**seeds)


def fit_model(estimator: Estimator, x: Any, y: Any) -> Estimator:  # noqa: ANN401 - arrays of numpy
    """Fit on one thread, so that the same data give the same model on any number of cores.

    Raises InputError where an estimator refuses its parameters.
    """
    with one_thread():
        try:
            fitted = estimator.fit(x, y)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{type(estimator).__name__} cannot be fitted: {_line(error)}",
                hint="other parameters, or --model rf",
            ) from error
    clear_padding(fitted)
    return fitted


def clear_padding(fitted: Any) -> None:  # noqa: ANN401 - an estimator, or what it holds
    """Zero the bytes between the fields of every tree's nodes, which scikit-learn leaves as found.

    They mean nothing, but are pickled; with them, equal forests would give other files.
    """
    import numpy as np

    if isinstance(fitted, (list, tuple)):
        parts = list(fitted)
    elif isinstance(fitted, np.ndarray) and fitted.dtype == object:
        parts = fitted.ravel().tolist()
    elif hasattr(fitted, "get_params"):
        parts = list(vars(fitted).values())
    else:
        parts = []
    for part in parts:
        clear_padding(part)
    tree = getattr(fitted, "tree_", None)
    if tree is not None:
        nodes = tree.__getstate__()["nodes"]  # the tree's own memory, no copy
        used = np.zeros(nodes.dtype.itemsize, bool)
        for kind, start in nodes.dtype.fields.values():
            used[start : start + kind.itemsize] = True
        nodes.view(np.uint8).reshape(len(nodes), -1)[:, ~used] = 0


def short_name(kind: str) -> str:
    """Give up to 16 small letters for a kind, to begin the ids of its models."""
    if kind in MODELS:
        return kind
    return re.sub("[^a-z]", "", kind.rpartition(":")[2].lower())[:16] or "model"


def library_version(kind: str) -> dict[str, str]:
    """Give name and version of the library an import path leads to; nothing for others."""
    library = kind.partition(":")[0].partition(".")[0]
    if kind in MODELS or library == "sklearn":
        return {}
    return {library: str(getattr(importlib.import_module(library), "__version__", "unknown"))}


def _construct(kind: str, params: Params) -> Estimator:
    try:
        estimator = _import_class(kind)(**params)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"model {kind} cannot be made: {_line(error)}",
            hint="a class that can be made without arguments, and parameters that it takes",
        ) from error
    return estimator


def _import_class(path: str) -> Any:  # noqa: ANN401 - a class of any library
    found = _PATH.fullmatch(path)
    if found is None:
        raise InputError(f"model {shown(path)} is unknown", hint=_HINT)
    module, name = found.groups()
    try:
        made = getattr(importlib.import_module(module), name, None)
    except Exception as error:  # its top-level code may raise anything
        raise InputError(
            f"model {shown(path)}: {module} cannot be imported: {_line(error)}",
            hint=f"install it beside algotrade, or use an import path such as {EXAMPLE}",
        ) from error
    if not isinstance(made, type) or not all(
        callable(getattr(made, method, None)) for method in ("fit", "get_params", "set_params")
    ):
        raise InputError(
            f"model {shown(path)}: {module} has no estimator class {name}",
            hint=f"a scikit-learn classifier, such as {EXAMPLE}",
        )
    return made


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
