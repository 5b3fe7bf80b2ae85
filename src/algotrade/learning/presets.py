"""Presets: which columns a model reads, in which order, and the bars one row needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from algotrade.errors import InputError, ModelError, shown
from algotrade.learning.formulas import FORMULAS, LOOKBACK

if TYPE_CHECKING:
    from typing import Protocol

    import numpy as np
    from numpy.typing import NDArray

    from algotrade.bars import Bars

    class OwnColumns(Protocol):
        """Columns that somebody else computes: see `own_features.py`."""

        @property
        def columns(self) -> tuple[str, ...]:
            """Give their names, in order."""

        def matrix(self, bars: Bars) -> NDArray[np.float64]:
            """Compute every row."""

        def row(self, bars: Bars) -> tuple[float, ...]:
            """Compute the row of the last bar: the last row of `matrix`, bit for bit."""


TREND = ("SMA_50", "SMA_200")  # always computed and reported, whatever the model reads
RANKED = ("momentum_5", "momentum_21", "momentum_126", "vol_20", "volume_20")
# made of the bars of other symbols, too: see `cross.py`
CROSS = ("market_1", "market_21", "beta_63", *(f"rank_{name}" for name in RANKED))
_DEFAULT = tuple(name for name in FORMULAS if name not in (*TREND, "return_1"))


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSpec:
    """The columns a model reads, in order, and the bars one row needs.

    own: who computes the names that are not in FORMULAS; None for the presets, of which `cross` is
    bound to the bars of a universe before it computes anything: see `cross.bind`.
    """

    preset: str
    names: tuple[str, ...]
    lookback: int = LOOKBACK
    own: OwnColumns | None = field(default=None, repr=False)

    @property
    def crosses(self) -> bool:
        """Tell whether some of its columns compare a symbol with others."""
        return ":" not in self.preset and any(name in CROSS for name in self.names)


PRESETS = {
    "seed": FeatureSpec(preset="seed", names=TREND),
    "default": FeatureSpec(preset="default", names=_DEFAULT),
    "cross": FeatureSpec(preset="cross", names=(*_DEFAULT, *CROSS)),
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
    if unknown and unknown[0] in CROSS:
        raise ModelError(f"feature {unknown[0]} needs the bars of a universe, and got none")
    if unknown:
        raise ModelError(
            f"feature {shown(unknown[0])} is not known to this version",
            hint="train again: algotrade train",
        )
