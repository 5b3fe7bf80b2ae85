"""Reconciliation beside a watch: a thread with a store of its own, so that the watch never waits.

A difference halts the account in the ledger, where the watch finds it at its next look. A lock or a
broker that is busy is told, and tried again a minute later.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from algotrade.errors import AlgotradeError
from algotrade.workflows.context import open_workspace

if TYPE_CHECKING:
    from collections.abc import Callable

    from algotrade.config import Settings
    from algotrade.workflows.context import Workspace

EVERY_S = 60.0


class Reconciling:
    """Compares broker and ledger each minute until closed."""

    def __init__(
        self,
        settings: Settings,
        *,
        every_s: float = EVERY_S,
        work: Callable[[Workspace], None] | None = None,
    ) -> None:
        """Bind; work: what is done each time, else the reconciliation of `reconcile`."""
        self._settings, self._every_s, self._work = settings, every_s, work or _reconcile
        self._lines: dict[str, None] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reconciling", daemon=True)

    def start(self) -> None:
        """Begin, in a thread that dies with the process."""
        self._thread.start()

    def close(self) -> None:
        """Stop; a comparison under way is not waited for."""
        self._stop.set()

    def notes(self) -> list[str]:
        """Take the lines that were left since the last time."""
        with self._lock:
            found = list(self._lines)
            self._lines.clear()
            return found

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with open_workspace(self._settings, self._say) as ws:
                    self._work(ws)
            except AlgotradeError as error:
                self._say(f"not reconciled: {error.message}")
            self._stop.wait(self._every_s)

    def _say(self, line: str) -> None:
        with self._lock:
            self._lines[line] = None


def _reconcile(ws: Workspace) -> None:
    from algotrade.workflows.notify import fill_notices, notify
    from algotrade.workflows.reconcile import reconcile

    found = reconcile(ws)
    for one in found.differences:
        ws.say(f"broker and ledger differ: {one.told()}")
    notify(ws.settings, fill_notices(found.fills), ws.say)
