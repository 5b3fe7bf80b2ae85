"""The command notify test, and the one door by which commands tell of what they did."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from algotrade.cli.output import View
from algotrade.cli.run import Run, command, new_app
from algotrade.errors import EXIT_OK, ProviderError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from algotrade.config import Settings
    from algotrade.domain.orders import Fill
    from algotrade.workflows.notify import Notice
    from algotrade.workflows.trade import TradeResult

APPS = {"notify": new_app(no_args_is_help=True)}


@APPS["notify"].callback()
def group() -> None:
    """Notices of fills, refusals, halts and failures."""


@APPS["notify"].command("test")
@command
def test(run: Run) -> None:
    """Send a test by the program and the webhook that are set, and tell whether it went."""
    from algotrade.workflows.notify import TEST, Notice, is_configured, notify

    if not is_configured(run.settings):
        raise SettingsError(
            "nobody is told: neither notify.command nor a webhook is set",
            hint='in algotrade.toml: [notify] command = "mail -s algotrade you"',
        )
    from algotrade.clock import SystemClock

    unique = str(SystemClock().now())
    failures = notify(run.settings, [Notice(TEST, "", unique, "this is a test")], run.out.say)
    row = {"delivered": not failures, "failures": failures}
    lines = ["the test was told"] if not failures else []
    run.out.emit(
        View(schema="algotrade.notify/1", data=row, rows=[row], above=lines), ok=not failures
    )
    if failures:
        raise typer.Exit(ProviderError.exit_code)
    raise typer.Exit(EXIT_OK)


def tell(run: Run, notices: Sequence[Notice]) -> None:
    """Tell what has happened, after it was written down; never fails the command."""
    if notices:
        from algotrade.workflows.notify import notify

        notify(run.settings, notices, run.out.say)


def tell_fills(run: Run, fills: Sequence[Fill]) -> None:
    """Tell each fill, where anybody is to be told."""
    if fills:
        from algotrade.workflows.notify import fill_notices

        tell(run, fill_notices(fills))


def tell_trades(run: Run, results: Sequence[TradeResult]) -> None:
    """Tell the fills, refusals and halts of a pass, where anybody is to be told."""
    from algotrade.workflows.notify import is_configured, trade_notices

    if is_configured(run.settings):
        tell(run, trade_notices(results))


def tell_failure(settings: Settings, command_name: str, error: Exception) -> None:
    """Tell that a command failed, unless somebody sees it at a terminal."""
    from algotrade.cli.output import write_error
    from algotrade.workflows.notify import failure_notice, is_configured, notify

    if sys.stderr.isatty() or not is_configured(settings):
        return
    notify(
        settings,
        [failure_notice(command_name, error)],
        lambda line: write_error(f"algotrade: {line}"),
    )
