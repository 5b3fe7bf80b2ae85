"""Crowd: the bars of a model's universe around a bar, loaded once for all symbols of a pass."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from algotrade.learning.cross import CrossSection, bind, split_print
from algotrade.learning.cross_rules import BETA, beginning, needed
from algotrade.learning.familiar import ROWS
from algotrade.learning.predictor import spec_of
from algotrade.store import bars as bar_store
from algotrade.workflows.context import DAILY, Workspace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from algotrade.bars import Bars
    from algotrade.learning.card import ModelCard
    from algotrade.learning.presets import FeatureSpec
    from algotrade.workflows.speakers import Speaker


class Crowd:
    """What the universes of models had, at one look at the store: make one for each pass."""

    def __init__(self, ws: Workspace) -> None:
        self._ws = ws
        self._key: object = None
        self._spec: FeatureSpec | None = None

    def features(
        self, card: ModelCard, bars: Bars, *, known_at: int | None = None
    ) -> FeatureSpec | None:
        """Give a model's features bound to what its universe had at the last of these bars.

        None where it compares no symbols, or without bars. Enough is loaded for the last 63 rows.
        """
        if not compares(card) or not len(bars):
            return None
        first, last = beginning(bars.ts_close, ROWS), bars.ts_close[-1]
        key = (card.id, first, last, known_at)
        if key != self._key:
            universe = [self._load(card, symbol, first, last, known_at) for symbol in card.symbols]
            self._key, self._spec = key, bind(spec_of(card), universe)
        return self._spec

    def of(self, speaker: Speaker, bars: Bars, *, known_at: int | None) -> FeatureSpec | None:
        """Give `features` of whoever speaks; None where it is no model."""
        if speaker.model is None:
            return None
        return self.features(speaker.model.card, bars, known_at=known_at)

    def _load(
        self, card: ModelCard, symbol: str, first: int, last: int, known_at: int | None
    ) -> Bars:
        """Load the bars from `first` to `last`, and a full look-back at the first of them."""
        count = card.lookback + 2 * ROWS + 2
        while True:
            bars = bar_store.load_bars(
                self._ws.db,
                self._ws.source,
                symbol,
                DAILY,
                until=last,
                last=count,
                known_at=known_at,
            )
            if len(bars) < count or bisect_right(bars.ts_close, first) >= card.lookback:
                return bars
            count *= 2


def needed_of(card: ModelCard) -> int:
    """Give how many symbols of its universe must have bars for a model to say anything."""
    return needed(len(card.symbols)) if compares(card) else 0


def bars_compared(card: ModelCard) -> int:
    """Give how many bars of another symbol a model's row reads at most, if none has holes."""
    return card.lookback + BETA if compares(card) else 0


def compares(card: ModelCard) -> bool:
    """Tell whether a model compares a symbol with others."""
    return ":" not in card.preset and spec_of(card).crosses


def parts_read(spec: FeatureSpec, bars: Bars, stored: str) -> list[tuple[str, str, str]]:
    """Give each part of what a row read, by name, as it was stored and as it is now."""
    if not isinstance(spec.own, CrossSection):
        return []
    others = [one.symbol for one in spec.own.universe if one.symbol != bars.symbol]
    before = split_print(stored, others)
    now = split_print(spec.own.fingerprint(bars), others)
    return [(name, before[name], now[name]) for name in now]


def whole_universe(
    ws: Workspace, card: ModelCard, known: Sequence[Bars], *, until: int | None
) -> tuple[FeatureSpec | None, list[Bars]]:
    """Bind a model's features to the whole histories of its universe, for a backtest.

    known: those that are loaded already. Gives the others beside it, which a run reads, too.
    """
    if not compares(card):
        return None, []
    named = {one.symbol: one for one in known if one.symbol in card.symbols}
    others = [
        bar_store.load_bars(ws.db, ws.source, symbol, DAILY, until=until)
        for symbol in card.symbols
        if symbol not in named
    ]
    return bind(spec_of(card), [*named.values(), *others]), others
