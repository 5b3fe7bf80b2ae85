"""What a hostile shell brings: huge numbers, broken bytes, closed streams, places that are none."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from cli_helpers import PATH, PROGRAM, cli, copied, one_clear_line, query

if TYPE_CHECKING:
    from pathlib import Path

HUGE = "9" * 24


@pytest.fixture
def home(fetched: Path, tmp_path: Path) -> Path:
    return copied(fetched, tmp_path / "home")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("replay", "--decision", HUGE), f"account sample has no decision {HUGE}"),
        (("why", "--decision", f"-{HUGE}"), f"account sample has no decision -{HUGE}"),
        (("train", "--seed", "4294967296"), "train.seed = '4294967296' (from flag)"),
        (("train", "--jobs", "0"), "--jobs 0 is not between 1 and 256"),
        (("status", "--home", ""), "--home is empty"),
        (("risk", "--home", "", "show"), "--home is empty"),
        (("status", "--home", "~no-such-user/x"), "there is no such user"),
        (("demo", "--keep", "~no-such-user/x"), "there is no such user"),
        (("backtest", "AAPL", "--strategy", "~no-such-user/x.py:f"), "there is no such user"),
        (("train", "--features", "~no-such-user/x.py:f"), "there is no such user"),
        (("status", "--json", "--format", "csv"), "contradict each other"),
    ],
)
def test_what_nobody_can_mean_is_bad_input(home: Path, words: tuple[str, ...], told: str) -> None:
    ran = cli(*words, home=home)
    if "--json" in words:
        assert (ran.code, "give one of them" in ran.err) == (2, True)
    else:
        assert told in one_clear_line(ran, 2)


def test_as_many_as_there_are_are_listed(home: Path) -> None:
    assert cli("runs", "list", "--last", HUGE, "--json", home=home).well().data == []


@pytest.mark.parametrize("now", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "2200-01-01T00Z"])
def test_a_time_beyond_every_calendar_is_refused(home: Path, now: str) -> None:
    env = {"ALGOTRADE_NOW": now, "POLYGON_API_KEY": "x", "ALGOTRADE_API_BASE": "http://127.0.0.1:9"}
    for words in (("fetch", "AAPL"), ("market",)):
        assert "ALGOTRADE_NOW" in one_clear_line(cli(*words, home=home, env=env), 2)


def test_a_home_that_is_no_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    ran = cli("status", home=tmp_path / "file")
    assert f"the home {tmp_path / 'file'} is no folder" in one_clear_line(ran, 12)


def test_a_key_file_of_nobody_is_told(home: Path) -> None:
    env = {"ALGOTRADE_KEY_FILE": "~no-such-user/key"}
    assert "key_file '~no-such-user/key'" in one_clear_line(cli("status", home=home, env=env), 12)


def test_a_reason_in_broken_bytes_is_kept_as_far_as_it_can_be_read(home: Path) -> None:
    cli("risk", "halt", "--reason", "stop \udcff\x1b[31m now", home=home).well()
    assert query(home, "SELECT reason FROM halts") == [("stop ? [31m now",)]
    assert (home / "HALT").read_text(encoding="utf-8") == "stop ? [31m now\n"
    cli("risk", "reset", "--reason", "\udcfe fine", home=home).well()
    cli("risk", "set", "max_order_usd", "20000", "--reason", "\udcfe", home=home).well()


def shell(line: str, home: Path) -> subprocess.CompletedProcess[str]:
    env = {"PATH": PATH, "HOME": str(home), "ALGOTRADE_HOME": str(home), "A": PROGRAM}
    return subprocess.run(
        ["/bin/sh", "-c", line], env=env, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ('"$A" flatten <&-', 2, "needs a yes"),
        ('"$A" fetch - <&-', 2, "no symbol came on stdin"),
        ('"$A" trade -h >/dev/full', 11, "cannot be written: No space left on device"),
        ('"$A" status >&-', 0, ""),
        ('"$A" status 2>&-', 0, ""),
        ('mkdir gone && cd gone && rmdir ../gone && unset ALGOTRADE_HOME && "$A" status', 10, "no"),
    ],
)
def test_a_shell_that_closes_what_a_program_needs(
    home: Path, line: str, code: int, told: str
) -> None:
    done = shell(f'cd "$HOME" && {line}', home)
    assert done.returncode == code, done
    assert told in done.stderr
    assert "a bug" not in done.stderr
