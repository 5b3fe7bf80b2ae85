"""The front door: the table of commands, loaded when asked for, and errors turned to exit codes."""

from __future__ import annotations

import contextlib
import copy
import errno
import importlib
import os
import signal
import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

from algotrade import __version__
from algotrade.cli.output import silence, write_error
from algotrade.cli.run import MARKUP, State
from algotrade.errors import (
    EXIT_BUG,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_PIPE,
    EXIT_TERMINATED,
    AlgotradeError,
    DiskError,
    InputError,
)
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType


class Listed(NamedTuple):
    """A command as the help lists it; the module is imported only when it runs."""

    module: str
    panel: str
    line: str


COMMANDS = {
    "demo": Listed("start", "Start", "Walk the whole loop on built-in real prices."),
    "init": Listed("start", "Start", "Create a workspace."),
    "status": Listed("start", "Start", "Show home, data, model, accounts and halts."),
    "config": Listed("config", "Start", "Show settings and where they come from."),
    "fetch": Listed("data", "Data", "Bring bars, splits and dividends into the store."),
    "import": Listed("bars", "Data", "Import bars, splits and dividends from CSV files."),
    "bars": Listed("bars", "Data", "Show stored bars, now or as they were known then."),
    "export": Listed("bars", "Data", "Write stored bars to CSV, JSON lines or Parquet."),
    "data": Listed("quality", "Data", "Judge stored data: check, diff, coverage."),
    "sql": Listed("bars", "Data", "Ask the store in SQL, read-only."),
    "quote": Listed("market", "Data", "Show the newest price that the plan allows."),
    "market": Listed("market", "Data", "Show whether the market is open, and holidays."),
    "clock": Listed("data", "Data", "Show or move the simulated time of the sample."),
    "train": Listed("train", "Model", "Train a model and tell what it is worth."),
    "audit": Listed("audit", "Model", "Look for knowledge of the future in what is trained."),
    "models": Listed("models", "Model", "List, compare, promote, verify and remove models."),
    "report": Listed("report", "Model", "Write the report of a model as a page."),
    "predict": Listed("model", "Model", "Predict from the newest bars."),
    "backtest": Listed("backtest", "Trading", "Run the live decision over stored history."),
    "runs": Listed("runs", "Trading", "List, show and compare kept backtests."),
    "trade": Listed("trade", "Trading", "Decide, check risk and place an order."),
    "orders": Listed("orders", "Trading", "List orders and their states."),
    "cancel": Listed("orders", "Trading", "Cancel open orders."),
    "reconcile": Listed("orders", "Trading", "Compare the broker with the ledger."),
    "flatten": Listed("orders", "Trading", "End every position at the market."),
    "risk": Listed("risk", "Trading", "Show limits and headroom; halt and reset."),
    "notify": Listed("notify", "Trading", "Test who is told of fills, refusals and halts."),
    "why": Listed("why", "Trading", "Explain an order, a hold or a refusal."),
    "replay": Listed("verify", "Trading", "Make a stored decision again, bit for bit."),
    "verify": Listed("verify", "Trading", "Prove that every stored decision comes out again."),
    "drift": Listed("verify", "Trading", "Split what happened from what was to be expected."),
    "portfolio": Listed("portfolio", "Portfolio", "Value the account."),
    "trades": Listed("portfolio", "Portfolio", "List the fills."),
    "deposit": Listed("portfolio", "Portfolio", "Put cash into a simulated account."),
    "withdraw": Listed("portfolio", "Portfolio", "Take cash out of a simulated account."),
    "ledger": Listed("ledger", "Portfolio", "Verify, show or accept the ledger."),
    "backup": Listed("backup", "Portfolio", "Copy the store, whole and checked."),
    "restore": Listed("backup", "Portfolio", "Put a backup in the store's place."),
}


class LazyGroup(TyperGroup):
    """A group that knows its commands by name and imports one only to run it."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401  typer's own context
        """Give the names in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401
        """Give a line for the help, or the real command when it is about to run."""
        listed = COMMANDS.get(cmd_name)
        if listed is None:
            return None
        if ctx.resilient_parsing:
            return load_command(cmd_name)
        return TyperCommand(name=cmd_name, help=listed.line, rich_help_panel=listed.panel)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401
        """Import the command that was named; a near miss is suggested by typer."""
        self.commands = {name: TyperCommand(name=name) for name in COMMANDS}
        name, found, rest = super().resolve_command(ctx, args)
        return name, load_command(name, rest) if name and found else found, rest


