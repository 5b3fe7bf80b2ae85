"""The commands that judge stored market data: data check, diff and coverage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from algotrade.cli.data import read_symbols
from algotrade.cli.output import Column, View
from algotrade.cli.run import Run, command, new_app
from algotrade.cli.views import text_cell
from algotrade.domain.timeframes import parse_timeframe
from algotrade.domain.times import iso, read_as_of
from algotrade.errors import EXIT_DATA, EXIT_WARNING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from algotrade.workflows.data_check import CheckResult, Coverage
    from algotrade.workflows.data_diff import Change

APPS = {"data": new_app(no_args_is_help=True)}


@APPS["data"].callback()
def data() -> None:
    """Judge stored market data: check, diff, coverage."""


@APPS["data"].command("check")
@command
def check(
    run: Run,
    symbols: Annotated[list[str] | None, typer.Argument(help="None: all stored.")] = None,
    timeframe: Annotated[str, typer.Option("--timeframe", help="1d or 1m.")] = "1d",
) -> None:
    """Inspect stored bars: gaps, jumps, splits that prices did not follow; exit 5 or 20."""
    from algotrade.workflows.data_check import check_data

    with run.workspace(reading=True) as ws:
        result = check_data(ws, read_symbols(run, symbols or []), parse_timeframe(timeframe))
    code = EXIT_DATA if result.errors else EXIT_WARNING if result.warnings else 0
    run.out.emit(_check_view(result), ok=code == 0)
    if code:
        raise typer.Exit(code)


@APPS["data"].command("diff")
@command
def diff(
    run: Run,
    symbol: Annotated[str | None, typer.Argument(help="None: all.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="Changed since then.")] = None,
) -> None:
    """List what the source changed afterwards, and which decisions and models used it before."""
    from algotrade.workflows.data_diff import diff_data

    with run.workspace(reading=True) as ws:
        changes = diff_data(
            ws,
            read_symbols(run, [symbol])[0] if symbol else None,
            read_as_of(since, field="--since"),
        )
    run.out.emit(_diff_view(changes))


@APPS["data"].command("coverage")
@command
def coverage(
    run: Run,
    symbols: Annotated[list[str] | None, typer.Argument(help="None: all stored.")] = None,
    timeframe: Annotated[str, typer.Option("--timeframe", help="1d or 1m.")] = "1d",
) -> None:
    """Draw which months are stored, whole, with gaps, or not at all."""
    from algotrade.workflows.data_check import draw_coverage

    with run.workspace(reading=True) as ws:
        found = draw_coverage(ws, read_symbols(run, symbols or []), parse_timeframe(timeframe))
    run.out.emit(_coverage_view(found))


def _check_view(result: CheckResult) -> View:
    rows = [
        {
            "symbol": issue.symbol,
            "when": issue.when,
            "severity": issue.severity,
            "kind": issue.kind,
            "message": issue.message,
        }
        for issue in result.issues
    ]
    counts = [
        f"{count.severity}: {count.kind} {count.issues:,} in {count.symbols:,} symbols"
        for count in result.counts
    ]
    return View(
        schema="algotrade.data-check/1",
        data={
            "symbols": result.symbols,
            "bars": result.bars,
            "errors": result.errors,
            "warnings": result.warnings,
            "issues": rows,
        },
        rows=rows,
        table_rows=rows[:SHOWN],
        columns=[
            Column(title=name, cell=text_cell(name), right=False, whole=name != "message")
            for name in ("symbol", "when", "severity", "message")
        ],
        above=[f"{result.symbols:,} symbols, {result.bars:,} bars inspected"],
        below=[*_more(len(rows)), *counts, _check_word(result)],
    )


SHOWN = 20


def _more(count: int) -> list[str]:
    return [f"... {count - SHOWN:,} more: --format csv lists them"] if count > SHOWN else []


def _check_word(result: CheckResult) -> str:
    if not result.issues:
        return "nothing found"
    return f"{result.errors:,} errors, {result.warnings:,} warnings"


def _diff_view(changes: list[Change]) -> View:
    rows = [
        {
            "symbol": change.symbol,
            "what": change.what,
            "known_at": iso(change.known_at),
            "changed_at": iso(change.changed_at),
            "old": change.old,
            "new": change.new,
            "decisions": list(change.decisions),
            "models": list(change.models),
        }
        for change in changes
    ]
    return View(
        schema="algotrade.data-diff/1",
        data=rows,
        rows=rows,
        columns=[
            Column(title="symbol", cell=text_cell("symbol"), right=False),
            Column(title="what", cell=text_cell("what"), right=False),
            Column(title="old", cell=_values("old"), right=False),
            Column(title="new", cell=_values("new"), right=False),
            Column(title="used by", cell=_users, right=False),
        ],
        below=[f"{len(rows):,} changes", *_user_lines(changes)],
    )


def _values(name: str) -> Any:  # noqa: ANN401  a cell function
    return lambda row: (
        "gone" if row[name] is None else " ".join(f"{k} {v:g}" for k, v in row[name].items())
    )


def _users(row: Mapping[str, Any]) -> str:
    counts = [f"{len(row[name])} {name}" for name in ("decisions", "models") if row[name]]
    return ", ".join(counts) or "nobody"


def _user_lines(changes: list[Change]) -> list[str]:
    decisions = sorted({decision for change in changes for decision in change.decisions})
    models = dict.fromkeys(model for change in changes for model in change.models)
    told = {"decisions": map(str, decisions), "models": models}
    lines = {name: ", ".join(ids) for name, ids in told.items()}
    return [f"{name} that used old values: {ids}" for name, ids in lines.items() if ids]


def _coverage_view(found: list[Coverage]) -> View:
    rows = [
        {
            "symbol": item.symbol,
            "year": item.year,
            "months": item.months,
            "bars": item.bars,
            "gaps": item.gaps,
        }
        for item in found
    ]
    return View(
        schema="algotrade.data-coverage/1",
        data=rows,
        rows=rows,
        columns=[
            Column(title="symbol", cell=text_cell("symbol"), right=False),
            Column(title="year", cell=text_cell("year"), right=False),
            Column(title="JFMAMJJASOND", cell=text_cell("months"), right=False),
            Column(title="bars", cell=lambda row: f"{row['bars']:,}"),
            Column(title="gaps", cell=lambda row: f"{row['gaps']:,}"),
        ],
        below=["█ whole   ▒ with gaps   · not stored"],
    )
