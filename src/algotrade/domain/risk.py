"""Limits, the state of the world they are checked in, and the verdict."""

from __future__ import annotations

from algotrade.domain.money import MICROS, NANOS
from algotrade.domain.rules import BACKTEST, RULE, RULES, Rule
from algotrade.record import NamedTuple

PASS = "pass"  # noqa: S105  a verdict, not a password
FAIL = "fail"
EXEMPT = "exempt"  # failed, but the order only reduces a position
NOT_APPLICABLE = "n/a"  # this account cannot have it
OVERRIDDEN = "overridden"  # failed, and a person let this one order pass, with a reason

ACTIVE, REDUCING, HALTED = "active", "reducing", "halted"  # an account moves right by itself only


class Limits(NamedTuple):
    """Bounds on one order and on the account; exactly at a bound passes.

    Money in micro-dollars, quantity in nano-shares, shares of equity in basis points, the ratio of
    volatilities in hundredths. complete: ask every rule, not only the first eleven; those of a
    workspace are, and then REDUCING stays until a person resets it. restricted, allowed: symbols;
    an empty `allowed` allows all.
    """

    max_order_notional: int = 10_000 * MICROS
    max_order_equity_bps: int = 1_000
    max_order_quantity: int = 500 * NANOS
    price_collar_bps: int = 300
    max_position_bps: int = 1_000
    max_gross_bps: int = 10_000
    max_stale_sessions: int = 0
    daily_loss_reduce_bps: int = 200
    daily_loss_halt_bps: int = 300
    drawdown_halt_bps: int = 1_000
    allow_short: bool = False
    complete: bool = False
    daily_loss_warn_bps: int = 100
    drawdown_warn_bps: int = 500
    weekly_loss_halt_bps: int = 500
    max_unexecuted_bps: int = 15_000
    restricted: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    min_price: int = MICROS
    duplicate_seconds: int = 60
    max_orders_minute: int = 60
    max_orders_day: int = 200
    max_symbol_orders_day: int = 3
    max_strategy_orders_day: int = 100
    rate_breaches_halt: int = 3
    max_rejects: int = 2
    max_losing_exits: int = 6
    cooldown_sessions: int = 0
    max_volatility_bps: int = 8_000
    max_volatility_ratio: int = 300
    max_var_bps: int = 300
    max_shortfall_bps: int = 450
    max_order_adv_bps: int = 100
    max_position_adv_bps: int = 500
    max_clock_seconds: int = 5
    max_reconcile_minutes: int = 15
    max_model_days: int = 91
    max_equal_predictions: int = 19
    min_free_mib: int = 64


_BOUNDLESS = 10**15
WIDE = Limits(  # what a backtest of a rule by itself runs under; cash is still needed to buy
    max_order_notional=_BOUNDLESS,
    max_order_equity_bps=_BOUNDLESS,
    max_order_quantity=10**18,
    price_collar_bps=0,
    max_position_bps=_BOUNDLESS,
    max_gross_bps=_BOUNDLESS,
    daily_loss_reduce_bps=_BOUNDLESS,
    daily_loss_halt_bps=_BOUNDLESS,
    drawdown_halt_bps=_BOUNDLESS,
    allow_short=True,
)


class Rates(NamedTuple):
    """Orders that the account placed before this one, counted since the newest reset.

    minute: in the last 60 seconds; day, symbol, strategy: on the running day, of all, of this
    symbol, of this automated strategy. alike: side and quantity of the symbol's newest orders,
    within the seconds that R04 looks back. breaches: refusals of the day by R04 or R15.
    """

    minute: int = 0
    day: int = 0
    symbol: int = 0
    strategy: int = 0
    breaches: int = 0
    alike: tuple[tuple[str, int], ...] = ()


class MarketFacts(NamedTuple):
    """What the last bars say of a symbol and of the book beside it; None: too few bars.

    volume: mean of 20 days, nano-shares in today's basis. volatility: bps a year; ratio:
    hundredths. faults: bars of the last 20 that cannot be believed. own: the symbol's daily
    returns in parts per million, the newest last; others: what all other positions and waiting
    orders would have earned on the same days, in cents; as long as `own`.
    """

    volume: int | None = None
    volatility: int | None = None
    ratio: int | None = None
    faults: int | None = None
    own: tuple[int, ...] = ()
    others: tuple[int, ...] = ()


class ModelFacts(NamedTuple):
    """What is known of the model that speaks: None where it cannot be told.

    unfit: what it was not trained on; age: days; wrong: predictions that are no probability;
    equal: newest bars of the symbol with this same p(up), this one among them.
    """

    unfit: int | None = None
    age: int | None = None
    wrong: int | None = None
    equal: int | None = None


