"""The decision: one pure function for backtest, paper and live."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.domain.decisions import (
    EQUITY,
    HALTED,
    HOLD,
    IN,
    NOTIONAL,
    ORDER,
    OUT,
    PROBABILITY,
    REFUSED,
    RISK,
    SILENT,
    SMALL,
    Decision,
    Policy,
    Sizing,
)
from algotrade.domain.money import BPS, NANOS, format_quantity
from algotrade.domain.orders import BUY, LIMIT, SELL, STOP, STOP_LIMIT, Order, order_key
from algotrade.domain.risk import LETTER_OVERRIDDEN
from algotrade.domain.signals import DOWN, KEEP, PPM, UP
from algotrade.record import NamedTuple
from algotrade.trading.risk import check_order

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from algotrade.domain.actions import Delisting, Dividend, Split
    from algotrade.domain.predictions import Prediction
    from algotrade.domain.risk import Conditions, Limits, MarketFacts, RiskVerdict
    from algotrade.domain.signals import Signal
    from algotrade.trading.state import TradingState

    Look: TypeAlias = Callable[[str, int, TradingState], MarketFacts]

_SAYS = {UP: "up", DOWN: "down", KEEP: "keep"}


class Moment(NamedTuple):
    """One bar of one symbol becoming known at `ts`, with what happened before it opened.

    Prices in micro-dollars as traded, volume in micro-shares; splits and dividends whose ex-date
    is this bar's session. prediction: a model's reasons, where somebody will read them.
    decided_before: the bar before this one that was decided, where a feed skips bars.
    """

    ts: int
    symbol: str
    ts_open: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    splits: tuple[Split, ...] = ()
    dividends: tuple[Dividend, ...] = ()
    delisting: Delisting | None = None
    signal: Signal | None = None
    prediction: Prediction | None = None
    decided_before: int | None = None


class Wish(NamedTuple):
    """What the policy makes of a signal before risk is asked; quantity 0 is a hold."""

    side: str
    quantity: int
    code: str
    reason: str


def decide(
    moment: Moment,
    state: TradingState,
    policy: Policy,
    limits: Limits,
    conditions: Conditions,
    look: Look | None = None,
) -> Decision:
    """Decide about one symbol at one moment: signal, size, then risk. Pure.

    look: gives what the bars say, where an order is checked and the conditions do not say it yet.
    """
    wish = wished(moment, state, policy, limits.price_collar_bps)
    order = _order(moment, state, policy, wish, conditions.now) if wish.quantity else None
    if order is not None and look is not None and limits.complete and conditions.market is None:
        conditions = conditions._replace(market=look(moment.symbol, moment.ts, state))
    verdict = check_order(order, state, limits, conditions, policy.overrides)
    action, code, reason = _outcome(wish, order, verdict)
    held = state.portfolio.held(moment.symbol)
    return Decision(  # by place: named, it takes twice as long
        policy.account,
        policy.strategy,
        moment.symbol,
        moment.ts,
        conditions.now,
        action,
        code,
        reason,
        order,
        moment.signal,
        moment.prediction,
        verdict,
        held,
        state.projected(moment.symbol) - held,
        state.equity,
        policy,
        limits,
        conditions,
    )


def wished(moment: Moment, state: TradingState, policy: Policy, collar_bps: int = 0) -> Wish:
    """Give what the policy wants of the signal as the account stands.

    collar_bps: how much worse than the close an entry that is sized by its risk may be filled.
    """
    signal = moment.signal
    if policy.sizing is not None and policy.sizing.kind == RISK:
        policy = _sized_by_risk(moment, state, policy, policy.sizing, collar_bps)
    if signal is None:
        return Wish(policy.side or BUY, 0, SILENT, "nothing is said of this bar")
    if signal.abstains:
        return _wished_abstaining(moment, signal, state, policy)
    return _wished_by(moment, signal, state, policy)


def _wished_by(moment: Moment, signal: Signal, state: TradingState, policy: Policy) -> Wish:
    stance = stance_of(signal, policy)
    if policy.side is not None:
        return _wished_side(policy.side, stance, signal, policy)
    if policy.sizing is not None and policy.sizing.kind == PROBABILITY:
        return _wished_weight(moment, signal, state, policy)
    held = state.portfolio.held(moment.symbol)
    if stance == KEEP:
        return Wish(BUY, 0, IN if held else OUT, f"{_told(signal, stance)}: nothing changes")
    if stance == DOWN and not policy.short:
        return _wished_exit(moment.symbol, held, signal, state, policy)
    return _wished_entry(moment, held, signal, stance, state, policy)


def stance_of(signal: Signal, policy: Policy) -> int:
    """Give UP, DOWN or KEEP; between its two thresholds a model's position is kept."""
    if signal.p_up is None or policy.exit_below is None or signal.stance != DOWN:
        return signal.stance
    return DOWN if signal.p_up <= policy.exit_below else KEEP


