"""The commands risk watch and risk check: an account in a moving market, looked at on and on."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from algotrade.cli.notify import tell
from algotrade.cli.output import JSONL, Column, View, render, write_result
from algotrade.cli.run import Run, command
from algotrade.cli.views import cents, check_row, in_unit, money, text_cell
from algotrade.cli.watch_screen import feed_words, on_screen
from algotrade.domain.money import shares
from algotrade.domain.risk import NOT_APPLICABLE
from algotrade.domain.times import MICROSECONDS, iso
from algotrade.errors import (
    EXIT_DATA,
    EXIT_HALTED,
    EXIT_OK,
    EXIT_REFUSED,
    EXIT_WARNING,
    DiskError,
    InputError,
    LedgerError,
    LockedError,
)

if TYPE_CHECKING:
    from algotrade.domain.risk import Check
    from algotrade.trading.watch import Marked
    from algotrade.workflows.watch import Report

CODES = {
    "ok": EXIT_OK,
    "warning": EXIT_WARNING,
    "data": EXIT_DATA,
    "breach": EXIT_REFUSED,
    "halting": EXIT_REFUSED,
    "halted": EXIT_HALTED,
}

_LEAST_INTERVAL, _LONGEST_INTERVAL = 1, 3600


@command
def watch(
    run: Run,
    interval: Annotated[
        int, typer.Option("--interval", help="Seconds between looks; a new price is looked at too.")
    ] = 5,
    max_seconds: Annotated[
        int | None, typer.Option("--max-seconds", help="End after so many seconds.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Look once, as risk check does.")] = False,
) -> None:
    """Watch limits and market at current prices; a passed limit halts before it is shown.

    At a terminal a screen, elsewhere a JSON line each interval.
    """
    if not _LEAST_INTERVAL <= interval <= _LONGEST_INTERVAL:
        raise InputError(
            f"--interval {interval} is not between {_LEAST_INTERVAL} and {_LONGEST_INTERVAL}",
            hint="seconds; 5 is the default",
        )
    if max_seconds is not None and max_seconds < 1:
        raise InputError(f"--max-seconds {max_seconds} is not positive", hint="--max-seconds 3600")
    if once:
        _check(run, what="watch")
        return
    raise typer.Exit(_watch(run, interval, max_seconds))


@command
def check(
    run: Run,
    max_age: Annotated[
        int | None,
        typer.Option("--max-age", help="Only tell whether somebody looked within so many seconds."),
    ] = None,
) -> None:
    """Look once, for cron: 0 quiet, 20 warning, 3 a limit is passed, 4 halted, 5 data.

    A passed halting limit halts. With --max-age nothing is looked at: exit code 20 where neither
    watch nor check has looked for so long.
    """
    if max_age is None:
        _check(run, what="check")
        return
    if max_age < 1:
        raise InputError(f"--max-age {max_age} is not positive", hint="--max-age 120")
    _dead_man(run, max_age)


def _check(run: Run, *, what: str) -> None:
    from algotrade.workflows.heartbeat import WAIT_S
    from algotrade.workflows.watch import check as look_once

    try:
        with run.workspace(wait_s=WAIT_S) as ws:
            report = look_once(ws, what=what)
    except LedgerError as error:
        _halt_on(run, error)
        raise
    _say_all(run, report)
    code = _code(report)
    if code or not run.out.quiet:
        run.out.emit(report_view(report), ok=code == EXIT_OK)
    if code:
        for cause in report.look.causes:
            run.out.say(cause)
        _tell_halts(run, report)
        raise typer.Exit(code)


def _watch(run: Run, interval: int, max_seconds: int | None) -> int:
    """Watch until the time is over; a store that is busy at the start is tried again."""
    from algotrade.clock import monotonic, sleep
    from algotrade.workflows.heartbeat import WAIT_S
    from algotrade.workflows.watch import watch as watch_on

    began, last = monotonic(), EXIT_OK
    while True:
        left = None if max_seconds is None else max(0.0, max_seconds - (monotonic() - began))
        try:
            with run.workspace(wait_s=WAIT_S) as ws:
                for report in _shown(run, watch_on(ws, interval_s=interval, max_seconds=left)):
                    last = _code(report)
        except LedgerError as error:
            _halt_on(run, error)
            raise
        except (LockedError, DiskError) as error:
            if left is not None and left <= interval:
                raise
            run.out.say(f"{error.message}; nothing is watched, trying again in {interval} s")
            sleep(interval)
        else:
            return last


def _shown(run: Run, reports: Any) -> Any:  # noqa: ANN401  iterators of reports
    """Show each report as the run asks: a screen, text or JSON lines; give it on."""
    asked = run.out.format
    if not run.out.quiet and asked in ("auto", "table") and sys.stdout.isatty():
        for report in on_screen(reports, color=run.out.color):
            _tell_halts(run, report)
            yield report
        return
    for report in reports:
        if report.due or report.halted or report.reduced:
            _say_all(run, report)
            if asked == "table":
                run.out.emit(report_view(report))
            elif not run.out.quiet:
                write_result(render(_line_view(report), JSONL, ()))
        _tell_halts(run, report)
        yield report


def _line_view(report: Report) -> View:
    row = {"schema": "algotrade.risk-watch/1", **report_data(report)}
    return View(schema="algotrade.risk-watch/1", data=row, rows=[row])


def _code(report: Report) -> int:
    """Give the exit code of a look; a halt that no place took is a failure of the disk."""
    if report.look.level == "halting" and report.halted is None:
        return DiskError.exit_code
    return CODES[report.look.level]


def _say_all(run: Run, report: Report) -> None:
    for line in report.trouble:
        run.out.say(line)
    if report.source == "sample":
        run.out.say_once("prices are those of the sample's clock, not of this moment")


def _tell_halts(run: Run, report: Report) -> None:
    from algotrade.workflows.notify import halt_notice, reduce_notice

    if report.halted is not None:
        tell(run, [halt_notice(report.look.account, report.halted)])
    elif report.reduced is not None:
        tell(run, [reduce_notice(report.look.account, report.reduced)])
    elif report.look.level == "halted":  # told again after a day
        tell(run, [halt_notice(report.look.account, report.look.causes[0])])


def _halt_on(run: Run, error: LedgerError) -> None:
    """Halt by file where the store is there and cannot be trusted."""
    from algotrade.workflows.halt import halt_by_file
    from algotrade.workflows.notify import halt_notice

    if not run.settings.store.exists() or run.settings.halt_file.exists():
        return
    done = halt_by_file(run.settings, f"the ledger cannot be trusted: {error.message}")
    for line in (*(f"halted by the {place}" for place in done.places), *done.failures):
        run.out.say(line)
    tell(run, [halt_notice("", error.message)])


def _dead_man(run: Run, max_age: int) -> None:
    from algotrade.workflows.heartbeat import WAIT_S, heartbeat_age

    with run.workspace(reading=True, wait_s=WAIT_S) as ws:
        age = heartbeat_age(ws)
        account = ws.account
    alive = age is not None and age <= max_age
    row = {"account": account, "age_seconds": age, "max_age_seconds": max_age, "alive": alive}
    when = f"last looked {age} s ago" if age is not None else "never looked"
    if alive and run.out.quiet:
        return
    view = View(
        schema="algotrade.risk-heartbeat/1",
        data=row,
        rows=[row],
        above=[f"account {account}: {when}, allowed {max_age} s"],
    )
    run.out.emit(view, ok=alive)
    if not alive:
        run.out.say(f"nobody watches account {account}: {when}, allowed {max_age} s")
        raise typer.Exit(EXIT_WARNING)


def report_data(report: Report) -> dict[str, Any]:
    """Give a look as JSON; dollars, shares, seconds, basis points."""
    seen = report.look
    return {
        "at": iso(seen.now),
        "account": seen.account,
        "level": seen.level,
        "causes": list(seen.causes),
        "equity": money(seen.equity),
        "profit": money(seen.profit),
        "feed": report.feed,
        "delayed": report.delayed,
        "market_open": report.until is not None,
        "closes_at": iso(report.until) if report.until else None,
        "heartbeat": iso(report.beat) if report.beat else None,
        "halted_now": report.halted,
        "reduced_now": report.reduced,
        "positions": [position_row(one, seen.now) for one in seen.positions],
        "checks": [check_row(one) for one in _asked(seen.verdict.checks)],
        "market": [check_row(one) for one in seen.market],
        "warnings": [check_row(one) for one in seen.warnings],
        "trouble": list(report.trouble),
    }


def position_row(one: Marked, now: int) -> dict[str, Any]:
    """Give a marked position as flat JSON, with the age of its price."""
    price = one.price
    return {
        "symbol": one.symbol,
        "quantity": shares(one.quantity),
        "price": money(price.price) if price else None,
        "age_seconds": max(0, (now - price.ts) // MICROSECONDS) if price else None,
        "kind": price.kind if price else None,
        "delayed": price.delayed if price else None,
        "value": money(one.value),
        "unrealised": money(one.unrealised),
    }


def report_view(report: Report) -> View:
    """Show one look: rows that are passed or cannot be computed, then all of them."""
    seen = report.look
    rows = [check_row(one) for one in (*_asked(seen.verdict.checks), *seen.market)]
    table = [_row_texts(one) for one in (*_asked(seen.verdict.checks), *seen.market)]
    return View(
        schema="algotrade.risk-check/1",
        data=report_data(report),
        rows=rows,
        table_rows=table,
        columns=[
            Column(title="id", cell=text_cell("id"), right=False),
            Column(title="limit of", cell=text_cell("name"), right=False),
            Column(title="now", cell=text_cell("now")),
            Column(title="limit", cell=text_cell("limit")),
            Column(title="state", cell=text_cell("status"), right=False),
        ],
        above=[headline(report), *(f"cause    {cause}" for cause in seen.causes)],
    )


def headline(report: Report) -> str:
    """Tell in one line what the account is worth, by which prices, and how it stands."""
    seen = report.look
    return (
        f"account {seen.account}, equity ${cents(seen.equity)} {feed_words(report)}: {seen.level}"
    )


def _row_texts(check: Check) -> dict[str, str]:
    asked = check.status != NOT_APPLICABLE
    return {
        "id": check.id,
        "name": check.name,
        "now": in_unit(check.value, check.unit) if asked else "",
        "limit": in_unit(check.limit, check.unit) if check.limit is not None else "",
        "status": check.status,
    }


def _asked(checks: tuple[Check, ...]) -> list[Check]:
    """Leave out rows that this account cannot have, or that only an order has."""
    return [one for one in checks if one.status != NOT_APPLICABLE]
