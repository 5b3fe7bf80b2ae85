"""Limits, the state of the world they are checked in, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass

from algotrade.domain.money import MICROS, NANOS

PASS = "pass"  # noqa: S105  a verdict, not a password
FAIL = "fail"
EXEMPT = "exempt"  # failed, but the order only reduces a position


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """A frozen picture of the world around one decision, gathered by the workflow.

    reference_price: newest price of the symbol, micro-dollars, or None where there is none.
    stale_sessions: completed sessions that are missing after the decision bar, or None.
    halts: every place that says halted (ledger, file, environment), in words.
    """

    now: int
    reference_price: int | None
    stale_sessions: int | None
    halts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One limit looked at: what is now (after the order), what may be, and the verdict.

    value, limit: in `unit` (usd: micro-dollars, shares: nano-shares, bps, sessions, halts);
    value is None where it cannot be computed, which fails.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskVerdict:
    """Every check with its numbers; `halt` names the cause where trading must stop for good."""

    checks: tuple[Check, ...]
    max_quantity: int
    halt: str | None = None

    @property
    def passed(self) -> bool:
        """Tell whether no check failed."""
        return not self.breaches

    @property
    def breaches(self) -> tuple[Check, ...]:
        """Give the checks that failed."""
        return tuple(check for check in self.checks if check.status == FAIL)
