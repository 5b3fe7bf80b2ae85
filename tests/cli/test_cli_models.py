"""Models and audit at the command line: states, refusals before a byte is trusted, screens."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from cli_helpers import cli, contents, copied, one_clear_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LEAKING = """
import pandas as pd

from algotrade import features


@features(lookback=30)
def build(bars: pd.DataFrame) -> pd.DataFrame:
    close = bars["close"]
    move = close.pct_change()
    return pd.DataFrame({"away": close / close.rolling(20).mean() - 1,
                         "calm": move.rolling(10).std() / move.std()})
"""
HONEST = LEAKING.replace(" / move.std()", "")


def model_id(home: Path) -> str:
    """Give the only model of a home."""
    (found,) = cli("models", "list", "--json", home=home).well().data
    return str(found["model"])


@pytest.fixture(scope="module")
def later(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a home on the sample with a model and some bars after it; nothing may change it."""
    home = copied(trained, tmp_path_factory.mktemp("later") / "home")
    cli("clock", "next", "10", home=home).well()
    return home


# ---- refused before a byte is trusted


def flipped(folder: Path) -> None:
    path = folder / "scorer.json"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncated(folder: Path) -> None:
    path = folder / "scorer.json"
    path.write_bytes(path.read_bytes()[:-3])


def swapped(folder: Path) -> None:
    (folder / "card.json").write_bytes((folder / "scorer.json").read_bytes())


def foreign(folder: Path) -> None:
    path = folder / "card.json"
    path.write_bytes(path.read_bytes().replace(b'"format": 3', b'"format": 99'))


def linked(folder: Path) -> None:
    shutil.move(folder, folder.with_name("elsewhere"))
    folder.symlink_to(folder.with_name("elsewhere"))


def linked_file(folder: Path) -> None:
    path = folder / "scorer.json"
    path.rename(folder / "real.json")
    path.symlink_to(folder / "real.json")


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "flipped": (flipped, "is not the file that was saved"),
    "truncated": (truncated, "its card says"),
    "swapped": (swapped, "card.json is not the file that was saved"),
    "foreign": (foreign, "card.json is not the file that was saved"),
    "linked": (linked, "cannot be read"),
    "linked file": (linked_file, "cannot be read"),
    "folder for all": (lambda folder: folder.chmod(0o777), "can be written by others"),
    "file for a group": (
        lambda folder: (folder / "scorer.json").chmod(0o660),
        "can be written by others",
    ),
    "gone": (lambda folder: (folder / "scorer.json").unlink(), "is missing"),
}
ASKED = (
    ("predict", "AAPL"),
    ("trade", "--symbol", "AAPL", "--qty", "10"),
    ("backtest", "AAPL", "--from", "2012-12-05"),
)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_spoilt_model_is_refused_by_whoever_asks_it(
    later: Path, tmp_path: Path, damage: str
) -> None:
    home = copied(later, tmp_path / "home")
    name = model_id(home)
    spoil, words = DAMAGES[damage]
    spoil(home / "models" / name)
    before = contents(home)
    for command in ASKED:
        assert words in one_clear_line(cli(*command, home=home), 6)
    ran = cli("models", "verify", "--json", home=home)
    assert ran.code == 6
    assert ran.envelope["ok"] is False
    assert words in ran.envelope["data"][0]["fault"]
    assert contents(home) == before


def test_a_home_in_which_anybody_renames_models_is_refused(later: Path, tmp_path: Path) -> None:
    home = copied(later, tmp_path / "home")
    (home / "models").chmod(0o777)
    assert "can be written by everybody" in one_clear_line(cli("predict", home=home), 6)


def test_an_estimator_that_would_run_code_is_not_unpickled(later: Path, tmp_path: Path) -> None:
    home = copied(later, tmp_path / "home")
    path = home / "models" / model_id(home) / "estimator.joblib"
    path.write_bytes(b"cos\nsystem\n(S'touch " + os.fsencode(tmp_path / "ran") + b"'\ntR.")
    ran = cli("models", "verify", home=home)
    assert ran.code == 6
    assert "estimator.joblib" in ran.err
    assert not (tmp_path / "ran").exists()


def test_two_models_are_compared(later: Path, tmp_path: Path) -> None:
    home = copied(later, tmp_path / "home")
    first = model_id(home)
    cli("train", "AAPL", "--model", "logit", "--seed", "8", home=home).well()
    second = cli("models", "list", "--json", home=home).well().data[0]["model"]
    found = cli("models", "diff", first, second, "--json", home=home).well().data
    assert {"part": "plan", "name": "seed", "first": 7, "second": 8} in found["differs"]
    assert "nothing differs" in cli("models", "diff", first, first, "--format", "table",
                                    home=home).well().out  # fmt: skip


# ---- audit


def test_own_features_that_leak_are_named_with_date_and_reach(
    fetched: Path, tmp_path: Path
) -> None:
    leaking, honest = tmp_path / "mine.py", tmp_path / "fair.py"
    leaking.write_text(LEAKING, encoding="utf-8")
    honest.write_text(HONEST, encoding="utf-8")
    home = copied(fetched, tmp_path / "home")
    before = contents(home)
    asked = ("audit", "AAPL", "--features", f"{leaking}:build", "--tests", "A1,A1b", "--json")
    ran = cli(*asked, home=home)
    assert ran.code == 6
    first = ran.envelope["data"]["failures"][0]
    assert (first["test"], first["what"], first["symbol"]) == ("A1", "calm", "AAPL")
    assert first["first"].startswith("20")
    assert first["value"] != first["other"]
    assert first["bars_ahead"] >= 1
    assert {one["what"] for one in ran.envelope["data"]["failures"]} == {"calm"}
    assert "the audit failed: A1, A1b" in ran.err
    fair = ("audit", "AAPL", "--features", f"{honest}:build", "--tests", "a1", "--json")
    assert cli(*fair, home=home).well().data["passed"] is True
    changed = {table for table, digest in contents(home).items() if digest != before[table]}
    assert changed <= {"bar_chunks"}  # a cache


def test_a_test_that_is_not_there_is_named(fetched: Path) -> None:
    assert "'A9' is unknown" in one_clear_line(cli("audit", "--tests", "A9", home=fetched), 2)
    line = one_clear_line(cli("audit", "--cheap", "--tests", "A1", home=fetched), 2)
    assert "contradict" in line


@pytest.mark.parametrize(
    "command", ["audit", "models", *(f"models {one}" for one in ("list", "show", "promote", "rm"))]
)
def test_help_fits(command: str, fetched: Path) -> None:
    ran = cli(*command.split(), "--help", home=fetched, env={"COLUMNS": "80"}).well()
    assert max(map(len, ran.out.splitlines())) <= 80
