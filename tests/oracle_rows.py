"""Rows made of whole arithmetic, the same everywhere and for ever, for figures of other libraries.

`tools/learning_oracles.py` computes those figures in an environment of their own; tests compare.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from algotrade.learning.rows import Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def uniforms(count: int, seed: int) -> Floats:
    """Numbers in (0, 1) from Knuth's 64-bit congruence."""
    state, found = seed, np.empty(count)
    for place in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        found[place] = ((state >> 12) + 0.5) / 2**52
    return found


def bells(count: int, seed: int) -> Floats:
    """Sums of 12 uniforms, less 6: mean 0, variance 1, nearly normal."""
    sums: Floats = uniforms(12 * count, seed).reshape(count, 12).sum(axis=1) - 6
    return sums


def linked(count: int, seed: int, *, memory: float = 0.6) -> Floats:
    """Values that hang together: each `memory` of the one before, and a bell."""
    found, value = np.empty(count), 0.0
    for place, bell in enumerate(bells(count, seed)):
        value = memory * value + bell
        found[place] = value
    return found


def gains() -> Floats:
    """500 daily returns with a little skill."""
    return 0.0008 + 0.01 * bells(500, 11)


def point_gains() -> dict[str, Floats]:
    """320 daily returns of 8 points of a search: without skill, and one with some."""
    noise = 0.01 * bells(320 * 8, 21).reshape(320, 8)
    skill = noise.copy()
    skill[:, 3] += 0.001
    return {"noise": noise, "skill": skill}


@cache
def table(dates: int = 300, symbols: int = 2, *, digits: int = 2) -> Rows:
    """Tested rows: two symbols over 300 dates, p in hundredths, so that many are tied."""
    count = dates * symbols
    hidden, luck = linked(count, 1, memory=0.9), bells(count, 2)
    change = 0.004 * hidden / 2 + 0.02 * luck
    p = np.round(0.5 + 0.03 * hidden + 0.02 * bells(count, 3), digits)
    date = np.arange(count) // symbols
    return Rows(
        y=(change > 0).astype(float),
        p=np.clip(p, 0.05, 0.95),
        base=np.where(date < dates // 2, 0.52, 0.49),
        change=change,
        moment=date,
        day=date,
        fold=(date >= dates // 2).astype(np.int64),
        year=2000 + date // 252,
        symbol=np.arange(count) % symbols,
        symbols=tuple(f"S{number}" for number in range(symbols)),
        horizon=5,
        threshold=0.5,
    )