class Surroundings(NamedTuple):
    """What is around the account: None where it cannot be told, which refuses.

    clock_back, broker_clock: seconds. disk_short: MiB that are missing of the free space there
    must be; reserve_missing: files. The rest is of live accounts: symbols of unknown orders,
    mismatches with the broker and minutes since it was asked, rejects in a row, closed markets,
    mismatched environment.
    """

    clock_back: int | None = None
    disk_short: int | None = None
    reserve_missing: int | None = None
    unknown: tuple[str, ...] | None = None
    mismatches: int | None = None
    reconciled: int | None = None
    rejects: int | None = None
    closed: int | None = None
    mismatched: int | None = None
    broker_clock: int | None = None


class Conditions(NamedTuple):
    """A frozen picture of the world around one decision, gathered by the workflow.

    reference_price: newest price of the symbol, micro-dollars, or None where there is none.
    stale_sessions: completed sessions that are missing after the decision bar, or None.
    halts: every place that says halted (ledger, file, environment), in words.
    kind: of the account. The rest is read where the limits are complete; what is None there fails,
    but `model` is None where no model speaks, and `market` where no order is asked about.
    """

    now: int
    reference_price: int | None
    stale_sessions: int | None = 0
    halts: tuple[str, ...] = ()
    kind: str = BACKTEST
    rates: Rates | None = None
    market: MarketFacts | None = None
    model: ModelFacts | None = None
    around: Surroundings | None = None


_LETTERS = {PASS: "p", FAIL: "f", EXEMPT: "e", NOT_APPLICABLE: "n", OVERRIDDEN: "o"}
_STATUS = {letter: status for status, letter in _LETTERS.items()}
LETTER_PASS, LETTER_FAIL, LETTER_EXEMPT, LETTER_NA, LETTER_OVERRIDDEN = _LETTERS.values()


class Check(NamedTuple):
    """One limit looked at: what is now (after the order), what may be, and the verdict.

    value, limit: in `unit` (usd: micro-dollars, shares: nano-shares, bps, sessions, halts);
    value is None where it cannot be computed, which fails, or where the row is n/a.
    """

    id: str
    name: str
    unit: str
    value: int | None
    limit: int | None
    status: str

    @property
    def headroom(self) -> int | None:
        """Give how much is left before the limit is passed."""
        return None if self.value is None or self.limit is None else self.limit - self.value


class RiskVerdict(NamedTuple):
    """Every check that was made, with its numbers; those that are missing are n/a here.

    ids, values, limits, letters: one item a check, in one order; a letter is the first of the
    status. max_quantity: of a refused order, the largest that would have passed, nano-shares.
    halt, reduce: the cause where trading must stop, or may only reduce, until a person resets it.
    """

    ids: tuple[str, ...]
    values: tuple[int | None, ...]
    limits: tuple[int, ...]
    letters: str
    max_quantity: int | None = None
    halt: str | None = None
    reduce: str | None = None

    @property
    def made(self) -> tuple[Check, ...]:
        """Give the checks that were made, by name."""
        parts = zip(self.ids, self.values, self.limits, self.letters, strict=True)
        return tuple(_check(*part) for part in parts)

    @property
    def checks(self) -> tuple[Check, ...]:
        """Give a check for every rule, in the order of the table; n/a where none was made."""
        made = {check.id: check for check in self.made}
        known = [made.pop(rule.id) if rule.id in made else _not_made(rule) for rule in RULES]
        return (*known, *made.values())

    @property
    def passed(self) -> bool:
        """Tell whether no check failed."""
        return LETTER_FAIL not in self.letters

    @property
    def breaches(self) -> tuple[Check, ...]:
        """Give the checks that failed."""
        return tuple(check for check in self.made if check.status == FAIL)

    @property
    def overridden(self) -> tuple[Check, ...]:
        """Give the checks that failed and were overridden."""
        return tuple(check for check in self.made if check.status == OVERRIDDEN)


def _check(key: str, value: int | None, limit: int, letter: str) -> Check:
    rule = RULE.get(key)
    name, unit = (rule.name, rule.unit) if rule else (key, "")
    return Check(key, name, unit, value, limit, _STATUS[letter])


def _not_made(rule: Rule) -> Check:
    return Check(rule.id, rule.name, rule.unit, None, None, NOT_APPLICABLE)


def verdict_of(
    checks: tuple[Check, ...], max_quantity: int | None = None, halt: str | None = None
) -> RiskVerdict:
    """Put a verdict together from its checks."""
    return RiskVerdict(
        ids=tuple(check.id for check in checks),
        values=tuple(check.value for check in checks),
        limits=tuple(check.limit or 0 for check in checks),
        letters="".join(_LETTERS[check.status] for check in checks),
        max_quantity=max_quantity,
        halt=halt,
    )
