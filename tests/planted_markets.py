"""Markets with a known edge: bars drawn from a law whose best possible forecast is known, too.

Every bar opens at the close before it, so a label (open to open, `horizon` bars on) is the sign of
S = x[t+1] + ... + x[t+h], the sum of the log returns to come. Volume, highs and lows say nothing,
but in the mode `regime`. e is standard normal noise, SIGMA its size, g the strength.

none        x = SIGMA e. Nothing can be known: 1/2.
momentum    x = SIGMA e + g / sqrt(21) (sum of the last 21 x): autoregressive, Gaussian.
reversion   the same with -g / sqrt(5) and the last 5.
contrarian  x = SIGMA e - g SIGMA s, s = +1 while SMA_50 is over SMA_200, else -1.
regime      x = SIGMA e + g SIGMA z, z = +-1 a Markov chain that stays with probability 0.97; the
            day's range is wide where z = -1, narrow where z = +1, so z is seen.

The optimum. With P = P(S > 0 | past) nobody is right more often than E max(P, 1 - P).
- Autoregressive: S given the past is normal with a mean that is linear in the past, so with
  a^2 = Var(mean) / Var(S | past) the optimum is E Phi(a |N(0, 1)|) = 1/2 + arctan(a) / pi.
  Var(S | past) = SIGMA^2 sum_{j<h} (psi_0 + ... + psi_j)^2 from the moving-average weights psi;
  Var(S) from the autocovariances; Var(mean) is what is left of it.
- Regime: given the chain's path the sum is normal, so P = sum over the 2^(h-1) paths of their
  probability times Phi(g sum(z) / sqrt(h)); by symmetry it is P or 1 - P whichever z is seen.
- Contrarian: P = Phi(+-g) for one bar. For more, the state may turn on the way: P is simulated
  from every row, 400 paths of the same law, and the optimum is the mean of max(P, 1 - P).
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr

from algotrade.bars import Bars
from algotrade.domain.times import DAY, HOUR, MINUTE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

SIGMA = 0.012
MODES = ("momentum", "reversion", "contrarian", "regime")
NOISES = ("walk", "drift", "garch", "rising")
FULL = {"momentum": 0.14, "reversion": 0.28, "contrarian": 0.2, "regime": 0.2}
LAGS = {"momentum": 21, "reversion": 5}
STAY = 0.97
BURN = 400
PATHS = 400
MONDAY = 10_959  # 2000-01-03, days since 1970


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Planted:
    """Bars of every symbol, and P(up) at each bar for each horizon asked: (symbols, bars)."""

    bars: list[Bars]
    p_up: dict[int, NDArray[np.float64]]


def planted(
    mode: str,
    seed: int,
    *,
    symbols: int = 4,
    count: int = 2520,
    strength: float = 1.0,
    horizons: tuple[int, ...] = (1, 5),
) -> Planted:
    """Draw a market; `strength` multiplies the mode's full strength g."""
    rng = np.random.default_rng([MODES.index(mode), seed])
    g = FULL[mode] * strength
    moves, p_up, wide = [], [], []
    for _ in range(symbols):
        x, known, spread = _symbol(mode, g, count, horizons, rng)
        moves.append(x)
        p_up.append(known)
        wide.append(spread)
    return Planted(
        bars=[
            _bars(i, x, spread, rng) for i, (x, spread) in enumerate(zip(moves, wide, strict=True))
        ],
        p_up={h: np.stack([known[h] for known in p_up]) for h in horizons},
    )


def noise(kind: str, seed: int, *, symbols: int = 4, count: int = 2520) -> list[Bars]:
    """Draw a market without an edge: nothing in the past tells the sign of what comes.

    walk: independent. drift: with the mean of shares, 8% a year. garch: volatility comes in
    waves, and symbols share 40% of their variance. rising: all of it.
    """
    rng = np.random.default_rng([100 + NOISES.index(kind), seed])
    total = BURN + count
    shocks = rng.standard_normal((symbols, total))
    if kind in ("garch", "rising"):
        shocks = math.sqrt(0.4) * rng.standard_normal(total) + math.sqrt(0.6) * shocks
        shocks = np.stack([_garch(row) for row in shocks])
    moves = SIGMA * shocks + (0.08 / 252 if kind in ("drift", "rising") else 0.0)
    flat = np.full(count, 0.3)
    return [_bars(i, x[BURN:], flat, rng) for i, x in enumerate(moves)]


