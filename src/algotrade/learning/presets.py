"""Presets: which columns a model reads, in which order, and the bars one row needs."""

from __future__ import annotations

from dataclasses import dataclass

from algotrade.errors import InputError, ModelError, shown
from algotrade.learning.formulas import FORMULAS, LOOKBACK

TREND = ("SMA_50", "SMA_200")  # always computed and reported, whatever the model reads


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSpec:
    """The columns a model reads, in order, and the bars one row needs."""

    preset: str
    names: tuple[str, ...]
    lookback: int = LOOKBACK


PRESETS = {
    "seed": FeatureSpec(preset="seed", names=TREND),
    "default": FeatureSpec(
        preset="default",
        names=tuple(name for name in FORMULAS if name not in (*TREND, "return_1")),
    ),
}
SEED = PRESETS["seed"]
DEFAULT = PRESETS["default"]


def feature_spec(preset: str) -> FeatureSpec:
    """Give the columns of a preset by name; raises InputError naming the presets there are."""
    if preset not in PRESETS:
        raise InputError(
            f"feature preset {shown(preset)} is unknown", hint=f"one of {', '.join(PRESETS)}"
        )
    return PRESETS[preset]


def check_names(spec: FeatureSpec) -> None:
    """Refuse columns this version cannot compute, as a model of a later version may ask for."""
    unknown = [name for name in spec.names if name not in FORMULAS]
    if unknown:
        raise ModelError(
            f"feature {shown(unknown[0])} is not known to this version",
            hint="train again: algotrade train",
        )
