"""The flags that say where orders go: the broker, real money, and the yes that it needs."""

from __future__ import annotations

import functools
import inspect
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from algotrade.cli.run import with_settings
from algotrade.errors import InputError
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from algotrade.cli.run import Run

_PANEL = "Broker"


def _flag(kind: Any, name: str, told: str, *more: str) -> Any:  # noqa: ANN401  an annotation
    return Annotated[kind, typer.Option(name, *more, help=told, rich_help_panel=_PANEL)]


_BROKER = {"broker": _flag(str | None, "--broker", "Who executes: simulated, alpaca, a plug-in.")}
_CONSENT = {
    "live": _flag(bool, "--live", 'Real money; needs live = "on", too.'),
    "yes": _flag(bool, "--yes", "Say yes beforehand, for cron.", "-y"),
}
_OPEN = {
    "if_session": _flag(bool, "--if-session", "Do nothing on a day without a session."),
    "require_open": _flag(bool, "--require-open", "Fail unless the market is open (exit 13)."),
}


class Venue(NamedTuple):
    """Where and when to trade.

    consent: a person said yes to real money. if_session: do nothing on a day without a session.
    require_open: fail while the market is closed.
    """

    consent: bool = False
    if_session: bool = False
    require_open: bool = False


def at_broker(function: Callable[..., None]) -> Callable[..., None]:
    """Add --broker to a command; its run has the setting then."""

    def read(run: Run, flags: dict[str, Any], typed: dict[str, Any]) -> Any:  # noqa: ANN401
        del flags, typed
        return run, {}

    return _with(_BROKER, function, read)


def ending(function: Callable[..., None]) -> Callable[..., None]:
    """Add --broker, --live and --yes to a command that always needs a yes."""

    def read(run: Run, flags: dict[str, Any], typed: dict[str, Any]) -> Any:  # noqa: ANN401
        del typed
        _is_live(run, flag=flags["live"])
        consent(run, "end every position at the market", given=flags["yes"])
        return run, {}

    return _with({**_BROKER, **_CONSENT}, function, read)


def placing(function: Callable[..., None]) -> Callable[..., None]:
    """Add every flag to a command that takes `venue`; real money is asked about, paper is not."""

    def read(run: Run, flags: dict[str, Any], typed: dict[str, Any]) -> Any:  # noqa: ANN401
        real = _is_live(run, flag=flags["live"])
        if real and not typed.get("dry_run"):
            consent(run, "trade with real money", given=flags["yes"])
        return run, {"venue": Venue(real, flags["if_session"], flags["require_open"])}

    return _with({**_BROKER, **_CONSENT, **_OPEN}, function, read)


def consent(run: Run, what: str, *, given: bool) -> None:
    """Have a person say yes, beforehand or at a terminal; never ask where nobody can answer."""
    if given:
        return
    if not sys.stdin.isatty() or run.out.quiet:
        raise InputError(f"to {what} needs a yes", hint="--yes says it beforehand")
    if not typer.confirm(f"{what}?", err=True):
        raise InputError("no yes was given: nothing was done")


def _is_live(run: Run, *, flag: bool) -> bool:
    """Tell whether real money will move; flag and settings must agree."""
    if not flag and run.settings.text("broker") == "simulated":
        return False
    from algotrade.workflows.brokers import check_live

    return check_live(run.settings, flag=flag)


def _with(
    flags: dict[str, Any],
    function: Callable[..., None],
    read: Callable[[Run, dict[str, Any], dict[str, Any]], Any],
) -> Callable[..., None]:
    """Put flags among a command's parameters, in the place of `venue` where it takes one."""
    signature = inspect.signature(function, eval_str=True)
    first, *others = signature.parameters.values()
    kind = inspect.Parameter.KEYWORD_ONLY
    own = [one.replace(kind=kind) for one in others if one.name != "venue"]
    added = [
        inspect.Parameter(
            name, kind, default=False if told.__origin__ is bool else None, annotation=told
        )
        for name, told in flags.items()
    ]

    @functools.wraps(function)
    def wrapper(run: Run, **typed: Any) -> None:  # noqa: ANN401  whatever the flags are
        given = {name: typed.pop(name) for name in flags}
        run, more = read(with_settings(run, {"broker": given["broker"]}), given, typed)
        function(run, **typed, **more)

    wrapper.__signature__ = signature.replace(parameters=[first, *own, *added])  # type: ignore[attr-defined]
    return wrapper