def optimum(mode: str, horizon: int, *, strength: float = 1.0) -> float:
    """Give the accuracy of the best possible forecast, in theory, where there is a formula."""
    g = FULL[mode] * strength
    if mode in LAGS:
        mean, rest = linear_variances(coefficients(mode, g), horizon)
        return 0.5 + math.atan(math.sqrt(mean / rest)) / math.pi
    if mode == "contrarian" and horizon > 1:
        raise ValueError("the contrarian market has no formula beyond one bar")
    p = _regime_p(g, horizon) if mode == "regime" else float(ndtr(g))
    return max(p, 1 - p)


def coefficients(mode: str, g: float) -> Array:
    """Give the weights of the last returns, newest first."""
    lags = LAGS[mode]
    return np.full(lags, (g if mode == "momentum" else -g) / math.sqrt(lags))


def linear_variances(phi: Array, horizon: int) -> tuple[float, float]:
    """Give the variance of the mean of S and of S given the past, in units of SIGMA^2."""
    psi = np.zeros(4_000)  # by then it has died away
    psi[0] = 1.0
    for step in range(1, len(psi)):
        reach = min(step, len(phi))
        psi[step] = phi[:reach] @ psi[step - reach : step][::-1]
    rest = float((np.cumsum(psi[:horizon]) ** 2).sum())
    covariance = [float(psi[: len(psi) - lag] @ psi[lag:]) for lag in range(horizon)]
    whole = horizon * covariance[0]
    whole += 2 * sum((horizon - lag) * covariance[lag] for lag in range(1, horizon))
    return whole - rest, rest


def _symbol(
    mode: str, g: float, count: int, horizons: tuple[int, ...], rng: np.random.Generator
) -> tuple[Array, dict[int, Array], Array]:
    """Draw log returns, P(up) by horizon, and the day's range in units of SIGMA."""
    shocks = rng.standard_normal(BURN + count)
    flat = np.full(count, 0.3)
    if mode in LAGS:
        phi = coefficients(mode, g)
        x = _autoregressive(phi, shocks)
        return x[BURN:], {h: _linear_p(phi, x, h)[BURN:] for h in horizons}, flat
    if mode == "contrarian":
        x, state, price = _contrarian(g, shocks)
        known = {
            h: ndtr(-g * state) if h == 1 else _contrarian_p(g, price, h, rng) for h in horizons
        }
        return x[BURN:], {h: p[BURN:] for h, p in known.items()}, flat
    turns = rng.random(BURN + count) > STAY
    z = np.where(np.cumsum(turns) % 2 == 0, 1.0, -1.0) * rng.choice((-1.0, 1.0))
    x = SIGMA * shocks
    x[1:] += g * SIGMA * z[:-1]
    up = {h: _regime_p(g, h) for h in horizons}
    seen = {h: np.where(z > 0, p, 1 - p)[BURN:] for h, p in up.items()}
    return x[BURN:], seen, np.where(z > 0, 0.1, 3.0)[BURN:]


def _autoregressive(phi: Array, shocks: Array) -> Array:
    x = np.zeros(len(shocks) + len(phi))
    newest_last = phi[::-1]
    for step, shock in enumerate(shocks):
        x[step + len(phi)] = newest_last @ x[step : step + len(phi)] + SIGMA * shock
    return x[len(phi) :]


def _linear_p(phi: Array, x: Array, horizon: int) -> Array:
    """Give P(S > 0) at every row by running the recursion on without noise."""
    padded = np.concatenate([np.zeros(len(phi)), x])
    past = np.lib.stride_tricks.sliding_window_view(padded, len(phi))[1:]
    total = np.zeros(len(x))
    for _ in range(horizon):
        step = past @ phi[::-1]
        total += step
        past = np.concatenate([past[:, 1:], step[:, None]], axis=1)
    chance: NDArray[np.float64] = ndtr(
        total / (SIGMA * math.sqrt(linear_variances(phi, horizon)[1]))
    )
    return chance


