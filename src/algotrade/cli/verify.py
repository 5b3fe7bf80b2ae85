"""The commands replay, verify and drift: what was decided, made again and compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from algotrade.cli.output import Column, View
from algotrade.cli.run import Run, command, new_app
from algotrade.cli.views import money, signed
from algotrade.cli.why import decision_row
from algotrade.domain.times import DAY, end_of_day, iso, parse_date, session_date
from algotrade.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from algotrade.workflows.drift import DriftResult
    from algotrade.workflows.replay import Difference, Replay
    from algotrade.workflows.verify import BacktestResult, ParityResult

APPS = {
    "replay": new_app(),
    "verify": new_app(no_args_is_help=True),
    "drift": new_app(),
}

EXIT_DIFFERS = LedgerError.exit_code


@APPS["replay"].command()
@command
def replay(
    run: Run,
    what: Annotated[
        str | None, typer.Argument(help="Order id (or its beginning), or a symbol.")
    ] = None,
    decision: Annotated[
        int | None, typer.Option("--decision", help="The decision of this number.")
    ] = None,
) -> None:
    """Make a stored decision again from the store alone; exit 10 if one number differs.

    Bars as known then, features, the model's bytes, prediction, state, risk, order.
    """
    from algotrade.workflows.replay import replay as replay_workflow

    with run.workspace(reading=True, checked=False) as ws:
        result = replay_workflow(ws, what, decision_id=decision)
    run.out.emit(_replay_view(result), ok=result.identical)
    if result.difference is not None:
        run.out.say(f"decision {result.decision_id} differs: {_told(result.difference)}")
        raise typer.Exit(EXIT_DIFFERS)


@APPS["verify"].callback()
def verify() -> None:
    """Prove that every stored decision comes out again."""


@APPS["verify"].command("parity")
@command
def parity(
    run: Run,
    backtest: Annotated[
        bool,
        typer.Option("--backtest", help="Walk the span by one backtest, too; compare the ledger."),
    ] = False,
) -> None:
    """Make every stored decision of the account again; exit 10 on any difference."""
    from algotrade.workflows.verify import verify_backtest, verify_parity

    with run.workspace(reading=True, checked=False) as ws:
        result = verify_parity(ws)
        walked = verify_backtest(ws) if backtest else None
    passed = result.passed and (walked is None or walked.difference is None)
    run.out.emit(_parity_view(result, walked, passed=passed), ok=passed)
    if not passed:
        wrong = walked.difference if walked else None
        run.out.say(_parity_words(result) if wrong is None else f"backtest: {_told(wrong)}")
        raise typer.Exit(EXIT_DIFFERS)


@APPS["drift"].command()
@command
def drift(
    run: Run,
    first: Annotated[
        str | None, typer.Option("--from", help="First session; default: the first decision.")
    ] = None,
    last: Annotated[
        str | None, typer.Option("--to", help="Last session; default: the last decision.")
    ] = None,
) -> None:
    """Run the account's span through the backtester and split the gap between the two."""
    from algotrade.workflows.drift import TOLD
    from algotrade.workflows.drift import drift as drift_workflow

    start = None if first is None else end_of_day(parse_date(first, field="--from")) - DAY
    stop = None if last is None else end_of_day(parse_date(last, field="--to"))
    with run.workspace(reading=True) as ws:
        result = drift_workflow(ws, from_ts=start, until_ts=stop)
    run.out.emit(_drift_view(result, TOLD))


def _replay_view(result: Replay) -> View:
    decision, difference = result.decision, result.difference
    row = {
        "decision": result.decision_id,
        "identical": result.identical,
        "partial": result.partial,
        "what": difference.what if difference else None,
        "stored": _plain(difference.stored) if difference else None,
        "now": _plain(difference.now) if difference else None,
    }
    steps = [step._asdict() for step in result.steps]
    what, session = f"{decision.action} {decision.symbol}", session_date(decision.ts)
    lines = [
        f"replay   decision {result.decision_id}: {what}, for the close of {session}",
        *(
            f"{step.name:<9}{'' if step.identical else 'DIFFERS: '}{step.told}"
            for step in result.steps
        ),
    ]
    if difference is not None:
        lines += [
            f"DIFFERENT first: {difference.what}",
            f"  stored {_plain(difference.stored)}",
            f"  now    {_plain(difference.now)}",
        ]
    else:
        lines.append("IDENTICAL" + (_PARTIAL if result.partial else ""))
    data = {**row, "steps": steps, "of": decision_row(decision)}
    return View(schema="algotrade.replay/1", data=data, rows=[row], above=lines, story=True)


_PARTIAL = " as far as it goes: stored before state and limits could be rebuilt"


