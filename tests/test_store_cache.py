"""The cache of bars says what the rows say, whoever changes them; reading never depends on it."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algotrade.bars import COLUMNS, Bars, from_rows
from algotrade.domain.times import DAY, HOUR
from algotrade.errors import DiskError, InputError, LedgerError
from algotrade.store import chunks
from algotrade.store.bars import SaveReport, load_bars, save_bars, series_id
from algotrade.store.chunks import BEGIN, END, build_chunks, differing_series, drop_chunks
from algotrade.store.coverage import (
    covered_spans,
    forget_covered,
    list_rejected,
    missing_spans,
    note_covered,
)
from algotrade.store.database import create_store, immediate
from algotrade.store.panel import Panel, load_panel
from algotrade.store.readonly import open_read_only, run_query

if TYPE_CHECKING:
    from collections.abc import Iterator

SYMBOLS = ("AAPL", "BRK.B")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "algotrade.db"


@pytest.fixture
def db(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(create_store(path)) as store:
        store.execute("PRAGMA synchronous = OFF")
        yield store


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of three bars, built as soon as one is missing."""
    make_small(monkeypatch)


def make_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "ROWS", 3)
    monkeypatch.setattr(chunks, "WORTH", 1)
    monkeypatch.setattr(chunks, "_TURN", 5)


def ts(day: int) -> int:
    return day * DAY + 21 * HOUR


def bars_at(days: dict[int, int], symbol: str = "AAPL") -> Bars:
    """Give one bar a day at a price."""
    rows = [(ts(d) - 6 * HOUR, ts(d), p, p + 1, p, p, p * 7) for d, p in sorted(days.items())]
    return from_rows("polygon", symbol, "1d", rows)


def save(
    db: sqlite3.Connection, days: dict[int, int], symbol: str = "AAPL", known_at: int = 0
) -> SaveReport:
    with immediate(db):
        return save_bars(db, bars_at(days, symbol), recorded_at=lambda _: known_at)


def by_rows(
    db: sqlite3.Connection, symbol: str, after: int = BEGIN, until: int = END
) -> list[tuple[int, ...]]:
    """Read what `load_bars` should give with SQL that knows nothing of the cache."""
    return db.execute(
        "SELECT ts_close - seconds * 1000000, ts_close, open, high, low, close, volume"
        " FROM bars JOIN series USING (series_id)"
        " WHERE symbol = ? AND ts_close > ? AND ts_close <= ? ORDER BY ts_close",
        (symbol, after, until),
    ).fetchall()


def as_rows(bars: Bars) -> list[tuple[int, ...]]:
    return list(zip(*(bars.column(name) for name in COLUMNS), strict=True))


def load(
    db: sqlite3.Connection, symbol: str = "AAPL", after: int | None = None, until: int | None = None
) -> list[tuple[int, ...]]:
    return as_rows(load_bars(db, "polygon", symbol, "1d", after=after, until=until))


