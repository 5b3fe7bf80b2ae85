"""The commands that bring market data: fetch and clock."""

from __future__ import annotations

import contextlib
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from algotrade.cli.notify import tell_fills
from algotrade.cli.output import Column, View
from algotrade.cli.run import Run, command, new_app, with_settings
from algotrade.cli.views import fill_lines, money
from algotrade.clock import local_time
from algotrade.domain.symbols import parse_symbol
from algotrade.domain.timeframes import parse_timeframe
from algotrade.domain.times import iso, parse_date
from algotrade.errors import EXIT_DATA, EXIT_OK, InputError, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from algotrade.market.source import PlannedCall
    from algotrade.workflows.context import Workspace
    from algotrade.workflows.fetch import FetchReport, FetchResult
    from algotrade.workflows.fetch_board import Progress
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
    if typed and not found:
        raise InputError("no symbol came on stdin", hint="one or more, parted by blanks")
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
    timeframe: Annotated[str, typer.Option("--timeframe", help="1d or 1m.")] = "1d",
    full: Annotated[
        bool, typer.Option("--full", help="Ask for everything again, and compare.")
    ] = False,
    gaps: Annotated[
        bool, typer.Option("--gaps", help="Ask again for sessions without a bar.")
    ] = False,
    rate: Annotated[
        str | None, typer.Option("--rate", help="API calls a minute, 0 for no pacing.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Show the calls; ask and write nothing.")
    ] = False,
) -> None:
    """Bring bars, splits and dividends into the store; only what is missing is asked for."""
    from algotrade.workflows.context import check_key, resolve_source
    from algotrade.workflows.fetch import fetch as fetch_workflow
    from algotrade.workflows.fetch import plan_calls
    from algotrade.workflows.fetch_plan import FetchRequest

    run = with_settings(run, {"rate": rate})
    request = FetchRequest(
        symbols=tuple(read_symbols(run, symbols or [])),
        timeframe=parse_timeframe(timeframe),
        start=None if start is None else parse_date(start, field="--from"),
        full=full,
        gaps=gaps,
    )
    if dry_run:
        with _workspace_to_plan_in(run) as ws:
            run.out.emit(_plan_view(plan_calls(ws, request)))
        return
    check_key(run.settings, resolve_source(run.settings))  # before a home is made
    with run.workspace(create=True) as ws, fetch_progress(run) as progress:
        result = fetch_workflow(ws, request, progress=progress)
    if not result.reports and len(result.failures) == 1:
        raise result.failures[0][1]
    for report in result.reports:
        _tell_findings(run, report)
    for symbol, error in result.failures:
        run.out.say(f"{symbol}: {error.message}" + (f" (try: {error.hint})" if error.hint else ""))
    code = _fetch_code(result)
    run.out.emit(_fetch_view(result), ok=code == EXIT_OK)
    tell_fills(run, result.fills)
    if code:
        raise typer.Exit(code)


@contextlib.contextmanager
def _workspace_to_plan_in(run: Run) -> Iterator[Workspace]:
    """Open the workspace; where there is none yet, an empty one that is thrown away."""
    if run.settings.store.exists():
        with run.workspace() as ws:
            yield ws
        return
    import tempfile

    from algotrade.workflows.context import open_workspace

    with tempfile.TemporaryDirectory() as folder:
        nowhere = run.settings._replace(home=Path(folder))
        with open_workspace(nowhere, lambda _: None, create=True) as ws:
            yield ws


def _fetch_code(result: FetchResult) -> int:
    if result.failures:
        return result.failures[0][1].exit_code
    return EXIT_DATA if any(report.rejected for report in result.reports) else EXIT_OK


def _plan_view(calls: list[tuple[str, PlannedCall]]) -> View:
    rows = [{"symbol": name, "call": call.target, "pages": call.pages} for name, call in calls]
    pages = sum(call.pages for _, call in calls)
    total = f"{pages} calls at least" if calls else "no calls: this source is built in"
    return View(
        schema="algotrade.fetch-plan/1",
        data=rows,
        rows=rows,
        columns=[
            Column(title="symbol", cell=lambda row: str(row["symbol"]), right=False),
            Column(title="pages", cell=lambda row: str(row["pages"])),
            Column(title="call", cell=lambda row: str(row["call"]), right=False),
        ],
        below=[total],
    )


@APPS["clock"].callback()
@command
def clock(run: Run, ctx: typer.Context) -> None:
    """Show the simulated time of the sample."""
    del ctx
    from algotrade.workflows.sample_clock import show_clock

    with run.workspace(reading=True) as ws:
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

    with run.workspace() as ws, account_lock(ws) as now:
        report = advance_clock(now, sessions)
    run.out.emit(_clock_view(report))
    tell_fills(run, report.fills)


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
            "timeframe": report.timeframe,
            "new": report.new,
            "changed": report.changed,
            "bars": report.bars,
            "from": report.first.isoformat(),
            "to": report.last.isoformat(),
            "gaps": report.gaps,
            "actions": report.actions,
            "rejected": len(report.rejected),
            "delayed": report.delayed,
        }
        for report in result.reports
    ]
    names = ("symbol", "new", "changed", "bars", "from", "to", "gaps", "rejected")
    return View(
        schema="algotrade.fetch/1",
        data=rows,
        rows=rows,
        columns=[
            Column(title=name, cell=_cell(name), right=name not in {"symbol", "from", "to"})
            for name in names
        ],
        below=[*fill_lines(result.fills), *_next_step(result)],
    )


def _next_step(result: FetchResult) -> list[str]:
    first = any(report.new == report.bars and report.gaps is not None for report in result.reports)
    lines = ["next: algotrade train"] if first else []
    if any(report.changed for report in result.reports):
        lines.append("next: algotrade data diff tells what was corrected and who used it")
    return lines


def _cell(name: str) -> Callable[[Any], str]:
    def cell(row: Any) -> str:  # noqa: ANN401  a row
        value = row[name]
        return "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)

    return cell


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
def fetch_progress(run: Run) -> Iterator[Callable[[Progress], None]]:
    """Show what is being fetched, what it waits for and when it will be done, to who watches."""
    if not run.progress:
        yield _teller(run)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("fetch"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with RichProgress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def show(step: Progress) -> None:
            bar.update(
                task, completed=step.done, total=step.total, description=progress_words(step)
            )

        yield show


def _teller(run: Run) -> Callable[[Progress], None]:
    """Tell each reason to wait once, where nobody watches."""
    told: set[str] = set()

    def tell(step: Progress) -> None:
        if step.wait and step.wait.why not in told:
            told.add(step.wait.why)
            run.out.say(progress_words(step))

    return tell


def progress_words(step: Progress) -> str:
    """Tell what is asked, why it waits, and at what clock time it will be done."""
    wait = step.wait
    words = [step.doing, f"waiting {math.ceil(wait.seconds)} s ({wait.why})" if wait else ""]
    if step.seconds_left > 1:
        words.append(f"done about {local_time(step.seconds_left)}")
    return "  ".join(word for word in words if word)
