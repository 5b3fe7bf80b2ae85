"""What a source changed, and which decisions and trainings had read the old values."""

from __future__ import annotations

import contextlib
import json
from datetime import date
from typing import TYPE_CHECKING

import pytest

from algotrade.bars import from_rows
from algotrade.domain.actions import Dividend, Split
from algotrade.domain.decisions import Policy
from algotrade.domain.signals import UP, Signal
from algotrade.domain.times import DAY, HOUR
from algotrade.store import records
from algotrade.store.actions import save_dividends, save_splits
from algotrade.store.bars import load_bars, save_bars
from algotrade.store.database import create_store, immediate
from algotrade.store.journal import StoreJournal
from algotrade.store.revisions import (
    BAR,
    DIVIDEND,
    POSSIBLE,
    PROVEN,
    SPLIT,
    list_revisions,
    users_of,
)
from algotrade.trading import decision as trading
from builders import WIDE, deposit, moment, state, world

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

LOOKBACK = 3


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(create_store(tmp_path / "algotrade.db")) as store:
        store.execute("PRAGMA synchronous = OFF")
        for account, source in (("paper", "polygon"), ("sample", "sample")):
            records.open_account(store, records.AccountRecord(account, source, 0))
        yield store


def ts(day: int) -> int:
    return day * DAY + 21 * HOUR


def save(
    db: sqlite3.Connection,
    closes: dict[int, int],
    *,
    known_at: int,
    symbol: str = "AAPL",
    source: str = "polygon",
) -> None:
    rows = [(ts(d) - 6 * HOUR, ts(d), 50, 99, 10, p, 7) for d, p in sorted(closes.items())]
    with immediate(db):
        bars = from_rows(source, symbol, "1d", rows)
        save_bars(db, bars, recorded_at=lambda _: known_at)


def decide(
    db: sqlite3.Connection,
    day: int,
    at: int,
    *,
    account: str = "paper",
    symbol: str = "AAPL",
    model: str | None = "m-1",
    bars_hash: str | None = None,
) -> int:
    """Store a decision on the bar of a day that read the bars as they are now."""
    source = "polygon" if account == "paper" else "sample"
    bars = load_bars(db, source, symbol, "1d", until=ts(day), last=LOOKBACK)
    prediction = {"bars_hash": bars_hash or bars.fingerprint()} if model else None
    body = json.dumps({"prediction": prediction})
    values = (account, symbol, ts(day), at, model, body)
    cursor = db.execute(
        "INSERT INTO decisions (account, strategy, symbol, bar_ts, decided_at, action, reason,"
        " model_id, body) VALUES (?1, 'model', ?2, ?3, ?4, 'hold', '', ?5, ?6)",
        values,
    )
    return int(cursor.lastrowid or 0)


def test_each_correction_is_listed_with_what_came_next(db: sqlite3.Connection) -> None:
    save(db, {1: 20, 2: 30}, known_at=100)
    save(db, {1: 21, 2: 30}, known_at=200)
    save(db, {1: 22, 2: 31}, known_at=300)
    save(db, {1: 40}, known_at=100, symbol="MSFT")
    save(db, {1: 41}, known_at=250, symbol="MSFT")
    save(db, {1: 50}, known_at=100, source="sample")
    save(db, {1: 51}, known_at=200, source="sample")
    found = list_revisions(db, "polygon")
    told = [
        (r.symbol, r.ts_close, r.known_at, r.superseded_at, r.old["close"], (r.new or {})["close"])
        for r in found
    ]
    assert told == [
        ("AAPL", ts(1), 100, 200, 20, 21),
        ("MSFT", ts(1), 100, 250, 40, 41),
        ("AAPL", ts(1), 200, 300, 21, 22),
        ("AAPL", ts(2), 100, 300, 30, 31),
    ]
    assert {(r.kind, r.source, r.timeframe, r.ex_day) for r in found} == {
        (BAR, "polygon", "1d", None)
    }
    assert found[0].old == {
        "seconds": 21600, "open": 50, "high": 99, "low": 10, "close": 20, "volume": 7,
    }  # fmt: skip
    assert list_revisions(db, "polygon", "MSFT") == [found[1]]
    assert list_revisions(db, "polygon", since=250) == found[1:]
    assert list_revisions(db, "polygon", since=301) == list_revisions(db, "none") == []


