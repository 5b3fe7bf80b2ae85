"""Limits, the state of the world they are checked in, and the verdict."""

from __future__ import annotations

from algotrade.domain.money import MICROS, NANOS
from algotrade.record import NamedTuple

PASS = "pass"  # noqa: S105  a verdict, not a password
FAIL = "fail"
EXEMPT = "exempt"  # failed, but the order only reduces a position
NOT_APPLICABLE = "n/a"  # this account cannot have it


class Limits(NamedTuple):
    """Bounds on one order and on the account; exactly at a bound passes.

    Money in micro-dollars, quantity in nano-shares, shares of equity in basis points.
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


class Conditions(NamedTuple):
    """A frozen picture of the world around one decision, gathered by the workflow.

    reference_price: newest price of the symbol, micro-dollars, or None where there is none.
    stale_sessions: completed sessions that are missing after the decision bar, or None.
    halts: every place that says halted (ledger, file, environment), in words.
    """

    now: int
    reference_price: int | None
    stale_sessions: int | None = 0
    halts: tuple[str, ...] = ()


class Rule(NamedTuple):
    """One limit: its id, what it is of, its unit, and whether a reducing order may pass it."""

    id: str
    name: str
    unit: str
    exempt: bool = True


RULES = (
    Rule("R01", "halts", "halts", exempt=False),
    Rule("R05", "order value", "usd"),
    Rule("R06", "order quantity", "shares"),
    Rule("R07", "price collar", "bps", exempt=False),
    Rule("R10", "position", "bps"),
    Rule("R12", "gross exposure", "bps"),
    Rule("R12c", "cash needed", "usd"),
    Rule("R13", "sold short", "shares", exempt=False),
    Rule("R18", "daily loss", "bps"),
    Rule("R19", "drawdown", "bps"),
    Rule("R25", "sessions without data", "sessions"),
)
RULE_IDS = tuple(rule.id for rule in RULES)
_RULE = {rule.id: rule for rule in RULES}
_LETTERS = {PASS: "p", FAIL: "f", EXEMPT: "e", NOT_APPLICABLE: "n"}
_STATUS = {letter: status for status, letter in _LETTERS.items()}
LETTER_PASS, LETTER_FAIL, LETTER_EXEMPT, LETTER_NA = _LETTERS.values()


class Check(NamedTuple):
    """One limit looked at: what is now (after the order), what may be, and the verdict.

    value, limit: in `unit` (usd: micro-dollars, shares: nano-shares, bps, sessions, halts);
    value is None where it cannot be computed, which fails, or where the row is n/a.
    """

    id: str
    name: str
    unit: str
    value: int | None
    limit: int
    status: str

    @property
    def headroom(self) -> int | None:
        """Give how much is left before the limit is passed."""
        return None if self.value is None else self.limit - self.value


class RiskVerdict(NamedTuple):
    """Every check with its numbers; `halt` names the cause where trading must stop for good.

    ids, values, limits, letters: one item a check, in one order; a letter is the first of the
    status. max_quantity: of a refused order, the largest that would have passed, nano-shares.
    """

    ids: tuple[str, ...]
    values: tuple[int | None, ...]
    limits: tuple[int, ...]
    letters: str
    max_quantity: int | None = None
    halt: str | None = None

    @property
    def checks(self) -> tuple[Check, ...]:
        """Give the checks by name."""
        found = []
        parts = zip(self.ids, self.values, self.limits, self.letters, strict=True)
        for key, value, limit, letter in parts:
            rule = _RULE.get(key) or Rule(key, key, "")
            found.append(Check(key, rule.name, rule.unit, value, limit, _STATUS[letter]))
        return tuple(found)

    @property
    def passed(self) -> bool:
        """Tell whether no check failed."""
        return LETTER_FAIL not in self.letters

    @property
    def breaches(self) -> tuple[Check, ...]:
        """Give the checks that failed."""
        return tuple(check for check in self.checks if check.status == FAIL)


def verdict_of(
    checks: tuple[Check, ...], max_quantity: int | None = None, halt: str | None = None
) -> RiskVerdict:
    """Put a verdict together from its checks."""
    return RiskVerdict(
        ids=tuple(check.id for check in checks),
        values=tuple(check.value for check in checks),
        limits=tuple(check.limit for check in checks),
        letters="".join(_LETTERS[check.status] for check in checks),
        max_quantity=max_quantity,
        halt=halt,
    )
