"""The commands that bring market data: fetch and clock."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from algotrade.cli.output import Column, View
from algotrade.cli.run import Run, command, new_app
from algotrade.cli.views import fill_lines, money
from algotrade.domain.symbols import parse_symbol
from algotrade.domain.times import iso, parse_date
from algotrade.errors import InputError, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from algotrade.workflows.fetch import FetchReport, FetchResult
    from algotrade.workflows.sample_clock import ClockReport

APPS = {"fetch": new_app(), "clock": new_app(invoke_without_command=True)}


def read_symbols(run: Run, typed: Iterable[str]) -> list[str]:
    """Read symbols as typed: arguments, comma lists, @watchlist, - for stdin; tell each mapping."""
    found: dict[str, None] = {}
    for text in _spelled_out(run, typed):
        choice = parse_symbol(text)
        if choice.note:
            run.out.say(choice.note)
        found[choice.symbol] = None
    return list(found)


def _spelled_out(run: Run, typed: Iterable[str]) -> Iterator[str]:
    for text in (part for argument in typed for part in argument.split(",")):
        if text == "-":
            yield from _spelled_out(run, sys.stdin.read().split())
        elif text.startswith("@"):
            yield from _watchlist(run, text[1:])
        else:
            yield text


def _watchlist(run: Run, name: str) -> tuple[str, ...]:
    lists = run.settings.watchlists
    if name not in lists:
        known = ", ".join(f"@{known}" for known in lists) or "none is set"
        raise InputError(
            f"no watch-list {shown('@' + name)}", hint=f"[watchlists] in algotrade.toml: {known}"
        )
    return lists[name]


@APPS["fetch"].command()
@command
def fetch(
    run: Run,
    symbols: Annotated[
        list[str] | None,
        typer.Argument(help="Symbols, @watchlist or - for stdin; none: all stored."),
    ] = None,
    start: Annotated[str | None, typer.Option("--from", help="First session, YYYY-MM-DD.")] = None,
) -> None:
    """Bring daily bars, splits and dividends into the store; only what is missing is asked."""
    from algotrade.workflows.fetch import fetch as fetch_workflow

    wanted = read_symbols(run, symbols or [])
    first = None if start is None else parse_date(start, field="--from")
    with run.workspace(create=True) as ws, _progress(run, len(wanted)) as progress:
        result = fetch_workflow(ws, wanted, start=first, progress=progress)
    for report in result.reports:
        _tell_findings(run, report)
    run.out.emit(_fetch_view(result))
    if any(report.rejected for report in result.reports):
        raise typer.Exit(5)


@APPS["clock"].callback()
@command
def clock(run: Run, ctx: typer.Context) -> None:
    """Show the simulated time of the sample."""
    del ctx
    from algotrade.workflows.sample_clock import show_clock

    with run.workspace() as ws:
        run.out.emit(_clock_view(show_clock(ws)))


@APPS["clock"].command("next")
@command
def clock_next(
    run: Run,
    sessions: Annotated[int, typer.Argument(help="How many sessions to reveal.")] = 1,
) -> None:
    """Reveal the next sessions of the sample and fill the orders that waited for them."""
    from algotrade.workflows.context import account_lock
    from algotrade.workflows.sample_clock import advance_clock

    with run.workspace() as ws, account_lock(ws):
        report = advance_clock(ws, sessions)
    run.out.emit(_clock_view(report))


def _tell_findings(run: Run, report: FetchReport) -> None:
    if report.delayed:
        run.out.say(f"{report.symbol}: the provider marks these data as delayed")
    for finding in report.rejected[:5]:
        run.out.say(f"{finding.symbol} {finding.when}: set aside, {finding.reason}")
    if len(report.rejected) > 5:
        run.out.say(f"{report.symbol}: {len(report.rejected) - 5} more bars set aside")


def _fetch_view(result: FetchResult) -> View:
    rows = [
        {
            "symbol": report.symbol,
            "source": report.source,
            "timeframe": "1d",
            "new": report.new,
            "changed": report.changed,
            "bars": report.bars,
            "from": report.first.isoformat(),
            "to": report.last.isoformat(),
            "actions": report.actions,
            "rejected": len(report.rejected),
            "delayed": report.delayed,
        }
        for report in result.reports
    ]
    names = ("symbol", "new", "changed", "bars", "from", "to", "rejected")
    return View(
        schema="algotrade.fetch/1",
        data=rows,
        rows=rows,
        columns=[
            Column(title=name, cell=_cell(name), right=name not in {"symbol", "from", "to"})
            for name in names
        ],
        below=[*fill_lines(result.fills), "next: algotrade train"],
    )


def _cell(name: str) -> Callable[[Any], str]:
    return lambda row: f"{row[name]:,}" if isinstance(row[name], int) else str(row[name])


def _clock_view(report: ClockReport) -> View:
    row = {
        "now": iso(report.now),
        "session": report.session.isoformat(),
        "sessions_left": report.sessions_left,
        "moved": report.moved,
        "fills": [
            {
                "ID": fill.order.id,
                "Symbol": fill.order.symbol,
                "Quantity": fill.quantity / 1e9,
                "Price": money(fill.price),
            }
            for fill in report.fills
        ],
    }
    moved = f", moved {report.moved}" if report.moved else ""
    line = (
        f"simulated time {row['now']}: the close of {row['session']}{moved},"
        f" {report.sessions_left} sessions left"
    )
    lines = [line, *fill_lines(report.fills)]
    return View(schema="algotrade.clock/1", data=row, rows=[row], above=lines)


@contextlib.contextmanager
def _progress(run: Run, total: int) -> Iterator[Callable[[str], None]]:
    """Show which symbol is being fetched, where somebody watches."""
    if not run.progress or total < 2:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("fetch", total=total)

        def step(symbol: str) -> None:
            bar.update(task, advance=1, description=f"fetch {symbol}")

        yield step