def test_a_bar_that_somebody_deleted_has_no_new_values(db: sqlite3.Connection) -> None:
    save(db, {1: 20, 2: 30}, known_at=100)
    save(db, {1: 21, 2: 31}, known_at=200)
    db.execute("DELETE FROM bars WHERE close = 21")
    assert [r.new and r.new["close"] for r in list_revisions(db, "polygon")] == [None, 31]


def test_superseded_splits_and_dividends_are_listed_too(db: sqlite3.Connection) -> None:
    day = date(2024, 1, 10)
    one = Split(symbol="AAPL", ex_date=day, split_from=1, split_to=4)
    two = Split(symbol="AAPL", ex_date=day, split_from=1, split_to=2)
    with immediate(db):
        save_splits(db, "polygon", "AAPL", [one], known_at=100)
        save_splits(db, "polygon", "AAPL", [two], known_at=200)
        save_splits(db, "polygon", "AAPL", [], known_at=300)
        for known_at, amount in ((100, 5), (150, 6)):
            paid = [Dividend(symbol="AAPL", ex_date=day, amount=amount)]
            save_dividends(db, "polygon", "AAPL", paid, known_at=known_at)
    told = [
        (r.kind, r.ex_day, r.ts_close, r.known_at, r.superseded_at, r.old, r.new)
        for r in list_revisions(db, "polygon", "AAPL")
    ]
    assert told == [
        (DIVIDEND, 19732, None, 100, 150, {"amount": 5}, {"amount": 6}),
        (
            *(SPLIT, 19732, None, 100, 200),
            *({"split_from": 1, "split_to": 4}, {"split_from": 1, "split_to": 2}),
        ),
        (SPLIT, 19732, None, 200, 300, {"split_from": 1, "split_to": 2}, None),
    ]


def test_decisions_that_read_the_old_value_are_named(db: sqlite3.Connection) -> None:
    save(db, dict.fromkeys(range(1, 9), 20), known_at=100)
    save(db, dict.fromkeys(range(1, 9), 20), known_at=100, source="sample")
    save(db, dict.fromkeys(range(1, 9), 20), known_at=100, symbol="MSFT")
    before = [decide(db, 3, at) for at in (100, 199)]
    inside = decide(db, 5, 150)
    unlike = decide(db, 4, 150, bars_hash="0" * 64)
    beyond = decide(db, 6, 150)
    plain = decide(db, 3, 150, model=None)
    decide(db, 2, 150)  # its newest bar is older than the revised one
    decide(db, 4, 99)  # made before the old value was known
    decide(db, 4, 150, account="sample")
    decide(db, 4, 150, symbol="MSFT")
    decide(db, 4, 150, model=None)  # read its own bar only
    save(db, {3: 21}, known_at=200)
    decide(db, 4, 200)  # read the new value
    (revision,) = list_revisions(db, "polygon")
    users = users_of(db, revision, {"m-1": LOOKBACK})
    assert {u.decision_id: u.proof for u in users.decisions} == {
        **dict.fromkeys(before, PROVEN),
        inside: PROVEN,
        unlike: POSSIBLE,
        plain: POSSIBLE,
    }
    guessed = users_of(db, revision)
    assert {u.decision_id: u.proof for u in guessed.decisions} == dict.fromkeys(
        [*before, inside, unlike, beyond, plain], POSSIBLE
    )
    first = users.decisions[0]
    assert (first.account, first.strategy, first.bar_ts, first.decided_at, first.action) == (
        *("paper", "model", ts(3), 100, "hold"),
    )
    assert (first.order_key, first.model_id) == (None, "m-1")


