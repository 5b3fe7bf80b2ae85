"""What a backtest is asked, and what came of it: the plan and the finished run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from algotrade.domain.costs import CostModel
    from algotrade.domain.ledger import Mark
    from algotrade.domain.risk import Limits
    from algotrade.trading.feed import History, Market
    from algotrade.trading.runs import RunJournal
    from algotrade.trading.state import TradingState
    from algotrade.workflows.trade import Request

BACKTEST = "backtest"
EVERY = 21  # sessions between two refits, as in live use


class Plan(NamedTuple):
    """What to run: the request as `trade` would take it, a span, and the world around it.

    from_ts, until_ts: of the bars to decide at, both inclusive; None: as many as there are.
    limits_name: what the limits were called by. walk_forward: refit every `every` sessions.
    benchmark: a symbol, `equal` (all of the run's, held from the first bar) or None.
    """

    request: Request
    from_ts: int | None
    until_ts: int | None
    limits: Limits
    limits_name: str
    costs: CostModel
    cash: int
    walk_forward: bool = False
    every: int = EVERY
    benchmark: str | None = "equal"


class Outcome(NamedTuple):
    """A finished run: its state, journal and valuations, and the bars it walked."""

    state: TradingState
    journal: RunJournal
    marks: Sequence[Mark]
    market: Market
    histories: Sequence[History]
    costs: CostModel
