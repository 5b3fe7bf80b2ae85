"""Law: replay(a + b) is b applied to replay(a), wherever it is cut, and `until` is a cut."""

from __future__ import annotations

import copy

from hypothesis import given, settings
from hypothesis import strategies as st

from algotrade.domain.ledger import DEPOSIT, DIVIDEND, SPLIT, Entry, apply, fill_entry, replay

kinds = st.sampled_from(["fill", "fill", "fill", SPLIT, DIVIDEND, DEPOSIT])
symbols = st.sampled_from(["AAPL", "MSFT"])
quantities = st.integers(-(10**11), 10**11).filter(bool)
steps = st.tuples(kinds, symbols, quantities, st.integers(1, 10**9), st.integers(0, 2))


@st.composite
def ledgers(draw: st.DrawFn) -> list[Entry]:
    """Draw a ledger that may have been; several entries may share one instant."""
    entries: list[Entry] = []
    held = {"AAPL": 0, "MSFT": 0}
    ts = 0
    for number, (kind, symbol, quantity, price, wait) in enumerate(draw(st.lists(steps))):
        ts += wait
        ref = str(number)
        if kind == "fill":
            held[symbol] += quantity
            entries.append(
                fill_entry(ts=ts, ref=ref, symbol=symbol, quantity=quantity, price=price, fee=7)
            )
        elif kind == DEPOSIT:
            entries.append(Entry(ts=ts, kind=DEPOSIT, ref=ref, amount=price))
        elif kind == DIVIDEND:
            entries.append(Entry(ts=ts, kind=DIVIDEND, ref=ref, symbol=symbol, amount=price))
        elif held[symbol]:
            change, held[symbol] = held[symbol], 2 * held[symbol]
            entries.append(Entry(ts=ts, kind=SPLIT, ref=ref, symbol=symbol, quantity=change))
    return entries


@settings(max_examples=80, deadline=None)
@given(ledgers(), st.data())
def test_a_cut_anywhere_changes_nothing(entries: list[Entry], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(entries)))
    resumed = replay(entries[:cut])
    before = copy.deepcopy(resumed)
    after = resumed
    for entry in entries[cut:]:
        after = apply(after, entry)
    assert after == replay(entries)
    assert resumed == before  # applying never changes the portfolio it starts from


@settings(max_examples=80, deadline=None)
@given(ledgers(), st.integers(-1, 40))
def test_until_takes_its_instant_whole_and_nothing_later(entries: list[Entry], until: int) -> None:
    known = [entry for entry in entries if entry.ts < until + 1]
    assert replay(entries, until=until) == replay(known)
