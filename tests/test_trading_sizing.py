"""How much: every kind of sizing, both thresholds, both directions, worked out by hand."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from algotrade.domain.costs import CostModel
from algotrade.domain.decisions import (
    EQUITY,
    HOLD,
    IN,
    NOTIONAL,
    ORDER,
    OUT,
    PROBABILITY,
    SILENT,
    SMALL,
    VOLATILITY,
    Policy,
    Sizing,
)
from algotrade.domain.ledger import DEPOSIT, Entry, Portfolio, Position, fill_entry, replay
from algotrade.domain.orders import BUY, LIMIT, SELL, STOP, STOP_LIMIT, OpenOrder, Order
from algotrade.domain.risk import WIDE
from algotrade.domain.signals import DOWN, KEEP, UP, Signal
from algotrade.trading.broker import SimulatedBroker
from algotrade.trading.decision import Moment, decide, wished
from algotrade.trading.session import Decider, run_session, turns_of
from algotrade.trading.state import TradingState
from engine_world import ACCOUNT, DOLLAR, SHARE, RunJournal, at_the_close, day

PRICE = 40 * DOLLAR  # of every bar here, unless a case says otherwise
EQUITY_HELD = 100_000 * DOLLAR  # cash and position together


def moment(signal: Signal | None, price: int = PRICE, *, at: int = 0) -> Moment:
    opened, closed = day(at)
    return Moment(closed, "A", opened, price, price, price, price, 10**15, signal=signal)


def account(held: float = 0, price: int = PRICE, *waiting: OpenOrder) -> TradingState:
    """Give 100,000 dollars, so many shares of A among them."""
    quantity = round(held * SHARE)
    value = round(held * price)
    positions = {"A": Position("A", quantity, value)} if quantity else {}
    portfolio = Portfolio(cash=EQUITY_HELD - value, contributed=EQUITY_HELD, positions=positions)
    return TradingState(
        account=ACCOUNT, portfolio=portfolio, open_orders=waiting, prices={"A": price}
    )


def waiting(side: str, shares: int) -> OpenOrder:
    order = Order(
        key="w",
        account=ACCOUNT,
        strategy="s",
        symbol="A",
        side=side,
        quantity=shares * SHARE,
        bar_ts=0,
        placed_at=0,
        client_id="",
    )
    return OpenOrder(order)


class Case(NamedTuple):
    """A stance, what is held, the size asked for, and the signed shares to trade with the code."""

    stance: int
    held: float
    size: Sizing | int  # whole shares where it is a number
    shares: float
    code: str
    short: bool = False
    whole: bool = False
    price: int = PRICE
    weight: int = 1_000_000
    volatility: int | None = None


TEN = 10
THOUSAND = Sizing(NOTIONAL, 1_000 * DOLLAR)
QUARTER = Sizing(EQUITY, 2_500)
TENTH_A_YEAR = Sizing(VOLATILITY, 1_000)
HALF = Sizing(PROBABILITY, 5_000)  # 1,250 shares at full weight; the band is a fifth of it: 250

CASES = (
    # a number of shares: filled up while up is said, never trimmed, all of it sold at down
    Case(UP, 0, TEN, 10, IN),
    Case(UP, 4, TEN, 6, IN),
    Case(UP, 10, TEN, 0, IN),
    Case(UP, 12, TEN, 0, IN),
    Case(DOWN, 0, TEN, 0, OUT),
    Case(DOWN, 4, TEN, -4, OUT),
    Case(DOWN, 12, TEN, -10, OUT),
    Case(KEEP, 0, TEN, 0, OUT),
    Case(KEEP, 4, TEN, 0, IN),
    Case(UP, 0, 0, 0, SMALL),
    # an amount of money: 1,000 / 40 = 25 shares, 1,000 / 30 = 33.333333333 or 33 whole
    Case(UP, 0, THOUSAND, 25, IN),
    Case(UP, 0, THOUSAND, 33.333_333_333, IN, price=30 * DOLLAR),
    Case(UP, 0, THOUSAND, 33, IN, whole=True, price=30 * DOLLAR),
    Case(UP, 0, Sizing(NOTIONAL, 39 * DOLLAR), 0, SMALL, whole=True),
    Case(UP, 0, Sizing(NOTIONAL, 39 * DOLLAR), 0.975, IN),
    # a part of equity: 25,000 / 40
    Case(UP, 0, QUARTER, 625, IN),
    Case(DOWN, 3, QUARTER, -3, OUT),
    # so much that it moves 10 % a year: 40 % of equity where the symbol moves 25 %, or the cap
    Case(UP, 0, TENTH_A_YEAR, 1_000, IN, volatility=250_000),
    Case(UP, 0, TENTH_A_YEAR._replace(cap=2_000), 500, IN, volatility=250_000),
    Case(UP, 0, TENTH_A_YEAR, 2_500, IN, volatility=1),
    Case(UP, 0, TENTH_A_YEAR, 0, SMALL, volatility=0),
    Case(UP, 0, TENTH_A_YEAR, 0, SMALL, volatility=None),
    # an entry is sized once: a little is enough to leave it alone, whatever the size is now
    *(Case(UP, 0.5, size, 0, IN) for size in (THOUSAND, QUARTER, TENTH_A_YEAR)),
    *(Case(KEEP, 0.5, size, 0, IN) for size in (THOUSAND, QUARTER, TENTH_A_YEAR)),
    # weight 0.6: 750 shares, by steps of at least 250, and out to the last share
    Case(UP, 0, HALF, 750, IN, weight=600_000),
    Case(UP, 500, HALF, 250, IN, weight=600_000),
    Case(UP, 500.000_000_001, HALF, 0, IN, weight=600_000),
    Case(UP, 999.999_999_999, HALF, 0, IN, weight=600_000),
    Case(DOWN, 1_000, HALF, -250, IN, weight=600_000),
    Case(KEEP, 750, HALF, 0, IN, weight=600_000),
    Case(DOWN, 100, HALF, -100, IN, weight=0),
    Case(DOWN, 0, HALF, 0, OUT, weight=0),
    Case(UP, 0, HALF, 0, OUT, weight=1_000),  # 1.25 shares are nearer to nothing than a step
    Case(UP, 0, HALF._replace(band=0), 1, IN, whole=True, weight=1_000),
    # short: the opposite position while down is said, across zero in one order
    Case(DOWN, 0, TEN, -10, IN, short=True),
    Case(DOWN, 10, TEN, -20, IN, short=True),
    Case(DOWN, -4, TEN, -6, IN, short=True),
    Case(DOWN, -10, TEN, 0, IN, short=True),
    Case(DOWN, -12, TEN, 0, IN, short=True),
    Case(UP, -10, TEN, 20, IN, short=True),
    Case(KEEP, -10, TEN, 0, IN, short=True),
    Case(DOWN, 5, THOUSAND, -30, IN, short=True),
    Case(UP, -5, THOUSAND, 30, IN, short=True),
    Case(DOWN, -0.5, THOUSAND, 0, IN, short=True),
    # a short position that nobody asked for is bought back at up, and left alone at down
    Case(UP, -4, TEN, 14, IN),
    Case(DOWN, -4, TEN, 0, IN),
    Case(KEEP, -4, TEN, 0, IN),
)


def policy_of(case: Case) -> Policy:
    number = case.size if isinstance(case.size, int) else 0
    return Policy(
        account=ACCOUNT,
        strategy="s",
        quantity=number * SHARE,
        sizing=None if isinstance(case.size, int) else case.size,
        short=case.short,
        whole=case.whole,
    )


@pytest.mark.parametrize("case", CASES)
def test_a_size_is_as_worked_out(case: Case) -> None:
    signal = Signal("rule", case.stance, weight=case.weight, volatility=case.volatility)
    state = account(case.held, case.price)
    assert state.equity == EQUITY_HELD
    now = moment(signal, case.price)
    found = decide(now, state, policy_of(case), WIDE, at_the_close(now))
    assert found.action == (ORDER if case.shares else HOLD)
    assert found.code == case.code
    assert (found.order.signed if found.order else 0) == round(case.shares * SHARE)
    assert (found.held, found.equity) == (round(case.held * SHARE), EQUITY_HELD)


@pytest.mark.parametrize(
    ("held", "side", "waits", "stance", "size", "shares"),
    [
        (0, BUY, 4, UP, TEN, 6),
        (0, BUY, 10, UP, TEN, 0),
        (10, SELL, 4, DOWN, TEN, -6),
        (10, SELL, 10, DOWN, TEN, 0),
        (0, BUY, 1, UP, THOUSAND, 0),  # an entry is on its way
        (25, SELL, 5, DOWN, THOUSAND, -20),
        (500, BUY, 250, UP, HALF, 500),  # 1,250 at full weight
        (500, BUY, 501, UP, HALF, 0),
    ],
)
def test_what_waits_counts_as_there(
    held: float, side: str, waits: int, stance: int, size: Sizing | int, shares: float
) -> None:
    state = account(held, PRICE, waiting(side, waits))
    wish = wished(
        moment(Signal("rule", stance)), state, policy_of(Case(stance, held, size, shares, IN))
    )
    assert wish.quantity * (1 if wish.side == BUY else -1) == round(shares * SHARE)


@pytest.mark.parametrize(
    ("stance", "p_up", "held", "shares"),
    [
        (UP, 0.75, 0, 10),
        (DOWN, 0.45, 10, 0),  # between both thresholds: kept
        (DOWN, 0.45, 0, 0),
        (DOWN, 0.4, 10, -10),
        (DOWN, 0.375, 10, -10),
        (KEEP, 0.1, 10, 0),  # who says keep means it
        (DOWN, None, 10, -10),  # a rule has no p(up)
    ],
)
def test_a_position_is_kept_between_two_thresholds(
    stance: int, p_up: float | None, held: int, shares: int
) -> None:
    policy = Policy(account=ACCOUNT, strategy="s", quantity=10 * SHARE, exit_below=0.4)
    wish = wished(moment(Signal("m", stance, p_up=p_up, threshold=0.5)), account(held), policy)
    assert wish.quantity * (1 if wish.side == BUY else -1) == shares * SHARE


@pytest.mark.parametrize(
    ("side", "stance", "source", "shares"),
    [
        (BUY, UP, "m", 7),
        (BUY, DOWN, "m", 0),
        (SELL, DOWN, "m", -7),
        (SELL, UP, "m", 0),
        (SELL, UP, "", -7),  # no model was asked
        (BUY, KEEP, "m", 0),
    ],
)
def test_one_order_in_one_direction_needs_agreement(
    side: str, stance: int, source: str, shares: int
) -> None:
    policy = Policy(account=ACCOUNT, strategy="s", quantity=7 * SHARE, side=side)
    wish = wished(moment(Signal(source, stance)), account(100), policy)
    assert (wish.side, wish.quantity) == (side, abs(shares) * SHARE)


def test_nothing_said_is_a_hold() -> None:
    now = moment(None)
    policy = Policy(account=ACCOUNT, strategy="s", quantity=SHARE)
    found = decide(now, account(3), policy, WIDE, at_the_close(now))
    assert (found.action, found.code, found.order) == (HOLD, SILENT, None)


@pytest.mark.parametrize(
    ("order_type", "stance", "limit", "stop"),
    [
        (LIMIT, UP, 39.60, None),  # 1 % better than the close of 40 for either side
        (LIMIT, DOWN, 40.40, None),
        (STOP, UP, None, 40.20),  # half a per cent beyond it
        (STOP, DOWN, None, 39.80),
        (STOP_LIMIT, UP, 39.60, 40.20),
        (STOP_LIMIT, DOWN, 40.40, 39.80),
    ],
)
def test_prices_at_a_distance_are_on_the_side_of_the_order(
    order_type: str, stance: int, limit: float | None, stop: float | None
) -> None:
    policy = Policy(
        account=ACCOUNT,
        strategy="s",
        quantity=10 * SHARE,
        order_type=order_type,
        limit_bps=-100,
        stop_bps=50,
    )
    now = moment(Signal("rule", stance))
    order = decide(now, account(10 * (stance == DOWN)), policy, WIDE, at_the_close(now)).order
    assert order is not None
    assert order.limit_price == (None if limit is None else round(limit * DOLLAR))
    assert order.stop_price == (None if stop is None else round(stop * DOLLAR))


def test_a_long_position_becomes_a_short_one_in_one_fill() -> None:
    entries = [
        Entry(ts=0, kind=DEPOSIT, ref="d", amount=100_000 * DOLLAR),
        fill_entry(ts=1, ref="b", symbol="A", quantity=10 * SHARE, price=30 * DOLLAR, fee=0),
    ]
    state = TradingState(account=ACCOUNT, portfolio=replay(entries))
    policy = Policy(account=ACCOUNT, strategy="s", quantity=10 * SHARE, short=True)
    bars = [moment(Signal("rule", DOWN)), moment(Signal("rule", DOWN), 50 * DOLLAR, at=1)]
    journal = RunJournal()
    costs = CostModel(commission_per_share=0, commission_minimum=0, slippage_bps=0)
    run_session(
        turns_of(bars),
        state=state,
        broker=SimulatedBroker(costs),
        journal=journal,
        decider=Decider(policy=policy, limits=WIDE, conditions=at_the_close),
    )
    [entry] = journal.entries
    assert (entry.quantity, entry.amount) == (-20 * SHARE, 1_000 * DOLLAR)
    [position] = state.portfolio.positions.values()
    assert position == Position("A", -10 * SHARE, -500 * DOLLAR)
    assert state.portfolio.realised == 200 * DOLLAR  # ten bought at 30, sold at 50
    assert [run.code for run in journal.runs] == [IN]  # short as asked: nothing more to do