def count_chunks(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM bar_chunks").fetchone()[0])


def panel_rows(panel: Panel, symbol: str) -> list[tuple[int, ...]]:
    at = panel.symbols.index(symbol)
    here = panel.present[:, at]
    columns = [panel.columns[name][here, at].tolist() for name in COLUMNS]
    assert panel.ts[here].tolist() == columns[1]
    assert not any(matrix[~here, at].any() for matrix in panel.columns.values())
    return list(zip(*columns, strict=True))


# ---- the cache equals the rows, always


class Act(NamedTuple):
    """One thing that happens: what, to which symbol, where, and two numbers it may use."""

    what: str
    symbol: str
    day: int
    span: int
    price: int


SQL = {  # by a person, in a shell that knows nothing of algotrade
    "insert": "INSERT OR IGNORE INTO bars VALUES (:s, :ts, 3600, :p, :p, :p, :p, 0, 0)",
    "replace": "INSERT OR REPLACE INTO bars VALUES (:s, :ts, 60, :p, :p, :p, :p, 0, 0)",
    "upsert": "INSERT INTO bars VALUES (:s, :ts, 60, :p, :p, :p, :p, 0, 0)"
    " ON CONFLICT DO UPDATE SET volume = volume + 1",
    "update": "UPDATE bars SET volume = :p WHERE series_id = :s AND ts_close >= :ts"
    " AND ts_close < :end",
    "move": "UPDATE OR REPLACE bars SET ts_close = ts_close + :span * 86400000000"
    " WHERE series_id = :s AND ts_close = :ts",
    "give": "UPDATE OR IGNORE bars SET series_id = 3 - :s WHERE ts_close = :ts AND series_id = :s",
    "delete": "DELETE FROM bars WHERE series_id = :s AND ts_close >= :ts AND ts_close < :end",
    "clear": "DELETE FROM bars WHERE series_id = :s",
}
OURS = ("save", "load", "part", "panel", "build", "drop", "spoil")
acts = st.builds(
    Act,
    what=st.sampled_from([*OURS, *SQL]),
    symbol=st.sampled_from(SYMBOLS),
    day=st.integers(1, 30),
    span=st.integers(1, 12),
    price=st.integers(1, 9),
)


def do(db: sqlite3.Connection, shell: sqlite3.Connection, act: Act) -> None:
    after, until = ts(act.day), ts(act.day + act.span)
    if act.what in SQL:
        series = SYMBOLS.index(act.symbol) + 1
        values = {"s": series, "ts": after, "end": until, "p": act.price, "span": act.span}
        shell.execute(SQL[act.what], values)
    elif act.what == "save":
        save(db, {act.day + i: act.price + i % 2 for i in range(act.span)}, act.symbol)
    elif act.what == "load":
        assert load(db, act.symbol) == by_rows(shell, act.symbol)
    elif act.what == "part":
        expected = by_rows(shell, act.symbol, after, until)
        assert load(db, act.symbol, after, until) == expected
    elif act.what == "panel":
        panel = load_panel(db, "polygon", SYMBOLS, "1d", COLUMNS, after=after)
        for symbol in SYMBOLS:
            assert panel_rows(panel, symbol) == by_rows(shell, symbol, after)
    elif act.what == "build":
        build_chunks(db, (1, 2))
    elif act.what == "drop":
        drop_chunks(db)
    else:  # a chunk of another version, or whose numbers do not fit, is not trusted
        change = ("version = 9", "count = count + 1", "close = x'00'", "last_ts = stop")
        shell.execute(f"UPDATE bar_chunks SET {change[act.price % 4]} WHERE series_id = 1")  # noqa: S608


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "template.db"
        with contextlib.closing(create_store(path)) as db:
            for symbol in SYMBOLS:
                series_id(db, "polygon", symbol, "1d")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        yield path


@settings(max_examples=80, deadline=None)
@given(st.lists(acts, max_size=30))
def test_the_cache_equals_the_rows_after_anything(template: Path, story: list[Act]) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        pytest.MonkeyPatch.context() as monkeypatch,
    ):
        make_small(monkeypatch)
        path = Path(folder) / "algotrade.db"
        shutil.copy(template, path)
        shell = sqlite3.connect(path, isolation_level=None)  # foreign keys, recursion: off
        with contextlib.closing(create_store(path)) as db, contextlib.closing(shell):
            db.execute("PRAGMA synchronous = OFF")
            shell.execute("PRAGMA synchronous = OFF")
            for act in story:
                do(db, shell, act)
                assert differing_series(db) == []
            for symbol in SYMBOLS:
                assert load(db, symbol) == by_rows(shell, symbol)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("sql", SQL.values(), ids=SQL)
def test_every_way_to_change_rows_by_hand_is_noticed(
    db: sqlite3.Connection, path: Path, sql: str
) -> None:
    for symbol in SYMBOLS:
        save(db, dict.fromkeys(range(0, 24, 2), 100), symbol)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as shell:
        for day in range(1, 24):
            for symbol in SYMBOLS:
                assert load(db, symbol) == by_rows(shell, symbol)
            values = {"s": 1, "ts": ts(day), "end": ts(day + 4), "p": day, "span": 5}
            shell.execute(sql, values)
            assert differing_series(db) == []
    for symbol in SYMBOLS:
        assert load(db, symbol) == by_rows(db, symbol)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("offset", [-1, 0, 1])
