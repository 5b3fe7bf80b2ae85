"""Follow: trade on each completed bar as it arrives, by the same pass as `trade`.

The account is locked only while a pass decides. Between the close of a session and its bar the
provider is asked each interval; before the close nothing is asked. A provider that is down is
asked again, later and later.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from algotrade.clock import monotonic, sleep
from algotrade.errors import (
    AlgotradeError,
    DataError,
    DiskError,
    InputError,
    LockedError,
    ModelError,
    ProviderError,
)
from algotrade.record import NamedTuple
from algotrade.store import bars as bar_store
from algotrade.store import watch as watch_store
from algotrade.store.database import immediate, sqlite_errors
from algotrade.workflows.context import DAILY, POLYGON, Workspace, account_record
from algotrade.workflows.crowd import compares
from algotrade.workflows.fetch import fetch
from algotrade.workflows.fetch_plan import FetchRequest
from algotrade.workflows.heartbeat import FOLLOW, WAIT_S, heartbeat_now
from algotrade.workflows.models import choose_model_for
from algotrade.workflows.sources import ensure_calendar
from algotrade.workflows.trade import trade

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from algotrade.domain.orders import Fill
    from algotrade.workflows.trade import Request, TradeResult

INTERVAL_S = 60.0

_LONGEST_S = 300.0  # between two tries of a provider that is down


class Step(NamedTuple):
    """What one turn of the loop did: decisions, fills that bars brought, or why it did nothing."""

    results: tuple[TradeResult, ...] = ()
    fills: tuple[Fill, ...] = ()
    trouble: AlgotradeError | None = None


class _Asked(NamedTuple):
    ws: Workspace
    request: Request
    consent: bool


def follow(
    ws: Workspace,
    request: Request,
    *,
    interval_s: float = INTERVAL_S,
    max_seconds: float | None = None,
    until_close: bool = False,
    consent: bool = False,
) -> Iterator[Step]:
    """Decide for every symbol's newest bar now, then for each that arrives.

    until_close: end once the session that closes next is decided for. consent: as of `trade`.
    """
    _check(ws)
    end = None if max_seconds is None else monotonic() + max_seconds
    goal = _next_close(ws) if until_close else None
    asked, decided = _Asked(ws, request, consent), dict[str, int]()
    pause = interval_s
    while True:
        step = _turn(asked, decided)
        _beat(ws)
        if step.results or step.fills or step.trouble is not None:
            yield step
        late = isinstance(step.trouble, ProviderError)
        pause = min(2 * pause, max(_LONGEST_S, interval_s)) if late else interval_s
        done = goal is not None and all(decided.get(name, 0) >= goal for name in request.symbols)
        if done or not _rest(pause, end):
            return


def _check(ws: Workspace) -> None:
    if ws.simulated:
        raise InputError(
            "the sample's market moves only when it is told to: there is nothing to follow",
            hint="algotrade trade moves it by one session each time; or --source polygon",
        )
    if not ws.at_broker:
        account_record(ws)
        ws.say(
            "orders of a simulated account are filled by the next bar that is stored, at its"
            " open; not within the session"
        )


def _turn(asked: _Asked, decided: dict[str, int]) -> Step:
    """Bring what is due, then decide for bars that were not decided for yet."""
    fills: tuple[Fill, ...] = ()
    try:
        with sqlite_errors(asked.ws.settings.store):
            fills = _bring(asked.ws, _read(asked.ws, asked.request))
            newest = _newest(asked.ws, asked.request.symbols)
            fresh = tuple(name for name in newest if newest[name] != decided.get(name))
            if not fresh:
                return Step(fills=fills)
            request = asked.request._replace(symbols=fresh)
            results = trade(asked.ws, request, consent=asked.consent)
    except (ProviderError, LockedError, DiskError) as error:
        return Step(fills=fills, trouble=error)
    except DataError as error:
        if not decided:  # what was asked for cannot be followed
            raise
        return Step(fills=fills, trouble=error)
    decided.update({name: newest[name] for name in fresh})
    return Step(tuple(results), fills)


def _read(ws: Workspace, request: Request) -> tuple[str, ...]:
    """Give the symbols whose bars the decisions read: those of a model's universe, too."""
    from algotrade.learning.registry import load_card

    if request.rule is not None or not request.use_model:
        return request.symbols
    try:
        record = choose_model_for(ws._replace(say=lambda _: None), request.model_id)
        card = load_card(ws.settings.models, record.model_id, record.card_sha256)
    except ModelError:  # the pass that follows tells of it
        return request.symbols
    others = card.symbols if compares(card) else ()
    return tuple(dict.fromkeys((*request.symbols, *others)))


def _bring(ws: Workspace, symbols: tuple[str, ...]) -> tuple[Fill, ...]:
    """Fetch the symbols that miss a completed session, where the source can be asked."""
    if ws.source != POLYGON:
        return ()
    calendar = ensure_calendar(ws)
    closed = calendar.closes[calendar.last_closed(ws.clock.now())]
    newest = _newest(ws, symbols)
    due = tuple(name for name in symbols if newest.get(name, 0) < closed)
    if not due:
        return ()
    result = fetch(ws, FetchRequest(symbols=due))
    if result.failures and len(result.failures) == len(due):
        raise result.failures[0][1]
    return result.fills


def _newest(ws: Workspace, symbols: tuple[str, ...]) -> Mapping[str, int]:
    """Give when the newest stored bar of each symbol closed."""
    found = {}
    for symbol in symbols:
        bars = bar_store.load_bars(ws.db, ws.source, symbol, DAILY, until=ws.clock.now(), last=1)
        found[symbol] = bars.ts_close[-1] if len(bars) else 0
    return found


def _next_close(ws: Workspace) -> int:
    """Give when the running session closes, or the next one."""
    calendar, now = ensure_calendar(ws), ws.clock.now()
    return next(close for close in calendar.closes if close > now)


def _beat(ws: Workspace) -> None:
    """Note that somebody follows; a store that is busy or full is no reason to stop."""
    beat = watch_store.Heartbeat(ws.account, FOLLOW, heartbeat_now(ws), os.getpid(), "ok")
    try:
        with sqlite_errors(ws.settings.store), immediate(ws.db, wait_s=WAIT_S):
            watch_store.beat(ws.db, beat)
    except AlgotradeError as error:
        ws.say(f"no heartbeat: {error.message}")


def _rest(seconds: float, end: float | None) -> bool:
    """Wait; tell whether there is time left afterwards."""
    left = seconds if end is None else min(seconds, end - monotonic())
    if left > 0:
        sleep(left)
    return end is None or monotonic() < end