@pytest.mark.parametrize(
    ("signal", "day", "proof"),
    [
        (Signal("m-1", UP, 0.75, 0.5), 4, PROVEN),
        (Signal("m-1", UP, 0.75, 0.5, bars_hash="0" * 64), 4, POSSIBLE),
        (Signal("", UP), 3, POSSIBLE),  # by hand: read its own bar only
        (Signal("", UP), 4, None),
        (Signal("sma-state @1a2b", UP), 4, POSSIBLE),  # nobody told how far a rule reads
        (None, 4, None),
    ],
)
def test_decisions_of_the_journal_are_named_like_those_of_schema_1(
    db: sqlite3.Connection, signal: Signal | None, day: int, proof: str | None
) -> None:
    save(db, dict.fromkeys(range(1, 9), 20), known_at=100)
    bars = load_bars(db, "polygon", "AAPL", "1d", until=ts(day), last=LOOKBACK)
    if signal is not None and signal.p_up is not None and not signal.bars_hash:
        signal = signal._replace(bars_hash=bars.fingerprint())
    bar = moment(0, signal=signal)._replace(ts=ts(day))
    policy = Policy(account="paper", strategy="any", quantity=1)
    made = trading.decide(bar, state(deposit()), policy, WIDE, world(now=150))
    StoreJournal(db, "paper", recorded_at=150).record(made)
    save(db, {3: 21}, known_at=200)
    (revision,) = list_revisions(db, "polygon")
    found = users_of(db, revision, {"m-1": LOOKBACK}).decisions
    assert [user.proof for user in found] == ([] if proof is None else [proof])


def test_each_version_of_a_bar_has_its_own_users(db: sqlite3.Connection) -> None:
    named = []
    for known_at, close in ((100, 20), (200, 21), (300, 22)):
        save(db, {1: 15, 2: 16, 3: close}, known_at=known_at)
        named.append(decide(db, 3, known_at + 50))
    found = [
        [(u.decision_id, u.proof) for u in users_of(db, r, {"m-1": LOOKBACK}).decisions]
        for r in list_revisions(db, "polygon")
    ]
    assert found == [[(named[0], PROVEN)], [(named[1], PROVEN)]]


def test_trainings_while_the_old_value_was_believed_are_named(db: sqlite3.Connection) -> None:
    save(db, {1: 20}, known_at=100)
    for at, source in ((99, "polygon"), (100, "polygon"), (150, "sample"), (199, "polygon")):
        records.save_training(db, records.TrainingRecord(f"m-{at}", source, at, "0" * 64))
    records.save_training(db, records.TrainingRecord("m-200", "polygon", 200, "0" * 64))
    save(db, {1: 21}, known_at=200)
    (revision,) = list_revisions(db, "polygon")
    assert [t.model_id for t in users_of(db, revision).trainings] == ["m-100", "m-199"]


def test_a_split_is_read_from_its_session_on_and_a_dividend_by_the_ledger_alone(
    db: sqlite3.Connection,
) -> None:
    save(db, dict.fromkeys(range(1, 6), 20), known_at=100)
    split = Split(symbol="AAPL", ex_date=date(1970, 1, 4), split_from=1, split_to=4)
    paid = Dividend(symbol="AAPL", ex_date=date(1970, 1, 4), amount=5)
    with immediate(db):
        save_splits(db, "polygon", "AAPL", [split], known_at=100)
        save_dividends(db, "polygon", "AAPL", [paid], known_at=100)
    decide(db, 2, 150)
    named = decide(db, 3, 150)
    with immediate(db):
        save_splits(db, "polygon", "AAPL", [], known_at=200)
        save_dividends(db, "polygon", "AAPL", [], known_at=200)
    of_dividend, of_split = (
        users_of(db, r, {"m-1": LOOKBACK}) for r in list_revisions(db, "polygon")
    )
    assert of_dividend.decisions == ()
    assert [(u.decision_id, u.proof) for u in of_split.decisions] == [(named, POSSIBLE)]
