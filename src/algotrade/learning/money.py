"""Money: what a model's decisions earned after costs, beside holding as much without a model.

The returns are a caller's, from the one loop that trades; here they are only judged.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from algotrade import measures
from algotrade.learning.significance import sharpe_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from algotrade.learning.card import Metrics

SESSIONS_A_YEAR = 252
BPS = 10_000


def judge_money(
    net: Sequence[float],
    hold: Sequence[float],
    rng: np.random.Generator,
    *,
    gross: Sequence[float] | None = None,
    turnover: float | None = None,
    exposure: float | None = None,
    trades: int | None = None,
    periods_per_year: int = SESSIONS_A_YEAR,
) -> Metrics:
    """Give the figures of the money, all but `*_psr` and the ratios of a period annual.

    net: simple returns a period after costs. hold: of holding the symbols in equal parts at the
    same average exposure, the same periods. gross: before costs. turnover: one way, a year.
    excess_sharpe, excess_periods, excess_skew, excess_kurtosis: of net less hold, a period, as
    the gate deflates them. break_even_bps: the cost a side at which the excess is gone.
    Raises ValueError where the sequences are not equally long.
    """
    import numpy as np

    a_year = periods_per_year
    values = [float(gain) for gain in net]
    excess = measures.excess_returns(values, [float(gain) for gain in hold], 1.0)
    shape, fall = measures.moments(excess), measures.max_drawdown(_equity(values))
    interval = sharpe_interval(np.array(values), rng)
    scale = math.sqrt(a_year)
    return {
        "net_periods": len(values),
        "net_return": measures.annual_return(_equity(values), a_year),
        "gross_return": None if gross is None else measures.annual_return(_equity(gross), a_year),
        "hold_return": measures.annual_return(_equity(hold), a_year),
        "net_sharpe": measures.sharpe(values, a_year),
        "net_sharpe_low": interval.low * scale if interval else None,
        "net_sharpe_high": interval.high * scale if interval else None,
        "net_psr": measures.psr_of(values),
        "excess": measures.mean(excess) * a_year if excess else None,
        "excess_psr": measures.psr_of(excess),
        "excess_sharpe": measures.sharpe(excess, 1),
        "excess_periods": len(excess),
        "excess_skew": shape.skew if shape else None,
        "excess_kurtosis": shape.kurtosis if shape else None,
        "max_drawdown": fall.depth if fall else None,
        "turnover": turnover,
        "exposure": exposure,
        "trades": trades,
        "break_even_bps": _break_even(gross, hold, turnover, a_year),
    }


def _equity(gains: Sequence[float]) -> list[float]:
    equity = [1.0]
    for gain in gains:
        equity.append(equity[-1] * (1 + gain))
    return equity


def _break_even(
    gross: Sequence[float] | None, hold: Sequence[float], turnover: float | None, a_year: int
) -> float | None:
    """Give excess before costs over the value traded, both sides, in basis points."""
    if gross is None or not gross or not turnover:
        return None
    excess = measures.mean(measures.excess_returns(gross, hold, 1.0)) * a_year
    return excess / (2 * turnover) * BPS
