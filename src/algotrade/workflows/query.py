"""Ask the store in SQL, read-only."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from algotrade.errors import InputError
from algotrade.store.database import sqlite_errors
from algotrade.store.readonly import Answer, open_read_only, run_query

if TYPE_CHECKING:
    from collections.abc import Callable

    from algotrade.config import Settings


def query_store(settings: Settings, query: str, *, say: Callable[[str], None]) -> Answer:
    """Run one SELECT on the store of the home."""
    with (
        sqlite_errors(settings.store),
        contextlib.closing(open_read_only(settings.store, say=say)) as db,
    ):
        answer = run_query(db, query)
    if not answer.columns:
        raise InputError(
            "SQL: this asks for nothing", hint="one SELECT, such as SELECT * FROM v_bars"
        )
    return answer
