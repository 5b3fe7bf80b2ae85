"""What people and scripts get wrong: one clear line, its remedy, its exit code, nothing changed."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest

from cli_helpers import cli, contents, copied, files, live, one_clear_line, query

TRADE = ("trade", "--qty", "10", "--symbol")
SYMBOLS = (
    "../../x",
    "/",
    "a/b/c",
    "A\0B",
    "A\nB",
    "AAPL\n",
    "AAPL;DROP TABLE bars",
    ";DROP",
    "'; --",
    "-AAPL",
    "--help-me",
    "ABCDEFGHIJKLM",
    "ＡＡＰＬ",  # noqa: RUF001 -- full-width
    "ΑAPL",  # noqa: RUF001 -- a Greek alpha
    "AA\u200bPL",
    "\u202eLPAA",
    "AA PL",
    " AAPL",
    "123",
    "AAPL.",
    "[/red]",
    "",
)
QUANTITIES = (
    "0",
    "0.0",
    "0.000000000",
    "-1",
    "+1",
    "nan",
    "inf",
    "-inf",
    "1e308",
    "1e999",
    "5e-324",
    "1e3",
    "1_000",
    "1,000",
    " 5",
    "5 ",
    "٣",  # an Arabic three
    "0x10",
    "1.",
    ".5",
    "1.0000000001",
    "1234567890",
    "ten",
    "",
)
DATES = (
    "garbage",
    "2012-02-30",
    "2012-13-01",
    "2012-1-1",
    "20120101",
    "01/02/2012",
    "1969-12-31",
    "0000-00-00",
    "2012-01-01T00:00",
    "2012-01-01T00:00:00Z",
    "yesterday",
    "٢٠١٢-٠١-٠١",  # noqa: RUF001 -- Arabic digits
    "",
)
AMOUNTS = ("0", "-5", "nan", "inf", "1e3", "1,000", "$5", "0.0000001", "1234567890123", "")


def test_the_catalogue_s_good_symbols_are_mapped_with_a_note(fetched: Path) -> None:
    ran = cli("fetch", "aapl", "--json", home=fetched).well()
    assert ran.data[0]["symbol"] == "AAPL"
    assert "symbol 'aapl' read as AAPL" in ran.envelope["warnings"]
    for typed in ("BRK/B", "BF-B"):
        assert f"symbol {typed!r} read as" in cli("fetch", typed, home=fetched).err


@pytest.mark.parametrize("symbol", SYMBOLS, ids=ascii)
def test_symbols(symbol: str, trained: Path, tmp_path: Path) -> None:
    before = contents(trained)
    nowhere = tmp_path / "home"
    one_clear_line(cli("fetch", "--", symbol, home=nowhere), 2)
    one_clear_line(cli(*TRADE, symbol, home=nowhere), 2)
    assert not nowhere.exists()
    for command in (("fetch",), ("train",), ("predict",), ("why",)):
        told = one_clear_line(cli(*command, "--", symbol, home=trained), 2)
        assert told.isascii(), told
    one_clear_line(cli(*TRADE, symbol, home=trained), 2)
    assert contents(trained) == before


def test_unknown_symbols(trained: Path) -> None:
    for command in (("fetch", "XYZZY"), ("predict", "XYZZY"), ("train", "XYZZY"), (*TRADE, "XYZ")):
        one_clear_line(cli(*command, home=trained), 5)
    assert query(trained, "SELECT symbol FROM series") == [("AAPL",)]


@pytest.mark.parametrize("quantity", QUANTITIES, ids=ascii)
def test_quantities(quantity: str, trained: Path) -> None:
    before = contents(trained)
    told = one_clear_line(cli("trade", "--symbol", "AAPL", f"--qty={quantity}", home=trained), 2)
    assert "--qty" in told
    assert told.isascii()
    assert contents(trained) == before


@pytest.mark.parametrize("day", DATES, ids=ascii)
def test_dates(day: str, tmp_path: Path) -> None:
    nowhere = tmp_path / "home"
    told = one_clear_line(cli("fetch", "AAPL", f"--from={day}", home=nowhere), 2)
    assert "--from" in told
    assert not nowhere.exists()


@pytest.mark.parametrize("day", ["2012-12-04", "2999-01-01", "9999-12-31"])
def test_dates_to_come(day: str, fetched: Path, tmp_path: Path) -> None:
    home = copied(fetched, tmp_path / "home")
    before = contents(home)
    told = one_clear_line(cli("fetch", "AAPL", "--from", day, home=home), 2)
    assert f"--from {day} is after the last completed session 2012-12-03" in told
    assert contents(home) == before


@pytest.mark.parametrize("now", ["now", "2026-11-20", "2026-11-20T21:05:00", "2026-02-30T00:00Z"])
def test_a_rehearsed_time_needs_a_zone(now: str, live_trained: Path) -> None:
    before = contents(live_trained)
    told = one_clear_line(cli("portfolio", home=live_trained, env=live("http://[::1]:9", now)), 2)
    assert "ALGOTRADE_NOW" in told
    assert contents(live_trained) == before


@pytest.mark.parametrize("amount", AMOUNTS, ids=ascii)
@pytest.mark.parametrize("command", ["deposit", "withdraw"])
def test_amounts(command: str, amount: str, trained: Path) -> None:
    before = contents(trained)
    one_clear_line(cli(command, "--", amount, home=trained), 2)
    assert contents(trained) == before


def test_more_than_the_cash_cannot_be_withdrawn(trained: Path) -> None:
    before = contents(trained)
    told = one_clear_line(cli("withdraw", "100000.01", home=trained), 2)
    assert "cannot withdraw 100,000.01 USD: free cash is 100,000.00" in told
    assert contents(trained) == before


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("trade", "--symbol", "AAPL", "--qty", "1", "--side", "up"), "--side 'up'"),
        (("trade", "--symbol", "AAPL", "--qty", "1", "--client-id", "a b"), "--client-id 'a b'"),
        (("trade", "--symbol", "AAPL", "--qty", "1", "--client-id", "x" * 33), "--client-id"),
        (("trade", "--symbol", "AAPL", "--qty", "1", "--model", "m", "--no-model"), "contradict"),
        (("portfolio", "--format", "xml"), "format = 'xml'"),
        (("portfolio", "--source", "yahoo"), "source = 'yahoo'"),
        (("train", "--model", "gpt"), "train.model = 'gpt'"),
        (("train", "--horizon", "-1"), "train.horizon = '-1'"),
        (("train", "--threshold", "1"), "train.threshold = '1'"),
        (("train", "--threshold", "nan"), "train.threshold = 'nan'"),
        (("train", "--seed", "x"), "train.seed = 'x'"),
        (("clock", "next", "0"), "sessions 0 is not positive"),
        (("why", "zz-nothing"), "'zz-nothing'"),
        (("why", "abcdef12"), "abcdef12"),
        (("why", "IBM"), "no decision on IBM"),
        (("frobnicate",), "frobnicate"),
        (("portfoli",), "portfoli"),
        (("portfolio", "--frob"), "--frob"),
        (("portfolio", "extra"), "extra"),
        (("trade", "--symbol", "AAPL"), "no size is given"),
        (("trade", "--symbol", "AAPL", "--qty", "1", "--usd", "5"), "--qty and --usd contradict"),
        (("risk", "frob"), "frob"),
        (("risk", "halt"), "--reason"),
        (("clock", "next", "x"), "'x'"),
        (("--frob",), "--frob"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_flags_and_commands(command: tuple[str, ...], said: str, trained: Path) -> None:
    before = contents(trained)
    assert said in one_clear_line(cli(*command, home=trained), 2)
    if command[-2:-1] != ("--format",):
        in_json = cli(*command, "--json", "-q", home=trained)
        assert in_json.code == 2
        assert not in_json.out
        error = json.loads(in_json.err)["error"]
        assert (error["code"], error["kind"]) == (2, "input")
    assert contents(trained) == before


def test_json_and_another_format_contradict(trained: Path) -> None:
    ran = cli("portfolio", "--json", "--format", "csv", home=trained)
    assert ran.code == 2
    assert "contradict" in json.loads(ran.err)["error"]["message"]


def test_time_goes_on_only(fetched: Path) -> None:
    one_clear_line(cli("clock", "next", "--", "-3", home=fetched), 2)


def test_an_unknown_model(trained: Path) -> None:
    for command in (("predict", "AAPL"), (*TRADE, "AAPL")):
        told = one_clear_line(cli(*command, "--model", "nope", home=trained), 6)
        assert "no model 'nope'" in told


def test_no_model_yet(fetched: Path) -> None:
    for command in (("predict", "AAPL"), (*TRADE, "AAPL")):
        one_clear_line(cli(*command, home=fetched), 6)


def test_too_many_sessions(fetched: Path) -> None:
    before = contents(fetched)
    told = one_clear_line(cli("clock", "next", "61", home=fetched), 5)
    assert "the sample has 60 sessions left" in told
    assert contents(fetched) == before


@pytest.mark.parametrize(
    "command",
    [
        "portfolio",
        "risk",
        "trades",
        "status",
        "clock",
        "predict",
        "train",
        "deposit 5",
        "why AAPL",
        "trade --symbol AAPL --qty 10",
        "trade --symbol AAPL --qty 10 -n",
        "risk reset --reason x",
    ],
)
def test_a_missing_store_is_told_and_not_made(command: str, tmp_path: Path) -> None:
    nowhere = tmp_path / "home"
    told = one_clear_line(cli(*command.split(), home=nowhere), 10)
    assert f"no store at {nowhere}" in told
    empty = tmp_path / "empty"
    empty.mkdir()
    one_clear_line(cli(*command.split(), home=empty), 10)
    assert files(tmp_path) == {}
    assert not nowhere.exists()


def test_a_halt_needs_a_home(tmp_path: Path) -> None:
    one_clear_line(cli("risk", "halt", "--reason", "x", home=tmp_path / "home"), 2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["sqlite", "text", "zeros"])
def test_a_foreign_file_as_store(content: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "data").mkdir(parents=True)
    path = home / "data" / "algotrade.db"
    if content == "sqlite":
        with contextlib.closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE theirs (x)")
            db.commit()
    else:
        path.write_bytes(b"Dear diary\n" * 400 if content == "text" else bytes(8192))
    before = files(home)
    for command in (("portfolio",), ("fetch", "AAPL"), ("init",), (*TRADE, "AAPL"), ("risk",)):
        told = one_clear_line(cli(*command, home=home), 10, hint=False)
        assert str(path) in told
    kept = {name: digest for name, digest in files(home).items() if not name.endswith(".lock")}
    assert kept == before


@pytest.mark.parametrize("command", [("portfolio",), ("fetch", "AAPL"), ("init",)])
def test_a_file_as_home(command: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("mine", encoding="utf-8")
    ran = cli(*command, "--home", str(path), home=None)
    assert str(path) in one_clear_line(ran, ran.code, hint=False)
    assert ran.code in {2, 11, 12}
    assert path.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("settings", "said", "hint"),
    [
        ("[risk]\nmax_order_us = 1\n", "risk.max_order_us", "risk.max_order_usd"),
        ("sorce = 'sample'\n", "sorce", "source"),
        ("[risk]\nmax_order_usd = nan\n", "risk.max_order_usd = 'nan'", "plain number"),
        ("[risk]\nmax_order_usd = inf\n", "risk.max_order_usd = 'inf'", "plain number"),
        ("[risk]\nmax_order_usd = -1\n", "risk.max_order_usd = '-1'", "plain number"),
        ("[risk]\nmax_order_usd = 1e9\n", "risk.max_order_usd = '1e9'", "plain number"),
        ("[risk]\nmax_order_usd = ''\n", "risk.max_order_usd = ''", "plain number"),
        ("[risk]\nmax_order_usd = [1]\n", "risk.max_order_usd = '[1]'", "plain number"),
        ("[risk]\ndrawdown_halt_pct = true\n", "risk.drawdown_halt_pct = 'True'", "plain number"),
        ("[risk]\nshort = true\n", "risk.short = 'True'", "one of off, on"),
        ("[risk]\nmax_order_usd = 1\nmax_order_usd = 2\n", "algotrade.toml", None),
        ("[risk\n", "algotrade.toml", None),
        (b"\xff\xfe", "algotrade.toml", None),
        (None, "algotrade.toml", None),  # a folder of that name
    ],
)
def test_limits_that_cannot_be_read(
    settings: str | bytes | None, said: str, hint: str | None, sample: Path
) -> None:
    path = sample / "algotrade.toml"
    if settings is None:
        path.mkdir()
    else:
        path.write_bytes(settings if isinstance(settings, bytes) else settings.encode())
    before = contents(sample)
    for command in ((*TRADE, "AAPL"), ("risk",), ("portfolio",)):
        ran = cli(*command, home=sample)
        assert said in one_clear_line(ran, 12, hint=hint is not None)
        assert hint is None or hint in ran.err.splitlines()[-1]
    assert contents(sample) == before


@pytest.mark.parametrize(
    ("variable", "value", "hint"),
    [
        ("ALGOTRADE_RISK__MAX_ORDER_US", "1", "ALGOTRADE_RISK__MAX_ORDER_USD"),
        ("ALGOTRADE_HOM", "/x", None),
        ("ALGOTRADE_RISK__MAX_ORDER_USD", "nan", "plain number"),
        ("ALGOTRADE_RISK__MAX_ORDER_USD", "1e5", "plain number"),
        ("ALGOTRADE_FORMAT", "xml", "one of"),
    ],
)
def test_a_misspelt_environment(variable: str, value: str, hint: str | None, sample: Path) -> None:
    before = contents(sample)
    ran = cli(*TRADE, "AAPL", home=sample, env={variable: value})
    one_clear_line(ran, 12)
    assert variable in ran.err
    assert hint is None or hint in ran.err.splitlines()[-1]
    assert contents(sample) == before


def test_a_secret_that_others_can_read(sample: Path) -> None:
    key = sample / "key"
    key.write_text("s3cret-canary\n", encoding="utf-8")
    key.chmod(0o644)
    told = one_clear_line(cli("portfolio", home=sample, env={"ALGOTRADE_KEY_FILE": "key"}), 12)
    assert "can be read by others" in told
    assert "s3cret-canary" not in told


def test_a_model_with_one_flipped_bit_is_refused(sample: Path) -> None:
    for path in sorted(Path(sample / "models").rglob("*")):
        if not path.is_file() or path.suffix == ".joblib":  # nothing here unpickles the estimator
            continue
        whole = path.read_bytes()
        path.write_bytes(whole[:-20] + bytes([whole[-20] ^ 1]) + whole[-19:])
        for command in (("predict", "AAPL"), (*TRADE, "AAPL")):
            one_clear_line(cli(*command, home=sample), 6)
        path.write_bytes(whole)
    cli("predict", "AAPL", home=sample).well()


def test_a_changed_ledger_is_refused(sample: Path) -> None:
    with contextlib.closing(sqlite3.connect(sample / "data" / "algotrade.db")) as db:
        for (name,) in db.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'trigger'"
        ).fetchall():
            db.execute(f'DROP TRIGGER "{name}"')
        db.execute("UPDATE ledger SET amount = amount + 1")
        db.commit()
    for command in (("portfolio",), ("status",), (*TRADE, "AAPL"), ("risk",), ("trades",)):
        one_clear_line(cli(*command, home=sample), 10, hint=False)
