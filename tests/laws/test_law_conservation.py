"""Law: no money appears or vanishes; every figure equals an independent replay in fractions."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from algotrade.domain.ledger import (
    DEPOSIT,
    DIVIDEND,
    SPLIT,
    WITHDRAWAL,
    Entry,
    Portfolio,
    fill_entry,
    imbalance,
    replay,
)
from algotrade.portfolio.holdings import Price, value_portfolio

NANOS = 1_000_000_000
SYMBOLS = ("AAPL", "MSFT")


class Step(NamedTuple):
    """What happens: kind, symbol, quantity, price, fee, ratio; each kind reads its own."""

    kind: str
    symbol: str
    quantity: int
    price: int
    fee: int
    ratio: tuple[int, int]


# round lots make positions close and cross zero; odd quantities make everything round
quantities = st.one_of(
    st.sampled_from([1, 5, 10, 15]).map(lambda n: n * NANOS), st.integers(1, 3 * 10**12)
)
signed = st.tuples(quantities, st.sampled_from([1, -1])).map(lambda pair: pair[0] * pair[1])
prices = st.one_of(st.integers(1, 50), st.integers(1, 700_000 * 10**6))
steps = st.builds(
    Step,
    kind=st.sampled_from(["fill", "fill", "fill", "split", "dividend", "deposit", "withdrawal"]),
    symbol=st.sampled_from(SYMBOLS),
    quantity=signed,
    price=prices,
    fee=st.integers(0, 5_000_000),
    ratio=st.sampled_from([(1, 2), (2, 3), (10, 1)]),
)
histories = st.lists(steps, max_size=25)


class Book:
    """The same account in fractions: `round` of a Fraction is half-even, as documented."""

    def __init__(self) -> None:
        self.cash = self.contributed = self.realised = self.dividends = self.fees = 0
        self.exact_cash = Fraction(0)
        self.postings = 0
        self.held: dict[str, int] = {}
        self.cost: dict[str, int] = {}

    def post(self, amount: Fraction) -> int:
        self.exact_cash += amount
        self.postings += 1
        self.cash += round(amount)
        return round(amount)

    def fill(self, symbol: str, quantity: int, price: int, fee: int) -> None:
        held, cost = self.held.get(symbol, 0), self.cost.get(symbol, 0)
        paid = -self.post(-Fraction(quantity) * price / NANOS)
        self.fees += fee
        self.post(Fraction(-fee))
        if held == 0 or (held > 0) == (quantity > 0):
            self.cost[symbol] = cost + paid
        elif abs(quantity) <= abs(held):
            leaving = round(cost * Fraction(abs(quantity), abs(held)))
            self.realised += -paid - leaving
            self.cost[symbol] = cost - leaving
        else:
            opening = round(Fraction(held + quantity) * price / NANOS)
            self.realised += opening - paid - cost
            self.cost[symbol] = opening
        self.held[symbol] = held + quantity

    def split(self, symbol: str, ratio: tuple[int, int]) -> int:
        held = self.held.get(symbol, 0)
        after = round(Fraction(held) * ratio[1] / ratio[0])
        self.held[symbol] = after
        if after == 0:
            self.realised -= self.cost.get(symbol, 0)
            self.cost[symbol] = 0
        return after - held


def play(history: list[Step]) -> tuple[list[Entry], Book]:
    book, entries = Book(), []
    for number, step in enumerate(history):
        entry = _play(step, book, number)
        if entry is not None:
            entries.append(entry)
    return entries, book


def _play(step: Step, book: Book, number: int) -> Entry | None:
    ref, symbol = str(number), step.symbol
    held = book.held.get(symbol, 0)
    if step.kind == "fill":
        book.fill(symbol, step.quantity, step.price, step.fee)
        return fill_entry(
            ts=number,
            ref=ref,
            symbol=symbol,
            quantity=step.quantity,
            price=step.price,
            fee=step.fee,
        )
    if step.kind in (DEPOSIT, WITHDRAWAL):
        amount = step.price if step.kind == DEPOSIT else -step.price
        book.contributed += book.post(Fraction(amount))
        return Entry(ts=number, kind=step.kind, ref=ref, amount=amount)
    if held == 0:
        return None
    if step.kind == SPLIT:
        change = book.split(symbol, step.ratio)
        return Entry(ts=number, kind=SPLIT, ref=ref, symbol=symbol, quantity=change)
    amount = book.post(Fraction(held) * step.price / NANOS)
    book.dividends += amount
    return Entry(
        ts=number,
        kind=DIVIDEND,
        ref=ref,
        symbol=symbol,
        quantity=held,
        price=step.price,
        amount=amount,
    )


def assert_same(portfolio: Portfolio, book: Book) -> None:
    assert portfolio.cash == book.cash
    assert portfolio.contributed == book.contributed
    assert portfolio.realised == book.realised
    assert portfolio.dividends == book.dividends
    assert portfolio.fees == book.fees
    assert {s: (p.quantity, p.cost) for s, p in portfolio.positions.items()} == {
        symbol: (held, book.cost[symbol]) for symbol, held in book.held.items() if held
    }


@settings(max_examples=100, deadline=None)
@given(histories)
def test_every_figure_is_that_of_an_independent_replay(history: list[Step]) -> None:
    entries, book = play(history)
    portfolio = replay(entries)
    assert_same(portfolio, book)
    assert imbalance(portfolio) == 0
    # rounded once for each posting, never more: half a micro-dollar at most
    assert abs(portfolio.cash - book.exact_cash) <= Fraction(book.postings, 2)


@settings(max_examples=100, deadline=None)
@given(histories, st.tuples(prices, prices))
def test_equity_is_what_came_in_and_was_earned_less_fees(
    history: list[Step], newest: tuple[int, int]
) -> None:
    entries, _ = play(history)
    portfolio = replay(entries)
    closes = dict(zip(SYMBOLS, newest, strict=True))
    value = sum(
        round(Fraction(position.quantity) * closes[symbol] / NANOS)
        for symbol, position in portfolio.positions.items()
    )
    unrealised = value - sum(position.cost for position in portfolio.positions.values())
    equity = portfolio.cash + value
    earned = portfolio.realised + portfolio.dividends + unrealised
    assert equity == portfolio.contributed + earned - portfolio.fees
    valued = value_portfolio(portfolio, {s: Price(p, 0) for s, p in closes.items()})
    assert (valued.total, valued.unrealised) == (equity, unrealised)


@settings(max_examples=100, deadline=None)
@given(histories, st.integers(0, 25))
def test_closing_everything_leaves_only_cash(history: list[Step], price: int) -> None:
    entries, book = play(history)
    for number, (symbol, held) in enumerate(sorted(book.held.items())):
        if held:
            book.fill(symbol, -held, price, 0)
            ref = f"close {number}"
            entries.append(
                fill_entry(ts=99, ref=ref, symbol=symbol, quantity=-held, price=price, fee=0)
            )
    portfolio = replay(entries)
    assert not portfolio.positions
    assert portfolio.cash == book.cash
    earned = portfolio.realised + portfolio.dividends - portfolio.fees
    assert portfolio.cash == portfolio.contributed + earned
