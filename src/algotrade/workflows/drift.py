"""Drift: what an account earned against the backtest of its span, and where the gap comes from.

The backtest decides every session at its close on today's data. From there one thing after
another is put as it was: timing, data, signal, risk, fills, costs. What each step changes is its
part, so that the parts add up to the gap, to the micro-dollar.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from algotrade.domain.ledger import DEPOSIT, DIVIDEND, FILL, WITHDRAWAL
from algotrade.domain.money import notional
from algotrade.errors import InputError
from algotrade.record import NamedTuple
from algotrade.store import bars as bar_store
from algotrade.store import journal
from algotrade.store.past import load_past
from algotrade.workflows.context import DAILY, Workspace, account_record
from algotrade.workflows.models import no_bars
from algotrade.workflows.rerun import Choices, Rerun

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from algotrade.domain.ledger import Entry
    from algotrade.store.past import PastDecision

STEPS = (
    ("timing", Choices()),
    ("data revision", Choices(bars_then=True)),
    ("signal", Choices(bars_then=True, stored_signals=True)),
    ("risk", Choices(bars_then=True, stored_signals=True, stored_orders=True)),
)
TOLD = {
    "timing": "sessions missed, or decided later than at the close",
    "data revision": "bars that the source has changed since",
    "signal": "models or rules that say something else today",
    "risk": "orders refused, halted or placed otherwise",
    "fill": "other prices or quantities than simulated",
    "cost": "other commissions than the settings say",
    "other": "dividends, splits and delistings booked otherwise",
}


class Part(NamedTuple):
    """One part of the gap: micro-dollars, and how many ledger entries the step changed."""

    name: str
    amount: int
    changed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftResult:
    """Profit of a span as it was and as the backtest has it, micro-dollars; parts in order.

    first, last: the decisions that bound the span; valued at the newest bars by `until`.
    """

    account: str
    first: int
    last: int
    until: int
    decisions: int
    actual: int
    expected: int
    parts: tuple[Part, ...]

    @property
    def gap(self) -> int:
        """Give what the account earned over the backtest."""
        return self.actual - self.expected


def drift(ws: Workspace, *, from_ts: int | None = None, until_ts: int | None = None) -> DriftResult:
    """Split the gap between an account and its backtest; the hash chain is checked first."""
    account_record(ws)
    journal.verify_chain(ws.db, ws.account)
    past = load_past(ws.db, ws.account)
    chosen = [one for one in past.decisions if _within(one, from_ts, until_ts)]
    if not chosen:
        raise InputError(
            f"account {ws.account} has no decision in this span that can be made again",
            hint="algotrade sql 'SELECT * FROM v_decisions' lists them",
        )
    rerun = Rerun(ws, past, chosen)
    opening = past.entries[: rerun.opening]
    prices = _prices(ws, rerun)
    before = rerun.run(Choices(at_close=True)).entries
    expected = _profit([*opening, *before], prices)
    parts, value = [], expected
    for name, choices in STEPS:
        after = rerun.run(choices).entries
        reached = _profit([*opening, *after], prices)
        parts.append(Part(name, reached - value, _changed(before, after)))
        before, value = after, reached
    actual = [entry for entry in past.entries[rerun.opening :] if entry.ts <= rerun.end]
    parts += _last_parts(opening, before, actual, prices)
    last = chosen[-1].stored.decision
    return DriftResult(
        account=ws.account,
        first=chosen[0].stored.decision.ts,
        last=last.ts,
        until=rerun.end,
        decisions=len(chosen),
        actual=_profit([*opening, *actual], prices) - _opening_profit(opening, rerun, prices),
        expected=expected - _opening_profit(opening, rerun, prices),
        parts=tuple(parts),
    )


def _within(one: PastDecision, from_ts: int | None, until_ts: int | None) -> bool:
    ts = one.stored.decision.ts
    return (
        one.seen is not None
        and (from_ts is None or ts >= from_ts)
        and (until_ts is None or ts <= until_ts)
    )


def _last_parts(
    opening: list[Entry], made: list[Entry], actual: list[Entry], prices: Mapping[str, int]
) -> list[Part]:
    """Put the fills as they were, then what they cost, then the rest."""
    fills, others = _split(made)
    true_fills, true_others = _split(actual)
    fees = {entry.ref: entry.fee for entry in fills}
    charged = sum(entry.fee for entry in fills)
    ours = [entry._replace(fee=0) for entry in true_fills]
    steps = [
        ("fill", [*opening, *ours, *others], charged),
        ("cost", [*opening, *true_fills, *others], 0),
        ("other", [*opening, *true_fills, *true_others], 0),
    ]
    changed = {
        "fill": _changed([e._replace(fee=0) for e in fills], ours),
        "cost": sum(fees.get(entry.ref) != entry.fee for entry in true_fills),
        "other": _changed(others, true_others),
    }
    parts, value = [], _profit([*opening, *made], prices)
    for name, entries, fee in steps:
        reached = _profit(entries, prices) - fee
        parts.append(Part(name, reached - value, changed[name]))
        value = reached
    return parts


def _split(entries: Iterable[Entry]) -> tuple[list[Entry], list[Entry]]:
    fills: list[Entry] = []
    others: list[Entry] = []
    for entry in entries:
        (fills if entry.kind == FILL else others).append(entry)
    return fills, others


def _profit(entries: Iterable[Entry], prices: Mapping[str, int]) -> int:
    """Give cash earned and what is held at these prices; cash paid in or out does not count."""
    cash, held = 0, Counter[str]()
    for entry in entries:
        if entry.kind in (DEPOSIT, WITHDRAWAL):
            continue
        cash += entry.amount - entry.fee
        if entry.kind != DIVIDEND:
            held[entry.symbol] += entry.quantity
    return cash + sum(notional(held[symbol], prices[symbol]) for symbol in held if held[symbol])


def _opening_profit(opening: list[Entry], rerun: Rerun, prices: Mapping[str, int]) -> int:
    """Give the profit when the span began: at the mark that its first decision saw."""
    mark = rerun.opening_mark
    return mark.profit if mark is not None else _profit(opening, prices)


def _changed(before: Iterable[Entry], after: Iterable[Entry]) -> int:
    """Count the entries of either that the other has not."""
    one, other = Counter(before), Counter(after)
    return max((one - other).total(), (other - one).total())


def _prices(ws: Workspace, rerun: Rerun) -> dict[str, int]:
    prices = {}
    for symbol in rerun.symbols:
        newest = bar_store.load_bars(ws.db, ws.source, symbol, DAILY, until=rerun.end, last=1)
        if not len(newest):
            raise no_bars(ws, symbol)
        prices[symbol] = newest.close[-1]
    return prices
