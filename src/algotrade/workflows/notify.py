"""Notices of fills, refusals, halts and failures: which are told, once each, never in the way.

A notice is told after what it tells of is written down, within three seconds in all, and a notice
that cannot be told is one line on stderr. The same notice is told again after a day at the
earliest, a failure after an hour.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING

from algotrade.clock import SystemClock
from algotrade.domain.decisions import REFUSED
from algotrade.domain.times import DAY, HOUR, iso
from algotrade.record import NamedTuple
from algotrade.settings import NOTICES
from algotrade.values import read_notices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from algotrade.config import Settings
    from algotrade.domain.orders import Fill
    from algotrade.errors import AlgotradeError
    from algotrade.workflows.trade import TradeResult

FILLS, REFUSALS, HALTS, FAILURES = NOTICES
TEST = "test"  # always told
SCHEMA = "algotrade.notice/1"

_AGAIN = {FAILURES: HOUR}  # after which a notice is told again; a day for the other kinds
_KEPT = 400  # newest notices remembered
_TEXT = 300


class Notice(NamedTuple):
    """One thing to tell. key: what makes it the same as one told before."""

    kind: str
    account: str
    key: str
    text: str


def fill_notices(fills: Iterable[Fill]) -> list[Notice]:
    """Tell each fill."""
    from algotrade.domain.money import format_quantity, format_usd

    return [
        Notice(
            FILLS,
            fill.order.account,
            f"{fill.order.key} {fill.ts} {fill.quantity} {fill.price}",
            f"{'bought' if fill.quantity > 0 else 'sold'} {format_quantity(abs(fill.quantity))}"
            f" {fill.order.symbol} at {format_usd(fill.price)}, order {fill.order.id}",
        )
        for fill in fills
    ]


def refusal_notice(account: str, symbol: str, bar_ts: int, reason: str) -> Notice:
    """Tell a refused order; once for each bar and reason."""
    return Notice(REFUSALS, account, f"{symbol} {bar_ts} {_alike(reason)}", f"{symbol}: {reason}")


def trade_notices(results: Sequence[TradeResult]) -> list[Notice]:
    """Tell the fills of a pass, its refusals, and a halt that it made or met."""
    found = fill_notices({fill: None for result in results for fill in result.fills})
    for result in results:
        made = result.decision
        if made is None:
            continue
        if made.verdict.halt is not None:
            found.append(halt_notice(result.account, made.verdict.halt))
        elif made.action == REFUSED:
            found.append(refusal_notice(result.account, result.symbol, made.ts, made.reason))
    return found


def halt_notice(account: str, cause: str) -> Notice:
    """Tell that trading is halted; figures that move do not make it another halt."""
    return Notice(HALTS, account, _alike(cause), f"trading halted: {cause}")


def reduce_notice(account: str, cause: str) -> Notice:
    """Tell that only orders that reduce a position pass."""
    return Notice(HALTS, account, f"reduce {_alike(cause)}", f"only reducing orders: {cause}")


def failure_notice(command: str, error: AlgotradeError | Exception) -> Notice:
    """Tell that a command failed."""
    said = getattr(error, "message", None) or f"a bug: {type(error).__name__}"
    return Notice(FAILURES, "", f"{command} {_alike(said)}", f"{command} failed: {said}")


def is_configured(settings: Settings) -> bool:
    """Tell whether anybody is to be told anything."""
    from algotrade.config import WEBHOOK_VARIABLE, environment

    return bool(
        settings.text("notify.command")
        or settings.text("notify.webhook_file")
        or environment().get(WEBHOOK_VARIABLE)
    )


def notify(settings: Settings, notices: Sequence[Notice], say: Callable[[str], None]) -> list[str]:
    """Tell those that are asked for and were not told lately; give what went wrong, in lines.

    Never raises, and never takes much longer than three seconds.
    """
    if not notices or not is_configured(settings):
        return []
    from algotrade.workflows.deliver import deliver

    wanted = {*read_notices(settings.text("notify.on")), TEST}
    now = SystemClock().now()
    told = _told(settings)
    due = [
        one
        for one in dict.fromkeys(notices)
        if one.kind in wanted and now - told.get(_mark(one), -DAY) >= _AGAIN.get(one.kind, DAY)
    ]
    if not due:
        return []
    outcome = deliver(settings, _first_line(due), message(due, now))
    if outcome.delivered:
        _remember(settings, told, {_mark(one): now for one in due})
    for line in outcome.failures:
        say(f"notice not told: {line}")
    return list(outcome.failures)


def message(notices: Sequence[Notice], now: int) -> dict[str, object]:
    """Give what is sent: text for people, events for programs; nobody is mentioned by it."""
    text = _first_line(notices)
    return {
        "schema": SCHEMA,
        "at": iso(now),
        "text": text,
        "content": text,
        "allowed_mentions": {"parse": []},
        "events": [
            {"kind": one.kind, "account": one.account, "text": harmless(one.text)}
            for one in notices
        ],
    }


def harmless(text: str) -> str:
    """Give text that drives no terminal, mentions nobody and marks nothing up; cut."""
    from algotrade.market.polygon_words import clean

    plain = clean(text, _TEXT)
    return plain.replace("@", "(at)").replace("<", "(").replace(">", ")")


def _first_line(notices: Sequence[Notice]) -> str:
    first = notices[0]
    where = f" [{first.account}]" if first.account else ""
    more = f" (and {len(notices) - 1} more)" if len(notices) > 1 else ""
    return harmless(f"algotrade{where}: {first.text}") + more


def _alike(text: str) -> str:
    """Give what stays of a text whose figures move."""
    return re.sub(r"[0-9]+([.,:][0-9]+)*", "#", text)


def _mark(notice: Notice) -> str:
    import hashlib

    text = f"{notice.kind}\n{notice.account}\n{notice.key}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _told(settings: Settings) -> dict[str, int]:
    """Read what was told lately; a file beside the store, which may be what is broken."""
    try:
        lines = _file(settings).read_text(encoding="ascii").split("\n")
    except (OSError, UnicodeDecodeError):
        return {}
    pairs = [line.split(" ") for line in lines]
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _remember(settings: Settings, told: Mapping[str, int], fresh: Mapping[str, int]) -> None:
    newest = sorted({**told, **fresh}.items(), key=lambda item: item[1])[-_KEPT:]
    path = _file(settings)
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        partial.write_text("".join(f"{mark} {ts}\n" for mark, ts in newest), encoding="ascii")
        partial.chmod(0o600)
        partial.replace(path)
    except OSError:  # a full or read-only disk: then it is told again
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _file(settings: Settings) -> Path:
    return settings.store.with_name("notified")
