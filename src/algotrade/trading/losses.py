"""Losses: of the session, of the week and from the peak, and what they do to an account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.domain.money import BPS
from algotrade.domain.risk import Check, Limits
from algotrade.domain.rules import RULE
from algotrade.domain.times import session_day
from algotrade.trading.state import week_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeAlias

    from algotrade.domain.ledger import Stretch
    from algotrade.trading.state import TradingState

    Losses: TypeAlias = tuple[int | None, int | None, int | None]

_NEVER = 2**63  # bps that no loss reaches


def rising(state: TradingState, limits: Limits) -> str | None:
    """Give the loss that moves the account to REDUCING or to HALTED, or None."""
    losses = losses_of(state)
    return halting_loss(losses, limits) or reducing_loss(state, losses, limits)


def warnings(state: TradingState, limits: Limits) -> tuple[Check, ...]:
    """Give the losses that are over the limits that only warn."""
    daily, drawdown, _ = losses_of(state)
    rows = (
        ("R18", daily, limits.daily_loss_warn_bps),
        ("R19", drawdown, limits.drawdown_warn_bps),
    )
    return tuple(
        Check(rule_id, RULE[rule_id].name, RULE[rule_id].unit, value, limit, "warn")
        for rule_id, value, limit in rows
        if value is not None and value > limit
    )


def loss_bps(profit: int | None, reference: int, contributed: int) -> int | None:
    """Give how far profit lies under a reference, in bps of the equity then; rounded up.

    None where it cannot be computed: a price is missing or the equity then was not positive.
    """
    base = contributed + reference
    if profit is None or base <= 0:
        return None
    return 0 if profit >= reference else -(-(reference - profit) * BPS // base)


def losses_of(state: TradingState) -> Losses:
    """Give the loss of the running session, from the highest mark, and of the week, in bps."""
    profit, contributed = state.profit, state.portfolio.contributed
    return (
        loss_bps(profit, state.session_profit, contributed),
        loss_bps(profit, state.peak_profit, contributed),
        loss_bps(profit, state.week_profit, contributed),
    )


def halting_loss(losses: Losses, limits: Limits) -> str | None:
    """Give the loss for which trading must stop, or None."""
    daily, drawdown, weekly = losses
    if daily is not None and daily > limits.daily_loss_halt_bps:
        return f"R18 daily loss {daily} bps over {limits.daily_loss_halt_bps}"
    if drawdown is not None and drawdown > limits.drawdown_halt_bps:
        return f"R19 drawdown {drawdown} bps over {limits.drawdown_halt_bps}"
    if limits.complete and weekly is not None and weekly > limits.weekly_loss_halt_bps:
        return f"R20 weekly loss {weekly} bps over {limits.weekly_loss_halt_bps}"
    return None


def reducing_loss(state: TradingState, losses: Losses, limits: Limits) -> str | None:
    """Give the loss for which orders may only reduce from now on, or None; it lasts."""
    daily = losses[0]
    if not limits.complete or state.reducing is not None or state.halt is not None:
        return None
    if daily is None or daily <= limits.daily_loss_reduce_bps:
        return None
    return f"R18 daily loss {daily} bps over {limits.daily_loss_reduce_bps}"


def halting(stretch: Stretch, state: TradingState, limits: Limits) -> Iterator[int]:
    """Give the places in a stretch at which a limit on losses halts, or lets only reduce."""
    gained = stretch.cash - stretch.contributed
    session, peak, last = state.session_profit, state.peak_profit, state.last_mark
    week = state.week_profit
    before = (session, peak, week, last.profit if last else peak)
    low = min(*before, min(stretch.values) + gained)
    high = max(*before, max(stretch.values) + gained)
    most_daily, most_weekly = limits.daily_loss_halt_bps, _NEVER
    if limits.complete:
        most_weekly = limits.weekly_loss_halt_bps
        if state.reducing is None:
            most_daily = min(most_daily, limits.daily_loss_reduce_bps)
    tightest = min(most_daily, most_weekly, limits.drawdown_halt_bps)
    base = stretch.contributed + low
    if base > 0 and (high - low) * BPS <= tightest * base:
        return
    for place, mark in enumerate(stretch.marks()):
        day, was = session_day(mark.ts), session_day(last.ts) if last is not None else None
        if last is not None and was is not None and was < day:
            session = last.profit
            week = last.profit if week_of(was) < week_of(day) else week
        peak, last = max(peak, mark.profit), mark
        daily = loss_bps(mark.profit, session, mark.contributed) or 0
        drawdown = loss_bps(mark.profit, peak, mark.contributed) or 0
        weekly = loss_bps(mark.profit, week, mark.contributed) or 0
        if daily > most_daily or drawdown > limits.drawdown_halt_bps or weekly > most_weekly:
            yield place
