"""The ledger: a whole life computed by hand, positions both ways, and what it refuses."""

from __future__ import annotations

import pytest

from algotrade.domain.ledger import (
    ADJUSTMENT,
    DELISTING,
    DEPOSIT,
    DIVIDEND,
    FILL,
    SPLIT,
    WITHDRAWAL,
    Entry,
    Mark,
    Portfolio,
    Position,
    Stretch,
    apply,
    chain_hash,
    fill_entry,
    imbalance,
    replay,
)
from algotrade.errors import LedgerError
from algotrade.portfolio.holdings import Price, value_portfolio
from builders import DOLLAR, SHARE, deposit


def fill(number: int, quantity: int, price: int, fee: int = 0) -> Entry:
    return fill_entry(
        ts=number, ref=f"f{number}", symbol="AAPL", quantity=quantity, price=price, fee=fee
    )


def split(change: int) -> Entry:
    return Entry(ts=0, kind=SPLIT, ref="s", symbol="AAPL", quantity=change)


def position(*entries: Entry) -> tuple[int, int, int]:
    portfolio = replay(entries)
    assert imbalance(portfolio) == 0
    held = portfolio.positions.get("AAPL") or Position(symbol="AAPL", quantity=0, cost=0)
    return held.quantity, held.cost, portfolio.realised


def test_a_life_computed_by_hand() -> None:
    """2024-01-02 deposit                       100,000.000000
    2024-01-03 buy  10 at 100.05, fee 1.00   -1,000.500000  -1.000000  held 10, cost 1,000.500000
    2024-01-10 split 2-for-1                                          held 20, cost 1,000.500000
    2024-02-01 dividend 0.25 on 20               +5.000000
    2024-02-05 sell 5 at 60, fee 1.00          +300.000000  -1.000000
                 cost leaving 1,000.50 * 5 / 20 = 250.125000, realised 49.875000
                                                                      held 15, cost   750.375000
    2024-03-01 split 3-for-2                                          held 22.5, cost 750.375000
    2024-03-04 buy 0.333333333 at 41.123457     -13.707819             (41.123457 * 0.333333333
                 = 13.707818986291... rounds to 13.707819)   held 22.833333333, cost 764.082819
    2024-03-05 sell 22.833333333 at 40, fee 1.00
                 40 * 22.833333333 = 913.33333332 rounds to +913.333333  -1.000000
                 realised 913.333333 - 764.082819 = 149.250514         held 0
    2024-03-06 withdraw                         -50.000000
    """
    entries = [
        deposit(100_000_000_000),
        fill(2, 10_000_000_000, 100_050_000, 1_000_000),
        split(10_000_000_000),
        Entry(
            ts=4,
            kind="dividend",
            ref="AAPL 2024-02-01",
            symbol="AAPL",
            quantity=20_000_000_000,
            price=250_000,
            amount=5_000_000,
        ),
        fill(5, -5_000_000_000, 60_000_000, 1_000_000),
        split(7_500_000_000)._replace(ref="s2"),
        fill(7, 333_333_333, 41_123_457),
        fill(8, -22_833_333_333, 40_000_000, 1_000_000),
        Entry(ts=9, kind=WITHDRAWAL, ref="w", amount=-50_000_000),
    ]
    # cash, contributed, realised, dividends, fees, quantity, cost after each line
    by_hand = [
        (100_000_000_000, 100_000_000_000, 0, 0, 0, 0, 0),
        (98_998_500_000, 100_000_000_000, 0, 0, 1_000_000, 10_000_000_000, 1_000_500_000),
        (98_998_500_000, 100_000_000_000, 0, 0, 1_000_000, 20_000_000_000, 1_000_500_000),
        (99_003_500_000, 100_000_000_000, 0, 5_000_000, 1_000_000, 20_000_000_000, 1_000_500_000),
        (
            *(99_302_500_000, 100_000_000_000, 49_875_000, 5_000_000, 2_000_000),
            *(15_000_000_000, 750_375_000),
        ),
        (
            *(99_302_500_000, 100_000_000_000, 49_875_000, 5_000_000, 2_000_000),
            *(22_500_000_000, 750_375_000),
        ),
        (
            *(99_288_792_181, 100_000_000_000, 49_875_000, 5_000_000, 2_000_000),
            *(22_833_333_333, 764_082_819),
        ),
        (100_201_125_514, 100_000_000_000, 199_125_514, 5_000_000, 3_000_000, 0, 0),
        (100_151_125_514, 99_950_000_000, 199_125_514, 5_000_000, 3_000_000, 0, 0),
    ]
    portfolio = Portfolio()
    for entry, expected in zip(entries, by_hand, strict=True):
        portfolio = apply(portfolio, entry)
        held = portfolio.positions.get("AAPL")
        money = (portfolio.cash, portfolio.contributed, portfolio.realised)
        rest = (portfolio.dividends, portfolio.fees)
        assert (*money, *rest, *((held.quantity, held.cost) if held else (0, 0))) == expected
        assert imbalance(portfolio) == 0
    # half way: 15 shares at 61.50 are 922.50, unrealised 922.50 - 750.375 = 172.125
    valued = value_portfolio(replay(entries[:5]), {"AAPL": Price(61_500_000, 5)})
    assert (valued.total, valued.unrealised) == (100_225_000_000, 172_125_000)
    assert valued.holdings[0].avg_cost == 50_025_000


