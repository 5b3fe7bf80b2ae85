"""The feed: calendars, actions, delisting and what may be skipped, on markets made by hand."""

from __future__ import annotations

import random
from array import array
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algotrade.bars import from_rows
from algotrade.domain.actions import Dividend, Split
from algotrade.domain.costs import CostModel
from algotrade.domain.decisions import EQUITY, Policy, Sizing
from algotrade.domain.ledger import (
    DELISTING,
    DEPOSIT,
    DIVIDEND,
    FILL,
    SPLIT,
    Entry,
    Stretch,
    fill_entry,
)
from algotrade.domain.orders import BUY, DAY, LIMIT
from algotrade.domain.risk import WIDE, Limits
from algotrade.domain.signals import DOWN, KEEP, NONE, UP, Signals
from algotrade.domain.times import HOUR, session_date
from algotrade.trading.feed import GONE_AFTER, History, Market
from algotrade.trading.losses import halting
from algotrade.trading.state import TradingState
from engine_world import (
    ACCOUNT,
    DOLLAR,
    SHARE,
    VOLUME,
    RunJournal,
    World,
    day,
    opening,
    play,
    story,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from algotrade.trading.session import Turn

FREE = CostModel(
    commission_per_share=0, commission_minimum=0, slippage_bps=0, volume_cap_bps=10_000
)
TEN = Policy(account=ACCOUNT, strategy="s", quantity=10 * SHARE)
SAYS = {"-": NONE, "u": UP, "d": DOWN, "k": KEEP}
AT = 1_700_000_000_000_000  # an instant


def on(index: int) -> date:
    return session_date(day(index)[0])


def history(
    symbol: str,
    prices: str | Sequence[float],
    said: str = "",
    *,
    first: int = 0,
    splits: Sequence[Split] = (),
    dividends: Sequence[Dividend] = (),
) -> History:
    """Give daily bars whose four prices are the same; "." is a missing day."""
    listed: list[str | float] = list(prices)
    rows = [
        (*day(index), *[round(float(price) * DOLLAR)] * 4, 10**6 * VOLUME)
        for index, price in enumerate(listed, first)
        if price != "."
    ]
    signals = None
    if said:
        signals = Signals(sources=((0, "rule"),), stances=bytes(SAYS[one] for one in said))
    return History(from_rows("hand", symbol, "1d", rows), signals, splits, dividends)


def world(
    *histories: History,
    policy: Policy = TEN,
    limits: Limits = WIDE,
    held: Mapping[str, int] | None = None,
    prices: Mapping[str, int] | None = None,
) -> World:
    """Give an account of 10,000 dollars after it bought what it holds at 50."""
    start = day(-1)[0]
    entries = [Entry(ts=start, kind=DEPOSIT, ref="d", amount=10_000 * DOLLAR)]
    entries += [
        fill_entry(
            ts=start, ref=symbol, symbol=symbol, quantity=n * SHARE, price=50 * DOLLAR, fee=0
        )
        for symbol, n in (held or {}).items()
    ]
    return World(histories, policy, limits, FREE, tuple(entries), prices or {})


def both(made: World) -> tuple[RunJournal, TradingState]:
    """Run a world deciding everywhere and skipping, which must agree."""
    journal, state = play(made, skip=False)
    assert story(*play(made, skip=True)) == story(journal, state)
    return journal, state


def turns(made: World, *, skip: bool = False) -> list[Turn]:
    """Give the turns that an account in which nothing happens is given."""
    market = Market(made.histories, made.policy)
    return list(market.turns(opening(made), made.limits, skip=skip))


# ---- one line of time


def test_instants_are_those_of_any_symbol() -> None:
    made = world(history("B", "55.55"), history("A", ".7.7", first=1))
    found = [(turn.ts, [moment.symbol for moment in turn.moments]) for turn in turns(made)]
    assert found == [
        (day(0)[1], ["B"]),
        (day(1)[1], ["B"]),
        (day(2)[1], ["A"]),
        (day(3)[1], ["B"]),
        (day(4)[1], ["A", "B"]),
    ]


def test_a_missing_day_has_the_close_before_it() -> None:
    made = world(history("A", "5.7"), history("B", "999"), held={"A": 2, "B": 1})
    journal, _ = both(made)
    assert [mark.value for mark in journal.marks] == [19 * DOLLAR, 19 * DOLLAR, 23 * DOLLAR]


def test_no_bars_are_no_turns() -> None:
    market = Market([history("A", "")], TEN)
    assert list(market.turns(TradingState(account=ACCOUNT), WIDE)) == []
    assert market.last_decided() == {}


def test_a_moment_says_what_its_bar_says() -> None:
    signals = Signals(
        sources=((0, "old"), (2, "new")),
        stances=bytes((UP, NONE, DOWN, KEEP)),
        p_up=array("d", (0.75, float("nan"), 0.25, 0.5)),
        threshold=0.5,
        weights=array("q", (1, 2, 3, 4)),
        volatilities=array("q", (5, 6, -1, 8)),
    )
    made = world(history("A", "1234")._replace(signals=signals))
    said = [turn.moments[0].signal for turn in turns(made)]
    assert said[1] is None
    assert [one[:6] for one in said if one] == [
        ("old", UP, 0.75, 0.5, 1, 5),
        ("new", DOWN, 0.25, 0.5, 3, None),
        ("new", KEEP, 0.5, 0.5, 4, 8),
    ]
    before = [turn.moments[0].decided_before for turn in turns(made)]
    assert before == [None, day(0)[1], day(0)[1], day(2)[1]]
    assert Market(made.histories, TEN).last_decided() == {"A": day(3)[1]}


# ---- actions


def test_an_action_of_a_missing_day_comes_with_the_next_bar() -> None:
    split = Split("A", on(1), 1, 2)
    paid = Dividend("A", on(2), DOLLAR)
    made = world(
        history("A", "8..44", splits=[split], dividends=[paid]),
        history("B", "11111"),
        held={"A": 3},
    )
    journal, state = both(made)
    assert [(entry.ts, entry.kind, entry.quantity) for entry in journal.entries] == [
        (day(3)[0], SPLIT, 3 * SHARE),
        (day(3)[0], DIVIDEND, 6 * SHARE),  # the split came first
    ]
    assert state.equity == (10_000 - 150 + 6 + 6 * 4) * DOLLAR
    assert [mark.value // DOLLAR for mark in journal.marks] == [24, 24, 24, 24, 24]


def test_a_dividend_on_the_day_of_a_split_is_of_the_shares_before_it() -> None:
    split, paid = Split("A", on(1), 1, 2), Dividend("A", on(1), DOLLAR)
    journal, _ = both(world(history("A", "84", splits=[split], dividends=[paid]), held={"A": 3}))
    assert [(entry.kind, entry.quantity // SHARE) for entry in journal.entries] == [
        (DIVIDEND, 3),
        (SPLIT, 3),
    ]


def test_a_split_voids_what_waits_and_the_order_is_made_anew() -> None:
    made = world(history("A", [80, 40, 40], "uuu", splits=[Split("A", on(1), 1, 2)]))
    journal, state = both(made)
    assert [(ts, what) for _, ts, what, _ in journal.events] == [
        (day(1)[0], "cancelled"),
        (day(2)[0], "filled"),
    ]
    assert "2-for-1 split" in journal.events[0][3]
    assert state.portfolio.held("A") == 10 * SHARE


def test_a_reverse_split_leaves_room_that_up_fills_again() -> None:
    split = Split("A", on(3), 5, 1)
    made = world(history("A", [8, 8, 8, 40, 40, 40], "uuuuuu", splits=[split]))
    journal, state = both(made)
    assert [entry.quantity // SHARE for entry in journal.entries] == [10, -8, 8]
    assert state.portfolio.held("A") == 10 * SHARE


def test_a_dividend_is_paid_to_who_held_at_the_close_before() -> None:
    made = world(
        history("A", "8888", "ukkk", dividends=[Dividend("A", on(n), DOLLAR) for n in (1, 2)])
    )
    journal, _ = both(made)  # bought at the open of day 1, without its dividend
    assert [(entry.kind, entry.amount // DOLLAR) for entry in journal.entries] == [
        (FILL, -80),
        (DIVIDEND, 10),
    ]


# ---- delisting


def others(last: int) -> History:
    """Give the symbol that is still traded `GONE_AFTER` + `last` instants after the third bar."""
    return history("Z", [1.0] * (3 + GONE_AFTER + last))


def test_what_is_traded_no_more_is_settled_at_its_last_close() -> None:
    journal, state = both(world(history("A", "567", "-k-"), others(0), held={"A": 4}))
    [entry] = journal.entries
    gone = day(2 + GONE_AFTER)[1]
    assert entry[:8] == (gone, DELISTING, f"A {gone}", "A", -4 * SHARE, 7 * DOLLAR, 28 * DOLLAR, 0)
    assert not state.portfolio.positions
    assert state.portfolio.realised == (28 - 200) * DOLLAR


def test_a_symbol_waits_ten_instants_before_it_is_gone() -> None:
    journal, state = both(world(history("A", "567", "-k-"), others(-1), held={"A": 4}))
    assert journal.entries == []
    assert state.portfolio.held("A") == 4 * SHARE


def test_what_waits_for_a_symbol_that_is_gone_is_cancelled() -> None:
    journal, state = both(world(history("A", "567", "--u"), others(5)))
    [(_, ts, what, why)] = journal.events
    assert (ts, what, why) == (day(2 + GONE_AFTER)[1], "cancelled", "the symbol is traded no more")
    assert state.open_orders == ()
    assert journal.entries == []


# ---- what may be skipped


def visited(made: World) -> list[int]:
    """Give the days on which something was decided or settled while skipping."""
    market, state, journal = Market(made.histories, made.policy), opening(made), RunJournal()
    days = []
    for turn in market.turns(state, made.limits):
        walk(made, [turn], state, journal)
        days.append((turn.ts - day(0)[1]) // (24 * HOUR))
    return days


def test_only_days_on_which_something_can_come_are_visited() -> None:
    said = "--" + "k" * 5 + "u" + "k" * 20 + "u" * 10 + "d" + "d" * 20
    prices = [5.0] * len(said)
    made = world(history("A", prices, said))
    # the first word; bought at 7, filled at 8; sold at 38, filled at 39; the last day
    assert visited(made) == [2, 7, 8, 38, 39, len(said) - 1]
    both(made)


def test_a_dividend_is_visited_only_where_it_is_held() -> None:
    paid = [Dividend("A", on(n), DOLLAR) for n in (3, 12)]
    said = "k" * 6 + "u" + "k" * 13
    assert visited(world(history("A", [5.0] * 20, said, dividends=paid))) == [0, 6, 7, 12, 19]


def test_a_halt_is_found_between_visits() -> None:
    # 10 of 10,000 dollars lost is 10 bps; the order of day 6 is refused
    limits = Limits(drawdown_halt_bps=9, daily_loss_halt_bps=9, max_order_equity_bps=10**6)
    prices = [20, 20, 20, 19, 19, 19, 19, 19]
    made = world(history("A", prices, "ukkkkkdd"), limits=limits)
    journal, _ = both(made)
    assert journal.halts == [(day(3)[1], "R18 daily loss 10 bps over 9")]
    assert [(run.action, run.code) for run in journal.runs] == [
        ("hold", "in"),
        ("refused", "halted"),
    ]


@pytest.mark.parametrize("at", [1, 3])
def test_a_halt_is_found_where_only_another_symbol_is_visited(at: int) -> None:
    # B is visited for its split, says nothing, and has lost; A speaks and is skipped
    limits = Limits(drawdown_halt_bps=9, daily_loss_halt_bps=9)
    b = history("B", [50] * at + [20, 25], splits=[Split("B", on(at), 1, 2)])
    journal, _ = both(world(history("A", "55555", "kkkkk"), b, limits=limits, held={"B": 1}))
    assert [ts for ts, _ in journal.halts] == [day(at)[1]]


def test_what_was_held_before_is_priced_from_its_first_bar() -> None:
    a, b = history("A", "5555555"), history("B", "6789", first=2)
    for prices in ({}, {"B": 3 * DOLLAR}):
        journal, _ = both(world(a, b, held={"B": 1}, prices=prices))
        values = [mark.value // DOLLAR for mark in journal.marks]
        assert values == [*[3, 3][: 2 * len(prices)], 6, 7, 8, 9, 9]


def test_a_halted_size_may_come_to_nothing_later() -> None:
    policy = Policy(
        account=ACCOUNT, strategy="s", sizing=Sizing(EQUITY, 1_000), whole=True
    )  # 1,000 dollars
    made = world(history("A", [900, 900, 1_100, 900], "uuuu"), policy=policy)
    journal, _ = both(made._replace(halt="by hand"))
    assert [(run.code, (run.last - run.first) // (24 * HOUR)) for run in journal.runs] == [
        ("halted", 1),
        ("small", 0),
        ("halted", 0),
    ]


def test_one_direction_is_asked_at_every_bar() -> None:
    policy = Policy(account=ACCOUNT, strategy="s", quantity=SHARE, side=BUY)
    _, state = both(world(history("A", "55555", "uukud"), policy=policy, held={"A": 50}))
    assert state.portfolio.held("A") == 53 * SHARE


def test_a_keeping_model_is_not_asked_to_leave() -> None:
    said = Signals(
        sources=((0, "m"),),
        stances=bytes((KEEP, KEEP, DOWN, DOWN)),
        p_up=array("d", (0.1, 0.1, 0.3, 0.1)),
        threshold=0.5,
    )
    policy = Policy(account=ACCOUNT, strategy="s", quantity=10 * SHARE, exit_below=0.2)
    made = world(history("A", "5555")._replace(signals=said), policy=policy, held={"A": 10})
    journal, _ = both(made)
    assert [decision.ts for decision in journal.orders] == [day(3)[1]]


def test_an_order_that_waits_is_met_at_every_bar() -> None:
    for tif, bought in (("gtc", 10 * SHARE), (DAY, 0)):
        policy = Policy(
            account=ACCOUNT,
            strategy="s",
            quantity=10 * SHARE,
            order_type=LIMIT,
            limit_bps=-5_000,
            time_in_force=tif,
        )
        _, state = both(world(history("A", "8888484", "ukkkkkk"), policy=policy))
        assert state.portfolio.held("A") == bought


# ---- limits on losses


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**9), st.sampled_from([0, 50, 500, 10**9]), st.sampled_from([10, 10**6]))
def test_halting_marks_are_those_that_a_decision_halts_at(seed: int, bps: int, paid: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - a few valuations
    limits = Limits(daily_loss_halt_bps=bps, drawdown_halt_bps=2 * bps)
    times = [AT + n * 7 * HOUR for n in range(12)]
    marks = Stretch(times, 0, [rng.randrange(1, 3 * paid) for _ in times], paid)
    state, expected = TradingState(account=ACCOUNT), []
    if rng.random() < 0.5:
        ts = AT - rng.randrange(20) * HOUR - 1
        state.mark(Stretch([ts], 0, [rng.randrange(2 * paid)], paid))
    found = list(halting(marks, state, limits))
    for place, mark in enumerate(marks.marks()):
        state.mark(Stretch([mark.ts], 0, [mark.value], paid))
        losses = ((state.session_profit, bps), (state.peak_profit, 2 * bps))
        bases = ((paid + profit, profit - mark.profit, most) for profit, most in losses)
        if any(base > 0 and lost * 10_000 > most * base for base, lost, most in bases):
            expected.append(place)
    assert found == expected


@pytest.mark.parametrize("skip", [True, False])
def test_an_account_ahead_of_its_bars_is_valued_after_its_newest_mark(*, skip: bool) -> None:
    made, journal = world(history("A", "5555555", "kkkkkkk")), RunJournal()
    state = opening(made)
    state.mark(Stretch([day(3)[1]], 0, [0], 0))
    walk(made, Market(made.histories, TEN).turns(state, WIDE, skip=skip), state, journal)
    assert [mark.ts for mark in journal.marks] == [day(n)[1] for n in (4, 5, 6)]


@pytest.mark.parametrize("skip", [True, False])
def test_every_instant_is_marked_once(*, skip: bool) -> None:
    made = world(history("A", "5.5.5", "kkk"), history("B", "66666"))
    journal, _ = play(made, skip=skip)
    assert [mark.ts for mark in journal.marks] == [day(n)[1] for n in range(5)]