def _wished_abstaining(moment: Moment, signal: Signal, state: TradingState, policy: Policy) -> Wish:
    """Enter nothing; end what is held against what is said, as asked."""
    if policy.sizing is not None and policy.sizing.kind == PROBABILITY:
        wish = _wished_weight(moment, signal, state, policy)
        if wish.side == SELL or not wish.quantity:
            return wish
        code = IN if state.projected(moment.symbol) else OUT
        return Wish(BUY, 0, code, f"{wish.reason}, {signal.abstains}: nothing is added")
    symbol, stance = moment.symbol, stance_of(signal, policy)
    held = state.portfolio.held(symbol)
    told = f"{_told(signal, stance)}, {signal.abstains}"
    says_up = signal.p_up is not None and signal.p_up > (signal.threshold or 0.0)
    side, against = (SELL, held) if stance == DOWN else (BUY, -held if says_up else 0)
    most = against if policy.sizing is not None else min(against, policy.quantity)
    leaving = max(0, most - state.working(symbol, side))
    if policy.side not in (None, side) or not leaving:
        code = IN if held and policy.side is None else OUT
        return Wish(policy.side or side, 0, code, f"{told}: nothing is entered")
    return Wish(side, leaving, OUT, f"{told}: {side} {format_quantity(leaving)}")


def _wished_side(side: str, stance: int, signal: Signal, policy: Policy) -> Wish:
    told = _told(signal, stance)
    if stance == (UP if side == BUY else DOWN) or signal.source == "":
        return Wish(side, policy.quantity, IN, f"{told}: {side} as asked")
    return Wish(side, 0, OUT, f"{told}: does not agree with {side}")


def _wished_entry(
    moment: Moment, held: int, signal: Signal, stance: int, state: TradingState, policy: Policy
) -> Wish:
    """Hold a long position while up is said, or a short one while down is."""
    side, sign = (BUY, 1) if stance == UP else (SELL, -1)
    told = _told(signal, stance)
    hold, holding = ("hold", "holding") if stance == UP else ("hold short", "short")
    working = state.working(moment.symbol, side)
    have = held * sign + working
    shown = format_quantity(have)
    if policy.sizing is not None and have > 0:
        return Wish(side, 0, IN, f"{told}: already {holding} {shown}")
    target = _target(moment, signal, state, policy)
    missing = max(0, target - have)
    if missing and have < 0:
        against = f"{told}: {hold} {format_quantity(target)}, have {shown} against it"
        return Wish(side, missing, IN, against)
    if missing:
        return Wish(side, missing, IN, f"{told}: {hold} {format_quantity(target)}, have {shown}")
    if target == 0 and have == 0:
        return Wish(side, 0, SMALL, f"{told}: the size comes to nothing")
    return Wish(side, 0, IN, f"{told}: already {holding} {shown} of {format_quantity(target)}")


def _wished_exit(
    symbol: str, held: int, signal: Signal, state: TradingState, policy: Policy
) -> Wish:
    told = _told(signal, DOWN)
    most = held if policy.sizing is not None else min(held, policy.quantity)
    leaving = max(0, most - state.working(symbol, SELL))
    if leaving:
        return Wish(SELL, leaving, OUT, f"{told}: sell {format_quantity(leaving)}")
    return Wish(SELL, 0, IN if held else OUT, f"{told}: nothing to sell")


def _wished_weight(moment: Moment, signal: Signal, state: TradingState, policy: Policy) -> Wish:
    """Follow the damped weight, by steps no smaller than the band unless it comes to nothing."""
    sizing = policy.sizing
    have = state.projected(moment.symbol)
    target = _target(moment, signal, state, policy)
    full = _target(moment, signal._replace(weight=PPM), state, policy)
    told = f"{_told(signal, signal.stance)}, weight {signal.weight / PPM:.3f}"
    step = target - have
    band = full * (sizing.band if sizing else 0) // BPS
    if step == 0 or (abs(step) < band and target > 0):
        return Wish(BUY, 0, IN if have else OUT, f"{told}: near enough")
    wanted = f"{told}: hold {format_quantity(target)}, have {format_quantity(have)}"
    return Wish(BUY if step > 0 else SELL, abs(step), IN, wanted)


