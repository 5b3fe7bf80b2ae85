"""The workspace: where every object of a run is built, once, from the settings."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from algotrade.clock import Clock, FixedClock, SystemClock
from algotrade.domain.ledger import DEPOSIT, Entry
from algotrade.domain.times import DAY, iso, parse_instant
from algotrade.errors import DataError, LedgerError, SecretError
from algotrade.record import NamedTuple
from algotrade.store import database, journal, records

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

    def calendar(self, from_ts: int = 0) -> Calendar:
        """Read the cached exchange calendar from the session of an instant on."""
        from algotrade.market.calendar import Calendar

        day, opens, closes = records.load_sessions(self.db, from_day=from_ts // DAY)
        return Calendar(day=day, opens=opens, closes=closes)


def resolve_source(settings: Settings) -> str:
    """Give the source: `auto` is polygon when a key is set, else the sample."""
    chosen = settings.text("source")
    if chosen != "auto":
        return chosen
    return POLYGON if settings.key is not None else SAMPLE


@contextlib.contextmanager
def open_workspace(
    settings: Settings, say: Callable[[str], None], *, create: bool = False, anew: bool = False
) -> Iterator[Workspace]:
    """Open the store of the home; SQLite's errors come out as ours.

    create: make one where there is none; not where one was lost, unless `anew` says so.
    """
    source = resolve_source(settings)
    with database.sqlite_errors(settings.store):
        is_new = create and not settings.store.exists()
        if is_new and not anew:
            _check_nothing_lost(settings)
        db = (database.create_store if create else database.open_store)(settings.store)
        with contextlib.closing(db):
            if is_new:
                say(f"created {settings.home}")
            _check_not_fallen_back(settings, db, source)
            yield Workspace(
                settings=settings,
                db=db,
                source=source,
                account=ACCOUNTS[source],
                clock=_clock(settings, db, source, say),
                say=say,
            )


def _check_nothing_lost(settings: Settings) -> None:
    """Refuse to begin anew where an account or a model tells of a store that was here."""
    data = settings.store.parent
    locks = [path for path in data.glob("*.lock") if path.stem in ACCOUNTS.values()]
    models = [path for path in settings.models.glob("*") if path.is_dir()]
    if locks or models:
        raise LedgerError(
            f"the store {settings.store} is gone, but {(locks + models)[0]} tells of one",
            hint="restore a backup; or algotrade init to begin anew",
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
    path = ws.settings.store.with_name(f"{ws.account}.lock")
    with database.lock(path, what=f"account {ws.account}"):
        yield ws._replace(clock=_clock(ws.settings, ws.db, ws.source, lambda _: None))


def at(ws: Workspace, ts: int) -> Workspace:
    """Give the same workspace standing at another simulated instant."""
    return ws._replace(clock=FixedClock(ts))


def ensure_account(ws: Workspace) -> None:
    """Open the account with its deposit if it is not there; inside the caller's transaction."""
    now = ws.clock.now()
    if records.open_account(ws.db, records.AccountRecord(ws.account, ws.source, now)):
        amount = ws.settings.number("cash_usd")
        entry = Entry(ts=now, kind=DEPOSIT, ref="opening", amount=amount, note="opening deposit")
        journal.StoreJournal(ws.db, ws.account, recorded_at=now).append(entry)
        ws.say(f"opened account {ws.account} with {ws.settings.text('cash_usd')} USD")


def account_record(ws: Workspace) -> records.AccountRecord:
    """Give the account's record, or say how to open it."""
    for record in records.accounts(ws.db):
        if record.account == ws.account:
            return record
    opens = "import PATH" if ws.source == CSV else "fetch SYMBOL"
    raise DataError(
        f"no account {ws.account!r} in {ws.settings.home} (source {ws.source})",
        hint=f"algotrade {opens} opens it; other accounts: --source {'|'.join(ACCOUNTS)}",
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
        return FixedClock(parse_instant(settings.now, field="ALGOTRADE_NOW"))
    return SystemClock()
