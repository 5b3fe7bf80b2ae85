"""Heartbeats: when a watch, a check or a follower of an account last finished a look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.clock import SystemClock
from algotrade.domain.times import MICROSECONDS
from algotrade.store import watch as watch_store

if TYPE_CHECKING:
    from algotrade.workflows.context import Workspace

WATCH, CHECK, FOLLOW = "watch", "check", "follow"
WAIT_S = 1.0  # for the store, at most, by whoever only watches


def last_beat(ws: Workspace) -> watch_store.Heartbeat | None:
    """Give the newest heartbeat of a watch or a check of the account, or None."""
    found = [one for one in watch_store.heartbeats(ws.db, ws.account) if one.what in (WATCH, CHECK)]
    return found[0] if found else None


def heartbeat_age(ws: Workspace) -> int | None:
    """Give the seconds since the account was last looked at, or None; the future is no age."""
    beat = last_beat(ws)
    if beat is None:
        return None
    age = heartbeat_now(ws) - beat.ts
    return age // MICROSECONDS if age >= 0 else None


def heartbeat_now(ws: Workspace) -> int:
    """Give the time of heartbeats: real time, also where the market's is simulated."""
    return SystemClock().now() if ws.simulated else ws.clock.now()
