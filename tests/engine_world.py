"""Small random markets with policies, limits and accounts of every kind, made from one seed."""

from __future__ import annotations

import random
from array import array
from typing import TYPE_CHECKING, NamedTuple

from algotrade.bars import from_rows
from algotrade.domain.actions import Dividend, Split
from algotrade.domain.costs import CostModel
from algotrade.domain.decisions import (
    EQUITY,
    HALTED,
    NOTIONAL,
    ORDER,
    PROBABILITY,
    VOLATILITY,
    Policy,
    Sizing,
)
from algotrade.domain.ledger import DEPOSIT, Entry, fill_entry
from algotrade.domain.money import divide_half_even
from algotrade.domain.orders import DAY, GTC, LIMIT, MARKET, STOP, STOP_LIMIT
from algotrade.domain.risk import HALTED as STOPPED
from algotrade.domain.risk import WIDE, Conditions, Limits, MarketFacts
from algotrade.domain.signals import DOWN, KEEP, NONE, PPM, UP, Signals
from algotrade.domain.times import DAY as ONE_DAY
from algotrade.domain.times import HOUR, MINUTE, to_date
from algotrade.trading.broker import SimulatedBroker
from algotrade.trading.feed import History, Market
from algotrade.trading.session import Decider, SessionResult, Turn, run_session
from algotrade.trading.state import TradingState, opening_state

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from algotrade.domain.decisions import Decision
    from algotrade.domain.ledger import Mark, Stretch
    from algotrade.domain.orders import Order
    from algotrade.trading.decision import Moment
    from algotrade.trading.ports import Journal

DOLLAR = 1_000_000
SHARE = 1_000_000_000
VOLUME = 1_000_000  # micro-shares in a share
ACCOUNT = "world"
FIRST_DAY = 12_000
RATIOS = ((1, 2), (1, 4), (2, 3), (3, 1), (10, 1), (1, 1))


class World(NamedTuple):
    """All that a run needs. entries, prices, halt: how the account begins."""

    histories: tuple[History, ...]
    policy: Policy
    limits: Limits
    costs: CostModel
    entries: tuple[Entry, ...]
    prices: Mapping[str, int]
    halt: str | None = None


class Run(NamedTuple):
    """Consecutive decisions of one symbol that placed nothing and gave one reason."""

    symbol: str
    first: int
    last: int
    action: str
    code: str


