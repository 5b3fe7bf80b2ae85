"""The screen of risk watch: positions with the age of each price, headroom as bars, heartbeat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.cli.output import plain
from algotrade.cli.views import cents, in_unit, signed
from algotrade.domain.money import format_quantity
from algotrade.domain.risk import FAIL, NOT_APPLICABLE
from algotrade.domain.times import MICROSECONDS, iso

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

    from algotrade.domain.risk import Check
    from algotrade.trading.watch import Marked
    from algotrade.workflows.watch import Report

_STYLES = {
    "ok": "green",
    "warning": "yellow",
    "data": "yellow",
    "breach": "red",
    "halting": "bold red",
    "halted": "bold red",
}
_BAR = 20
_OF_ORDERS = {"R05", "R06", "R07", "R13"}  # of one order: nothing moves them here
_LINES_AROUND = 10  # of the screen that no table takes
_HOURS = 3600


def on_screen(reports: Iterator[Report], *, color: bool) -> Iterator[Report]:
    """Show each report on the terminal's other screen; the last one stays when it ends."""
    from rich.console import Console
    from rich.live import Live

    console = Console(no_color=not color, highlight=False)
    last = None
    try:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            for report in reports:
                last = report
                live.update(screen(report, console), refresh=True)
                yield report
    finally:
        if last is not None:
            console.print(screen(last, console))


def screen(report: Report, console: Console) -> RenderableType:
    """Draw one look in the size of the terminal."""
    from rich.console import Group

    room = max(4, console.size.height - _LINES_AROUND - len(report.look.causes[:3]))
    positions = report.look.positions
    shown = min(len(positions), max(2, room // 2))
    checks = _tightest([*report.look.verdict.checks, *report.look.market], room - shown)
    parts: list[RenderableType] = [*_head(report)]
    if positions:
        parts += [_positions(positions[:shown], report.look.now)]
        if len(positions) > shown:
            parts.append(_text(f"... and {len(positions) - shown} more positions", "dim"))
    parts += [_text(""), _checks(checks, wide=console.size.width >= 100), _foot(report)]
    return Group(*parts)


def feed_words(report: Report) -> str:
    """Tell where prices come from; never `live` for a late feed."""
    if report.feed == "stored":
        clock = "the sample's clock" if report.source == "sample" else "stored bars"
        return f"at prices of {clock}"
    if report.feed in ("none", "starting"):
        return "at stored prices, no current ones"
    late = "delayed 15 min" if report.delayed else "live"
    return f"at prices by {report.feed}, {late}"


def _head(report: Report) -> list[Text]:
    seen = report.look
    title = _text(f" {seen.level.upper()} ", f"reverse {_STYLES[seen.level]}")
    title.append(f"  {seen.account}   equity ${cents(seen.equity)}   profit {signed(seen.profit)}")
    market = "market closed" if report.feed != "stored" else ""
    if report.until is not None:
        market = f"market open, closes in {_span((report.until - seen.now) // MICROSECONDS)}"
    lines = [title, _text(", ".join(part for part in (feed_words(report), market) if part), "dim")]
    lines += [_text(f"! {cause}", _STYLES[seen.level]) for cause in seen.causes[:3]]
    return [*lines, _text("")]


def _positions(positions: Sequence[Marked], now: int) -> Table:
    table = _grid("symbol", ">shares", ">price", ">age", ">value", ">unrealised")
    for one in positions:
        price = one.price
        style = "" if one.unrealised is None or one.unrealised >= 0 else "red"
        table.add_row(
            _text(one.symbol),
            _text(format_quantity(one.quantity)),
            _text(cents(price.price) if price else "n/a"),
            _text(_span((now - price.ts) // MICROSECONDS) if price else "n/a", "dim"),
            _text(cents(one.value)),
            _text(signed(one.unrealised), style),
        )
    return table


def _checks(checks: Sequence[Check], *, wide: bool) -> Table:
    table = _grid("limit", "", ">now", ">of", "used")
    width = _BAR + 10 if wide else _BAR
    for check in checks:
        used = _used(check)
        style = "red" if check.status == FAIL else "yellow" if used >= 0.8 else "green"
        filled = min(width, round(used * width))
        bar = _text("━" * filled, style)
        bar.append("─" * (width - filled), "dim")
        table.add_row(
            _text(check.id, "dim"),
            _text(check.name),
            _text(in_unit(check.value, check.unit)),
            _text(in_unit(check.limit, check.unit)),
            bar,
        )
    return table


def _tightest(checks: Sequence[Check], room: int) -> list[Check]:
    """Give the rows that are nearest to their limit, in the order of the table."""
    asked = [one for one in checks if one.status != NOT_APPLICABLE and one.id not in _OF_ORDERS]
    telling = [one for one in asked if one.status == FAIL or one.value]
    rest = [one for one in asked if one not in telling]
    kept = sorted(telling, key=_used, reverse=True)[: max(1, room)]
    kept += rest[: max(0, room - len(kept))]
    return [one for one in asked if one in kept]


def _used(check: Check) -> float:
    """Give how much of a limit is used, 1 for all of it; what cannot be told counts as all."""
    if check.value is None:
        return 1.0
    if not check.limit:
        return 1.0 if check.value else 0.0
    return max(0.0, check.value / check.limit)


def _foot(report: Report) -> Text:
    beat = f"heartbeat {iso(report.beat // MICROSECONDS * MICROSECONDS)}" if report.beat else ""
    words = [beat or "NO HEARTBEAT is written", *report.trouble, "Ctrl-C ends"]
    return _text("\n" + "; ".join(words), "dim" if report.beat else "yellow")


def _grid(*titles: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for title in titles:
        right = title.startswith(">")
        table.add_column(title.lstrip(">"), justify="right" if right else "left", no_wrap=True)
    return table


def _text(words: str, style: str = "") -> Text:
    from rich.text import Text

    return Text(plain(words), style=style)


def _span(seconds: int) -> str:
    """Tell a span in the two units that matter: 42 s, 3 min, 2 h 10 min, 4 d."""
    if seconds < 0:
        return "ahead"
    if seconds < 60:
        return f"{seconds} s"
    if seconds < _HOURS:
        return f"{seconds // 60} min"
    if seconds < 48 * _HOURS:
        return f"{seconds // _HOURS} h {seconds % _HOURS // 60} min"
    return f"{seconds // (24 * _HOURS)} d"
