"""The commands of risk: limits with headroom, halt and reset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from algotrade.cli.output import Column, View
from algotrade.cli.run import Run, command, new_app
from algotrade.cli.views import cents, check_row, in_unit, money
from algotrade.domain.times import iso
from algotrade.errors import AlgotradeError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from algotrade.domain.risk import Check
    from algotrade.workflows.risk import RiskResult

APPS = {"risk": new_app(invoke_without_command=True)}

Reason = Annotated[str, typer.Option("--reason", help="Why; it is written down.")]


@APPS["risk"].callback()
@command
def risk(run: Run, ctx: typer.Context) -> None:
    """Show each limit, its value now and its headroom."""
    del ctx
    from algotrade.workflows.risk import show_risk

    with run.workspace() as ws:
        result = show_risk(ws)
    run.out.emit(_risk_view(result))


@APPS["risk"].command("halt")
@command
def halt(run: Run, reason: Reason) -> None:
    """Stop all trading until a person resets it; works with the store locked or broken."""
    from algotrade.workflows.risk import record_halt, write_halt_file

    reason = _read_reason(reason)
    write_halt_file(run.settings, reason)
    try:
        with run.workspace() as ws:
            record_halt(ws, reason)
    except AlgotradeError as error:
        run.out.say(f"halted by the file {run.settings.halt_file}; {error.message}")
    row = {"halted": True, "reason": reason, "file": str(run.settings.halt_file)}
    lines = [f"halted: {reason}", "lift it with: algotrade risk reset --reason TEXT"]
    run.out.emit(View(schema="algotrade.risk-halt/1", data=row, rows=[row], above=lines))


@APPS["risk"].command("reset")
@command
def reset(run: Run, reason: Reason) -> None:
    """Lift a halt; refused while its cause remains."""
    from algotrade.workflows.risk import reset_halt

    reason = _read_reason(reason)
    with run.workspace() as ws:
        reset_halt(ws, reason)
    row = {"halted": False, "reason": reason}
    lines = [f"trading again: {reason}"]
    run.out.emit(View(schema="algotrade.risk-reset/1", data=row, rows=[row], above=lines))


def _read_reason(text: str) -> str:
    reason = " ".join(text.split())
    if not reason:
        raise InputError("--reason is empty", hint="a few words; they are written down")
    return reason


_COLUMNS = (
    Column(title="id", cell=lambda row: str(row["id"]), right=False),
    Column(title="limit of", cell=lambda row: str(row["name"]), right=False),
    Column(title="now", cell=lambda row: str(row["now"])),
    Column(title="limit", cell=lambda row: str(row["limit_text"])),
    Column(title="headroom", cell=lambda row: str(row["headroom_text"])),
    Column(title="state", cell=lambda row: str(row["status"]), right=False),
)


def _texts(checks: Iterable[Check]) -> list[dict[str, object]]:
    return [
        {
            "id": check.id,
            "name": check.name,
            "now": in_unit(check.value, check.unit),
            "limit_text": in_unit(check.limit, check.unit),
            "headroom_text": in_unit(check.headroom, check.unit),
            "status": check.status,
        }
        for check in checks
    ]


def _risk_view(result: RiskResult) -> View:
    checks = result.verdict.checks
    data = {
        "account": result.account,
        "now": iso(result.now),
        "equity": money(result.equity),
        "halted": list(result.halted),
        "checks": [check_row(check) for check in checks],
    }
    state = "HALTED: " + "; ".join(result.halted) if result.halted else "trading allowed"
    return View(
        schema="algotrade.risk/1",
        data=data,
        rows=data["checks"],  # type: ignore[arg-type]  # a list of flat rows
        table_rows=_texts(checks),
        columns=_COLUMNS,
        above=[f"account {result.account}, equity ${cents(result.equity)}: {state}"],
    )
