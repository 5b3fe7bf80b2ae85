"""Holdings at the newest prices; one missing price leaves the total unsaid."""

from __future__ import annotations

from algotrade.domain.ledger import Portfolio, replay
from algotrade.portfolio.holdings import Price, value_portfolio
from builders import DOLLAR, SHARE, bought, deposit

BOOK = replay(
    [
        deposit(),
        bought(3 * SHARE, 20 * DOLLAR, symbol="MSFT", ref="1"),
        bought(10 * SHARE, 100 * DOLLAR, ref="2"),
        bought(-2 * SHARE, 50 * DOLLAR, symbol="IBM", ref="3"),
    ]
)


def test_each_holding_and_the_whole_by_hand() -> None:
    prices = {
        "AAPL": Price(110 * DOLLAR, 7),
        "IBM": Price(60 * DOLLAR, 8),
        "MSFT": Price(19_500_000, 9),
        "ZZZ": Price(1, 1),
    }
    valued = value_portfolio(BOOK, prices)
    rows = [(h.symbol, h.quantity, h.avg_cost, h.value, h.unrealised) for h in valued.holdings]
    assert rows == [
        ("AAPL", 10 * SHARE, 100 * DOLLAR, 1_100 * DOLLAR, 100 * DOLLAR),
        ("IBM", -2 * SHARE, 50 * DOLLAR, -120 * DOLLAR, -20 * DOLLAR),
        ("MSFT", 3 * SHARE, 20 * DOLLAR, 58_500_000, -1_500_000),
    ]
    # cash 100,000 - 60 - 1,000 + 100 = 99,040; held 1,100 - 120 + 58.50 = 1,038.50
    assert (valued.total, valued.unrealised) == (100_078_500_000, 78_500_000)
    assert valued.holdings[0].last == Price(110 * DOLLAR, 7)


def test_a_missing_price_is_told_and_never_counted_as_nothing() -> None:
    valued = value_portfolio(BOOK, {"AAPL": Price(110 * DOLLAR, 7), "IBM": Price(DOLLAR, 8)})
    assert (valued.total, valued.unrealised) == (None, None)
    msft = valued.holdings[2]
    assert (msft.last, msft.value, msft.unrealised, msft.cost) == (None, None, None, 60 * DOLLAR)


def test_an_empty_account_is_worth_nothing() -> None:
    valued = value_portfolio(Portfolio(), {})
    assert (valued.holdings, valued.total, valued.unrealised) == ((), 0, 0)
