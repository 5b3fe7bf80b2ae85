"""The plan of a training: what the settings ask for, read once, for `train` and for backtests."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from algotrade.errors import InputError, shown
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from algotrade.config import Settings
    from algotrade.learning.card import Params
    from algotrade.learning.labels import LabelSpec
    from algotrade.learning.presets import FeatureSpec
    from algotrade.learning.training import Plan

THREE_YEARS = 756  # sessions
_WINDOW = re.compile(r"rolling(?::([1-9][0-9]{0,4}))?", re.ASCII)
_WORDS: dict[str, bool | None] = {"none": None, "true": True, "false": False}


class Training(NamedTuple):
    """Everything that a training depends on but the bars."""

    spec: FeatureSpec
    labels: LabelSpec
    plan: Plan
    seed: int


def training_of(settings: Settings) -> Training:
    """Read the `train.` settings; your own features are loaded, hence run.

    Raises InputError for a parameter, a window or features that cannot be read.
    """
    from algotrade.learning.labels import LabelSpec
    from algotrade.learning.own_features import load_features
    from algotrade.learning.training import Plan

    folds = settings.number("train.folds")
    if not folds:
        raise InputError("train.folds = 0: nothing would be judged", hint="--folds 5")
    if not settings.number("train.horizon"):
        raise InputError("train.horizon = 0: no future to look at", hint="--horizon 5")
    return Training(
        spec=load_features(settings.text("train.features")),
        labels=LabelSpec(horizon=settings.number("train.horizon")),
        plan=Plan(
            model=settings.text("train.model"),
            threshold=settings.threshold,
            folds=folds,
            params=read_params(settings.text("train.params")),
            window=read_window(settings.text("train.window")),
            expires_days=settings.number("train.expires_days"),
        ),
        seed=settings.number("train.seed"),
    )


def read_window(text: str) -> int | None:
    """Read `expanding` (None), `rolling` (three years) or `rolling:SESSIONS`."""
    if text == "expanding":
        return None
    found = _WINDOW.fullmatch(text)
    if found is None:
        raise InputError(
            f"train.window = {shown(text)} cannot be read", hint="expanding, or rolling:756"
        )
    return int(found[1] or THREE_YEARS)


def read_params(text: str) -> Params:
    """Read `name=value name=value`: whole numbers, numbers, true, false, none, else text."""
    found: Params = {}
    for part in text.split():
        name, equals, value = part.partition("=")
        if not name or not equals or not value:
            raise InputError(
                f"parameter {shown(part)} cannot be read", hint="--param max_depth=4, for example"
            )
        if name in found:
            raise InputError(f"parameter {shown(name)} is given twice", hint="name each once")
        found[name] = _value(value)
    return found


def _value(text: str) -> float | int | str | None:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if number - number == 0:  # neither infinite nor NaN: a card holds finite numbers
            return number
    return text