def test_the_edge_of_a_chunk_belongs_to_one_side(db: sqlite3.Connection, offset: int) -> None:
    save(db, dict.fromkeys(range(0, 24, 2), 100))
    load(db)
    (edge,) = db.execute("SELECT start FROM bar_chunks WHERE chunk_id = 2").fetchone()
    row = {"s": 1, "ts": edge + offset, "end": edge + offset + 1, "p": 55}
    for sql in ("replace", "update", "delete"):
        db.execute(SQL[sql], row | {"p": row["p"] + 1})
        assert load(db) == by_rows(db, "AAPL")
        assert count_chunks(db) >= 4


@pytest.mark.usefixtures("small")
def test_spans_of_the_cache_are_open_below_and_closed_above(db: sqlite3.Connection) -> None:
    save(db, dict.fromkeys(range(12), 100))
    load(db)
    for after in (ts(4) - 1, ts(4), ts(4) + 1):
        for until in (ts(7) - 1, ts(7), ts(7) + 1):
            assert load(db, after=after, until=until) == by_rows(db, "AAPL", after, until)


@pytest.mark.usefixtures("small")
def test_a_correction_drops_one_chunk_and_an_append_the_last(db: sqlite3.Connection) -> None:
    save(db, dict.fromkeys(range(12), 100))
    load(db)
    before = count_chunks(db)
    assert before == 4
    save(db, {5: 101})
    assert count_chunks(db) == before - 1
    load(db)
    assert count_chunks(db) == before
    save(db, {12: 100})
    assert count_chunks(db) == before - 1
    assert [row[5] for row in load(db)] == [*[100] * 5, 101, *[100] * 7]
    save(db, {12: 100})
    assert count_chunks(db) == before + 1, "saving the same again drops nothing"


def test_little_is_read_from_rows_and_much_builds_the_cache(db: sqlite3.Connection) -> None:
    save(db, dict.fromkeys(range(chunks.WORTH - 1), 100))
    load(db)
    assert count_chunks(db) == 0
    save(db, {chunks.WORTH - 1: 100})
    assert len(load(db)) == chunks.WORTH
    assert count_chunks(db) == 1
    save(db, {chunks.WORTH: 100})
    assert len(load(db)) == chunks.WORTH + 1


@pytest.mark.usefixtures("small")
def test_a_reader_builds_nothing_in_the_middle_of_a_transaction(db: sqlite3.Connection) -> None:
    save(db, dict.fromkeys(range(12), 100))
    with immediate(db):
        assert len(load(db)) == 12
    db.execute("BEGIN")
    assert len(load(db)) == 12
    assert build_chunks(db, (1,)) == 0
    db.execute("ROLLBACK")
    assert count_chunks(db) == 0


@pytest.mark.usefixtures("small")
def test_a_reader_does_not_wait_for_a_writer(db: sqlite3.Connection, path: Path) -> None:
    save(db, dict.fromkeys(range(12), 100))
    settings_before = [
        db.execute(f"PRAGMA {n}").fetchone() for n in ("busy_timeout", "synchronous")
    ]
    with contextlib.closing(create_store(path)) as other, immediate(other):
        assert len(load(db)) == 12
        assert count_chunks(db) == 0
    load(db)
    assert count_chunks(db) == 4
    after = [db.execute(f"PRAGMA {n}").fetchone() for n in ("busy_timeout", "synchronous")]
    assert after == settings_before