class RunJournal:
    """Keep everything, but of holds and refusals only their runs and the first of each."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.orders: list[Decision] = []
        self.events: list[tuple[Order, int, str, str]] = []
        self.marks: list[Mark] = []
        self.halts: list[tuple[int, str]] = []
        self.reductions: list[tuple[int, str]] = []
        self.runs: list[Run] = []
        self.openers: list[Decision] = []
        self.recorded = 0
        self._open: dict[str, int] = {}

    def append(self, entry: Entry) -> None:
        self.entries.append(entry)

    def record(self, decision: Decision, before: int | None = None) -> None:
        self.recorded += 1
        symbol = decision.symbol
        if before is not None:
            self._extend(symbol, before)
        if decision.action == ORDER:
            self.orders.append(decision)
            self._open.pop(symbol, None)
            return
        place = self._open.get(symbol)
        if place is not None and self.runs[place][3:] == (decision.action, decision.code):
            self._extend(symbol, decision.ts)
            return
        self._open[symbol] = len(self.runs)
        self.runs.append(Run(symbol, decision.ts, decision.ts, decision.action, decision.code))
        self.openers.append(decision)

    def order_event(self, order: Order, ts: int, state: str, detail: str) -> None:
        self.events.append((order, ts, state, detail))

    def mark(self, account: str, stretch: Stretch) -> None:
        assert account == ACCOUNT
        assert len(stretch.ts) == len(stretch.values) > 0
        self.marks.extend(stretch.marks())

    def halt(self, account: str, ts: int, cause: str, level: str = STOPPED) -> None:
        assert account == ACCOUNT
        (self.halts if level == STOPPED else self.reductions).append((ts, cause))

    def close(self, newest: Mapping[str, int]) -> None:
        """End the runs that are still open at the newest bar that was decided."""
        for symbol in self._open:
            self._extend(symbol, newest[symbol])

    def _extend(self, symbol: str, ts: int) -> None:
        place = self._open.get(symbol)
        if place is not None:
            assert ts >= self.runs[place].last, "a run cannot shrink"
            self.runs[place] = self.runs[place]._replace(last=ts)


def at_the_close(moment: Moment) -> Conditions:
    return Conditions(now=moment.ts, reference_price=moment.close)


def calm(symbol: str, ts: int, state: TradingState) -> MarketFacts:
    """Say that nothing moves and everything trades, so that complete limits let orders through."""
    del symbol, ts, state
    return MarketFacts(10**21, 0, 0, 0, (0,) * 250, (0,) * 250)


def opening(world: World) -> TradingState:
    first = min(history.bars.ts_close[0] for history in world.histories)
    return opening_state(
        ACCOUNT,
        world.entries,
        open_orders=(),
        marks=(),
        prices=world.prices,
        now=first,
        halt=world.halt,
    )


def walk(
    world: World, turns: Iterable[Turn], state: TradingState, journal: Journal
) -> SessionResult:
    decider = Decider(policy=world.policy, limits=world.limits, conditions=at_the_close, look=calm)
    broker = SimulatedBroker(world.costs)
    return run_session(turns, state=state, broker=broker, journal=journal, decider=decider)


def play(world: World, *, skip: bool) -> tuple[RunJournal, TradingState]:
    """Run the world from its opening to its end."""
    journal, state = RunJournal(), opening(world)
    market = Market(world.histories, world.policy)
    walk(world, market.turns(state, world.limits, skip=skip), state, journal)
    journal.close(market.last_decided())
    return journal, state


def opener(first: Decision) -> tuple[object, ...]:
    """Give the first decision of a run without who else was asked at that instant.

    A loss halts at the first symbol decided; later ones at the same instant find the halt there
    (R01) where all are asked, and the loss itself (R18, R19) where the first was skipped.
    """
    reason = "" if first.code == HALTED else first.reason
    grounds = (reason, first.signal, first.order, first.held, first.working, first.equity)
    return (first.ts, first.symbol, first.action, first.code, *grounds)


def story(journal: RunJournal, state: TradingState) -> dict[str, object]:
    """Give everything that both ways have to agree on."""
    return {
        "entries": journal.entries,
        "orders": journal.orders,
        "events": journal.events,
        "marks": journal.marks,
        "halts": journal.halts,
        "reductions": journal.reductions,
        "runs": sorted(journal.runs),
        "openers": sorted((opener(one) for one in journal.openers), key=lambda one: one[:2]),
        "portfolio": state.portfolio,
        "open": state.open_orders,
        "halt": state.halt,
        "last_mark": state.last_mark,
        "peak_profit": state.peak_profit,
        "session_profit": state.session_profit,
        "week_profit": state.week_profit,
        "reducing": state.reducing,
        "equity": state.equity,
    }


# ---- makers


def make_world(seed: int, symbols: int, length: int) -> World:
    """Make a market of so many symbols and at most so many instants, and somebody in it."""
    rng = random.Random(seed)  # noqa: S311 - a test market
    intraday = rng.random() < 0.2
    times = [_hours(i) if intraday else day(i) for i in range(length)]
    policy = make_policy(rng)
    wild = rng.choice((20, 60, 250))  # thousandths that a price moves by at most
    histories = tuple(make_history(rng, f"S{n}", times, policy, wild) for n in range(symbols))
    entries, prices = _account(rng, histories)
    return World(
        histories=histories,
        policy=policy,
        limits=make_limits(rng),
        costs=make_costs(rng),
        entries=entries,
        prices=prices,
        halt="by hand" if rng.random() < 0.05 else None,
    )


def day(index: int) -> tuple[int, int]:
    """Give open and close of a daily bar."""
    opened = (FIRST_DAY + index) * ONE_DAY + 14 * HOUR + 30 * MINUTE
    return opened, opened + 6 * HOUR + 30 * MINUTE


def _hours(index: int) -> tuple[int, int]:
    opened = day(index // 4)[0] + index % 4 * HOUR
    return opened, opened + HOUR


def make_history(
    rng: random.Random, symbol: str, times: Sequence[tuple[int, int]], policy: Policy, wild: int
) -> History:
    """Make one symbol with its own calendar, actions within it, and what is said of it."""
    first = rng.choice((0, 0, rng.randrange(len(times))))
    stop = rng.choice((len(times), len(times), rng.randint(first + 1, len(times))))
    gaps = rng.choice((0.0, 0.1, 0.5))
    kept = [at for at in times[first:stop] if rng.random() >= gaps] or [times[first]]
    days = [at[0] // ONE_DAY for at in times[first:stop]]
    splits, dividends = [], []
    for ex in sorted(set(days) - {days[0]}):
        if ex > kept[-1][0] // ONE_DAY:
            break
        if rng.random() < 0.03:
            splits.append(Split(symbol, to_date(ex), *rng.choice(RATIOS)))
        if rng.random() < 0.05:
            dividends.append(Dividend(symbol, to_date(ex), rng.randrange(1, 3 * DOLLAR)))
    bars = from_rows("world", symbol, "1d", _rows(rng, kept, splits, wild), tuple(splits))
    return History(bars, make_signals(rng, len(bars), policy), splits, dividends)


def _rows(
    rng: random.Random, times: Sequence[tuple[int, int]], splits: Sequence[Split], wild: int
) -> list[tuple[int, ...]]:
    unit = rng.choice((1, 10_000))  # odd micro-dollars or whole cents
    price = rng.randrange(5 * DOLLAR, 300 * DOLLAR)
    most = rng.choice((40, 400, 10**9))  # shares traded
    waiting = list(splits)
    rows: list[tuple[int, ...]] = []

    def near(value: int) -> int:
        moved = value + value * rng.randint(-wild, wild) // 1000
        return max(1, moved // unit) * unit

    for opened, closed in times:
        while waiting and opened // ONE_DAY >= waiting[0].ex_date.toordinal() - 719_163:
            split = waiting.pop(0)
            price = max(1, divide_half_even(price * split.split_from, split.split_to))
        start = near(price)
        price = near(start)
        ends = (start, price, *(near(start) for _ in range(2)))
        volume = 0 if rng.random() < 0.05 else rng.randrange(1, most * VOLUME)
        rows.append((opened, closed, start, max(ends), min(ends), price, volume))
    return rows


def make_signals(rng: random.Random, length: int, policy: Policy) -> Signals | None:
    """Make stances that last a while, of a rule or, with p(up), of a model."""
    if rng.random() < 0.05:
        return None
    warm = min(length, rng.choice((0, 1, rng.randrange(length + 1))))
    change = rng.choice((0.05, 0.3, 0.9))
    said = rng.choice(((UP, DOWN), (UP, DOWN, KEEP), (UP, DOWN, KEEP, NONE), (UP, KEEP), (NONE,)))
    stance, stances = rng.choice(said), []
    for _ in range(length):
        if rng.random() < change:
            stance = rng.choice(said)
        stances.append(stance)
    stances[:warm] = [NONE] * warm
    sources = ((0, "m1"),) if rng.random() < 0.5 else ((0, "m1"), (length // 2, "m2"))
    p_up = None
    if policy.exit_below is not None or rng.random() < 0.3:
        p_up = array("d", (_p_up(rng, stance) for stance in stances))
    why = _reasons(stances) if p_up is not None else None
    if why is not None:
        stances = [KEEP if s == UP and w else s for s, w in zip(stances, why, strict=True)]
    return Signals(
        sources=sources,
        stances=bytes(stances),
        p_up=p_up,
        threshold=None if p_up is None else 0.5,
        weights=array("q", (rng.choice((0, rng.randrange(PPM), PPM)) for _ in stances)),
        volatilities=array("q", (rng.choice((-1, 0, rng.randrange(1, PPM))) for _ in stances)),
        abstains=why,
    )


def _reasons(stances: list[int]) -> bytes | None:
    """Make reasons to abstain that last a while, drawn apart from everything else."""
    rng = random.Random(str(stances))  # noqa: S311 - a test market
    if rng.random() < 0.5:
        return None
    code, codes = 0, []
    for _ in stances:
        if rng.random() < 0.2:
            code = rng.choice((0, 0, 1, 2, 3))
        codes.append(code)
    return bytes(codes)


def _p_up(rng: random.Random, stance: int) -> float:
    if stance == NONE:
        return float("nan")
    return 0.5 + rng.random() / 2 + 1e-9 if stance == UP else rng.choice((0.25, 0.5, rng.random()))


def make_policy(rng: random.Random) -> Policy:
    """Ask for any size, any order, any way in and out."""
    kind = rng.choice((None, None, NOTIONAL, EQUITY, VOLATILITY, PROBABILITY))
    amount = rng.choice((50, 1_000, 4_000, 20_000))
    if kind == NOTIONAL:
        amount = rng.randrange(DOLLAR, 30_000 * DOLLAR)
    sizing = None if kind is None else Sizing(kind, amount, cap=rng.choice((2_000, 10_000)))
    quantity = rng.choice((1, 10, 100, 700)) * SHARE
    order_type = rng.choice((MARKET, MARKET, MARKET, LIMIT, STOP, STOP_LIMIT))
    return Policy(
        account=ACCOUNT,
        strategy="any",
        quantity=0 if sizing else quantity - rng.choice((0, 0, SHARE // 3)),
        sizing=sizing,
        side=rng.choice(("buy", "sell")) if sizing is None and rng.random() < 0.1 else None,
        exit_below=rng.choice((None, 0.25, 0.4)),
        short=rng.random() < 0.3,
        whole=rng.random() < 0.5,
        order_type=order_type,
        time_in_force=rng.choice((GTC, GTC, DAY)),
        limit_price=rng.randrange(DOLLAR, 300 * DOLLAR) if rng.random() < 0.1 else None,
        limit_bps=rng.randint(-300, 300),
        stop_bps=rng.randint(-100, 300),
    )


def make_limits(rng: random.Random) -> Limits:
    """Bound nothing, a little, or so much that orders are refused and losses halt."""
    allow_short = rng.random() < 0.5
    if rng.random() < 0.4:
        return WIDE
    if rng.random() < 0.3:
        return Limits(allow_short=allow_short)
    return Limits(
        max_order_notional=rng.choice((2_000, 10**6)) * DOLLAR,
        max_order_equity_bps=rng.choice((500, 10**9)),
        max_order_quantity=rng.choice((20, 10**6)) * SHARE,
        price_collar_bps=rng.choice((0, 300)),
        max_position_bps=rng.choice((1_000, 10**9)),
        max_gross_bps=rng.choice((3_000, 10**9)),
        daily_loss_reduce_bps=rng.choice((5, 100, 10**9)),
        daily_loss_halt_bps=rng.choice((20, 300, 10**9)),
        drawdown_halt_bps=rng.choice((50, 1_000, 10**9)),
        allow_short=allow_short,
    )


def make_costs(rng: random.Random) -> CostModel:
    return CostModel(
        commission_per_share=rng.choice((0, 5_000)),
        commission_per_trade=rng.choice((0, 0, 350_000)),
        commission_bps=rng.choice((0, 3)),
        commission_minimum=rng.choice((0, DOLLAR)),
        slippage_bps=rng.choice((0, 5, 200)),
        volume_cap_bps=rng.choice((100, 1_000, 10_000)),
    )


def _account(
    rng: random.Random, histories: Sequence[History]
) -> tuple[tuple[Entry, ...], dict[str, int]]:
    start = day(-1)[0]
    cash = rng.choice((3_000, 100_000)) * DOLLAR
    entries, prices = [Entry(ts=start, kind=DEPOSIT, ref="opening", amount=cash)], {}
    for symbol in [*(history.bars.symbol for history in histories), "ELSE"]:
        if rng.random() >= 0.15:
            continue
        quantity = rng.choice((10 * SHARE, 1_234_567_891, -5 * SHARE, rng.randrange(1, 10**11)))
        price = rng.randrange(DOLLAR, 200 * DOLLAR)
        entries.append(
            fill_entry(
                ts=start, ref=f"{symbol}.1", symbol=symbol, quantity=quantity, price=price, fee=0
            )
        )
        if rng.random() < 0.8 or symbol == "ELSE":
            prices[symbol] = price
    return tuple(entries), prices
