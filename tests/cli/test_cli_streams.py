"""Streams and formats: stdout is data, stderr is talk, and a program can rely on both."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import select
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from cli_helpers import PATH, PROGRAM, cli, contents, copied, files, process

if TYPE_CHECKING:
    from pathlib import Path

READING = {
    "status": "status",
    "clock": "clock",
    "config": "config show",
    "predict": "predict AAPL",
    "portfolio": "portfolio",
    "trades": "trades",
    "risk": "risk",
    "why": "why AAPL",
    "rehearsal": "trade --symbol AAPL --qty 12 --dry-run",
    "bars": "bars AAPL",
    "coverage": "data coverage",
    "sql": "sql SELECT*FROM(v_bars)LIMIT(9)",
}
SCHEMAS = {"rehearsal": "trade", "coverage": "data-coverage"}
HEAVY = {"pandas", "sklearn", "sqlite_utils", "numpy", "scipy", "joblib", "exchange_calendars"}

reading = pytest.mark.parametrize("name", READING)


def run(name: str, *more: str, home: Path, **env: str) -> Any:  # noqa: ANN401 -- a Ran
    return cli(*READING[name].split(), *more, home=home, env=env).well()


@reading
def test_json_is_one_versioned_object(name: str, traded: Path) -> None:
    envelope = run(name, "--json", home=traded).envelope
    assert envelope["schema"] == f"algotrade.{SCHEMAS.get(name, name)}/1"
    assert envelope["ok"] is True
    assert set(envelope) == {"schema", "ok", "data", "warnings"}
    assert all(isinstance(line, str) for line in envelope["warnings"])


@reading
def test_rows_are_the_same_in_every_format(name: str, traded: Path) -> None:
    lines = run(name, "--format", "jsonl", home=traded).out.splitlines()
    rows = [json.loads(line) for line in lines]
    assert rows
    text = run(name, "--format", "tsv", home=traded).out
    if name == "why":  # whose sentences are the result, in a pipe as well
        assert run(name, home=traded).out == run(name, "--format", "table", home=traded).out
    elif name != "config":  # which tells of the format, too
        assert text == run(name, home=traded).out  # not a terminal: tsv
    assert "\r" not in text
    header, *body = [line.split("\t") for line in text.splitlines()]
    assert header == list(dict.fromkeys(key for row in rows for key in row))
    assert len(body) == len(rows)
    assert all(len(cells) == len(header) for cells in body)
    table = list(csv.DictReader(io.StringIO(run(name, "--format", "csv", home=traded).out)))
    assert [list(row) for row in table] == [header] * len(rows)
    for row, cells, named in zip(rows, body, table, strict=True):
        for key, cell in zip(header, cells, strict=True):
            value = row.get(key)
            if row.get("setting") == "format":  # it is what was just asked for
                continue
            if isinstance(value, float | int) and not isinstance(value, bool):
                assert float(cell) == float(named[key]) == value
            elif isinstance(value, str) and "\n" not in value:
                assert cell == value
            elif value is None:
                assert cell == named[key] == ""


@reading
def test_talk_goes_to_stderr_only(name: str, traded: Path) -> None:
    ran = run(name, home=traded)
    assert "algotrade: " not in ran.out
    assert all(line.startswith("algotrade: ") for line in ran.err.splitlines())
    assert "\x1b" not in ran.out + ran.err


@reading
def test_quiet_prints_nothing_unless_a_format_was_asked(name: str, traded: Path) -> None:
    ran = run(name, "-q", home=traded)
    assert (ran.out, ran.err) == ("", "")
    asked = run(name, "-q", "--json", home=traded)
    assert asked.err == ""
    assert asked.envelope["ok"] is True


@reading
def test_reading_changes_nothing(name: str, traded: Path) -> None:
    before = contents(traded)
    run(name, home=traded)
    assert contents(traded) == before


@pytest.mark.parametrize(
    ("command", "code", "kind"),
    [
        ("portfolio --home /nowhere", 10, "ledger"),
        ("predict AAPL --model nope", 6, "model"),
        ("predict XYZ", 5, "data"),
        ("trade --symbol AAPL --qty nan", 2, "input"),
        ("trade --symbol AAPL", 2, "input"),
        ("fetch AAPL --source polygon", 12, "secret"),
        ("withdraw 1000000", 2, "input"),
    ],
)
def test_an_error_in_json_is_one_line(command: str, code: int, kind: str, traded: Path) -> None:
    for asked in ("--json", "--format json", "--format=json"):
        ran = cli(*command.split(), *asked.split(), "-q", home=traded)
        assert (ran.code, ran.out, ran.err.count("\n")) == (code, "", 1)
        error = json.loads(ran.err)["error"]
        assert set(error) == {"code", "kind", "message", "hint"}
        assert (error["code"], error["kind"]) == (code, kind)
        talking = cli(*command.split(), *asked.split(), home=traded)
        assert talking.out == ""
        assert json.loads(talking.err.splitlines()[-1])["error"] == error


def test_a_refusal_in_json_is_a_value(sample: Path) -> None:
    ran = cli("trade", "--symbol", "AAPL", "--qty", "499", "--json", home=sample)
    assert ran.code == 3
    assert (ran.envelope["ok"], ran.envelope["data"][0]["outcome"]) == (False, "refused")


def test_out_writes_the_whole_file_or_leaves_the_old_one(traded: Path, tmp_path: Path) -> None:
    path = tmp_path / "account.json"
    path.write_text("old", encoding="utf-8")
    ran = cli("portfolio", "--json", "--out", str(path), home=traded).well()
    assert ran.out == ""
    told = cli("portfolio", "--json", home=traded).well()
    assert path.read_text(encoding="utf-8") == told.out
    assert cli("portfolio", "-q", "-o", str(path), home=traded).well().err == ""
    assert path.read_text(encoding="utf-8").startswith("symbol\tquantity")
    assert cli("portfolio", "-o", "-", home=traded).well().out.startswith("symbol\t")
    assert list(files(tmp_path)) == ["account.json"]


def test_out_that_cannot_be_written_leaves_nothing(traded: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for place in ("folder", "missing/account.json"):
        ran = cli("portfolio", "--out", str(tmp_path / place), home=traded)
        assert (ran.code, ran.out) == (2, "")
        assert f"--out {tmp_path / place}: " in ran.err
    assert files(tmp_path) == {}


def test_out_to_a_device_leaves_the_device(traded: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with open(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), encoding="utf-8") as reader:  # noqa: PTH123
        cli("portfolio", "--json", "--out", str(pipe), home=traded).well()
        assert json.loads(reader.read())["ok"] is True
    assert pipe.is_fifo()


def test_an_out_that_fails_half_way_keeps_the_old_file(
    traded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "account.json"
    path.write_text("old", encoding="utf-8")

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    ran = cli("portfolio", "--json", "--out", str(path), home=traded)
    assert ran.code == 11
    assert "No space left on device" in ran.err
    assert path.read_text(encoding="utf-8") == "old"
    assert list(files(tmp_path)) == ["account.json"]


@pytest.mark.parametrize("command", ["config show --format csv", "portfolio --json", "--help"])
def test_a_reader_that_has_gone_away(command: str, traded: Path, tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb") as closed:  # noqa: PTH123 -- a descriptor
        done = subprocess.run(
            [PROGRAM, *command.split()],
            cwd=tmp_path,
            env={"PATH": PATH, "HOME": str(tmp_path), "ALGOTRADE_HOME": str(traded)},
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode in {141, 1}
    assert command == "--help" or done.returncode == 141
    assert "Traceback" not in done.stderr
    assert "a bug" not in done.stderr
    assert "Broken" not in done.stderr


def on_terminal(*args: str, home: Path, cwd: Path, **env: str) -> str:
    """Run with stdout on a terminal; give what a person sees."""
    main, worker = pty.openpty()
    clean = {"PATH": PATH, "HOME": str(cwd), "ALGOTRADE_HOME": str(home), "TERM": "xterm"}
    with subprocess.Popen(
        [PROGRAM, *args], stdout=worker, stderr=subprocess.DEVNULL, cwd=cwd, env=clean | env
    ) as child:
        os.close(worker)
        shown = b""
        while select.select([main], [], [], 20)[0]:
            try:
                part = os.read(main, 65536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
    os.close(main)
    assert child.returncode == 0
    return shown.decode()


def test_colour_only_for_a_terminal_that_wants_it(traded: Path, tmp_path: Path) -> None:
    coloured = on_terminal("portfolio", home=traded, cwd=tmp_path)
    assert "\x1b[" in coloured
    assert "avg cost" in coloured  # the table for people
    for more, env in (
        ((), {"NO_COLOR": "1"}),
        (("--no-color",), {}),
        ((), {"TERM": "dumb"}),
    ):
        plain = on_terminal("portfolio", *more, home=traded, cwd=tmp_path, **env)
        assert "\x1b" not in plain
        assert "avg cost" in plain
    assert "\x1b" not in on_terminal("portfolio", "--json", home=traded, cwd=tmp_path)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_of_another_encoding(encoding: str, traded: Path, tmp_path: Path) -> None:
    env = {"ALGOTRADE_HOME": str(traded), "PYTHONIOENCODING": encoding}
    ran = process("portfolio", "--format", "table", cwd=tmp_path, env=env).well()
    assert ("\u2500" if encoding == "utf-8" else "-----") in ran.out


def test_an_empty_no_color_is_not_set(traded: Path, tmp_path: Path) -> None:
    assert "\x1b[" in on_terminal("risk", home=traded, cwd=tmp_path, NO_COLOR="")


_DRIVER = """
import sys
from algotrade.cli.main import run
sys.argv[0] = "algotrade"
try:
    run()
except SystemExit as end:
    code = end.code
    loaded = sorted({name.split(".")[0] for name in sys.modules})
    print("MODULES", *loaded, file=sys.stderr)
    raise
"""


@pytest.mark.parametrize(
    "command",
    [
        "--help",
        "--version",
        "portfolio",
        "risk",
        "status",
        "trades",
        "predict AAPL",
        "trade --symbol AAPL --qty 10 --dry-run",
        "trade --symbol AAPL --qty 10",
        "risk halt --reason drill",
    ],
)
def test_light_commands_import_nothing_heavy(command: str, traded: Path, tmp_path: Path) -> None:
    home = copied(traded, tmp_path / "home")
    ran = process(
        *command.split(), cwd=tmp_path, env={"ALGOTRADE_HOME": str(home)}, driver=_DRIVER
    ).well()
    loaded = set(ran.err.splitlines()[-1].split()[1:])
    assert "typer" in loaded
    assert not loaded & HEAVY
