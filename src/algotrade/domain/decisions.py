"""Decisions: what was asked, what was decided, and on what grounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from algotrade.domain.orders import Order
    from algotrade.domain.predictions import Prediction
    from algotrade.domain.risk import Conditions, Limits, RiskVerdict

ORDER = "order"
HOLD = "hold"
REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the user asked for.

    quantity: nano-shares; without `side` the position to hold while the model says up, with it
    the size of one order in that direction. use_model: False places without a prediction.
    """

    account: str
    strategy: str
    quantity: int
    side: str | None = None
    use_model: bool = True
    client_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was decided, on what grounds; holds and refusals are decisions too.

    order: placed (action "order"), or proposed and refused; None for a hold.
    held, working: position and open signed quantity before, nano-shares; equity in micro-dollars.
    """

    account: str
    strategy: str
    symbol: str
    ts: int
    decided_at: int
    action: str
    reason: str
    order: Order | None
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