def test_a_short_position_has_negative_cost_and_earns_when_the_price_falls() -> None:
    # sell 10 at 50: +500; buy 4 at 40: -160, cost leaving -200, realised 200 - 160 = 40
    opened = fill(1, -10 * SHARE, 50 * DOLLAR)
    assert position(opened) == (-10 * SHARE, -500 * DOLLAR, 0)
    covered = fill(2, 4 * SHARE, 40 * DOLLAR)
    assert position(opened, covered) == (-6 * SHARE, -300 * DOLLAR, 40 * DOLLAR)


def test_crossing_zero_realises_all_of_the_old_and_opens_the_rest_at_the_fill() -> None:
    # buy 10 at 100, sell 15 at 110: 10 realise 100, 5 are short at 110
    long = fill(1, 10 * SHARE, 100 * DOLLAR)
    sold = fill(2, -15 * SHARE, 110 * DOLLAR)
    assert position(long, sold) == (-5 * SHARE, -550 * DOLLAR, 100 * DOLLAR)
    # and back: buy 8 at 100: 5 realise 50 more, 3 are long at 100
    back = fill(3, 8 * SHARE, 100 * DOLLAR)
    assert position(long, sold, back) == (3 * SHARE, 300 * DOLLAR, 150 * DOLLAR)


@pytest.mark.parametrize(
    ("quantity", "paid"),
    [
        (500, 0),  # 0.5 micro-dollars: a tie, to even
        (1_500, 2),  # 1.5: a tie, to even
        (2_500, 2),  # 2.5: a tie, to even
        (2_501, 3),
        (1_499, 1),
    ],
)
def test_a_fill_rounds_half_even_once(quantity: int, paid: int) -> None:
    assert fill(1, quantity, DOLLAR).amount == -paid
    assert fill(1, -quantity, DOLLAR).amount == paid


def test_average_cost_is_positive_both_ways_and_rounds_half_even() -> None:
    # 1 micro-dollar for 2 shares is half a micro each, to even 0; 3 for 2 is 1.5, to even 2
    assert Position(symbol="A", quantity=2 * SHARE, cost=1).avg_cost == 0
    assert Position(symbol="A", quantity=2 * SHARE, cost=3).avg_cost == 2
    assert Position(symbol="A", quantity=-2 * SHARE, cost=-3).avg_cost == 2


def test_a_reverse_split_of_dust_leaves_nothing_and_its_cost_is_lost() -> None:
    # 4 nano-shares at 600,000 cost 0.0024; 1-for-10 leaves 0.4 nano-shares, that is none
    assert position(fill(1, 4, 600_000 * DOLLAR), split(-4)) == (0, 0, -2_400)


@pytest.mark.parametrize("held", [0, 10 * SHARE, -10 * SHARE])
def test_a_split_that_does_not_fit_the_position_is_refused(held: int) -> None:
    portfolio = replay([fill(1, held, DOLLAR)]) if held else Portfolio()
    with pytest.raises(LedgerError, match="no such position"):
        apply(portfolio, split(-2 * held or 5))


@pytest.mark.parametrize(
    ("held", "paid", "earned"), [(10 * SHARE, 70, -30), (-10 * SHARE, -70, 30), (5, 0, 0)]
)
def test_a_delisting_settles_what_is_held_at_its_price(held: int, paid: int, earned: int) -> None:
    # 10 at 10 cost 100, settled at 7 for 70; of 5 nano-shares there is not a micro-dollar
    gone = Entry(
        ts=2,
        kind=DELISTING,
        ref="AAPL 2",
        symbol="AAPL",
        quantity=-held,
        price=7 * DOLLAR,
        amount=paid * DOLLAR,
    )
    portfolio = replay([fill(1, held, 10 * DOLLAR), gone])
    assert (portfolio.positions, portfolio.realised) == ({}, earned * DOLLAR)
    assert imbalance(portfolio) == 0


def test_an_unknown_kind_is_refused() -> None:
    for symbol in ("", "AAPL"):
        with pytest.raises(LedgerError, match=r"^ledger entry 'g' has unknown kind 'gift'$"):
            apply(Portfolio(), Entry(ts=1, kind="gift", ref="g", symbol=symbol, amount=1))


def test_two_symbols_do_not_touch() -> None:
    entries = [
        fill(1, 10 * SHARE, 100 * DOLLAR),
        fill(2, 5 * SHARE, 20 * DOLLAR)._replace(symbol="MSFT"),
        fill(3, -10 * SHARE, 90 * DOLLAR),
    ]
    portfolio = replay(entries)
    assert portfolio.positions == {
        "MSFT": Position(symbol="MSFT", quantity=5 * SHARE, cost=100 * DOLLAR)
    }
    assert (portfolio.realised, portfolio.held("AAPL"), portfolio.held("MSFT")) == (
        -100 * DOLLAR,
        0,
        5 * SHARE,
    )


