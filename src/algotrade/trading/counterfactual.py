"""Counterfactuals: the nearest change of one thing that would have changed a decision.

Nothing is guessed: each change is found by deciding again with it, and is given only where the
outcome is another one. Changes of the signal, of limits, of the size and of the cash there is.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

from algotrade.domain.decisions import HOLD, ORDER, PROBABILITY, REFUSED, SMALL
from algotrade.domain.money import BPS
from algotrade.domain.orders import BUY
from algotrade.domain.rules import RULES
from algotrade.domain.signals import DOWN, KEEP, PPM, UP
from algotrade.record import NamedTuple
from algotrade.trading.decision import decide

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from algotrade.domain.decisions import Decision, Policy
    from algotrade.domain.risk import Check, Conditions, Limits
    from algotrade.domain.signals import Signal
    from algotrade.trading.decision import Moment
    from algotrade.trading.state import TradingState

P_UP, STANCE, WEIGHT, QUANTITY, SIZE, CASH, HALTS, ABSTAINS = (
    *("p_up", "stance", "weight", "quantity", "size", "cash", "halts", "abstains"),
)
_LARGEST = 2**50
_ROUNDS = 4  # raising the collar raises the worst price, and with it what other limits need


class Case(NamedTuple):
    """Everything that a decision is made of; the state is never changed."""

    moment: Moment
    state: TradingState
    policy: Policy
    limits: Limits
    conditions: Conditions

    def decide(self) -> Decision:
        """Decide."""
        return decide(self.moment, self.state, self.policy, self.limits, self.conditions)


class Change(NamedTuple):
    """One thing that was, and the nearest value of it with another outcome.

    what: p_up, stance, weight, quantity, size, cash, halts, abstains, or a field of the limits.
    relation: how the value is told: `>` for the least above it, else `at least`, `at most` or `is`.
    """

    what: str
    relation: str
    was: float | str | None
    value: float | str | None


class Counterfactual(NamedTuple):
    """Changes that together give another outcome, the decision they give, and the inputs."""

    changes: tuple[Change, ...]
    then: Decision
    case: Case


def counterfactuals(case: Case) -> list[Counterfactual]:
    """Give the nearest change of each kind that changes the outcome, the most telling first."""
    made = case.decide()
    found: list[Counterfactual] = []
    if made.action == REFUSED:
        found += [*_allowed(case), *_smaller(case, made)]
    found += [*_by_signal(case, made)]
    if made.action == HOLD:
        found += [*_larger(case, made)]
    if made.action == ORDER:
        found += [*_tighter(case, made)]
    return [one for one in found if outcome(one.then) != outcome(made)]


def outcome(decision: Decision) -> tuple[str, str | None]:
    """Give what a decision comes to: its action, and the side of an order."""
    return decision.action, decision.order.side if decision.order else None


# ---- the signal


def _by_signal(case: Case, made: Decision) -> Iterator[Counterfactual]:
    signal = case.moment.signal
    if signal is None or signal.source == "":
        return
    if signal.abstains:
        yield from _by_abstention(case, made, signal)
    if case.policy.sizing is not None and case.policy.sizing.kind == PROBABILITY:
        yield from _by_weight(case, made)
    elif signal.p_up is None or signal.threshold is None:
        for stance in (UP, DOWN, KEEP):
            there = _said(case, stance)
            if stance != signal.stance and outcome(there.decide()) != outcome(made):
                change = Change(STANCE, "is", _WORDS[signal.stance], _WORDS[stance])
                yield Counterfactual((change,), there.decide(), there)
                return
    else:
        yield from _by_probability(case, made, signal.p_up, signal.threshold)


_WORDS = {UP: "up", DOWN: "down", KEEP: "keep"}


def _by_abstention(case: Case, made: Decision, signal: Signal) -> Iterator[Counterfactual]:
    """Take away the reason to enter nothing."""
    says_up = signal.p_up is not None and signal.p_up > (signal.threshold or 0.0)
    said = signal._replace(abstains="", stance=UP if says_up else signal.stance)
    there = case._replace(moment=case.moment._replace(signal=said))
    then = there.decide()
    if outcome(then) != outcome(made):
        yield Counterfactual((Change(ABSTAINS, "is", signal.abstains, ""),), then, there)


def _by_probability(
    case: Case, made: Decision, p_up: float, threshold: float
) -> Iterator[Counterfactual]:
    """Try both sides of each threshold, the nearest first."""
    bounds = [threshold]
    if case.policy.exit_below is not None:
        bounds.append(case.policy.exit_below)
    tried = [(bound, "at most", bound) for bound in bounds if p_up > bound]
    tried += [(math.nextafter(bound, 1), ">", bound) for bound in bounds if p_up <= bound]
    for value, relation, bound in sorted(tried, key=lambda one: abs(one[0] - p_up)):
        there = _said(case, UP if value > threshold else DOWN, value)
        then = there.decide()
        if outcome(then) != outcome(made):
            yield Counterfactual((Change(P_UP, relation, p_up, bound),), then, there)
            return


def _by_weight(case: Case, made: Decision) -> Iterator[Counterfactual]:
    signal = case.moment.signal
    if signal is None:
        return

    def weighed(weight: int) -> Case:
        return case._replace(moment=case.moment._replace(signal=signal._replace(weight=weight)))

    places = [
        (first_integer(lambda w: _flips(weighed(w), made), signal.weight, PPM), "at least"),
        (first_integer(lambda w: _flips(weighed(w), made), signal.weight, 0), "at most"),
    ]
    near = [(w, told) for w, told in places if w is not None]
    for weight, told in sorted(near, key=lambda one: abs(one[0] - signal.weight))[:1]:
        there = weighed(weight)
        change = Change(WEIGHT, told, signal.weight / PPM, weight / PPM)
        yield Counterfactual((change,), there.decide(), there)


def _said(case: Case, stance: int, p_up: float | None = None) -> Case:
    signal = case.moment.signal
    if signal is None:
        return case
    taken = KEEP if signal.abstains and stance == UP else stance
    said = signal._replace(stance=taken, p_up=signal.p_up if p_up is None else p_up)
    return case._replace(moment=case.moment._replace(signal=said))


# ---- limits


def _allowed(case: Case) -> Iterator[Counterfactual]:
    """Raise each limit that refuses by as little as it takes, all together."""
    there = case
    for _ in range(_ROUNDS):
        then = there.decide()
        if then.action == ORDER:
            changes = (*_compared(case, there),)
            yield Counterfactual(changes, then, there)
            return
        raised = there
        for check in then.verdict.breaches:
            raised = _raised(raised, check)
        if then.verdict.halt is not None:
            raised = _unhalted(raised, then)
        if raised == there:
            return
        there = raised


def _raised(case: Case, check: Check) -> Case:
    """Move the limit of one check to the value that it would have had to allow."""
    value, limits = check.value, case.limits
    if check.id in ("R01", "R01r"):
        return _with_state(case._replace(conditions=case.conditions._replace(halts=())), halt=None)
    if value is None:
        return case
    if check.id == "R05":
        equity = case.state.equity or 1
        needed = -(-value * BPS // equity)
        limits = limits._replace(
            max_order_notional=max(limits.max_order_notional, value),
            max_order_equity_bps=max(limits.max_order_equity_bps, needed),
        )
    elif check.id == "R12c":
        return _with_state(case, cash=value - max(0, case.state.portfolio.cash))
    elif check.id == "R13":
        limits = limits._replace(allow_short=True)
    elif check.id in _FIELDS:
        limits = _with_limit(limits, _FIELDS[check.id], value)
    return case._replace(limits=limits)


_FIELDS = {rule.id: rule.field for rule in RULES if rule.field and rule.id != "R05"}


def _with_limit(limits: Limits, name: str, value: int) -> Limits:
    changes: dict[str, Any] = {name: value}
    return limits._replace(**changes)


def _unhalted(case: Case, then: Decision) -> Case:
    """Raise the limits on losses that halt to the losses there are."""
    values = {check.id: check.value or 0 for check in then.verdict.checks}
    limits = case.limits._replace(
        daily_loss_halt_bps=max(case.limits.daily_loss_halt_bps, values["R18"]),
        drawdown_halt_bps=max(case.limits.drawdown_halt_bps, values["R19"]),
        weekly_loss_halt_bps=max(case.limits.weekly_loss_halt_bps, values["R20"]),
    )
    return case._replace(limits=limits)


def _with_state(case: Case, *, cash: int = 0, halt: str | None = "") -> Case:
    """Give the case with more cash paid in, or without its halt; the state itself stays."""
    state = copy.copy(case.state)
    portfolio = state.portfolio
    state.portfolio = portfolio._replace(
        cash=portfolio.cash + cash, contributed=portfolio.contributed + cash
    )
    state.reprice({})  # forgets the sums it has kept
    if halt is None:
        state.halt = state.reducing = None
    return case._replace(state=state)


def _compared(before: Case, after: Case) -> Iterator[Change]:
    for name in before.limits._fields:
        old, new = getattr(before.limits, name), getattr(after.limits, name)
        if old != new:
            relation = "is" if isinstance(new, bool) else "at least"
            yield Change(name, relation, old, new)
    paid = after.state.portfolio.cash - before.state.portfolio.cash
    if paid:
        cash = before.state.portfolio.cash
        yield Change(CASH, "at least", cash, cash + paid)
    were, are = _halts(before), _halts(after)
    if were != are:
        yield Change(HALTS, "is", were, are)


def _halts(case: Case) -> int:
    state = case.state
    return len(case.conditions.halts) + bool(state.halt) + bool(state.reducing)


def _tighter(case: Case, made: Decision) -> Iterator[Counterfactual]:
    """Lower the limit that is nearest to its value until it refuses."""
    fields = _FIELDS | {"R05": "max_order_notional"}
    used = [
        (check.value / check.limit, check)
        for check in made.verdict.made
        if check.id in fields and check.value and check.limit and check.status == "pass"
    ]
    for _, check in sorted(used, key=lambda one: -one[0]):
        name, value = fields[check.id], check.value
        if value is None:
            continue
        there = case._replace(limits=_with_limit(case.limits, name, value - 1))
        then = there.decide()
        if then.action == REFUSED:
            change = Change(name, "<", getattr(case.limits, name), value)
            yield Counterfactual((change,), then, there)
            return


# ---- the size


def _smaller(case: Case, made: Decision) -> Iterator[Counterfactual]:
    """Ask for the largest order that passes."""
    largest, order, policy = made.verdict.max_quantity, made.order, case.policy
    if not largest or order is None or policy.sizing is not None:
        return
    have = 0
    if policy.side is None and order.side == BUY:
        have = case.state.portfolio.held(order.symbol) + case.state.working(order.symbol, BUY)
    there = case._replace(policy=policy._replace(quantity=have + largest))
    then = there.decide()
    if then.action == ORDER:
        change = Change(QUANTITY, "at most", policy.quantity, have + largest)
        yield Counterfactual((change,), then, there)


def _larger(case: Case, made: Decision) -> Iterator[Counterfactual]:
    """Ask for the least size that leads to an order."""
    policy = case.policy
    if policy.sizing is None and policy.side is None:

        def asked(quantity: int) -> Case:
            return case._replace(policy=policy._replace(quantity=quantity))

        found = first_integer(lambda q: _flips(asked(q), made), policy.quantity, _LARGEST)
        if found is not None:
            change = Change(QUANTITY, ">", policy.quantity, found - 1)
            yield Counterfactual((change,), asked(found).decide(), asked(found))
    elif policy.sizing is not None and made.code == SMALL:
        sizing = policy.sizing

        def sized(amount: int) -> Case:
            return case._replace(policy=policy._replace(sizing=sizing._replace(amount=amount)))

        found = first_integer(lambda a: _flips(sized(a), made), sizing.amount, _LARGEST)
        if found is not None:
            change = Change(SIZE, "at least", sizing.amount, found)
            yield Counterfactual((change,), sized(found).decide(), sized(found))


def _flips(case: Case, made: Decision) -> bool:
    return outcome(case.decide()) != outcome(made)


def first_integer(holds: Callable[[int], bool], start: int, stop: int) -> int | None:
    """Give the integer nearest to `start`, towards `stop`, where something begins to hold.

    Raises nothing: None where it does not hold at `stop`. It is taken to hold from there on.
    """
    if start == stop or not holds(stop):
        return None
    fails, there = start, stop
    while abs(there - fails) > 1:
        middle = (fails + there) // 2
        if holds(middle):
            there = middle
        else:
            fails = middle
    return there
