"""The figures of the sample through the store: causal to the bit, continuous over each split."""

from __future__ import annotations

import contextlib
import math
import struct
from datetime import date
from typing import TYPE_CHECKING

import pytest

from algotrade.domain.ledger import SPLIT, replay
from algotrade.domain.money import NANOS
from algotrade.domain.times import session_date
from algotrade.learning.basis import price_runs, split_cuts
from algotrade.learning.features import FeatureSpec, compute_features
from algotrade.learning.predictor import predict_row
from algotrade.learning.presets import TREND
from algotrade.store import bars as bar_store
from algotrade.store import journal
from algotrade.store.database import open_store
from algotrade.workflows.context import DAILY, open_workspace
from algotrade.workflows.models import load_model
from algotrade.workflows.sample_clock import advance_clock
from algotrade.workflows.trade import Request, trade
from cli_helpers import cli, copied

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from algotrade.bars import Bars
    from algotrade.workflows.context import Workspace

SYMBOLS = ("AAPL", "IBM", "MSFT", "GOOG")


@pytest.fixture(scope="module")
def four(fetched: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a home with all symbols of the sample and a forest trained on one of them."""
    home = copied(fetched, tmp_path_factory.mktemp("four") / "home")
    cli("fetch", *SYMBOLS, home=home).well()
    cli("train", "AAPL", "--model", "rf", home=home).well()
    return home


@contextlib.contextmanager
def workspace(home: Path) -> Iterator[Workspace]:
    from algotrade.config import load_settings

    settings = load_settings(home=str(home), flags={"source": "sample"}, isolated=True)
    with open_workspace(settings, lambda _: None) as ws:
        yield ws


def bits(*values: float) -> bytes:
    return struct.pack(f"{len(values)}d", *values)


@pytest.mark.slow
@pytest.mark.parametrize("symbol", SYMBOLS)
def test_what_predict_sees_is_what_the_whole_history_says(symbol: str, four: Path) -> None:
    """For every bar: features from the last bars that the store gives, and p(up), bit for bit."""
    with workspace(four) as ws:
        model = load_model(ws)
        card, scorer = model.card, model.scorer
        whole = bar_store.load_bars(ws.db, "sample", symbol, DAILY)
        names = tuple(dict.fromkeys((*TREND, *card.names)))
        matrix = compute_features(whole, FeatureSpec(preset=card.preset, names=names))
        inputs = matrix[card.lookback - 1 :, [names.index(name) for name in card.names]]
        batch = scorer.score_many(inputs).tolist()
        rows = matrix.tolist()
        for t in range(card.lookback - 1, len(whole)):
            # splits of later years are in the store by now; they may not be seen
            seen = bar_store.load_bars(
                ws.db, "sample", symbol, DAILY, until=whole.ts_close[t], last=card.lookback
            )
            live = predict_row(card, scorer, seen)
            assert live.ts == whole.ts_close[t]
            assert bits(*(value for _, value in live.features)) == bits(*rows[t])
            assert bits(live.p_up) == bits(batch[t - card.lookback + 1])
    assert len(batch) > 2000 if symbol != "GOOG" else len(batch) > 1500


def adjusted(bars: Bars) -> list[float]:
    """Give closes in the shares of the last bar."""
    closes: list[float] = []
    for start, stop, factor in (runs := price_runs(split_cuts(bars), 0, len(bars))):
        closes += [close * factor / runs[-1][2] for close in bars.close[start:stop]]
    return closes


@pytest.mark.parametrize(
    ("ex_date", "before", "after"),
    [
        (date(2000, 6, 21), 101.25, 55.625),
        (date(2005, 2, 28), 88.99, 44.86),
    ],
)
def test_apple_s_splits_leave_returns_continuous(
    ex_date: date, before: float, after: float, fetched: Path
) -> None:
    """Two-for-one, as traded and as adjusted; the closes are public knowledge."""
    with contextlib.closing(open_store(fetched / "data" / "algotrade.db")) as db:
        bars = bar_store.load_bars(db, "sample", "AAPL", DAILY)
    days = [session_date(ts) for ts in bars.ts_close]
    row = days.index(ex_date)
    assert bars.close[row - 1] / 1e6 == pytest.approx(before, abs=0.01)
    assert bars.close[row] / 1e6 == pytest.approx(after, abs=0.01)
    closes = adjusted(bars)
    raw = math.log(bars.close[row] / bars.close[row - 1])
    moved = math.log(closes[row] / closes[row - 1])
    assert moved == pytest.approx(math.log(2 * after / before), abs=3e-4)
    assert moved == pytest.approx(raw + math.log(2), abs=1e-12)
    around = [abs(math.log(b / a)) for a, b in zip(closes[row - 20 :], closes[row - 19 : row + 20])]  # noqa: B905 -- one shorter
    assert max(around) < 0.15
    # the last price of all is its own adjusted price
    assert closes[-1] == bars.close[-1]


def test_a_position_held_over_a_split(fetched: Path, tmp_path: Path) -> None:
    """Buy ten AAPL at the open of 2005-02-25, split two for one on the 28th.

    The clock of the sample starts in 2012; here it is made to start in 2005.
    """
    with contextlib.closing(open_store(fetched / "data" / "algotrade.db")) as db:
        whole = bar_store.load_bars(db, "sample", "AAPL", DAILY)
    days = [session_date(ts) for ts in whole.ts_close]
    start = days.index(date(2005, 2, 24))
    home = tmp_path / "past"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("algotrade.market.sample.opening_now", lambda _: whole.ts_close[start])
        cli("fetch", "AAPL", home=home).well()
    assert cli("clock", "--json", home=home).well().data["session"] == "2005-02-24"

    with workspace(home) as ws:
        [result] = trade(ws, Request(symbols=("AAPL",), quantity=10 * NANOS, use_model=False))
    [fill] = result.fills
    opened = whole.open[start + 1]
    assert fill.price == -(-opened * 10_005 // 10_000)
    with workspace(home) as ws:
        advance_clock(ws, 2)
        entries = journal.load_entries(ws.db, ws.account)
    splits = [entry for entry in entries if entry.kind == SPLIT]
    assert [(entry.quantity, entry.note) for entry in splits] == [(10 * NANOS, "2-for-1")]
    book = replay(entries)
    assert book.held("AAPL") == 20 * NANOS
    assert book.cash == 100_000 * 10**6 - 10 * fill.price - 10**6
    account = cli("portfolio", "--json", home=home).well().data
    [row] = account["positions"]
    assert (row["quantity"], row["avg_cost"]) == (20, pytest.approx(fill.price / 2e6, abs=1e-6))
    assert row["last"] == whole.close[start + 3] / 1e6
    value = 20 * whole.close[start + 3]
    assert round(account["TotalValue"] * 1e6) == book.cash + value
    # the session of the split is no loss: the day before is seen in new shares, too
    risk = cli("risk", "--json", home=home).well().data
    loss = next(check["value"] for check in risk["checks"] if check["id"] == "R18")
    assert loss < 100