@pytest.mark.usefixtures("small")
def test_another_error_while_building_is_not_hidden(db: sqlite3.Connection) -> None:
    save(db, dict.fromkeys(range(12), 100))
    db.execute("DROP INDEX bar_chunks_by_start")
    db.execute("CREATE TRIGGER no BEFORE INSERT ON bar_chunks BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(sqlite3.IntegrityError, match="no"):
        load(db)


@pytest.mark.usefixtures("small")
def test_a_chunk_that_was_tampered_with_is_found(db: sqlite3.Connection) -> None:
    save(db, dict.fromkeys(range(12), 100))
    load(db)
    assert differing_series(db) == []
    db.execute("UPDATE bar_chunks SET close = volume WHERE chunk_id = 2")
    assert differing_series(db) == [1]
    drop_chunks(db)
    assert differing_series(db) == []


@pytest.mark.usefixtures("small")
def test_a_series_that_goes_takes_its_chunks_along(db: sqlite3.Connection) -> None:
    save(db, dict.fromkeys(range(4), 100))
    load(db)
    db.execute("DELETE FROM bars")
    load(db)
    db.execute("DELETE FROM series")
    assert count_chunks(db) == 0


def test_bounds_beyond_all_time_are_bounds(db: sqlite3.Connection) -> None:
    save(db, {1: 100})
    assert len(load(db, after=-(2**63), until=2**63 - 1)) == 1
    assert load(db, after=2**63 - 1) == []
    assert load(db, until=-(2**63)) == []


def test_many_bars_are_compared_in_parts(db: sqlite3.Connection) -> None:
    days = dict.fromkeys(range(20_000), 100)
    assert save(db, days) == SaveReport(new=20_000, changed=0)
    assert save(db, days | {3: 1, 19_999: 2, 20_000: 3}) == SaveReport(new=1, changed=2)
    assert load(db) == by_rows(db, "AAPL")
    kept = db.execute("SELECT ts_close, close FROM bar_revisions ORDER BY 1").fetchall()
    assert kept == [(ts(3), 100), (ts(19_999), 100)]


# ---- panels


@pytest.mark.parametrize("is_small", [False, True])
def test_a_panel_aligns_symbols_on_all_their_times(
    db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, *, is_small: bool
) -> None:
    if is_small:
        make_small(monkeypatch)
    save(db, {2: 20, 3: 30, 5: 50}, "LATE")
    save(db, {1: 11, 2: 21, 3: 31, 4: 41}, "SOON")
    save(db, {2: 22, 3: 32, 5: 52}, "SAME")
    panel = load_panel(db, "polygon", ("LATE", "NONE", "SOON", "SAME"), "1d", ("close", "volume"))
    assert panel.ts.tolist() == [ts(day) for day in (1, 2, 3, 4, 5)]
    assert panel.columns["close"].tolist() == [
        [0, 0, 11, 0],
        [20, 0, 21, 22],
        [30, 0, 31, 32],
        [0, 0, 41, 0],
        [50, 0, 0, 52],
    ]
    assert panel.present.tolist() == [[x > 0 for x in row] for row in panel.columns["close"]]
    assert panel.columns["volume"].tolist() == (panel.columns["close"] * 7).tolist()
    assert {matrix.dtype for matrix in panel.columns.values()} == {np.dtype(np.int64)}
    gone = load_panel(db, "polygon", ("NONE", "SAME"), "1d")
    assert gone.present.tolist() == [[False, True]] * 3
    part = load_panel(db, "polygon", ("SOON",), "1d", after=ts(1), until=ts(3))
    assert part.columns["close"].tolist() == [[21], [31]]


def test_a_panel_of_nothing_is_empty(db: sqlite3.Connection) -> None:
    panel = load_panel(db, "polygon", ("AAPL", "MSFT"), "1d")
    assert panel.columns["close"].shape == panel.present.shape == (0, 2)
    assert load_panel(db, "polygon", (), "1d").columns["close"].shape == (0, 0)


@pytest.mark.parametrize("columns", [(), ("price",), ("close; DROP TABLE bars",)])
def test_a_panel_of_no_known_column_is_refused(
    db: sqlite3.Connection, columns: tuple[str, ...]
) -> None:
    with pytest.raises(InputError, match="column"):
        load_panel(db, "polygon", ("AAPL",), "1d", columns)


@pytest.mark.usefixtures("small")
def test_as_of_reads_are_what_the_newest_were_then_bit_for_bit(db: sqlite3.Connection) -> None:
    seen = []
    for known_at in range(1, 6):
        days = {day: 100 + known_at * (day % known_at == 0) for day in range(4 * known_at)}
        save(db, days, known_at=known_at)
        save(db, days, "MSFT", known_at=known_at)
        bars = load_bars(db, "polygon", "AAPL", "1d")
        seen.append((bars, load_panel(db, "polygon", ("AAPL", "MSFT"), "1d", COLUMNS)))
    for known_at, (bars, panel) in enumerate(seen, start=1):
        again = load_bars(db, "polygon", "AAPL", "1d", known_at=known_at)
        assert again == bars
        assert again.fingerprint() == bars.fingerprint()
        then = load_panel(db, "polygon", ("AAPL", "MSFT"), "1d", COLUMNS, known_at=known_at)
        assert then.ts.tobytes() == panel.ts.tobytes()
        for name in COLUMNS:
            assert then.columns[name].tobytes("A") == panel.columns[name].tobytes("A")


# ---- the read-only door


@pytest.mark.usefixtures("small")
def test_a_store_open_for_reading_falls_back_to_rows(db: sqlite3.Connection, path: Path) -> None:
    save(db, dict.fromkeys(range(12), 100))
    with contextlib.closing(open_read_only(path, say=pytest.fail)) as reader:
        assert load(reader) == by_rows(db, "AAPL")
        assert load_panel(reader, "polygon", ("AAPL",), "1d").present.all()
        assert count_chunks(db) == 0
        assert build_chunks(reader, (1,)) == 0
        load(db)
        assert load(reader) == by_rows(db, "AAPL")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as shell:
        shell.execute("PRAGMA query_only = ON")
        assert load(shell) == by_rows(db, "AAPL")
        assert build_chunks(shell, (1,)) == 0


WRITES = (
    "INSERT INTO meta VALUES ('a', 'b')",
    "DELETE FROM bars",
    "UPDATE series SET symbol = 'X'",
    "CREATE TABLE t (x)",
    "CREATE TEMP TABLE t (x)",
    "DROP TABLE bars",
    "ATTACH '{folder}/other.db' AS other",
    "VACUUM INTO '{folder}/copy.db'",
    "VACUUM",
    "PRAGMA query_only = OFF",
    "PRAGMA user_version = 7",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA writable_schema = ON",
    "ANALYZE",
    "REINDEX",
    "SELECT load_extension('x')",
    "SELECT 1; DELETE FROM bars",
    "SELEC 1",
    "SELECT * FROM nothing",
)


@pytest.mark.parametrize("sql", WRITES)
def test_what_a_person_types_cannot_write(
    db: sqlite3.Connection, path: Path, tmp_path: Path, sql: str
) -> None:
    save(db, {1: 100})
    with contextlib.closing(open_read_only(path, say=pytest.fail)) as reader:
        with pytest.raises(InputError, match="SQL"):
            run_query(reader, sql.format(folder=tmp_path))
        assert run_query(reader, "PRAGMA query_only").rows == [(1,)]
    assert len(load(db)) == 1
    assert {file.name.split("-")[0] for file in tmp_path.iterdir()} <= {
        "algotrade.db",
        "algotrade.lock",
    }


def test_a_query_is_answered_with_names_and_cut_at_the_limit(
    db: sqlite3.Connection, path: Path
) -> None:
    save(db, {day: 10**6 * day for day in range(1, 5)})
    with contextlib.closing(open_read_only(path, say=pytest.fail)) as reader:
        answer = run_query(reader, "SELECT symbol, close FROM v_bars ORDER BY close", limit=2)
        assert answer == (("symbol", "close"), [("AAPL", 1.0), ("AAPL", 2.0)], True)
        rest = run_query(reader, "SELECT count(*) FROM v_bars WHERE close > ?", (2,), limit=2)
        assert rest == (("count(*)",), [(2,)], False)
        nested = (
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 3)"
            " SELECT sum(x) FROM n"
        )
        assert run_query(reader, nested).rows == [(6,)]
        assert run_query(reader, "SELECT value FROM json_each('[1]')").rows == [(1,)]
        assert len(run_query(reader, "PRAGMA table_info(bars)").rows) == 9


