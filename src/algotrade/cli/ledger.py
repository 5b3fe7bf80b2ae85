"""The commands of the ledger: verify all of it, show it, accept an older one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from algotrade.cli.flags import plain_words
from algotrade.cli.output import Column, View
from algotrade.cli.run import Run, command, new_app
from algotrade.cli.views import money, text_cell
from algotrade.domain.money import shares
from algotrade.domain.times import iso
from algotrade.errors import LedgerError

if TYPE_CHECKING:
    from algotrade.workflows.ledger import Line, VerifyResult

APPS = {"ledger": new_app(no_args_is_help=True)}


@APPS["ledger"].callback()
def ledger() -> None:
    """Look over what the account rests on."""


@APPS["ledger"].command("verify")
@command
def verify(run: Run) -> None:
    """Check file, seals, hash chains, sums, positions, orders and kept runs; exit 10 if not so."""
    from algotrade.workflows.ledger import verify_ledger

    with run.workspace(reading=True, checked=False) as ws:
        result = verify_ledger(ws)
    run.out.emit(_verify_view(result), ok=result.wrong is None)
    if result.wrong is not None:
        raise LedgerError(result.wrong, hint="algotrade restore FILE")


@APPS["ledger"].command("show")
@command
def show(
    run: Run,
    last: Annotated[int | None, typer.Option("--last", help="Only the newest.", min=1)] = None,
) -> None:
    """List the entries of the account with the cash after each and its hash."""
    from algotrade.workflows.ledger import show_ledger

    with run.workspace(reading=True) as ws:
        rows = [_line(one) for one in show_ledger(ws, last)]
    run.out.emit(
        View(schema="algotrade.ledger/1", data=rows, rows=rows, columns=_COLUMNS, table_rows=rows)
    )


@APPS["ledger"].command("accept")
@command
def accept(
    run: Run, reason: Annotated[str, typer.Option("--reason", help="Why; it is sealed.")]
) -> None:
    """Take a sound store as it is, though this home has seen a newer one."""
    from algotrade.workflows.ledger import accept_ledger

    with run.workspace(checked=False) as ws:
        head = accept_ledger(ws, reason := plain_words(reason))
    row = {"accepted": True, "commit": head.seq, "hash": head.hash, "reason": reason}
    lines = [f"accepted as commit {head.seq}: {reason}"]
    run.out.emit(View(schema="algotrade.ledger-accept/1", data=row, rows=[row], above=lines))


def _verify_view(result: VerifyResult) -> View:
    rows = [
        {"account": one.account or None, "what": one.what, "count": one.found}
        for one in result.checked
    ]
    head = result.head
    data = {
        "passed": result.wrong is None,
        "wrong": result.wrong,
        "commit": head.seq if head else None,
        "hash": head.hash if head else None,
        "checked": rows,
    }
    word = f"WRONG: {result.wrong}" if result.wrong else "everything holds"
    return View(
        schema="algotrade.ledger-verify/1",
        data=data,
        rows=rows,
        columns=[
            Column("checked", text_cell("what"), right=False),
            Column("account", text_cell("account"), right=False),
            Column("count", lambda row: f"{row['count']:,}"),
        ],
        below=[word, *([f"commit {head.seq}, hash {head.hash[:16]}"] if head else [])],
    )


def _line(one: Line) -> dict[str, Any]:
    entry = one.entry
    return {
        "seq": one.seq,
        "at": iso(entry.ts),
        "kind": entry.kind,
        "symbol": entry.symbol or None,
        "quantity": shares(entry.quantity),
        "price": money(entry.price),
        "amount": money(entry.amount),
        "fee": money(entry.fee),
        "cash": money(one.cash),
        "ref": entry.ref,
        "note": entry.note or None,
        "hash": one.hash,
    }


def _number(name: str, digits: int = 2) -> Any:  # noqa: ANN401  a cell function
    return lambda row: f"{row[name]:,.{digits}f}" if row[name] else ""


_COLUMNS = (
    Column("#", text_cell("seq")),
    Column("at", lambda row: row["at"][:10], right=False, whole=True),
    Column("kind", text_cell("kind"), right=False),
    Column("symbol", text_cell("symbol"), right=False),
    Column("shares", lambda row: f"{row['quantity']:,g}" if row["quantity"] else ""),
    Column("price", _number("price")),
    Column("cash", _number("cash"), whole=True),
    Column("hash", lambda row: row["hash"][:8], right=False, whole=True),
)
