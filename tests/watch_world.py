"""A paper account that holds shares on a loopback Polygon with current prices."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from cli_helpers import FRIDAY, MONDAY, cli, live, served
from live_server import LiveServer

if TYPE_CHECKING:
    from pathlib import Path

OPEN_NOW = "2026-11-24T15:00:00Z"  # Tuesday, half an hour after the opening
OPEN_MS = int(datetime.fromisoformat(OPEN_NOW).timestamp() * 1000)
HELD = 50
BARS = served(1)
LAST = BARS[-1]["c"]  # Monday's close, dollars


def buy(home: Path) -> None:
    """Fetch until Friday, buy, and be filled at Monday's opening."""
    with LiveServer({"AAPL": served()}) as server:
        cli("fetch", "AAPL", home=home, env=live(server.base)).well()
        cli(
            *("trade", "--symbol", "AAPL", "--qty", str(HELD), "--no-model"),
            home=home,
            env=live(server.base),
        ).well()
    with LiveServer({"AAPL": BARS}) as server:
        filled = cli("fetch", "AAPL", home=home, env=live(server.base, MONDAY)).well()
        assert "bought" in filled.out + filled.err or filled.code == 0


def watching(server: LiveServer, now: str = OPEN_NOW, **more: str) -> dict[str, str]:
    """Give the environment of somebody who watches beside the server."""
    stream = {"ALGOTRADE_WATCH__STREAM": server.stream, "ALGOTRADE_WATCH__INDEX": ""}
    return live(server.base, now, **stream, **more)


__all__ = ["BARS", "FRIDAY", "HELD", "LAST", "MONDAY", "OPEN_MS", "OPEN_NOW", "buy", "watching"]
