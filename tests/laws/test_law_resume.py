"""Law: replay(a + b) is b applied to replay(a), wherever it is cut, and `until` is a cut.

A state that was moved on in place says what one opened anew from the same facts says.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from algotrade.domain.ledger import DEPOSIT, DIVIDEND, SPLIT, Entry, apply, fill_entry, replay
from algotrade.domain.orders import OpenOrder
from algotrade.trading.state import TradingState
from builders import ACCOUNT, look, order

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
    before = resumed._replace(positions=dict(resumed.positions))
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


changes = st.one_of(
    st.tuples(st.just("book"), symbols, quantities, st.integers(1, 10**9)),
    st.tuples(st.just("book whole"), symbols, st.integers(-9, 9), st.integers(1, 10**9)),
    st.tuples(st.just("reprice"), symbols, st.just(0), st.integers(1, 10**9)),
    st.tuples(st.just("place"), symbols, quantities, st.just(0)),
    st.tuples(st.just("fill"), symbols, st.integers(1, 10**11), st.just(0)),
    st.tuples(st.just("end"), symbols, st.just(0), st.just(0)),
)


class Facts:
    """What a state was told, kept apart from it."""

    def __init__(self, priced: int) -> None:
        self.entries: list[Entry] = []
        self.waiting: list[OpenOrder] = []
        self.prices = dict.fromkeys(["AAPL", "MSFT"][:priced], 10**8)
        self.placed = 0

    def opened(self) -> TradingState:
        return TradingState(
            account=ACCOUNT,
            portfolio=replay(self.entries),
            open_orders=self.waiting,
            prices=self.prices,
        )

    def first_of(self, symbol: str) -> OpenOrder | None:
        return next((one for one in self.waiting if one.order.symbol == symbol), None)

    def change(
        self, moved: TradingState, kind: str, symbol: str, quantity: int, price: int
    ) -> None:
        """Tell both what happens."""
        if kind.startswith("book"):
            whole = quantity * 10**9 if kind == "book whole" else quantity
            ref = str(len(self.entries))
            entry = fill_entry(ts=0, ref=ref, symbol=symbol, quantity=whole, price=price, fee=7)
            self.entries.append(entry)
            moved.book(entry)
        elif kind == "reprice":
            self.prices[symbol] = price
            moved.reprice({symbol: price})
        elif kind == "place":
            side, key = ("buy" if quantity > 0 else "sell"), f"{self.placed:032x}"
            placed = order(side, abs(quantity), symbol=symbol, key=key)
            self.placed += 1
            self.waiting.append(OpenOrder(placed))
            moved.place(placed)
        else:
            self._progress(moved, symbol, quantity)

    def _progress(self, moved: TradingState, symbol: str, quantity: int) -> None:
        """Fill a part of the symbol's oldest order, or end it with quantity 0."""
        before = self.first_of(symbol)
        if before is None:
            return
        after = before._replace(filled=before.filled + min(quantity, before.left))
        ended = quantity == 0 or after.left == 0
        place = self.waiting.index(before)
        self.waiting[place : place + 1] = [] if ended else [after]
        moved.update(after, ended=ended)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(changes, st.booleans()), max_size=25), st.integers(0, 2))
def test_a_state_moved_on_is_the_state_opened_anew(
    history: list[tuple[Any, bool]], priced: int
) -> None:
    facts = Facts(priced)
    moved = facts.opened()
    for what, asked in history:
        facts.change(moved, *what)
        if asked:  # sums are kept between questions: ask at some of the steps only
            assert look(moved) == look(facts.opened())
    assert look(moved) == look(facts.opened())