def test_a_mark_tells_profit_over_what_was_put_in() -> None:
    assert Mark(1, 98_000, 5_000, 100_000).profit == 3_000


def test_the_chain_hash_is_the_documented_sha256() -> None:
    # printf '%s' '["","paper",1,7,5,"deposit","opening","",0,0,9,0,"hi"]' | sha256sum
    entry = Entry(ts=5, kind="deposit", ref="opening", amount=9, note="hi")
    expected = "5c11ee033fe2c0c15658800a695e67a7b6e6b6a8f09d9c4c5ca02fd3386de3b0"
    assert chain_hash("", "paper", 1, 7, entry) == expected


def test_the_chain_hash_tells_fields_apart_that_run_into_each_other() -> None:
    a = Entry(ts=5, kind="fill", ref="x", symbol="AB", note="C")
    b = Entry(ts=5, kind="fill", ref="xA", symbol="B", note="C")
    assert chain_hash("", "paper", 1, 7, a) != chain_hash("", "paper", 1, 7, b)


def test_only_what_was_effective_by_then_is_replayed() -> None:
    entries = [fill(1, SHARE, DOLLAR), fill(3, SHARE, DOLLAR), fill(2, SHARE, DOLLAR)]
    held = [replay(entries, until=ts).held("AAPL") // SHARE for ts in (0, 1, 2, 3)]
    assert held == [0, 1, 2, 3]
    assert replay(entries) == replay(entries, until=3)


def test_a_stretch_is_its_marks_and_can_be_cut() -> None:
    whole = Stretch((1, 2, 3), 10, (20, 30, 40), 50)
    marks = [Mark(1, 10, 20, 50), Mark(2, 10, 30, 50), Mark(3, 10, 40, 50)]
    assert list(whole.marks()) == marks
    assert list(whole.until(2).marks()) == marks[:2]
    assert list(whole.until(0).marks()) == []
    assert marks[1].alone == Stretch((2,), 10, (30,), 50)
    assert list(marks[1].alone.marks()) == [marks[1]]


def test_an_adjustment_of_cash_is_a_contribution_and_one_of_shares_a_fill_for_nothing() -> None:
    cash = Entry(ts=1, kind=ADJUSTMENT, ref="c", amount=-7, note="the broker says so")
    assert replay([cash]) == Portfolio(cash=-7, contributed=-7)
    shares = Entry(ts=2, kind=ADJUSTMENT, ref="s", symbol="AAPL", quantity=3 * SHARE)
    found = replay([cash, shares])
    assert found.positions == {"AAPL": Position("AAPL", 3 * SHARE, 0)}
    assert (found.cash, found.contributed, imbalance(found)) == (-7, -7, 0)
    paid = apply(found, shares._replace(symbol="MSFT", amount=-30, price=0))
    assert paid.positions["MSFT"] == Position("MSFT", 3 * SHARE, 30)
    assert apply(found, shares._replace(quantity=0)) == found


def test_an_entry_of_nothing_else_has_nothing_else() -> None:
    assert Entry(1, "deposit", "d") == Entry(1, "deposit", "d", "", 0, 0, 0, 0, "")
    assert fill(1, SHARE, DOLLAR) == Entry(1, "fill", "f1", "AAPL", SHARE, DOLLAR, -DOLLAR, 0, "")
    assert Portfolio() == Portfolio(0, 0, 0, 0, 0, {})
    assert (DEPOSIT, WITHDRAWAL, FILL, SPLIT) == ("deposit", "withdrawal", "fill", "split")
    assert (DIVIDEND, DELISTING, ADJUSTMENT) == ("dividend", "delisting", "adjustment")


def test_what_is_missing_is_told_to_the_micro_dollar() -> None:
    held = {"A": Position("A", 1, 100), "B": Position("B", -1, -30)}
    whole = Portfolio(
        cash=905, contributed=1_000, realised=-20, dividends=5, fees=10, positions=held
    )
    assert imbalance(whole) == 0  # 905 + 70 = 1,000 - 20 + 5 - 10
    for name, missing in (("cash", 1), ("contributed", -1), ("realised", -1), ("fees", 1)):
        more = whole._replace(**{name: getattr(whole, name) + 1})
        assert imbalance(more) == missing


def test_a_split_that_leaves_a_position_may_change_any_part_of_it() -> None:
    assert position(fill(1, 10, 10**6 * DOLLAR), split(-9)) == (1, 10_000, 0)
    assert position(fill(1, -10, 10**6 * DOLLAR), split(9)) == (-1, -10_000, 0)
    assert position(fill(1, 10, 10**6 * DOLLAR), split(0)) == (10, 10_000, 0)
    with pytest.raises(LedgerError, match=r"^split 's' of AAPL: no such position to split$"):
        replay([split(1)])
