"""Counterfactuals in words and as JSON: what would have had to differ, and what then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from algotrade.cli.views import in_unit, order_words
from algotrade.domain.decisions import HOLD, NOTIONAL, REFUSED
from algotrade.domain.money import MICROS, shares
from algotrade.domain.rules import RULES
from algotrade.domain.signals import DRIFTED, EXPIRED, UNFAMILIAR

if TYPE_CHECKING:
    from algotrade.domain.decisions import Decision
    from algotrade.trading.counterfactual import Change, Counterfactual

# field of the limits: what it is called, its unit
_LIMITS = {
    "max_order_notional": ("R05 order value limit", "usd"),
    "max_order_equity_bps": ("R05 order value limit, of equity,", "bps"),
    "max_order_quantity": ("R06 order quantity limit", "shares"),
    "price_collar_bps": ("R07 price collar", "bps"),
    "max_position_bps": ("R10 position limit", "bps"),
    "max_gross_bps": ("R12 gross exposure limit", "bps"),
    "allow_short": ("R13 selling short allowed", "bool"),
    "daily_loss_reduce_bps": ("R18 daily loss limit", "bps"),
    "daily_loss_halt_bps": ("R18 daily loss that halts", "bps"),
    "drawdown_halt_bps": ("R19 drawdown that halts", "bps"),
    "max_stale_sessions": ("R25 sessions without data allowed", "sessions"),
}
_OTHERS = {
    "p_up": ("p(up)", "probability"),
    "weight": ("damped weight", "weight"),
    "quantity": ("--qty", "shares"),
    "cash": ("cash", "usd"),
    "halts": ("halts", "halts"),
}
_SIGNS = {">": ">", "<": "<", "at least": ">=", "at most": "<=", "is": "="}


_BARRED = {
    EXPIRED: "past its time",
    UNFAMILIAR: "asked about unfamiliar input",
    DRIFTED: "asked about input that has drifted",
}


def nearest_lines(found: tuple[Counterfactual, ...], decision: Decision) -> list[str]:
    """Tell each counterfactual in a line: would have bought 10 AAPL if p(up) > 0.52: was 0.507."""
    lines = []
    for label, one in zip(("nearest", *[""] * len(found)), found, strict=False):
        told = " and ".join(_change_words(change, decision) for change in one.changes)
        more = any(change.what == "quantity" and change.relation == ">" for change in one.changes)
        then = _then_words(one.then, more=more)
        lines.append(f"{label:<9}would have {then} if {told}")
    return lines


def nearest_rows(found: tuple[Counterfactual, ...], decision: Decision) -> list[dict[str, Any]]:
    """Give counterfactuals as JSON; dollars, shares, bps, probabilities, as `unit` says."""
    return [
        {
            "action": one.then.action,
            "code": one.then.code,
            "Side": one.then.order.side if one.then.order else None,
            "Quantity": shares(one.then.order.quantity) if one.then.order else None,
            "changes": [_change_row(change, decision) for change in one.changes],
        }
        for one in found
    ]


def _then_words(then: Decision, *, more: bool) -> str:
    if then.action == HOLD or then.order is None:
        return "placed nothing"
    if then.action == REFUSED:
        return f"been refused by {then.code}"
    past = {"buy": "bought", "sell": "sold"}[then.order.side]
    if more:
        return f"{past} more {then.symbol}"
    return order_words(then.order).replace(then.order.side, past, 1)


def _change_words(change: Change, decision: Decision) -> str:
    if change.what == "stance":
        source = decision.signal.source if decision.signal else "the rule"
        return f"{source} had said {change.value}: it said {change.was}"
    if change.what == "abstains":
        return f"the model had not been {_BARRED[str(change.was)]}"
    if change.what == "halts":
        return f"nothing had halted trading: {change.was} places did"
    name, unit = _name(change.what, decision)
    if unit == "bool":
        return f"{name}: it was not"
    return f"{name} {_SIGNS[change.relation]} {_told(change.value, unit)}: was " + _told(
        change.was, unit
    )


def _name(what: str, decision: Decision) -> tuple[str, str]:
    if what == "size":
        kind = decision.policy.sizing.kind if decision.policy.sizing else NOTIONAL
        return "the size", "usd" if kind == NOTIONAL else "bps"
    rule = next((rule for rule in RULES if rule.field == what), None)
    told = (f"{rule.id} {rule.name} limit", rule.unit) if rule else (what, "")
    return _LIMITS.get(what) or _OTHERS.get(what) or told


def _told(value: Any, unit: str) -> str:  # noqa: ANN401  a float is no int
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int):
        return in_unit(value, unit)
    return str(value)


def _change_row(change: Change, decision: Decision) -> dict[str, Any]:
    name, unit = _name(change.what, decision)

    def number(value: Any) -> Any:  # noqa: ANN401  a float is no int
        if isinstance(value, int) and not isinstance(value, bool):
            if unit == "usd":
                return value / MICROS
            return shares(value) if unit == "shares" else value
        return value

    return {
        "what": change.what,
        "name": name.rstrip(","),
        "unit": unit,
        "relation": _SIGNS[change.relation],
        "was": number(change.was),
        "value": number(change.value),
    }
