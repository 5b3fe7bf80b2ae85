"""What somebody found who had only the documentation: halts, backups and questions gone wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cli_helpers import cli, copied, one_clear_line

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(fetched: Path, tmp_path: Path) -> Path:
    return copied(fetched, tmp_path / "home")


@pytest.mark.parametrize(
    "wrong",
    [
        b"[watchlists]\nmain = 'AAPL'\n",
        b"\xff\xfe",
        b"[risk]\nmax_order_usd = 'abc'\n",
        b"key_file = '/nope'\n",
    ],
)
def test_a_halt_does_not_wait_for_settings_to_be_right(home: Path, wrong: bytes) -> None:
    (home / "algotrade.toml").write_bytes(wrong)
    ran = cli("risk", "halt", "--reason", "panic", home=home).well()
    assert "halted by the file" in ran.err
    assert (home / "HALT").read_text() == "panic\n"
    (home / "algotrade.toml").unlink()
    assert cli("trade", "--symbol", "AAPL", "--qty", "1", "--no-model", home=home).code == 4


def test_a_halt_does_not_wait_for_the_environment_to_be_right(home: Path) -> None:
    env = {"ALGOTRADE_RISK__MAX_ORDER_USD": "abc"}
    cli("risk", "halt", "--reason", "panic", home=home, env=env).well()
    assert (home / "HALT").exists()
    ran = cli("risk", home=home, env=env)
    assert ran.code == 12


def test_what_if_is_about_one_symbol(home: Path) -> None:
    ran = cli("risk", "what-if", "--symbol", "AAPL,MSFT", "--qty", "2", home=home)
    assert ran.code == 2
    assert "more than one symbol" in one_clear_line(ran, 2)


def test_a_horizon_of_nothing_is_no_matter_of_data(home: Path) -> None:
    ran = cli("train", "--horizon", "0", home=home)
    assert ran.code == 2
    assert "train.horizon = 0" in one_clear_line(ran, 2)


def test_a_backup_makes_no_folder_that_was_named_by_mistake(home: Path, tmp_path: Path) -> None:
    ran = cli("backup", str(tmp_path / "unmounted" / "x.db"), home=home)
    assert ran.code == 2
    assert "is its disk mounted?" in ran.err
    assert not (tmp_path / "unmounted").exists()


@pytest.mark.parametrize("where", ["nowhere/x.txt", "."])
def test_a_result_for_a_place_that_is_none(home: Path, tmp_path: Path, where: str) -> None:
    ran = cli("status", "-o", str(tmp_path / where), home=home)
    assert ran.code == 2
    assert f"--out {tmp_path / where}: " in ran.err


def test_nothing_is_accepted_where_nothing_is_missing(home: Path) -> None:
    ran = cli("ledger", "accept", "--reason", "why not", home=home)
    assert ran.code == 2
    assert "nothing to accept" in one_clear_line(ran, 2)
