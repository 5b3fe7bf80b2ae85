"""Room on the disk of a home, as a risk check reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.store.disk import DiskState, look_at_disk

if TYPE_CHECKING:
    from algotrade.config import Settings


def disk_state(settings: Settings) -> DiskState:
    """Give the free bytes beside the store, and whether the reserve is there."""
    return look_at_disk(settings.store)
