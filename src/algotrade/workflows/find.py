"""Find: the stored decision that somebody means by an order's id, a symbol, a date or a number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.domain.symbols import parse_symbol
from algotrade.domain.times import DAY, HOUR, to_day
from algotrade.errors import InputError, shown
from algotrade.store import journal
from algotrade.store.decisions import decision_of, last_decision, numbered_decision

if TYPE_CHECKING:
    from datetime import date

    from algotrade.store.decisions import StoredDecision
    from algotrade.workflows.context import Workspace

FEWEST = 4  # characters of an order's id that are looked up


def find_decision(
    ws: Workspace, what: str | None, *, session: date | None = None, decision_id: int | None = None
) -> StoredDecision:
    """Find by number, by an order's id or its beginning, else the newest on a symbol.

    session: the newest decision about the symbol's bar of that session.
    """
    if (what is None) == (decision_id is None):
        raise InputError("one of ORDER, SYMBOL or --decision N is needed", hint="algotrade trades")
    if decision_id is not None:
        numbered = numbered_decision(ws.db, ws.account, decision_id)
        if numbered is None:
            raise InputError(
                f"account {ws.account} has no decision {decision_id}",
                hint="algotrade sql 'SELECT * FROM v_decisions' lists them",
            )
        return numbered
    return _find_named(ws, what or "", session)


def _find_named(ws: Workspace, what: str, session: date | None) -> StoredDecision:
    if session is None and is_key(what):
        found = [
            status
            for status in journal.find_orders(ws.db, what.lower())
            if status.order.account == ws.account
        ]
        if len(found) > 1:
            raise InputError(f"more than one order begins with {what}", hint="give more of the id")
        if found:
            return decision_of(ws.db, found[0].order.key)
    try:
        symbol = parse_symbol(what).symbol
    except InputError as error:
        raise InputError(
            f"{shown(what)} is neither a ticker nor the id of an order"
            f" ({FEWEST} to 32 characters of 0-9 and a-f)",
            hint="algotrade trades lists the orders that were filled",
        ) from error
    start = -(2**62) if session is None else to_day(session) * DAY + 5 * HOUR
    stop = 2**62 if session is None else start + DAY
    newest = last_decision(ws.db, ws.account, symbol, after=start, until=stop)
    if newest is None:
        when = "" if session is None else f" for {session}"
        raise InputError(
            f"account {ws.account} has no order {what!a} and no decision on {symbol}{when}",
            hint="algotrade trades lists the orders that were filled",
        )
    return newest


def is_key(text: str) -> bool:
    """Tell whether a text can be an order's id or its beginning."""
    return FEWEST <= len(text) <= 32 and all(c in "0123456789abcdef" for c in text.lower())
