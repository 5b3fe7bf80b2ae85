"""Markets with a known optimum: the theory holds, edges are kept, noise is refused.

The short form of `tests/campaigns/planted.py`, which runs 200 markets of noise and every mode.
"""

from __future__ import annotations

from array import array
from functools import cache

import numpy as np
import pytest

from algotrade.domain.actions import Dividend, Split
from algotrade.domain.costs import CostModel
from algotrade.domain.times import to_date
from algotrade.errors import DataError
from algotrade.learning.labels import LabelSpec, compute_labels
from algotrade.trading.feed import History
from algotrade.workflows.model_money import Said, equal_parts, walk
from campaigns.planted import cases, run_case, summary
from learning_markets import DOLLAR, FIRST_DAY, from_closes
from planted_markets import MODES, NOISES, noise, optimum, planted

FREE = CostModel(commission_per_share=0, commission_minimum=0, slippage_bps=0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("horizon", [1, 5])
def test_the_best_forecast_is_right_as_often_as_theory_says(mode: str, horizon: int) -> None:
    market = planted(mode, 3, symbols=5, count=4_000, horizons=(horizon,))
    p, hits = market.p_up[horizon], []
    for own, bars in zip(p, market.bars, strict=True):
        y = compute_labels(bars, LabelSpec(horizon=horizon)).y
        known = y >= 0
        hits.append(((own[known] > 0.5) == (y[known] == 1)).mean())
    best = float(np.maximum(p, 1 - p).mean())
    if mode != "contrarian" or horizon == 1:
        assert best == pytest.approx(optimum(mode, horizon), abs=0.006)
    error = np.sqrt(0.25 / (20_000 / horizon))
    assert np.mean(hits) == pytest.approx(best, abs=3 * error)


def test_a_weaker_edge_has_a_lower_optimum_and_none_has_none() -> None:
    for mode in ("momentum", "reversion", "regime"):
        assert 0.5 < optimum(mode, 5, strength=0.6) < optimum(mode, 5)
        assert optimum(mode, 5, strength=1e-9) == pytest.approx(0.5, abs=1e-6)
    with pytest.raises(ValueError, match="no formula"):
        optimum("contrarian", 5)


@pytest.mark.parametrize("kind", NOISES)
def test_the_past_of_noise_says_nothing_of_its_future(kind: str) -> None:
    found = []
    for bars in noise(kind, 1, symbols=8, count=4_000):
        moves = np.diff(np.log(bars.numpy("close")))
        found += [np.corrcoef(moves[look:], moves[:-look])[0, 1] for look in (1, 2, 5)]
    assert abs(np.mean(found)) < 0.02
    assert np.abs(found).max() < 0.1


def test_bars_are_possible_and_seeded() -> None:
    bars, again = (planted("regime", 5, symbols=1, count=500).bars[0] for _ in range(2))
    assert bars == again
    low, high = bars.numpy("low"), bars.numpy("high")
    for name in ("open", "close"):
        assert (low <= bars.numpy(name)).all()
        assert (bars.numpy(name) <= high).all()
    assert (bars.numpy("open")[1:] == bars.numpy("close")[:-1]).all()
    assert planted("regime", 6, symbols=1, count=500).bars[0] != bars


@cache
def short_form() -> dict[str, object]:
    lines = [run_case((mode, 0, 5, 1.0), model="logit") for mode in MODES[:3]]
    lines += [run_case(case, model="logit", count=1_500) for case in cases(12, 0, 1.0)]
    return summary(lines)


@pytest.mark.slow
def test_edges_are_promoted_and_noise_is_not() -> None:
    told = short_form()
    assert told["failed"] == []
    assert told["full strength promoted"] == "3 of 3"
    assert told["noise promoted"] == "0 of 12"


# ---- the walk through the engine's loop


def test_a_walk_earns_what_is_held_less_what_it_costs() -> None:
    history = History(planted("momentum", 1, symbols=1, count=400).bars[0])
    always = array("d", [float("nan")] * 100 + [0.9] * 300)
    free = walk([Said(history, always)], FREE)
    assert len(free.net) == len(free.hold) == 300
    assert 0.9 < free.exposure < 1
    # once it is all in, it moves with the market
    close = history.bars.numpy("close")[100:]
    moves = close[1:] / close[:-1] - 1
    assert np.corrcoef(free.net[60:], moves[59:])[0, 1] > 0.999
    paid = walk([Said(history, always)], CostModel(slippage_bps=100))
    assert np.prod(1 + np.array(paid.net)) < np.prod(1 + np.array(free.net))
    assert paid.trades == free.trades
    # before costs the same trades earn what they would have earned for nothing
    assert free.gross == free.net
    assert np.prod(1 + np.array(paid.gross)) == pytest.approx(
        np.prod(1 + np.array(free.net)), rel=1e-2
    )
    with pytest.raises(DataError, match="nothing was said"):
        walk([Said(history, array("d", [float("nan")] * 400))], FREE)


@pytest.mark.parametrize(
    "costs", [FREE._replace(commission_bps=100), FREE._replace(slippage_bps=100)]
)
def test_what_a_walk_spends_is_a_part_of_what_it_trades(costs: CostModel) -> None:
    history = History(planted("momentum", 1, symbols=1, count=400).bars[0])
    swings = array("d", [0.9 if place // 30 % 2 else 0.1 for place in range(400)])
    found = walk([Said(history, swings)], costs)
    assert found.trades > 10
    equity = np.cumprod([1.0, *(1 + gain for gain in found.net)])
    spent = (np.array(found.gross) - found.net) @ equity[:-1]
    a_year = spent / equity.mean() * 252 / len(found.net)
    assert found.turnover is not None
    assert a_year == pytest.approx(2 * found.turnover * 0.01, rel=0.011)


def test_holding_is_the_mean_of_the_symbols_returns() -> None:
    histories = [History(bars) for bars in noise("walk", 2, symbols=3, count=50)]
    times = list(histories[0].bars.ts_close)
    found = equal_parts(histories, times)
    moves = [np.diff(one.bars.numpy("close")) / one.bars.numpy("close")[:-1] for one in histories]
    assert found == pytest.approx([0.0, *np.mean(moves, axis=0)])


def test_holding_is_paid_dividends_and_survives_splits() -> None:
    bars = from_closes([100 * DOLLAR, 50 * DOLLAR, 55 * DOLLAR])
    split = Split(symbol="AAPL", ex_date=to_date(FIRST_DAY + 1), split_from=1, split_to=2)
    paid = Dividend("AAPL", to_date(FIRST_DAY + 2), DOLLAR)
    history = History(bars, splits=[split], dividends=[paid])
    assert equal_parts([history], list(bars.ts_close)) == pytest.approx([0, 0, 6 / 50])
