"""Watch: prices of this moment over the ledger's positions; a passed limit halts before it is told.

Never waits for the account's lock, and not longer than a second for the store. A store that cannot
be written costs the heartbeat, not the halt: that is a file first.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from typing import TYPE_CHECKING

from algotrade.clock import monotonic
from algotrade.config import FILE_NAME, read_again
from algotrade.domain.times import MICROSECONDS, MINUTE
from algotrade.errors import AlgotradeError, DiskError, LedgerError, LockedError
from algotrade.record import NamedTuple
from algotrade.store import watch as watch_store
from algotrade.store.database import immediate, sqlite_errors
from algotrade.trading.market_conditions import RANGE_SPAN, MarketLimits, MarketView
from algotrade.trading.watch import Look, look
from algotrade.workflows.context import Workspace, account_record, halts
from algotrade.workflows.halt import halt_account, reduce_account
from algotrade.workflows.heartbeat import CHECK, WAIT_S, WATCH, heartbeat_now
from algotrade.workflows.live import (
    STORED,
    ask_once,
    is_live,
    open_live,
    overlaid,
    pending_splits,
    stored_prices,
)
from algotrade.workflows.risk import account_conditions
from algotrade.workflows.state import load_state

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from algotrade.config import Settings
    from algotrade.domain.live import LivePrice
    from algotrade.domain.risk import Conditions
    from algotrade.market.calendar import Calendar
    from algotrade.market.live import LiveFeed
    from algotrade.trading.state import TradingState
    from algotrade.workflows.watch_broker import Reconciling

INTERVAL_S = 5.0

_LEAST_S = 0.2  # between two looks, however quickly prices come
_FIRST_S = 3.0  # for the first prices of a feed
_RELOAD_S = 60.0  # the ledger is read again, and its chain checked, when it changes and each minute


class Report(NamedTuple):
    """One look, and how it came about.

    feed: stream, poll, stored or none; delayed: about 15 minutes late. trouble: what does not work,
    in lines. due: the interval is over, or the level has changed: something to print. until: when
    the session ends, or None while the market is closed. halted, reduced: why this look halted
    trading, or left only reducing orders.
    """

    look: Look
    source: str
    feed: str
    delayed: bool
    trouble: tuple[str, ...]
    until: int | None
    beat: int | None
    due: bool
    halted: str | None
    reduced: str | None


class _Loaded(NamedTuple):
    """What the store says, as of one moment."""

    state: TradingState
    stored: Mapping[str, LivePrice]
    splits: Mapping[str, tuple[int, int]]
    conditions: Conditions
    calendar: Calendar | None
    changes: int
    at: float


class Watch:
    """One account under watch; holds what was read last, a feed, and the prices of half an hour."""

    def __init__(self, ws: Workspace, *, what: str = WATCH, interval_s: float = INTERVAL_S) -> None:
        account_record(ws)
        self._ws, self._what, self._interval_s = ws, what, interval_s
        self._limits = market_limits(ws.settings)
        self._benchmark = ws.settings.text("watch.index")
        self._settings_of = _written(ws.settings)
        self._loaded: _Loaded | None = None
        self._feed: LiveFeed | None = None
        self._asked: tuple[str, ...] = ()
        self._version = 0
        self._ranges: dict[str, deque[tuple[int, int, int]]] = {}
        self._level = ""
        self._told_at = self._row_at = -1e9
        self._beat: int | None = None
        self._notes: dict[str, None] = {}
        self._beside: Reconciling | None = None
        watch_store.wait_at_most(ws.db, WAIT_S)

    def begin(self) -> None:
        """Begin what runs beside the looks: comparing with the broker each minute."""
        if self._ws.at_broker:
            from algotrade.workflows.watch_broker import Reconciling

            self._beside = Reconciling(self._ws.settings)
            self._beside.start()

    def close(self) -> None:
        """Stop the feed, and what compares beside it."""
        for running in (self._feed, self._beside):
            if running is not None:
                running.close()

    def once(self) -> Report:
        """Look once; prices are asked for in this thread."""
        self._reload()
        live: Mapping[str, LivePrice] = {}
        feed, trouble = STORED, []
        if is_live(self._ws):
            feed = "poll"
            try:
                live = ask_once(self._ws, self._symbols())
            except AlgotradeError as error:
                feed, trouble = "none", [error.message]
        return self._look(live, feed, trouble)

    def wait_and_look(self) -> Report:
        """Wait for a newer price, at most for the interval, then look."""
        self._reload()
        if is_live(self._ws):
            self._follow(self._symbols())
        if self._feed is None:
            return self._look({}, STORED, [])
        state = self._feed.board.state
        trouble = [state.trouble.message] if state.trouble else []
        for note in self._feed.board.notes():
            self._ws.say(note)
        for note in self._beside.notes() if self._beside is not None else ():
            self._ws.say(note)
        return self._look(self._feed.board.prices(), state.how, trouble)

    def wait(self, at_most: float | None) -> None:
        """Wait until there is something new, until the interval is over, or for so long."""
        left = self._interval_s - (monotonic() - self._told_at)
        left = left if at_most is None else min(left, at_most)
        if self._feed is None:
            _pause(left)
            return
        _pause(min(left, _LEAST_S))
        self._version = self._feed.board.wait(self._version, left - _LEAST_S)

    def _symbols(self) -> tuple[str, ...]:
        staked = self._loaded.state.staked if self._loaded else set()
        return tuple(sorted({*staked, *([self._benchmark] if self._benchmark else [])}))

    def _follow(self, symbols: tuple[str, ...]) -> None:
        """Have a feed of these symbols; another one where they have changed."""
        if self._feed is not None and symbols == self._asked:
            return
        if self._feed is not None:
            self._feed.close()
        self._feed, self._asked = open_live(self._ws, symbols), symbols
        self._feed.start()
        if symbols:  # the first prices, before anything is said of their age
            self._version = self._feed.board.wait(0, min(_FIRST_S, self._interval_s))

    def _reload(self) -> None:
        """Read settings and ledger where they have changed; a store that is busy is read later."""
        written = _written(self._ws.settings)
        if written != self._settings_of:
            self._settings_of = written
            self._ws = self._ws._replace(settings=read_again(self._ws.settings))
            self._limits = market_limits(self._ws.settings)
        ws, known = self._ws, self._loaded
        try:
            with sqlite_errors(ws.settings.store):
                changes = watch_store.changes(ws.db)
                old = known is None or monotonic() - known.at > _RELOAD_S
                if known is not None and changes == known.changes and not old:
                    return
                state = load_state(ws, now=ws.clock.now())
                symbols = sorted({*state.staked, *([self._benchmark] if self._benchmark else [])})
                self._loaded = _Loaded(
                    state=state,
                    stored=stored_prices(ws, symbols),
                    splits=pending_splits(ws, symbols),
                    conditions=account_conditions(ws, state),
                    calendar=ws.calendar(ws.clock.now()) if is_live(ws) else None,
                    changes=changes,
                    at=monotonic(),
                )
        except (LockedError, DiskError) as error:
            if known is None:
                raise
            self._notes[f"{error.message}; watching what was read before"] = None
        except LedgerError as error:
            self._halt(f"the ledger cannot be trusted: {error.message}")
            raise

    def _look(self, live: Mapping[str, LivePrice], feed: str, trouble: list[str]) -> Report:
        ws, loaded = self._ws, self._loaded
        if loaded is None:
            raise LedgerError("nothing was read from the store")
        now = ws.clock.now()
        prices = overlaid(loaded.stored, live, loaded.splits)
        self._keep_ranges(prices)
        session, until = _session(loaded.calendar, now)
        stakes = tuple(sorted(loaded.state.staked))
        view = MarketView(
            now=now,
            prices=prices,
            closes={name: one.price for name, one in loaded.stored.items()},
            ranges={name: _span(kept) for name, kept in self._ranges.items() if name in stakes},
            stakes=stakes,
            benchmark=self._benchmark,
            is_open=session,
        )
        conditions = loaded.conditions._replace(now=now, halts=halts(ws))
        seen = look(loaded.state, ws.settings.limits(), conditions, view, self._limits)
        halted = seen.halt if seen.halt is not None and self._halt(seen.halt) else None
        reduced = seen.reduce if seen.reduce is not None and self._reduce(seen.reduce) else None
        changed = seen.level != self._level
        due = changed or monotonic() - self._told_at >= self._interval_s
        if due:
            self._level, self._told_at = seen.level, monotonic()
            self._write_down(seen, feed, changed=changed)
        notes, self._notes = (*trouble, *self._notes), {}
        return Report(
            look=seen,
            source=ws.source,
            feed=feed,
            delayed=any(price.delayed for price in live.values()),
            trouble=notes,
            until=until,
            beat=self._beat,
            due=due,
            halted=halted,
            reduced=reduced,
        )

    def _halt(self, cause: str) -> bool:
        """Halt; tell whether trading is halted now: where no place took it, the next look tries."""
        done = halt_account(self._ws, f"risk {self._what}: {cause}")
        for line in done.failures:
            self._notes[line] = None
        if not done.places:
            self._notes["TRADING IS NOT HALTED: no place could be written"] = None
        elif self._loaded is not None:
            self._loaded.state.halt = cause
        return bool(done.places)

    def _reduce(self, cause: str) -> bool:
        """Leave only reducing orders; tell whether that is written down."""
        done = reduce_account(self._ws, f"risk {self._what}: {cause}")
        for line in done.failures:
            self._notes[line] = None
        if done.places and self._loaded is not None:
            self._loaded.state.reducing = cause
        return bool(done.places)

    def _write_down(self, seen: Look, feed: str, *, changed: bool) -> None:
        """Write the heartbeat, and a row of history a minute; a store that refuses is told."""
        ws = self._ws
        ts = heartbeat_now(ws)
        row_due = changed or monotonic() - self._row_at >= _RELOAD_S
        try:
            with sqlite_errors(ws.settings.store), immediate(ws.db, wait_s=WAIT_S):
                watch_store.beat(
                    ws.db,
                    watch_store.Heartbeat(ws.account, self._what, ts, os.getpid(), seen.level),
                )
                if row_due and self._what == WATCH:
                    watch_store.save_watched(ws.db, _row(seen, ts, feed))
        except AlgotradeError as error:
            self._notes[f"no heartbeat: {error.message}"] = None
            return
        self._beat = ts
        if row_due:
            self._row_at = monotonic()
        if self._loaded is not None:  # what this connection wrote is no news to it
            self._loaded = self._loaded._replace(changes=watch_store.changes(ws.db))

    def _keep_ranges(self, prices: Mapping[str, LivePrice]) -> None:
        """Keep the lowest and highest price of each minute for half an hour."""
        for symbol, price in prices.items():
            if price.kind in ("stored bar", "previous close"):
                continue
            kept = self._ranges.setdefault(symbol, deque())
            minute = price.ts // MINUTE
            if kept and kept[-1][0] == minute:
                _, low, high = kept.pop()
                kept.append((minute, min(low, price.price), max(high, price.price)))
            else:
                kept.append((minute, price.price, price.price))
            while kept[0][0] < minute - RANGE_SPAN // MINUTE:
                kept.popleft()


def watch(
    ws: Workspace, *, interval_s: float = INTERVAL_S, max_seconds: float | None = None
) -> Iterator[Report]:
    """Look again and again, at each newer price and each interval, until the time is over."""
    began = monotonic()
    with contextlib.closing(Watch(ws, interval_s=interval_s)) as watching:
        watching.begin()
        while True:
            yield watching.wait_and_look()
            left = None if max_seconds is None else max_seconds - (monotonic() - began)
            if left is not None and left <= 0:
                return
            watching.wait(left)


def check(ws: Workspace, *, what: str = CHECK) -> Report:
    """Look once, and halt where a limit says so."""
    with contextlib.closing(Watch(ws, what=what)) as watching:
        return watching.once()


def market_limits(settings: Settings) -> MarketLimits:
    """Read the bounds on what the market does."""
    return MarketLimits(
        max_age_s=settings.number("watch.max_age_s"),
        max_move_bps=settings.number("watch.max_move_pct"),
        max_spread_bps=settings.number("watch.max_spread_pct"),
        max_index_bps=settings.number("watch.max_index_pct"),
        max_range_bps=settings.number("watch.max_range_pct"),
        silence_minutes=settings.number("watch.silence_minutes"),
    )


def _written(settings: Settings) -> int:
    """Give when the home's file of settings was written last, 0 where there is none."""
    try:
        return (settings.home / FILE_NAME).stat().st_mtime_ns
    except OSError:
        return 0


def _session(calendar: Calendar | None, now: int) -> tuple[bool | None, int | None]:
    """Tell whether regular trading goes on, and when it ends; None where prices are not live."""
    if calendar is None:
        return None, None
    if not calendar.is_open(now):
        return False, None
    return True, next(close for close in calendar.closes if close > now)


def _span(kept: deque[tuple[int, int, int]]) -> tuple[int, int]:
    return min(low for _, low, _ in kept), max(high for _, _, high in kept)


def _row(seen: Look, ts: int, feed: str) -> watch_store.Watched:
    values = {check.id: check.value for check in seen.verdict.checks}
    ages = [seen.now - one.price.ts for one in seen.positions if one.price is not None]
    return watch_store.Watched(
        account=seen.account,
        ts=ts,
        level=seen.level,
        feed=feed,
        equity=seen.equity,
        profit=seen.profit,
        daily_loss=values.get("R18"),
        drawdown=values.get("R19"),
        oldest_s=max(ages) // MICROSECONDS if ages else None,
        causes="; ".join(seen.causes),
    )


def _pause(seconds: float) -> None:
    from algotrade.clock import sleep

    if seconds > 0:
        sleep(seconds)
