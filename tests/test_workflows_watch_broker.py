"""Beside a watch, broker and ledger are compared: a trouble is a line, never the end."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from algotrade.config import load_settings
from algotrade.errors import LockedError
from algotrade.workflows.watch_broker import Reconciling
from cli_helpers import cli

if TYPE_CHECKING:
    from pathlib import Path

    from algotrade.workflows.context import Workspace


def test_it_goes_on_after_a_trouble_and_tells_each_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    cli("fetch", "AAPL", home=home).well()
    done = threading.Event()
    accounts: list[str] = []

    def work(ws: Workspace) -> None:
        accounts.append(ws.account)
        if len(accounts) == 3:
            done.set()
        raise LockedError("another run holds account sample")

    beside = Reconciling(load_settings(home=str(home), isolated=True), every_s=0.01, work=work)
    beside.start()
    assert done.wait(10)
    beside.close()
    beside._thread.join(10)
    lines = [line for line in beside.notes() if "not reconciled" in line]
    assert lines == ["not reconciled: another run holds account sample"]
    assert set(accounts) == {"sample"}
    assert beside.notes() == []
