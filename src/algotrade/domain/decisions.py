"""Decisions: what was asked, what was decided, and on what grounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.domain.orders import GTC, MARKET
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from algotrade.domain.orders import Order
    from algotrade.domain.predictions import Prediction
    from algotrade.domain.risk import Conditions, Limits, RiskVerdict
    from algotrade.domain.signals import Signal

ORDER = "order"
HOLD = "hold"
REFUSED = "refused"

# why nothing is placed, in a word; a refusal is told by the ids of its checks
IN = "in"  # what is wanted is held
OUT = "out"  # nothing is wanted, nothing is held
SILENT = "silent"  # nothing is said of the bar
SMALL = "small"  # the size comes to nothing
HALTED = "halted"

NOTIONAL = "notional"
EQUITY = "equity"
VOLATILITY = "volatility"
PROBABILITY = "probability"
RISK = "risk"


class Sizing(NamedTuple):
    """How large a position is, where it is not a number of shares.

    notional: `amount` micro-dollars; equity: `amount` bps of equity; volatility: so much that the
    position moves `amount` bps a year, at most `cap` bps of equity. These size an entry, and the
    position is then left alone until it ends.
    probability: `amount` bps of equity times the signal's damped weight, followed bar by bar, but
    by steps no smaller than `band` bps of the full size.
    risk: so much that falling from the worst entry to the stop loses `amount` bps of equity;
    stop_price in micro-dollars, or stop_bps from the close, against the position. quantity:
    nano-shares that this came to at one bar.
    """

    kind: str
    amount: int
    cap: int = 10_000
    band: int = 2_000
    stop_price: int | None = None
    stop_bps: int | None = None
    quantity: int = 0


class Policy(NamedTuple):
    """What the user asked for.

    quantity: nano-shares; without `side` the position to hold while up is said, with it the size
    of one order in that direction. sizing: how large the position is instead of `quantity`.
    exit_below: hysteresis; a model's position ends only when p(up) is at or below it.
    short: hold the opposite position while down is said. whole: trade whole shares only.
    limit_price, stop_price: micro-dollars; limit_bps, stop_bps: the same as a distance from the
    close, positive above it for buying and below it for selling.
    overrides: ids of the rules of risk that this one order may pass, with the reason.
    """

    account: str
    strategy: str
    quantity: int = 0
    sizing: Sizing | None = None
    side: str | None = None
    client_id: str = ""
    exit_below: float | None = None
    short: bool = False
    whole: bool = False
    order_type: str = MARKET
    time_in_force: str = GTC
    limit_price: int | None = None
    stop_price: int | None = None
    limit_bps: int | None = None
    stop_bps: int | None = None
    overrides: tuple[str, ...] = ()
    override_reason: str = ""


class Decision(NamedTuple):
    """What was decided, on what grounds; holds and refusals are decisions too.

    code: the reason in a word: one of the above, or the ids of the checks that failed.
    order: placed (action "order"), or proposed and refused; None for a hold.
    held, working: position and open signed quantity before, nano-shares; equity in micro-dollars.
    """

    account: str
    strategy: str
    symbol: str
    ts: int
    decided_at: int
    action: str
    code: str
    reason: str
    order: Order | None
    signal: Signal | None
    prediction: Prediction | None
    verdict: RiskVerdict
    held: int
    working: int
    equity: int | None
    policy: Policy
    limits: Limits
    conditions: Conditions

    @property
    def placed(self) -> Order | None:
        """Give the order if it was placed."""
        return self.order if self.action == ORDER else None
