"""Small makers of bars, moments, orders, states and worlds for the tests of trading and store."""

from __future__ import annotations

import dataclasses
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from algotrade.bars import Bars, from_rows
from algotrade.domain.ledger import DEPOSIT, Entry, Mark, fill_entry, replay
from algotrade.domain.orders import OpenOrder, Order
from algotrade.domain.predictions import Prediction
from algotrade.domain.risk import Conditions, Limits
from algotrade.domain.signals import DOWN, UP, Signal
from algotrade.domain.times import DAY, HOUR, MINUTE, to_day
from algotrade.trading.decision import Moment
from algotrade.trading.state import TradingState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from algotrade.domain.actions import Dividend, Split

T = TypeVar("T")

DOLLAR = 1_000_000
SHARE = 1_000_000_000
ACCOUNT = "paper"
FIRST = date(2024, 1, 1)

WIDE = Limits(  # bounds that no test meets by accident
    max_order_notional=10**18,
    max_order_equity_bps=10**9,
    max_order_quantity=10**18,
    price_collar_bps=300,
    max_position_bps=10**9,
    max_gross_bps=10**9,
    max_stale_sessions=0,
    daily_loss_reduce_bps=10**9,
    daily_loss_halt_bps=10**9,
    drawdown_halt_bps=10**9,
)
NO_MODEL = Signal("", UP)  # a person asks: the same as --no-model


def replace(value: T, **changes: Any) -> T:  # noqa: ANN401  whatever the fields are
    """Give a frozen value with some fields changed, dataclass or named tuple."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.replace(value, **changes)
    changed: T = value._replace(**changes)  # type: ignore[attr-defined]  # a named tuple
    return changed


def session(day: int) -> date:
    return FIRST + timedelta(days=day)


def opens(day: int) -> int:
    return to_day(session(day)) * DAY + 14 * HOUR + 30 * MINUTE


def closes(day: int) -> int:
    return to_day(session(day)) * DAY + 21 * HOUR


def says(value: int, *, symbol: str = "AAPL", day: int = 0) -> Prediction:
    return Prediction(
        model_id="m" * 12,
        symbol=symbol,
        ts=closes(day),
        p_up=0.625 if value else 0.25,
        threshold=0.5,
        value=value,
        features=(("SMA_50", 100.5), ("SMA_200", 99.25)),
        drivers=(("SMA_50", 0.125),),
        base=0.5,
        unit="probability",
        bars_hash="0" * 64,
    )


def signal_of(prediction: Prediction) -> Signal:
    """Give what a model's prediction says to the one who decides."""
    return Signal(
        source=prediction.model_id,
        stance=UP if prediction.value == 1 else DOWN,
        p_up=prediction.p_up,
        threshold=prediction.threshold,
        bars_hash=prediction.bars_hash,
    )


def moment(
    day: int,
    price: int = 100 * DOLLAR,
    *,
    symbol: str = "AAPL",
    high: int | None = None,
    low: int | None = None,
    close: int | None = None,
    volume: int = 10**12,
    splits: tuple[Split, ...] = (),
    dividends: tuple[Dividend, ...] = (),
    value: int | None = None,
    signal: Signal | None = None,
) -> Moment:
    """Give the bar of a day: opens at `price`, closes at `close`, no wider than it must be.

    value: what a model predicts, with its reasons. signal: what is said without a model.
    """
    last = price if close is None else close
    prediction = None if value is None else says(value, symbol=symbol, day=day)
    return Moment(
        ts=closes(day),
        symbol=symbol,
        ts_open=opens(day),
        open=price,
        high=max(price, last) if high is None else high,
        low=min(price, last) if low is None else low,
        close=last,
        volume=volume,
        splits=splits,
        dividends=dividends,
        signal=signal_of(prediction) if prediction is not None else signal,
        prediction=prediction,
    )


def order(
    side: str = "buy",
    quantity: int = 10 * SHARE,
    *,
    symbol: str = "AAPL",
    key: str = "a" * 32,
    placed_at: int | None = None,
) -> Order:
    return Order(
        key=key,
        account=ACCOUNT,
        strategy="model",
        symbol=symbol,
        side=side,
        quantity=quantity,
        bar_ts=closes(0),
        placed_at=closes(0) if placed_at is None else placed_at,
        client_id="",
    )


def deposit(amount: int = 100_000 * DOLLAR, *, ref: str = "opening") -> Entry:
    return Entry(ts=opens(0) - DAY, kind=DEPOSIT, ref=ref, amount=amount)


def bought(quantity: int, price: int, *, symbol: str = "AAPL", ref: str = "b.1") -> Entry:
    return fill_entry(
        ts=opens(0) - HOUR, ref=ref, symbol=symbol, quantity=quantity, price=price, fee=0
    )


def state(
    *entries: Entry,
    prices: Mapping[str, int] | None = None,
    open_orders: Sequence[Order | OpenOrder] = (),
    last_mark: Mark | None = None,
    session_profit: int = 0,
    peak_profit: int = 0,
    halt: str | None = None,
) -> TradingState:
    """Give the state after these entries; AAPL is priced at 100 unless told otherwise."""
    return TradingState(
        account=ACCOUNT,
        portfolio=replay(entries),
        open_orders=[one if isinstance(one, OpenOrder) else OpenOrder(one) for one in open_orders],
        prices={"AAPL": 100 * DOLLAR} if prices is None else prices,
        last_mark=last_mark,
        session_profit=session_profit,
        peak_profit=peak_profit,
        halt=halt,
    )


def look(seen: TradingState) -> dict[str, object]:
    """Give all that a state says, to compare it with another or with what it was before."""
    return {
        "account": seen.account,
        "portfolio": seen.portfolio,
        "open_orders": sorted(seen.open_orders, key=lambda one: one.order.key),
        "prices": dict(seen.prices),
        "last_mark": seen.last_mark,
        "profits": (seen.session_profit, seen.peak_profit, seen.profit),
        "halt": seen.halt,
        "sums": (seen.equity, seen.value, seen.gross, seen.largest, seen.committed()),
        "exposure": {symbol: seen.exposure(symbol) for symbol in seen.staked},
    }


def world(
    price: int | None = 100 * DOLLAR,
    *,
    now: int | None = None,
    stale: int | None = 0,
    halts: tuple[str, ...] = (),
) -> Conditions:
    return Conditions(
        now=closes(0) if now is None else now,
        reference_price=price,
        stale_sessions=stale,
        halts=halts,
    )


def bars_of(
    prices: Sequence[int], *, symbol: str = "AAPL", source: str = "sample", first: int = 0
) -> Bars:
    """Give daily bars whose four prices are the same."""
    rows = [(opens(first + i), closes(first + i), p, p, p, p, 10**12) for i, p in enumerate(prices)]
    return from_rows(source, symbol, "1d", rows)