def _regime_p(g: float, horizon: int) -> float:
    """Give P(S > 0) where z = +1 is seen."""
    found = 0.0
    for turns in product((False, True), repeat=horizon - 1):
        z = np.cumprod([1, *(-1 if turn else 1 for turn in turns)])
        chance = math.prod(1 - STAY if turn else STAY for turn in turns)
        found += chance * float(ndtr(g * z.sum() / math.sqrt(horizon)))
    return found


def _contrarian(g: float, shocks: Array) -> tuple[Array, Array, Array]:
    """Give log returns, the state at every bar, and prices with 200 of the start in front."""
    price = np.ones(200 + len(shocks))
    x, state = np.zeros(len(shocks)), np.zeros(len(shocks))
    fast, slow, now = 50.0, 200.0, 1.0
    for step, shock in enumerate(shocks):
        at = step + 200
        x[step] = SIGMA * (shock - g * now)
        price[at] = price[at - 1] * math.exp(x[step])
        fast += price[at] - price[at - 50]
        slow += price[at] - price[at - 200]
        now = state[step] = 1.0 if 4 * fast > slow else -1.0
    return x, state, price


def _contrarian_p(g: float, price: Array, horizon: int, rng: np.random.Generator) -> Array:
    """Simulate the law from every row; the share of paths that end higher."""
    rows = len(price) - 200
    total = np.concatenate([[0.0], np.cumsum(price)])
    ends = np.arange(rows) + 201
    level = np.tile(price[ends - 1], (PATHS, 1))
    start = level.copy()
    fast = np.tile(total[ends] - total[ends - 50], (PATHS, 1))
    slow = np.tile(total[ends] - total[ends - 200], (PATHS, 1))
    for step in range(horizon):
        now = np.where(4 * fast > slow, 1.0, -1.0)
        level = level * np.exp(SIGMA * (rng.standard_normal(level.shape) - g * now))
        fast += level - price[ends - 50 + step]
        slow += level - price[ends - 200 + step]
    found: Array = (level > start).mean(axis=0)
    return found


def _garch(shocks: Array) -> Array:
    """Give GARCH(1, 1) returns of unit variance: 0.05 + 0.10 r^2 + 0.85 v."""
    found, variance = np.empty(len(shocks)), 1.0
    for step, shock in enumerate(shocks):
        found[step] = math.sqrt(variance) * shock
        variance = 0.05 + 0.10 * found[step] ** 2 + 0.85 * variance
    return found


def _bars(index: int, moves: Array, wide: Array, rng: np.random.Generator) -> Bars:
    """Make daily bars, Monday to Friday, from $100 on; each opens at the close before."""
    count = len(moves)
    close = np.rint(1e8 * np.exp(np.cumsum(moves))).astype(np.int64)
    opened = np.concatenate([[100_000_000], close[:-1]])
    reach = SIGMA * wide * rng.uniform(0.9, 1.1, count)
    high = np.maximum(opened, close) * (1 + reach)
    low = np.minimum(opened, close) * np.exp(-reach)
    day = MONDAY + np.arange(count) // 5 * 7 + np.arange(count) % 5
    ts_open = day * DAY + 14 * HOUR + 30 * MINUTE
    volume = rng.integers(10**6, 10**7, count) * 1_000_000
    columns = (ts_open, ts_open + 390 * MINUTE, opened, np.ceil(high), np.floor(low), close, volume)
    names = ("ts_open", "ts_close", "open", "high", "low", "close", "volume")
    cells: dict[str, Any] = {
        name: array("q", np.asarray(column).astype(np.int64).tobytes())
        for name, column in zip(names, columns, strict=True)
    }
    return Bars(source="sample", symbol=f"S{index:02}", timeframe="1d", **cells)
