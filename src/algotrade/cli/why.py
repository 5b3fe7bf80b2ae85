"""The command why: the grounds of an order, a hold or a refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from algotrade.cli.model import abstain_words, driver_words
from algotrade.cli.nearest import nearest_lines, nearest_rows
from algotrade.cli.output import Column, View
from algotrade.cli.run import Run, command, new_app
from algotrade.cli.views import check_row, in_unit, money, order_words
from algotrade.domain.decisions import EQUITY, NOTIONAL, ORDER, RISK
from algotrade.domain.money import format_quantity, format_usd, shares
from algotrade.domain.risk import FAIL, NOT_APPLICABLE, OVERRIDDEN
from algotrade.domain.rules import RULE, why_not_asked
from algotrade.domain.signals import DOWN, KEEP, UP
from algotrade.domain.times import iso, parse_date, session_date

if TYPE_CHECKING:
    from algotrade.domain.decisions import Decision, Sizing
    from algotrade.domain.risk import Check
    from algotrade.workflows.why import WhyResult

APPS = {"why": new_app()}

STANCES = {UP: "up", DOWN: "down", KEEP: "keep"}


@APPS["why"].command()
@command
def why(
    run: Run,
    what: Annotated[
        str | None, typer.Argument(help="Order id (or its beginning), or a symbol.")
    ] = None,
    date: Annotated[
        str | None, typer.Option("--date", help="Of a symbol: the decision for this session.")
    ] = None,
    decision: Annotated[
        int | None, typer.Option("--decision", help="The decision of this number.")
    ] = None,
) -> None:
    """Explain a decision: signal, drivers, size, limits, inputs, and what would have changed it."""
    from algotrade.workflows.why import why as why_workflow

    session = None if date is None else parse_date(date, field="--date")
    with run.workspace(reading=True) as ws:
        result = why_workflow(ws, what, session=session, decision_id=decision)
    run.out.emit(why_view(result))


def why_view(result: WhyResult) -> View:
    """Show a stored decision as it was written down, and the nearest that would change it."""
    decision, order = result.decision, result.order
    row = {"decision": result.decision_id, **decision_row(decision)}
    row["order_state"] = order.state if order else None
    row["order_detail"] = order.detail if order else None
    row["fills"] = [_entry_row(entry) for entry in result.fills]
    row["repeat"] = _repeat(result)
    checks = [check_row(check) for check in decision.verdict.made]
    data: dict[str, Any] = {
        **row,
        "held": shares(decision.held),
        "working": shares(decision.working),
        "equity": money(decision.equity),
        "checks": checks,
        "not_applicable": [
            check.id for check in decision.verdict.checks if check.status == NOT_APPLICABLE
        ],
        "not_applicable_because": _not_asked(decision),
        "inputs": result.inputs._asdict(),
        "standing": result.model,
        "counterfactuals": nearest_rows(result.counterfactuals, decision),
    }
    prediction = decision.prediction
    if prediction is not None:
        data["features"] = dict(prediction.features)
        data["base"] = prediction.base
        data["drivers"] = [
            {"name": name, "contribution": part, "unit": prediction.unit}
            for name, part in prediction.drivers
        ]
    return View(
        schema="algotrade.why/1",
        data=data,
        story=True,
        rows=[row],
        above=[*decision_lines(decision), *_size_lines(decision), *_done_lines(result)],
        columns=_COLUMNS,
        table_rows=[
            {
                "id": check.id,
                "limit": check.name,
                "value": _value(check),
                "most": in_unit(check.limit, check.unit) if _value(check) != "-" else "-",
                "headroom": "" if check.headroom is None else in_unit(check.headroom, check.unit),
                "status": check.status,
            }
            for check in decision.verdict.checks
            if check.status != NOT_APPLICABLE
        ],
        below=[
            *nearest_lines(result.counterfactuals, decision),
            *_input_lines(result),
            *([f"model    {result.model}"] if result.model else []),
            f"repeat   {_repeat(result)}",
        ],
    )


def _not_asked(decision: Decision) -> dict[str, str]:
    """Give why each rule that is n/a was not asked, by its id."""
    asked = {
        "has_order": decision.order is not None,
        "has_model": decision.conditions.model is not None,
        "complete": decision.limits.complete,
    }
    return {
        check.id: why_not_asked(RULE[check.id], decision.conditions.kind, **asked)
        for check in decision.verdict.checks
        if check.status == NOT_APPLICABLE
    }


_COLUMNS = [
    Column(title="id", cell=lambda row: str(row["id"]), right=False),
    Column(title="limit", cell=lambda row: str(row["limit"]), right=False),
    Column(title="value", cell=lambda row: str(row["value"])),
    Column(title="at most", cell=lambda row: str(row["most"])),
    Column(title="headroom", cell=lambda row: str(row["headroom"])),
    Column(title="status", cell=lambda row: str(row["status"]), right=False),
]


def _repeat(result: WhyResult) -> str:
    """Give the command that makes the decision again."""
    order = result.decision.placed
    return "algotrade replay " + (order.id if order else f"--decision {result.decision_id}")


def _stop(sizing: Sizing) -> str:
    if sizing.stop_price is not None:
        return f"a stop at {format_usd(sizing.stop_price)}"
    return f"a stop {(sizing.stop_bps or 0) / 100:.2f}% from the close"


def _size_lines(decision: Decision) -> list[str]:
    sizing, policy = decision.policy.sizing, decision.policy
    if sizing is None:
        asked = f"--qty {format_quantity(policy.quantity)}"
    elif sizing.kind == NOTIONAL:
        asked = f"${format_usd(sizing.amount)}"
    elif sizing.kind == RISK:
        asked = f"{sizing.amount / 100:.2f}% of equity at risk down to {_stop(sizing)}"
    else:
        by = "" if sizing.kind == EQUITY else f" by {sizing.kind}"
        asked = f"{sizing.amount / 100:.2f}% of equity{by}"
    if policy.overrides:
        asked += f"; overrides {', '.join(policy.overrides)}: {policy.override_reason}"
    equity = "unknown" if decision.equity is None else f"${decision.equity / 1e6:,.2f}"
    held = f"held {format_quantity(decision.held)}, waiting {format_quantity(decision.working)}"
    return [f"size     asked for {asked}; before it {held}, equity {equity}"]


def _done_lines(result: WhyResult) -> list[str]:
    order = result.order
    done = [
        f"filled   {format_quantity(abs(entry.quantity))} at {format_usd(entry.price)} on"
        f" {session_date(entry.ts)}, fee {format_usd(entry.fee)}"
        for entry in result.fills
    ]
    if order and not result.fills:
        done = [f"order    {order.state}{': ' if order.detail else ''}{order.detail}"]
    return done


def _input_lines(result: WhyResult) -> list[str]:
    """Name the inputs that are not told yet, by hash."""
    found = {
        "model card": result.inputs.card,
        "policy and limits": result.inputs.grounds,
        f"ledger entry {result.inputs.ledger_seq}": result.inputs.head,
    }
    told = ", ".join(f"{name} {digest[:12]}" for name, digest in found.items() if digest)
    return [f"sha256   {told}"] if told else []


def _value(check: Check) -> str:
    return "-" if check.status == NOT_APPLICABLE else in_unit(check.value, check.unit)


def decision_lines(decision: Decision) -> list[str]:
    """Tell a decision in lines: what, signal, drivers, limits, inputs."""
    order, signal = decision.order, decision.signal
    what = f"{decision.action} {decision.symbol}"
    if order is not None:
        placed = f" {order.id}" if decision.action == ORDER else ""
        what = f"{order_words(order)} ({decision.action}{placed})"
    lines = [
        f"{decision.account:<8} {what}, decided for the close of {session_date(decision.ts)}",
        f"reason   {decision.reason}",
        *_signal_lines(decision),
        _limits_line(decision.verdict.made),
    ]
    if signal is not None and signal.bars_hash:
        speaker = f"model {signal.source}" if signal.p_up is not None else signal.source
        lines.append(
            f"inputs   bars to {session_date(decision.ts)} sha256"
            f" {signal.bars_hash[:12]}, {speaker}"
        )
    return lines


def decision_row(decision: Decision) -> dict[str, Any]:
    """Give a decision as flat JSON."""
    order, signal = decision.order, decision.signal
    largest = decision.verdict.max_quantity
    return {
        "symbol": decision.symbol,
        "account": decision.account,
        "strategy": decision.strategy,
        "decided_for": session_date(decision.ts).isoformat(),
        "decided_at": iso(decision.decided_at),
        "action": decision.action,
        "code": decision.code,
        "reason": decision.reason,
        "order": order.id if order is not None and decision.action == ORDER else None,
        "proposed": (
            {"Side": order.side, "Quantity": shares(order.quantity), "type": order.type}
            | {"limit_price": money(order.limit_price), "stop_price": money(order.stop_price)}
            if order is not None
            else None
        ),
        "signal": STANCES.get(signal.stance) if signal is not None and signal.source else None,
        "prediction": decision.prediction.value if decision.prediction else None,
        "p_up": signal.p_up if signal else None,
        "threshold": signal.threshold if signal else None,
        "model": decision.prediction.model_id if decision.prediction else None,
        "source": signal.source if signal else None,
        "bars_hash": signal.bars_hash if signal else None,
        "abstains": (signal.abstains or None) if signal else None,
        "max_quantity": None if largest is None else shares(largest),
    }


def _signal_lines(decision: Decision) -> list[str]:
    prediction, signal = decision.prediction, decision.signal
    if signal is None or signal.source == "":
        return ["signal   none: --no-model" if signal else "signal   none"]
    if prediction is None:
        return [f"signal   {signal.source}: {STANCES[signal.stance]}"]
    word = "up" if prediction.value else "down"
    return [
        (
            f"signal   {prediction.model_id} p(up) {prediction.p_up:.4f},"
            f" threshold {prediction.threshold:g}: {word}"
        ),
        *([f"abstains {told}: nothing is entered"] if (told := abstain_words(prediction)) else []),
        (
            f"drivers  {driver_words(prediction.drivers)}, from {prediction.base:.4f}"
            f" ({prediction.unit})"
        ),
    ]


def _limits_line(checks: tuple[Check, ...]) -> str:
    asked = [check for check in checks if check.status != NOT_APPLICABLE]
    failed = [check for check in asked if check.status == FAIL]
    let_pass = [check for check in asked if check.status == OVERRIDDEN]
    if failed:
        told = ", ".join(
            f"{check.id} {check.name} {in_unit(check.value, check.unit)}"
            f" over {in_unit(check.limit, check.unit)}"
            for check in failed
        )
        return f"risk     {len(failed)} of {len(asked)} limits fail: {told}"
    if let_pass:
        told = ", ".join(f"{check.id} {check.name}" for check in let_pass)
        return f"risk     {len(let_pass)} of {len(asked)} limits overridden: {told}"
    used = [
        (check.value * 1000 // check.limit, check)
        for check in asked
        if check.value is not None and check.limit
    ]
    _, tightest = max(used, key=lambda pair: pair[0])
    return (
        f"risk     {len(asked)} of {len(asked)} limits pass; tightest: {tightest.name}"
        f" {in_unit(tightest.value, tightest.unit)} of {in_unit(tightest.limit, tightest.unit)}"
    )


def _entry_row(entry: Any) -> dict[str, Any]:  # noqa: ANN401  a ledger entry
    return {
        "Timestamp": iso(entry.ts),
        "Quantity": shares(abs(entry.quantity)),
        "Price": money(entry.price),
        "fee": money(entry.fee),
    }