def _parity_view(result: ParityResult, walked: BacktestResult | None, *, passed: bool) -> View:
    rows = [
        {
            "decision": one.decision_id,
            "symbol": one.decision.symbol,
            "session": session_date(one.decision.ts).isoformat(),
            "what": one.difference.what,
            "stored": _plain(one.difference.stored),
            "now": _plain(one.difference.now),
        }
        for one in result.differing
        if one.difference is not None
    ]
    rows += [
        {
            "decision": None,
            "symbol": None,
            "session": None,
            "what": wrong.what,
            "stored": _plain(wrong.stored),
            "now": _plain(wrong.now),
        }
        for wrong in result.rows
    ]
    beside = _backtest_row(walked)
    data = {
        "account": result.account,
        "entries": result.entries,
        "decisions": result.decisions,
        "identical": result.identical,
        "different": result.decisions - result.identical,
        "partial": result.partial,
        "passed": passed,
        "differences": rows,
        "backtest": beside,
    }
    flat = {name: value for name, value in data.items() if name not in _NESTED}
    flat |= {f"backtest_{name}": value for name, value in (beside or {}).items()}
    return View(
        schema="algotrade.verify/1",
        data=data,
        rows=[flat],
        above=[_parity_words(result), *_backtest_lines(walked)],
        columns=_DIFFERENCES,
        table_rows=rows,
        below=[f"next: algotrade replay --decision {rows[0]['decision']}"]
        if rows and rows[0]["decision"]
        else [],
    )


_NESTED = ("differences", "backtest")


def _backtest_row(walked: BacktestResult | None) -> dict[str, Any] | None:
    if walked is None:
        return None
    wrong = walked.difference
    return {
        "sessions": walked.sessions,
        "entries": walked.entries,
        "orders": walked.orders,
        "identical": wrong is None,
        "what": wrong.what if wrong else None,
        "stored": _plain(wrong.stored) if wrong else None,
        "now": _plain(wrong.now) if wrong else None,
    }


def _backtest_lines(walked: BacktestResult | None) -> list[str]:
    if walked is None:
        return []
    if walked.difference is not None:
        return [f"one backtest over the span DIFFERS: {_told(walked.difference)}"]
    compared = f"{walked.entries} entries and {walked.orders} orders"
    return [f"one backtest over {walked.sessions} sessions: {compared} IDENTICAL"]


def _drift_view(result: DriftResult, told: Mapping[str, str]) -> View:
    first, last = session_date(result.first), session_date(result.last)
    rows = [
        {"part": part.name, "usd": money(part.amount), "entries": part.changed}
        for part in result.parts
    ]
    data = {
        "account": result.account,
        "first": first.isoformat(),
        "last": last.isoformat(),
        "valued_at": iso(result.until),
        "decisions": result.decisions,
        "actual": money(result.actual),
        "expected": money(result.expected),
        "gap": money(result.gap),
        "parts": rows,
    }
    span = f"{result.account}, {result.decisions} decisions, {first} to {last}"
    shown = [row for row in rows if row["usd"] or row["entries"]]
    if result.gap == 0 and not shown:
        lines = [f"{span}: no drift, profit {signed(result.actual)} as the backtest has it"]
    else:
        earned = f"profit {signed(result.actual)}, the backtest has {signed(result.expected)}"
        lines = [f"{span}: {earned}, gap {signed(result.gap)}"]
    return View(
        schema="algotrade.drift/1",
        data=data,
        rows=rows,
        above=lines,
        columns=[
            Column(title="gap from", cell=lambda row: str(row["part"]), right=False, whole=True),
            Column(title="USD", cell=lambda row: f"{row['usd']:+,.2f}"),
            Column(title="entries", cell=lambda row: str(row["entries"])),
            Column(title="what it is", cell=lambda row: told[row["part"]], right=False),
        ],
        table_rows=shown,
    )


_DIFFERENCES = [
    Column(title="decision", cell=lambda row: str(row["decision"] or "")),
    Column(title="symbol", cell=lambda row: str(row["symbol"] or ""), right=False),
    Column(title="session", cell=lambda row: str(row["session"] or ""), right=False, whole=True),
    Column(title="first difference", cell=lambda row: str(row["what"]), right=False),
    Column(title="stored", cell=lambda row: _short(row["stored"]), right=False),
    Column(title="now", cell=lambda row: _short(row["now"]), right=False),
]


def _parity_words(result: ParityResult) -> str:
    chain = f"hash chain of {result.entries} entries holds"
    partial = f" ({result.partial} in part)" if result.partial else ""
    if result.passed:
        return f"{result.account}: {result.decisions} decisions IDENTICAL{partial}, {chain}"
    different = result.decisions - result.identical + len(result.rows)
    return (
        f"{result.account}: {different} DIFFERENT, {result.identical} of {result.decisions}"
        f" decisions identical{partial}, {chain}"
    )


def _told(difference: Difference) -> str:
    return f"{difference.what}: stored {_plain(difference.stored)}, now {_plain(difference.now)}"


def _plain(value: Any) -> Any:  # noqa: ANN401  whatever a field holds
    """Give a value as JSON takes it."""
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _short(value: object) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 20 else f"{text[:17]}..."
