"""trade --follow: the loop at the door: it shows each pass, and tells who is to be told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from algotrade.cli.flags import sharing
from algotrade.cli.notify import tell, tell_fills, tell_trades
from algotrade.cli.output import View
from algotrade.cli.views import fill_lines, money
from algotrade.domain.money import shares
from algotrade.domain.times import iso
from algotrade.errors import EXIT_OK, InputError
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from algotrade.cli.run import Run
    from algotrade.domain.orders import Fill
    from algotrade.workflows.follow import Step
    from algotrade.workflows.trade import Request, TradeResult


_PANEL = "Following"


class Loop(NamedTuple):
    """How to stay and follow: seconds between two questions, and when to end."""

    interval: int
    max_seconds: int | None
    until_close: bool


_DEFAULT_INTERVAL = 60
_FLAGS: dict[str, Any] = {
    "follow": Annotated[
        bool,
        typer.Option(
            "--follow", help="Stay, and decide on each bar as it arrives.", rich_help_panel=_PANEL
        ),
    ],
    "interval": Annotated[
        int | None,
        typer.Option(
            "--interval",
            help=f"Seconds between two questions; {_DEFAULT_INTERVAL}.",
            rich_help_panel=_PANEL,
        ),
    ],
    "max_seconds": Annotated[
        int | None,
        typer.Option("--max-seconds", help="End after so many seconds.", rich_help_panel=_PANEL),
    ],
    "until_close": Annotated[
        bool,
        typer.Option(
            "--until-close", help="End after the bar of this session.", rich_help_panel=_PANEL
        ),
    ],
}


def following(function: Callable[..., None]) -> Callable[..., None]:
    """Put the flags of following where a command takes `loop`, and read them into it, or None."""
    return sharing("loop", _FLAGS, lambda typed: _read_loop(**typed))(function)


def _read_loop(
    *, follow: bool, interval: int | None, max_seconds: int | None, until_close: bool
) -> Loop | None:
    if not follow:
        if interval is not None or max_seconds is not None or until_close:
            raise InputError("--interval, --max-seconds and --until-close go with --follow")
        return None
    if interval is not None and not 1 <= interval <= 3600:
        raise InputError(f"--interval {interval} is not between 1 and 3600", hint="seconds")
    if max_seconds is not None and max_seconds < 1:
        raise InputError(f"--max-seconds {max_seconds} is not positive", hint="--max-seconds 3600")
    return Loop(interval or _DEFAULT_INTERVAL, max_seconds, until_close)


def follow_trades(
    run: Run,
    request: Request,
    show: Callable[[Sequence[TradeResult]], int],
    loop: Loop,
    *,
    consent: bool,
) -> int:
    """Follow the market; `show` prints a pass and gives its exit code, the last of which counts."""
    from algotrade.workflows.follow import follow

    code = EXIT_OK
    with run.workspace() as ws:
        for step in follow(
            ws,
            request,
            interval_s=loop.interval,
            max_seconds=loop.max_seconds,
            until_close=loop.until_close,
            consent=consent,
        ):
            code = _shown(run, step, show, code)
    return code


def _shown(run: Run, step: Step, show: Callable[[Sequence[TradeResult]], int], code: int) -> int:
    from algotrade.workflows.notify import failure_notice

    if step.fills:
        run.out.emit(_fills_view(step.fills))
        tell_fills(run, step.fills)
    if step.results:
        code = show(step.results)
        tell_trades(run, step.results)
    if step.trouble is not None:
        run.out.say(f"{step.trouble.message}; trying again")
        tell(run, [failure_notice("trade --follow", step.trouble)])
    return code


def _fills_view(fills: Sequence[Fill]) -> View:
    rows = [
        {
            "ID": fill.order.id,
            "Timestamp": iso(fill.ts),
            "Symbol": fill.order.symbol,
            "Quantity": shares(abs(fill.quantity)),
            "Price": money(fill.price),
            "Side": fill.order.side,
        }
        for fill in fills
    ]
    return View(schema="algotrade.fills/1", data=rows, rows=rows, above=fill_lines(fills))