def _target(moment: Moment, signal: Signal, state: TradingState, policy: Policy) -> int:
    """Give the size wanted in nano-shares, never below 0."""
    sizing = policy.sizing
    if sizing is None:
        return policy.quantity
    if sizing.kind == RISK:
        return sizing.quantity - (sizing.quantity % NANOS if policy.whole else 0)
    equity = state.equity or 0
    if sizing.kind == NOTIONAL:
        value = sizing.amount
    elif sizing.kind == EQUITY:
        value = equity * sizing.amount // BPS
    elif sizing.kind == PROBABILITY:
        value = equity * sizing.amount * signal.weight // (BPS * PPM)
    elif signal.volatility:  # so that value x volatility is the part of equity asked for
        share = min(sizing.cap, sizing.amount * PPM // signal.volatility)
        value = equity * share // BPS
    else:
        value = 0
    quantity = max(0, value) * NANOS // moment.close
    return quantity - quantity % NANOS if policy.whole else quantity


def _sized_by_risk(
    moment: Moment, state: TradingState, policy: Policy, sizing: Sizing, collar_bps: int
) -> Policy:
    """Give the value at which the stop, hit from the worst entry, loses the part of equity asked.

    Of the stance said: long above the stop, short below it; on the wrong side of it the size is 0.
    """
    signal = moment.signal
    sign = -1 if signal is not None and signal.stance == DOWN and policy.short else 1
    worst = -(-moment.close * (BPS + sign * collar_bps) // BPS)
    stop = sizing.stop_price
    if stop is None:
        stop = moment.close * (BPS - sign * (sizing.stop_bps or 0)) // BPS
    distance = sign * (worst - stop)
    right = sign * (moment.close - stop) > 0 and distance > 0 and stop > 0
    risked = max(0, state.equity or 0) * sizing.amount // BPS
    quantity = risked * NANOS // distance if right else 0
    return policy._replace(sizing=sizing._replace(quantity=quantity))


def _told(signal: Signal, stance: int) -> str:
    if signal.source == "":
        return "no model"
    if signal.p_up is None:
        return f"{signal.source} says {_SAYS[stance]}"
    against = "" if signal.threshold is None else f" against {signal.threshold:g}"
    return f"model says {_SAYS[stance]}, p(up) {signal.p_up:.4f}{against}"


def _order(moment: Moment, state: TradingState, policy: Policy, wish: Wish, now: int) -> Order:
    request = f"{policy.side} {policy.quantity}" if policy.side else ""
    key = order_key(
        state.account, policy.strategy, moment.symbol, moment.ts, policy.client_id, request
    )
    kind, side = policy.order_type, wish.side
    limit = stop = None
    if kind in (LIMIT, STOP_LIMIT):
        limit = _price(moment, side, policy.limit_price, policy.limit_bps)
    if kind in (STOP, STOP_LIMIT):
        stop = _price(moment, side, policy.stop_price, policy.stop_bps)
    return Order(
        key,
        state.account,
        policy.strategy,
        moment.symbol,
        side,
        wish.quantity,
        moment.ts,
        now,
        policy.client_id,
        kind,
        limit,
        stop,
        policy.time_in_force,
    )


def _price(moment: Moment, side: str, price: int | None, bps: int | None) -> int | None:
    """Give a price as asked, or at a distance from the close: above it to buy, below it to sell."""
    if price is not None or bps is None:
        return price
    signed = bps if side == BUY else -bps
    return max(1, moment.close * (BPS + signed) // BPS)


def _let_pass(verdict: RiskVerdict) -> str:
    if LETTER_OVERRIDDEN not in verdict.letters:
        return ""
    return "; overridden: " + ", ".join(f"{one.id} {one.name}" for one in verdict.overridden)


def _outcome(wish: Wish, order: Order | None, verdict: RiskVerdict) -> tuple[str, str, str]:
    """Give action, code and reason."""
    if order is None:
        return HOLD, wish.code, wish.reason
    if verdict.passed and verdict.halt is None:
        return ORDER, wish.code, wish.reason + _let_pass(verdict)
    ids = [check.id for check in verdict.breaches]
    names = [f"{check.id} {check.name}" for check in verdict.breaches]
    if verdict.halt is not None:
        names.insert(0, f"halt: {verdict.halt}")
    halted = verdict.halt is not None or "R01" in ids
    return REFUSED, HALTED if halted else ",".join(ids), "refused by risk: " + ", ".join(names)
