"""Conditions: a frozen picture of the world around each decision, gathered from the store."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from algotrade.domain.risk import Conditions, ModelFacts, Rates, Surroundings
from algotrade.domain.rules import LIVE, SIMULATED
from algotrade.domain.times import DAY, HOUR, MICROSECONDS, MINUTE, session_day
from algotrade.errors import DataError
from algotrade.store import bars as bar_store
from algotrade.store import limits as limit_store
from algotrade.store import records
from algotrade.trading.outlook import BARS_READ, Outlook, Series
from algotrade.workflows.context import DAILY, halts
from algotrade.workflows.disk import disk_state
from algotrade.workflows.state import stale_sessions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from algotrade.domain.decisions import Decision, Policy
    from algotrade.domain.orders import Order
    from algotrade.domain.risk import Limits, MarketFacts
    from algotrade.domain.signals import Signal
    from algotrade.learning.card import ModelCard
    from algotrade.trading.decision import Moment
    from algotrade.trading.feed import History
    from algotrade.workflows.context import Workspace

_MIB = 2**20


class Gatherer:
    """Gather the conditions of one pass; what the pass itself has placed counts at once."""

    def __init__(
        self,
        ws: Workspace,
        policy: Policy,
        made: Sequence[Decision],
        card: ModelCard | None = None,
    ) -> None:
        """Look at the store once.

        made: the decisions of the pass, as it makes them. card: of the model that speaks.
        """
        self._ws, self._policy, self._made, self._card = ws, policy, made, card
        self._now = ws.clock.now()
        self._limits = ws.settings.limits()
        self._outside = halts(ws)
        self._behind: dict[int, int | None] = {}
        opened = max(day_start(self._now) - 1, limit_store.last_reset(ws.db, ws.account))
        self._day = self._minute = self._of_strategy = 0
        self._own: dict[str, list[limit_store.Placed]] = {}
        for one in limit_store.orders_since(ws.db, ws.account, opened):
            self._count(one)
        self._breaches = limit_store.rate_breaches(ws.db, ws.account, opened)
        self._around = around(ws, self._limits)
        self._taken = 0

    def conditions(self, moment: Moment) -> Conditions:
        """Give the conditions of the decision about one bar."""
        if moment.ts not in self._behind:
            self._behind[moment.ts] = stale_sessions(self._ws, moment.ts)
        return Conditions(
            now=self._now,
            reference_price=moment.close,
            stale_sessions=self._behind[moment.ts],
            halts=self._outside,
            kind=kind_of(self._ws),
            rates=self.rates(moment.symbol),
            model=self._model(moment),
            around=self._around,
        )

    def account(self, *, stale: int | None, market: MarketFacts | None) -> Conditions:
        """Give the conditions of the account as it stands, without an order."""
        return Conditions(
            now=self._now,
            reference_price=None,
            stale_sessions=stale,
            halts=self._outside,
            kind=kind_of(self._ws),
            rates=self.rates(""),
            market=market,
            around=self._around,
        )

    def rates(self, symbol: str) -> Rates:
        """Count the orders before this one."""
        for one in self._made[self._taken :]:
            if one.placed is not None:
                self._count(_placed(one.placed))
            self._breaches += "R04" in one.code or "R15" in one.code
        self._taken = len(self._made)
        alike = self._now - self._limits.duplicate_seconds * MICROSECONDS
        own = self._own.get(symbol, ())
        return Rates(
            minute=self._minute,
            day=self._day,
            symbol=len(own),
            strategy=self._of_strategy,
            breaches=self._breaches,
            alike=tuple((one.side, one.quantity) for one in own if one.placed_at > alike),
        )

    def _count(self, one: limit_store.Placed) -> None:
        self._day += 1
        self._minute += one.placed_at > self._now - MINUTE
        self._of_strategy += one.strategy == self._policy.strategy
        self._own.setdefault(one.symbol, []).append(one)

    def _model(self, moment: Moment) -> ModelFacts | None:
        card, signal = self._card, moment.signal
        if card is None or signal is None:
            return None
        p_up = signal.p_up
        return ModelFacts(
            unfit=(moment.symbol not in card.symbols) + (card.timeframe != DAILY),
            age=max(0, -(-(self._now - card.created) // DAY)),
            wrong=int(p_up is None or not 0 <= p_up <= 1),
            equal=None if p_up is None else self._equal(moment, signal),
        )

    def _equal(self, moment: Moment, signal: Signal) -> int:
        earlier = limit_store.equal_predictions(
            self._ws.db,
            self._ws.account,
            moment.symbol,
            signal.source,
            moment.ts,
            self._limits.max_equal_predictions,
        )
        count = 1
        for p_up in earlier:
            if p_up != signal.p_up:
                break
            count += 1
        return count


def _placed(order: Order) -> limit_store.Placed:
    return limit_store.Placed(
        order.symbol, order.strategy, order.side, order.quantity, order.placed_at
    )


def kind_of(ws: Workspace) -> str:
    """Give the kind of the account, which tells what it can be asked."""
    return LIVE if ws.at_broker else SIMULATED


def day_start(now: int) -> int:
    """Give when the running day of orders began: midnight five hours behind UTC."""
    return session_day(now) * DAY + 5 * HOUR


def around(ws: Workspace, limits: Limits) -> Surroundings:
    """Look at clock, disk and, at a real broker, at what was noted of it."""
    now, room = ws.clock.now(), disk_state(ws.settings)
    back = max(0, limit_store.newest_record(ws.db, ws.account) - now)
    found = Surroundings(
        clock_back=-(-back // MICROSECONDS),
        disk_short=max(0, limits.min_free_mib - room.free // _MIB),
        reserve_missing=int(not room.reserve),
    )
    return _at_broker(ws, found) if ws.at_broker else found


def _at_broker(ws: Workspace, found: Surroundings) -> Surroundings:
    from algotrade.workflows.send import unknown_orders

    now = ws.clock.now()
    since = limit_store.last_reset(ws.db, ws.account)
    reconciled = records.get_meta(ws.db, f"reconciled:{ws.account}")
    mismatches = records.get_meta(ws.db, f"mismatches:{ws.account}")
    apart = records.get_meta(ws.db, f"clock:{ws.account}")
    is_open = ws.calendar(now - 10 * DAY).is_open(now)
    most = ws.settings.number("risk.max_rejects") + 1
    return found._replace(
        unknown=tuple(sorted({one.order.symbol for one in unknown_orders(ws)})),
        mismatches=None if mismatches is None else int(mismatches),
        reconciled=None if reconciled is None else max(0, -(-(now - int(reconciled)) // MINUTE)),
        rejects=limit_store.rejects_in_a_row(ws.db, ws.account, since, most),
        closed=int(ws.live and not is_open),  # what is simulated waits for the open
        mismatched=int(ws.live and ws.settings.text("live") != "on"),
        broker_clock=int(apart) if apart else None,
    )


def store_outlook(ws: Workspace, *, known_at: int | None = None) -> Outlook:
    """Give what the stored bars say; each symbol is loaded once for an instant.

    known_at: bars as they were known then.
    """
    loaded: dict[tuple[str, int], Series | None] = {}

    def load(symbol: str, ts: int) -> Series | None:
        asked = symbol, ts
        if asked not in loaded:
            try:
                bars = bar_store.load_bars(
                    ws.db, ws.source, symbol, DAILY, until=ts, last=BARS_READ, known_at=known_at
                )
            except DataError:  # nothing is known of it: what needs it refuses
                loaded[asked] = None
            else:
                loaded[asked] = Series(bars) if len(bars) else None
        return loaded[asked]

    return Outlook(load)


def outlook_of(histories: Sequence[History]) -> Outlook:
    """Give what whole histories say; a symbol's returns are made when they are first asked for."""
    known = {one.bars.symbol: one.bars for one in histories}

    @cache
    def series(symbol: str) -> Series | None:
        bars = known.get(symbol)
        return Series(bars) if bars is not None and len(bars) else None

    return Outlook(lambda symbol, _: series(symbol))
