"""What the audit looks at: features as a function of the bars of a symbol, and of the others'."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from algotrade.learning.cross import bind
from algotrade.learning.features import compute_features, feature_row
from algotrade.learning.own_features import OwnFeatures
from algotrade.learning.presets import TREND

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from algotrade.bars import Bars
    from algotrade.learning.presets import FeatureSpec

    Rows = Callable[[Bars], NDArray[np.float64]]
    Change = Callable[[Sequence[Bars]], Sequence[Bars]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Features to be audited.

    rows: bars to (len(bars), names), in the shares of each row's bar or of the last. lookback: as
    declared. row: of the last bar, to the bit, where that is claimed. in_dollars: names that do
    not claim to be free of the price level. one_basis: whether rows come in the last bar's shares.
    among: the rows when the bars of the other symbols, that are read as well, are changed.
    """

    names: tuple[str, ...]
    rows: Rows
    lookback: int
    row: Callable[[Bars], Sequence[float]] | None = None
    in_dollars: frozenset[str] = frozenset()
    one_basis: bool = False
    among: Callable[[Change], Rows] | None = None

    def amid(self, change: Change) -> Rows:
        """Give the rows with the others' bars changed, too; the same where none are read."""
        return self.rows if self.among is None else self.among(change)


def subject(spec: FeatureSpec, universe: Sequence[Bars] = ()) -> Subject:
    """Give what is audited of a spec: the preset's rows, or your function asked about all bars.

    universe: the bars that columns which compare symbols read.
    """
    if spec.crosses:
        return _among_others(spec, universe)
    if isinstance(spec.own, OwnFeatures):
        own = spec.own
        return Subject(
            names=own.columns,
            rows=own.whole,
            lookback=own.lookback,
            in_dollars=frozenset(() if own.scale_free else own.columns),
            one_basis=True,
        )
    return Subject(
        names=spec.names,
        rows=partial(compute_features, spec=spec),
        lookback=spec.lookback,
        row=partial(feature_row, spec=spec),
        in_dollars=frozenset(TREND) & frozenset(spec.names),
    )


def _among_others(spec: FeatureSpec, universe: Sequence[Bars]) -> Subject:
    """Give what is audited of columns that compare symbols."""
    bound = bind(spec, universe)

    def among(change: Change) -> Rows:
        return partial(compute_features, spec=bind(spec, change(universe)))

    return Subject(
        names=spec.names,
        rows=partial(compute_features, spec=bound),
        lookback=spec.lookback,
        row=partial(feature_row, spec=bound),
        in_dollars=frozenset(TREND) & frozenset(spec.names),
        among=among,
    )