def load_command(name: str, words: Sequence[str] = ()) -> Any:  # noqa: ANN401  typer's own command
    """Import a command's module and give the command.

    words: what follows its name; where that names one of a group's commands, the group is given
    with that one alone, as to build all of them takes longer than most run.
    """
    module = importlib.import_module(f"algotrade.cli.{COMMANDS[name].module}")
    group: typer.Typer = module.APPS[name]
    named = [one for one in group.registered_commands if words and one.name == words[0]]
    if named:
        group = copy.copy(group)
        group.registered_commands = named
    found: Any = get_group(group) if named else get_command(group)
    found.name = name
    return found


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=MARKUP,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        print(f"algotrade {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=lambda v: _version(asked=v)),
    ] = False,
) -> None:
    """Decide, trade and explain US equities from one process and one SQLite store."""
    del version


class _TerminatedError(BaseException):
    """SIGTERM: unwinds the stack, so that an open transaction is rolled back."""


def _terminate(signum: int, frame: FrameType | None) -> None:
    del signum, frame
    raise _TerminatedError


def run() -> None:
    """Run the command line and exit with the documented code."""
    for name, mode in {"stdin": "r", "stdout": "w", "stderr": "w"}.items():
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115
    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, _terminate)
    try:
        code = app(prog_name="algotrade", standalone_mode=False)
        sys.stdout.flush()
    except AlgotradeError as error:
        _tell(error)
        _notify(error)
        sys.exit(error.exit_code)
    except _TerminatedError:
        sys.exit(EXIT_TERMINATED)
    except BrokenPipeError:  # of a help that typer prints
        silence(sys.stdout)
        sys.exit(EXIT_PIPE)
    except Exception as error:  # noqa: BLE001  the last line of defence: a bug, told in one line
        if hasattr(error, "format_message"):  # of typer's parser, whose names typer keeps private
            sys.exit(_tell_usage(error))
        if (
            isinstance(error, OSError) and error.errno in _NO_ROOM
        ):  # such as a help that typer prints
            what = error.filename or "what was asked for"
            full = DiskError(f"{what} cannot be written: {error.strerror}", hint="make room")
            silence(sys.stdout)
            _tell(full)
            sys.exit(full.exit_code)
        _tell_bug(error)
        _notify(error)
        sys.exit(EXIT_BUG)
    if code == EXIT_INTERRUPTED:  # typer turns Ctrl-C into this code
        write_error("algotrade: interrupted; nothing half-written")
    sys.exit(code if isinstance(code, int) else EXIT_OK)


def _tell(error: AlgotradeError) -> None:
    if State.json:
        import json

        body = {
            "code": error.exit_code,
            "kind": error.kind,
            "message": error.message,
            "hint": error.hint,
        }
        write_error(json.dumps({"error": body}))
        return
    write_error(f"algotrade: {error.message}")
    if error.hint:
        write_error(f"  try: {error.hint}")


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
_WATCHED = ("trade", "fetch", "watch", "check", "halt", "reconcile", "cancel", "flatten")


def _notify(error: Exception) -> None:
    """Tell those who are to be told that a command which runs unattended has failed."""
    if State.settings is None or State.command not in _WATCHED or isinstance(error, InputError):
        return
    from algotrade.cli.notify import tell_failure

    tell_failure(State.settings, State.command, error)


def _tell_usage(error: Any) -> int:  # noqa: ANN401  one of the exceptions of typer's parser
    """Tell a command line that cannot be read as any other error is told; give the exit code."""
    context = error.ctx
    if context is None or type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return int(error.exit_code)
    words = sys.argv[1:]
    State.json = bool({"--json", "--format=json"} & {*words}) or ("--format", "json") in pairwise(
        words
    )
    said = " ".join(error.format_message().rstrip(".").split())
    usage = InputError(said[:1].lower() + said[1:], hint=f"{context.command_path} -h")
    _tell(usage)
    return usage.exit_code


def _tell_bug(error: Exception) -> None:
    import traceback

    text = "".join(traceback.format_exception(error))
    if State.verbose:
        write_error(text)
    where = traceback.extract_tb(error.__traceback__)[-1]
    write_error(
        f"algotrade: a bug: {type(error).__name__}: {error} ({where.name}, line {where.lineno})"
    )
    write_error(f"  try: {_log(text) or '-v shows the traceback'}")


def _log(text: str) -> str | None:
    """Append a traceback to the log of the home, where there is a home; tell where it went."""
    if State.logs is None or not State.logs.parent.is_dir():
        return None
    from algotrade.clock import SystemClock
    from algotrade.domain.times import iso

    path = State.logs / "bugs.log"
    try:
        State.logs.mkdir(exist_ok=True, mode=0o700)
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{iso(SystemClock().now())} {__version__}\n{text}\n")
    except OSError:
        return None
    return f"send {path} to the developers"
