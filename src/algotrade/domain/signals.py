"""Signals: what a model or a rule says about one symbol at one bar, whoever says it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from array import array

NONE, UP, DOWN, KEEP = range(4)  # what is said of a bar; KEEP leaves a position as it is
PPM = 1_000_000  # parts per million: weights and volatilities are integers of this unit

# why a model enters nothing; it still speaks against what is held
EXPIRED, UNFAMILIAR, DRIFTED = "expired", "unfamiliar", "drifted"
ABSTAINS = ("", EXPIRED, UNFAMILIAR, DRIFTED)  # by the number in a column of `Signals`


class Signal(NamedTuple):
    """What is said at the close of one bar.

    source: model id, or a rule with its parameters. stance: UP, DOWN or KEEP.
    p_up, threshold: of a model; up is said when p_up > threshold.
    weight: damped size in [0, PPM]. volatility: a year's standard deviation of the symbol in PPM,
    or None where it is not known. bars_hash: of the bars that were read, where they are kept in
    the journal. abstains: one of ABSTAINS; with a reason up becomes KEEP, and nothing is entered.
    """

    source: str
    stance: int
    p_up: float | None = None
    threshold: float | None = None
    weight: int = PPM
    volatility: int | None = None
    bars_hash: str = ""
    abstains: str = ""


class Signals(NamedTuple):
    """What is said at every bar of one symbol's history; each column has one item a bar.

    sources: (first bar, source), by bar: who speaks from that bar on.
    stances: one byte a bar, NONE where nothing is said (too few bars, no model yet).
    p_up: of models, NaN where nothing is said. weights, volatilities: PPM; None where not asked.
    abstains: one byte a bar, its place in ABSTAINS; None where there is never a reason.
    """

    sources: tuple[tuple[int, str], ...]
    stances: bytes
    p_up: array[float] | None = None
    threshold: float | None = None
    weights: array[int] | None = None
    volatilities: array[int] | None = None
    abstains: bytes | None = None
