"""The workspace: where every object of a run is built, once, from the settings."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from algotrade.clock import Clock, FixedClock, SystemClock
from algotrade.domain.ledger import DEPOSIT, Entry
from algotrade.domain.times import DAY, iso, parse_instant
from algotrade.errors import (
    DataError,
    InputError,
    LedgerError,
    SecretError,
    SettingsError,
    shown,
)
from algotrade.record import NamedTuple
from algotrade.store import database, disk, heads, journal, readonly, records

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

    from algotrade.config import Settings
    from algotrade.market.calendar import Calendar

SAMPLE = "sample"
POLYGON = "polygon"
CSV = "csv"
DAILY = "1d"
ACCOUNTS = {SAMPLE: "sample", POLYGON: "paper", CSV: "csv"}
_FAR = 84_006 * DAY  # 2200-01-01; no calendar of sessions goes on
SIMULATED = "simulated"  # the broker that is a part of this program


class Workspace(NamedTuple):
    """One run's view of the world: settings, store, source of data, account, clock.

    say: takes one line for the person running this; never a result.
    """

    settings: Settings
    db: sqlite3.Connection
    source: str
    account: str
    clock: Clock
    say: Callable[[str], None]

    @property
    def simulated(self) -> bool:
        """Tell whether time is simulated by the sample clock."""
        return self.source == SAMPLE

    @property
    def broker(self) -> str:
        """Give the name of who executes: `simulated`, or a real broker's."""
        return self.settings.text("broker")

    @property
    def at_broker(self) -> bool:
        """Tell whether the account is at a real broker, with paper money or with real money."""
        return self.broker != SIMULATED

    @property
    def live(self) -> bool:
        """Tell whether real money moves."""
        return self.at_broker and self.settings.text("live") == "on"

    def calendar(self, from_ts: int = 0) -> Calendar:
        """Read the cached exchange calendar from the session of an instant on."""
        from algotrade.market.calendar import Calendar

        day, opens, closes = records.load_sessions(self.db, from_day=from_ts // DAY)
        return Calendar(day=day, opens=opens, closes=closes)


def resolve_source(settings: Settings) -> str:
    """Give the source: `auto` is polygon when a key is set, else the sample.

    A real broker trades today's market: on polygon's bars, never on the sample.
    """
    chosen = settings.text("source")
    if settings.text("broker") != SIMULATED:
        if chosen not in ("auto", POLYGON):
            raise SettingsError(
                f"broker {settings.text('broker')} cannot trade on source {chosen}",
                hint="--source polygon, or --broker simulated",
            )
        return POLYGON
    if chosen != "auto":
        return chosen
    return POLYGON if settings.key is not None else SAMPLE


def account_name(settings: Settings, source: str) -> str:
    """Give the account's name: of the source where it is simulated, else of the broker."""
    broker = settings.text("broker")
    if broker == SIMULATED:
        return ACCOUNTS[source]
    return f"{'live' if settings.text('live') == 'on' else 'paper'}:{broker}"


@contextlib.contextmanager
def open_workspace(
    settings: Settings,
    say: Callable[[str], None],
    *,
    create: bool = False,
    anew: bool = False,
    reading: bool = False,
    checked: bool = True,
    wait_s: float | None = None,
) -> Iterator[Workspace]:
    """Open the store of the home; SQLite's errors come out as ours.

    create: make one where there is none; not where one was lost, unless `anew` says so.
    reading: nothing will be written, so that a read-only file system will do.
    checked: the newest seal is checked first; not by those that tell what differs.
    wait_s: how long to wait for other runs; those that watch or halt do not wait.
    """
    source = resolve_source(settings)
    with database.sqlite_errors(settings.store):
        is_new = create and not settings.store.exists()
        if is_new and not anew:
            _check_nothing_lost(settings)
        with contextlib.ExitStack() as open_now:
            db = open_now.enter_context(
                contextlib.closing(_open(settings, say, create, reading, wait_s))
            )
            if is_new:
                say(f"created {settings.home}")
                heads.heads_file(settings.store).unlink(missing_ok=True)
                disk.keep_reserve(settings.store)
            if checked:
                open_now.enter_context(heads.watched(db, settings.store, say=say))
            _check_not_fallen_back(settings, db, source)
            yield Workspace(
                settings=settings,
                db=db,
                source=source,
                account=account_name(settings, source),
                clock=_clock(settings, db, source, say),
                say=say,
            )


def _open(
    settings: Settings,
    say: Callable[[str], None],
    create: bool,  # noqa: FBT001
    reading: bool,  # noqa: FBT001
    wait_s: float | None,
) -> sqlite3.Connection:
    waits = database.BUSY_SECONDS if wait_s is None else wait_s
    if reading:
        return readonly.open_to_read(settings.store, say=say, wait_s=waits)
    if create:
        return database.create_store(settings.store)
    return disk.write_at_any_cost(
        settings.store, lambda: database.open_store(settings.store, wait_s=waits)
    )


def _check_nothing_lost(settings: Settings) -> None:
    """Refuse to begin anew where an account or a model tells of a store that was here."""
    data = settings.store.parent
    named = ("paper-", "live-")  # of accounts at a broker
    locks = [
        path
        for path in data.glob("*.lock")
        if path.stem in ACCOUNTS.values() or path.stem.startswith(named)
    ]
    locks += [path for path in (heads.heads_file(settings.store),) if path.exists()]
    models = [path for path in settings.models.glob("*") if path.is_dir()]
    if locks or models:
        raise LedgerError(
            f"the store {settings.store} is gone, but {(locks + models)[0]} tells of one",
            hint="algotrade restore FILE; or algotrade init to begin anew",
        )


def _check_not_fallen_back(settings: Settings, db: sqlite3.Connection, source: str) -> None:
    """Refuse to trade the sample, by a key that is missing, in a home of a real account."""
    if source != SAMPLE or settings.text("source") != "auto":
        return
    others = [record for record in records.accounts(db) if record.source == POLYGON]
    if others:
        raise SecretError(
            f"this home has account {others[0].account} of source polygon, and no API key is set",
            hint="set POLYGON_API_KEY or key_file; or name one: --source polygon, --source sample",
        )


@contextlib.contextmanager
def account_lock(ws: Workspace) -> Iterator[Workspace]:
    """Keep other runs from trading the same account meanwhile; give the workspace as it is now."""
    path = ws.settings.store.with_name(f"{ws.account.replace(':', '-')}.lock")
    with database.lock(path, what=f"account {ws.account}"):
        database.check_tables(ws.db)
        disk.keep_reserve(ws.settings.store)
        yield ws._replace(clock=_clock(ws.settings, ws.db, ws.source, lambda _: None))


def at(ws: Workspace, ts: int) -> Workspace:
    """Give the same workspace standing at another simulated instant."""
    return ws._replace(clock=FixedClock(ts))


def ensure_account(ws: Workspace) -> None:
    """Open the account with its deposit if it is not there; inside the caller's transaction.

    An account at a real broker is opened with what is there, by the first command that asks.
    """
    if ws.at_broker:
        return
    now = ws.clock.now()
    if records.open_account(ws.db, records.AccountRecord(ws.account, ws.source, now)):
        amount = ws.settings.number("cash_usd")
        entry = Entry(ts=now, kind=DEPOSIT, ref="opening", amount=amount, note="opening deposit")
        journal.StoreJournal(ws.db, ws.account, recorded_at=now).append(entry)
        ws.say(f"opened account {ws.account} with {ws.settings.text('cash_usd')} USD")


def account_record(ws: Workspace) -> records.AccountRecord:
    """Give the account's record, or say how to open it.

    Without one, a broker that is not there and a key that is missing are told first
    (SettingsError): they are what is wrong.
    """
    for record in records.accounts(ws.db):
        if record.account == ws.account:
            return record
    if ws.at_broker:
        from algotrade.workflows.brokers import open_broker

        open_broker(ws)
        raise DataError(
            f"no account {ws.account!r} in {ws.settings.home}",
            hint="algotrade reconcile opens it with what the broker holds",
        )
    check_key(ws.settings, ws.source)
    opens = "import PATH" if ws.source == CSV else "fetch SYMBOL"
    raise DataError(
        f"no account {ws.account!r} in {ws.settings.home} (source {ws.source})",
        hint=f"algotrade {opens} opens it; other accounts: --source {'|'.join(ACCOUNTS)}",
    )


def check_key(settings: Settings, source: str) -> None:
    """Raise SecretError where a source has nothing to say without its key, and none is set."""
    if source == POLYGON and settings.key is None:
        raise SecretError(
            "source polygon needs an API key and none is set",
            hint="set POLYGON_API_KEY or MASSIVE_API_KEY, or key_file; or --source sample",
        )


def halts(ws: Workspace) -> tuple[str, ...]:
    """Give every place outside the ledger that says trading is halted."""
    found = []
    if ws.settings.halt:
        found.append("environment variable ALGOTRADE_HALT")
    if os.path.lexists(ws.settings.halt_file):
        found.append(f"file {ws.settings.halt_file}")
    return tuple(found)


def _clock(
    settings: Settings, db: sqlite3.Connection, source: str, say: Callable[[str], None]
) -> Clock:
    if source == SAMPLE:
        stored = records.get_meta(db, records.SAMPLE_CLOCK)
        why = "no API key: " if settings.text("source") == "auto" else ""
        if stored is None:  # the first fetch sets the sample clock
            say(f"{why}built-in sample (real prices 2000 to 2013)")
            return SystemClock()
        say(f"{why}built-in sample, simulated time {iso(int(stored))}")
        return FixedClock(int(stored))
    if settings.now is not None:
        if account_name(settings, source).startswith("live:"):
            raise SettingsError(
                "ALGOTRADE_NOW is set, and real money does not live in a time of its own",
                hint="unset ALGOTRADE_NOW",
            )
        now = parse_instant(settings.now, field="ALGOTRADE_NOW")
        if not 0 <= now < _FAR:
            raise InputError(
                f"ALGOTRADE_NOW {shown(settings.now)} is beyond every calendar",
                hint="of 1970 to 2199: 2026-11-20T21:05:00Z",
            )
        return FixedClock(now)
    return SystemClock()
