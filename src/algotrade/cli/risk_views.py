"""How risk looks: limits in groups, an order that nobody placed, changes of limits."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from algotrade.cli.output import Column, View
from algotrade.cli.views import cents, check_row, in_unit, money, order_words
from algotrade.domain.money import format_quantity, format_usd, shares
from algotrade.domain.risk import ACTIVE, NOT_APPLICABLE, REDUCING
from algotrade.domain.rules import LATER, RULE
from algotrade.domain.times import iso

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from algotrade.domain.risk import Check
    from algotrade.store.limits import LimitChange
    from algotrade.workflows.limit_changes import Changed
    from algotrade.workflows.risk import RiskResult, WhatIf

# each group begins with this rule
_GROUPS = {
    "R01": "state",
    "R05": "order",
    "R10": "exposure",
    "R15": "rates",
    "R18": "losses",
    "R22": "market",
    "R28": "system",
}


_EMPTY = dict.fromkeys(("id", "now", "limit_text", "headroom_text", "kind", "status"), "")
_NONE: Mapping[str, int] = MappingProxyType({})


def _cell(name: str) -> Any:  # noqa: ANN401  a cell function
    return lambda row: str(row[name])


_COLUMNS = (
    Column(title="id", cell=_cell("id"), right=False),
    Column(title="limit of", cell=_cell("name"), right=False),
    Column(title="now", cell=_cell("now")),
    Column(title="limit", cell=_cell("limit_text")),
    Column(title="headroom", cell=_cell("headroom_text")),
    Column(title="class", cell=_cell("kind"), right=False),
    Column(title="state", cell=_cell("status"), right=False),
)


def _texts(checks: Iterable[Check], asked: Mapping[str, int] = _NONE) -> list[dict[str, object]]:
    """Give the rows of a table; `asked`: limits of checks that are made of each order only."""
    rows: list[dict[str, object]] = []
    for check in checks:
        if check.id in _GROUPS:
            rows.append({**_EMPTY, "name": _GROUPS[check.id].upper()})
        rule = RULE.get(check.id)
        rows.append(
            {
                "id": check.id,
                "name": check.name,
                "now": _text(check, check.value),
                "limit_text": in_unit(asked[check.id], check.unit)
                if check.id in asked
                else _text(check, check.limit),
                "headroom_text": "" if check.headroom is None else _text(check, check.headroom),
                "kind": rule.kind if rule else "",
                "status": "order" if check.id in asked else check.status,
            }
        )
    return rows


def _of_orders(result: RiskResult) -> dict[str, int]:
    """Give the limits of the rules that this account asks of each order, not as it stands."""
    made = {check.id for check in result.verdict.made}
    rules = (rule for rule in LATER if result.kind in rule.where and rule.id not in made)
    return {rule.id: getattr(result.limits, rule.field) if rule.field else 0 for rule in rules}


def _text(check: Check, value: int | None) -> str:
    return "-" if check.status == NOT_APPLICABLE else in_unit(value, check.unit)


def _rows(checks: Iterable[Check]) -> list[Mapping[str, Any]]:
    return [
        check_row(check) | {"class": RULE[check.id].kind if check.id in RULE else None}
        for check in checks
    ]


def risk_view(result: RiskResult) -> View:
    """Show the account against its limits."""
    checks = result.verdict.checks
    data = {
        "account": result.account,
        "now": iso(result.now),
        "equity": money(result.equity),
        "state": result.level,
        "reducing": result.cause,
        "halted": list(result.halted),
        "warnings": [check.id for check in result.warnings],
        "checks": _rows(checks),
    }
    state = "trading allowed"
    if result.level == REDUCING:
        state = f"REDUCING: {result.cause}"
    elif result.level != ACTIVE:
        state = "HALTED: " + "; ".join(result.halted)
    warned = [
        f"warning  {check.id} {check.name} {in_unit(check.value, check.unit)} is over"
        f" {in_unit(check.limit, check.unit)}"
        for check in result.warnings
    ]
    return View(
        schema="algotrade.risk/1",
        data=data,
        rows=data["checks"],  # type: ignore[arg-type]  # a list of flat rows
        table_rows=_texts(checks, _of_orders(result)),
        columns=_COLUMNS,
        above=[f"account {result.account}, equity ${cents(result.equity)}: {state}", *warned],
        below=[
            "X refuses an order, R lets only reducing ones pass, H halts",
            "order: asked of each order, see algotrade risk what-if; n/a: not of this account",
        ],
    )


def what_if_view(found: WhatIf) -> View:
    """Show every check of an order that nobody placed."""
    verdict, order = found.verdict, found.order
    checks = verdict.checks
    failed = ", ".join(f"{check.id} {check.name}" for check in verdict.breaches)
    if verdict.halt is not None:
        failed = f"halt: {verdict.halt}"
    told = f"would be refused: {failed}" if failed else "would pass"
    data = {
        "account": found.account,
        "Symbol": order.symbol,
        "Side": order.side,
        "Quantity": shares(order.quantity),
        "Price": money(found.price),
        "passes": not failed,
        "largest": shares(found.largest),
        "checks": _rows(checks),
    }
    largest = format_quantity(found.largest)
    return View(
        schema="algotrade.risk-what-if/1",
        data=data,
        rows=data["checks"],  # type: ignore[arg-type]  # a list of flat rows
        table_rows=_texts(check for check in checks if check.status != NOT_APPLICABLE),
        columns=_COLUMNS,
        above=[
            f"{order_words(order)} at {format_usd(found.price)} {told}",
            f"largest  {largest} would pass; nothing was placed or changed",
        ],
    )


def changed_view(found: Changed) -> View:
    """Tell a change of a limit."""
    row = _change_row(found.change) | {"changed": found.is_new}
    change = found.change
    told = f"{change.name} {change.was or 'empty'} -> {change.became or 'empty'}"
    line = told if found.is_new else f"{change.name} is {change.was or 'empty'} already"
    return View(schema="algotrade.risk-set/1", data=row, rows=[row], above=[line])


def history_view(found: Sequence[LimitChange]) -> View:
    """List the changes of limits."""
    rows = [_change_row(change) for change in found]
    return View(
        schema="algotrade.risk-history/1",
        data=rows,
        rows=rows,
        columns=[
            Column(title="changed at", cell=_cell("Timestamp"), right=False),
            Column(title="limit", cell=_cell("name"), right=False),
            Column(title="was", cell=_cell("was")),
            Column(title="became", cell=_cell("became")),
            Column(title="reason", cell=_cell("reason"), right=False),
        ],
        above=[] if rows else ["no limit was changed by risk set"],
    )


def _change_row(change: LimitChange) -> dict[str, Any]:
    return {
        "Timestamp": iso(change.ts),
        "name": change.name,
        "was": change.was,
        "became": change.became,
        "raised": change.raised,
        "reason": change.reason,
    }