def test_a_missing_or_foreign_file_is_not_opened_for_reading(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="no store"):
        open_read_only(tmp_path / "none.db", say=pytest.fail)
    with contextlib.closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE t (x)")
    with pytest.raises(LedgerError, match="not a store"):
        open_read_only(tmp_path / "other.db", say=pytest.fail)


def refuse_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    from algotrade.store import database, readonly

    def connect(path: Path, mode: str) -> sqlite3.Connection:
        db = database.connect(path, mode)
        if "immutable" not in mode:
            db.close()
            return database.connect(path.with_name("missing"), mode)
        return db

    monkeypatch.setattr(readonly, "connect", connect)


def test_a_read_only_file_system_is_read_as_immutable_and_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.closing(create_store(path)) as db:
        save(db, {1: 100})
    refuse_locks(monkeypatch)
    told: list[str] = []
    with contextlib.closing(open_read_only(path, say=told.append)) as reader:
        assert len(load(reader)) == 1
    assert len(told) == 1


def test_changes_that_would_be_missed_are_not_missed(
    db: sqlite3.Connection, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(db, {1: 100})
    assert path.with_name("algotrade.db-wal").stat().st_size
    refuse_locks(monkeypatch)
    with pytest.raises(DiskError, match="-wal"):
        open_read_only(path, say=pytest.fail)


# ---- coverage


spans = st.tuples(st.integers(0, 40), st.integers(0, 12)).map(lambda s: (s[0], s[0] + s[1]))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(spans, st.booleans()), max_size=12), spans)
def test_coverage_is_a_set_of_days(
    template: Path, noted: list[tuple[tuple[int, int], bool]], asked: tuple[int, int]
) -> None:
    with contextlib.closing(sqlite3.connect(template, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = OFF")
        db.execute("BEGIN")
        days: set[int] = set()
        for (first, last), is_old in noted:
            if is_old:  # as versions before wrote it: overlapping
                db.execute("INSERT INTO coverage VALUES (NULL, 1, ?, ?, 0, 0)", (first, last))
            else:
                note_covered(db, 1, first, last, asked_at=1, bars=1)
            days |= set(range(first, last + 1))
        note_covered(db, 2, 0, 100, asked_at=1, bars=1)
        missing = missing_spans(db, 1, *asked)
        found = covered_spans(db, 1)
        forget_covered(db, 1)
        assert missing_spans(db, 1, *asked) == [asked]
        db.execute("ROLLBACK")
    assert {day for a, z in missing for day in range(a, z + 1)} == {
        *range(asked[0], asked[1] + 1)
    } - days
    assert {day for a, z in found for day in range(a, z + 1)} == days
    for parts in (missing, found):
        assert all(a <= z for a, z in parts)
        assert all(z + 1 < b for (_, z), (b, _) in pairwise(parts))


def test_covered_days_are_kept_as_one_span_with_its_newest_answer(db: sqlite3.Connection) -> None:
    series = series_id(db, "polygon", "AAPL", "1d")
    note_covered(db, series, 1, 5, asked_at=10, bars=4)
    note_covered(db, series, 20, 25, asked_at=11, bars=0)
    note_covered(db, series, 6, 8, asked_at=9, bars=2)
    rows = db.execute("SELECT first_day, last_day, asked_at, bars FROM coverage ORDER BY 1")
    assert rows.fetchall() == [(1, 8, 10, 6), (20, 25, 11, 0)]
    assert missing_spans(db, series, 0, 30) == [(0, 0), (9, 19), (26, 30)]
    assert missing_spans(db, None, 3, 4) == [(3, 4)]
    with pytest.raises(InputError, match="ends at 3"):
        missing_spans(db, series, 4, 3)


def test_rejected_bars_are_listed_with_their_reason(db: sqlite3.Connection) -> None:
    for symbol in ("MSFT", "AAPL"):
        series = series_id(db, "polygon", symbol, "1d")
        db.execute("INSERT INTO rejected_bars VALUES (?, '2024-01-02', 'high < low', 5)", (series,))
    found = list_rejected(db, "polygon")
    assert [(r.symbol, r.when, r.reason, r.seen_at) for r in found] == [
        ("AAPL", "2024-01-02", "high < low", 5),
        ("MSFT", "2024-01-02", "high < low", 5),
    ]
    assert [r.symbol for r in list_rejected(db, "polygon", "MSFT", "1d")] == ["MSFT"]
    assert list_rejected(db, "sample") == list_rejected(db, "polygon", timeframe="1m") == []
