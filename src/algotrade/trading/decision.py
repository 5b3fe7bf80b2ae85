"""The decision: one pure function for backtest, paper and live."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from algotrade.domain.decisions import HOLD, ORDER, REFUSED, Decision, Policy
from algotrade.domain.money import format_quantity
from algotrade.domain.orders import BUY, SELL, Order, order_key
from algotrade.trading.risk import check_order

if TYPE_CHECKING:
    from algotrade.domain.actions import Dividend, Split
    from algotrade.domain.predictions import Prediction
    from algotrade.domain.risk import Conditions, Limits, RiskVerdict
    from algotrade.trading.state import TradingState


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One bar of one symbol becoming known at `ts`, with what happened before it opened.

    Prices in micro-dollars as traded; splits and dividends whose ex-date is this bar's session.
    """

    ts: int
    symbol: str
    ts_open: int
    open: int
    close: int
    volume: int
    splits: tuple[Split, ...] = ()
    dividends: tuple[Dividend, ...] = ()
    prediction: Prediction | None = None


def decide(
    moment: Moment, state: TradingState, policy: Policy, limits: Limits, conditions: Conditions
) -> Decision:
    """Decide about one symbol at one moment: signal, size, then risk. Pure."""
    side, quantity, reason = _wanted(moment, state, policy)
    order = None
    if quantity:
        order = _order(moment, state, policy, side, quantity, conditions.now)
    verdict = check_order(order, state, limits, conditions)
    if order is None:
        action = HOLD
    elif verdict.passed and verdict.halt is None:
        action = ORDER
    else:
        action, reason = REFUSED, _refusal(verdict)
    return Decision(
        account=policy.account,
        strategy=policy.strategy,
        symbol=moment.symbol,
        ts=moment.ts,
        decided_at=conditions.now,
        action=action,
        reason=reason,
        order=order,
        prediction=moment.prediction,
        verdict=verdict,
        held=state.portfolio.held(moment.symbol),
        working=state.projected(moment.symbol) - state.portfolio.held(moment.symbol),
        equity=state.equity,
        policy=policy,
        limits=limits,
        conditions=conditions,
    )


def _wanted(moment: Moment, state: TradingState, policy: Policy) -> tuple[str, int, str]:
    """Give side, quantity (0 for a hold) and the reason in words."""
    if policy.use_model and moment.prediction is None:
        return policy.side or BUY, 0, "no prediction"
    if policy.side is not None:
        return _wanted_side(policy.side, moment, policy)
    held = max(0, state.portfolio.held(moment.symbol))
    if _says_up(moment, policy):
        have = held + state.working(moment.symbol, BUY)
        missing = max(0, policy.quantity - have)
        target = format_quantity(policy.quantity)
        if missing:
            return BUY, missing, f"{_signal(moment)}: hold {target}, have {format_quantity(have)}"
        return BUY, 0, f"{_signal(moment)}: already holding {format_quantity(have)} of {target}"
    selling = state.working(moment.symbol, SELL)
    leaving = max(0, min(held, policy.quantity) - selling)
    if leaving:
        return SELL, leaving, f"{_signal(moment)}: sell {format_quantity(leaving)}"
    return SELL, 0, f"{_signal(moment)}: nothing to sell"


def _wanted_side(side: str, moment: Moment, policy: Policy) -> tuple[str, int, str]:
    agrees = not policy.use_model or _says_up(moment, policy) == (side == BUY)
    if agrees:
        return side, policy.quantity, f"{_signal(moment)}: {side} as asked"
    return side, 0, f"{_signal(moment)}: does not agree with {side}"


def _says_up(moment: Moment, policy: Policy) -> bool:
    return not policy.use_model or (moment.prediction is not None and moment.prediction.value == 1)


def _signal(moment: Moment) -> str:
    prediction = moment.prediction
    if prediction is None:
        return "no model"
    word = "up" if prediction.value == 1 else "down"
    return f"model says {word}, p(up) {prediction.p_up:.4f} against {prediction.threshold:g}"


def _order(
    moment: Moment, state: TradingState, policy: Policy, side: str, quantity: int, now: int
) -> Order:
    request = f"{policy.side} {policy.quantity}" if policy.side else ""
    key = order_key(
        state.account, policy.strategy, moment.symbol, moment.ts, policy.client_id, request
    )
    return Order(
        key=key,
        account=state.account,
        strategy=policy.strategy,
        symbol=moment.symbol,
        side=side,
        quantity=quantity,
        bar_ts=moment.ts,
        placed_at=now,
        client_id=policy.client_id,
    )


def _refusal(verdict: RiskVerdict) -> str:
    names = [f"{check.id} {check.name}" for check in verdict.breaches]
    if verdict.halt is not None:
        names.insert(0, f"halt: {verdict.halt}")
    return "refused by risk: " + ", ".join(names)


def latched(state: TradingState, decision: Decision) -> TradingState:
    """Give the state with the halt that the decision's checks call for, if they do."""
    if decision.verdict.halt is None or state.halt is not None:
        return state
    return replace(state, halt=decision.verdict.halt)
