"""The demo: the whole loop in a home of its own, that touches nobody else's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cli_helpers import cli, contents, files, one_clear_line, process

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_the_demo_ends_in_an_explained_portfolio(tmp_path: Path, traded: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    before = contents(traded), files(traded)
    env = {"ALGOTRADE_HOME": str(traded), "TMPDIR": str(scratch), "POLYGON_API_KEY": "k3y-canary"}
    ran = process("demo", cwd=tmp_path, env=env).well()
    assert (contents(traded), files(traded)) == before
    [home] = scratch.iterdir()
    assert (home / "data" / "algotrade.db").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["scratch"]

    assert ran.err == ""
    assert "k3y-canary" not in ran.out
    for step in ("1. fetch: real daily prices", "2. train: ", "3. trade: ", "4. portfolio:"):
        assert step in ran.out
    lines = [line.strip() for line in ran.out.splitlines()]
    assert not [line for line in ran.out.splitlines() if len(line) > 80 and str(home) not in line]
    assert sum(line.startswith("filled ") for line in lines) >= 1
    assert sum(line.startswith("reason ") for line in lines) >= 1
    assert "total $" in ran.out

    # every command that it names works, as printed
    named = lines[lines.index("Go on in the same home:") + 1 :]
    assert named[0] == f"export ALGOTRADE_HOME={home}"
    commands = [line.removeprefix("algotrade ") for line in named if line.startswith("algotrade ")]
    assert len(commands) == 3
    for command in commands:  # for somebody with a key as well
        cli(*command.split(), home=home, env={"POLYGON_API_KEY": "k3y-canary"}).well()


@pytest.mark.slow
def test_the_demo_can_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("algotrade.workflows.demo.SESSIONS", 4)
    home = tmp_path / "kept"
    ran = cli("demo", "--keep", str(home), "--json", home=tmp_path / "mine").well()
    data = ran.data
    assert data["home"] == str(home)
    assert not (tmp_path / "mine").exists()
    assert 95_000 < data["portfolio"]["TotalValue"] < 105_000
    assert len(data["orders"]) >= 1
    assert {trade["outcome"] for trade in data["trades"]} <= {"placed", "hold"}
    assert all(trade["reason"] for trade in data["trades"])
    account = cli("portfolio", "--json", home=home).well().data
    assert account == data["portfolio"]
    fills = cli("trades", "--json", home=home).well().data
    assert {row["ID"] for row in fills} == set(data["orders"])
    before = contents(home)
    told = one_clear_line(cli("demo", "--keep", str(home), home=None), 2)
    assert "the folder is not empty" in told
    assert contents(home) == before
