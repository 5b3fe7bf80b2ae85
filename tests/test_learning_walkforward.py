"""Walk-forward: each refit is the live training of its day, and the future moves nothing."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest

from algotrade.domain.signals import ABSTAINS, DOWN, KEEP, NONE, UP
from algotrade.domain.times import session_day, to_day
from algotrade.errors import DataError
from algotrade.learning import training
from algotrade.learning.card import from_json
from algotrade.learning.dataset import Dataset, build_dataset
from algotrade.learning.features import DEFAULT
from algotrade.learning.labels import LabelSpec
from algotrade.learning.predictor import predict_row
from algotrade.learning.registry import load_card, load_scorer, save_model
from algotrade.learning.training import NOT_EVALUATED, Plan, refit, train
from algotrade.learning.walkforward import (
    WalkForward,
    estimate_refits,
    known_then,
    refit_times,
    walk_forward_forecast,
)
from learning_markets import bar_times, from_closes, planted, random_bars, with_splits

if TYPE_CHECKING:
    from pathlib import Path

    from algotrade.bars import Bars
    from algotrade.domain.signals import Signals
    from algotrade.learning.training import Progress, TrainedModel

MODELS = ("rf", "logit")
LABELS = LabelSpec()
COUNT = 560
LATE = 150  # the bar at which the third symbol is listed
FROM = 260


@cache
def histories() -> tuple[Bars, ...]:
    """Three symbols, one listed later, one with splits before, in and after the first refit."""
    one = with_splits(planted("A", 7, COUNT, edge=0.01), [(240, (1, 2)), (330, (3, 2))])
    other, late = planted("B", 8, COUNT, edge=0.01), planted("C", 9, COUNT, edge=0.01)
    return other, one, late.slice(LATE, COUNT)


@cache
def walked(model: str, window: int | None = None) -> WalkForward:
    return walk(list(histories()), model=model, window=window)


def walk(
    bars: list[Bars],
    *,
    model: str = "logit",
    first: int = FROM,
    last: int | None = None,
    every: int = 60,
    window: int | None = None,
    keep: bool = True,
    progress: Progress | None = None,
) -> WalkForward:
    return walk_forward_forecast(
        bars,
        DEFAULT,
        LABELS,
        Plan(model=model),
        seed=3,
        from_ts=close(first),
        until_ts=None if last is None else close(last),
        every=every,
        window=window,
        keep_models=keep,
        progress=progress,
    )


def close(index: int) -> int:
    return bar_times(index)[1]


def until(bars: Bars, ts: int) -> Bars:
    """The bars that a store gives live at ts, found without the code under test."""
    return bars.slice(0, sum(closed <= ts for closed in bars.ts_close))


def same_scorer(one: TrainedModel, other: TrainedModel) -> bool:
    return one.scorer.to_json() == other.scorer.to_json()


def without_scores(made: TrainedModel) -> object:
    card = made.card
    return replace(card, id="", created=0, folds=(), metrics={}, baselines={}, verdict="")


@pytest.mark.parametrize("model", MODELS)
def test_each_refit_is_the_live_training_of_its_day(model: str) -> None:
    """Law: monthly `train` and daily `trade` are the backtest."""
    done = walked(model)
    assert [made.ts for made in done.refits] == [close(FROM + 60 * step) for step in range(5)]
    for made in done.refits:
        dataset = build_dataset([until(bars, made.ts) for bars in histories()], DEFAULT, LABELS)
        live = train(dataset, Plan(model=model), seed=3, now=99)
        kept = done.models[made.model_id]
        assert same_scorer(kept, live)
        assert without_scores(kept) == without_scores(live)
        assert (made.train_rows, made.train_end) == (live.card.rows, live.card.train_end)
        assert made.train_end < made.ts


def test_auto_takes_the_kind_that_live_training_would_take() -> None:
    bars = [planted(symbol, index, 900, edge=0.01) for index, symbol in enumerate("ABCD")]
    done = walk(bars, model="auto", first=650, every=120)
    kinds = [(made.train_rows, done.models[made.model_id].card.kind) for made in done.refits]
    assert kinds == [(1784, "logit"), (2264, "rf"), (2744, "rf")]


def test_a_refit_has_seen_every_label_known_then_and_no_other() -> None:
    done = walked("logit")
    # A and B give bars 199 .. t - 6; C begins 150 bars later
    assert [made.train_rows for made in done.refits] == [112, 232, 378, 558, 738]
    for made in done.refits:
        t = [close(index) for index in range(COUNT)].index(made.ts)
        assert made.train_end == bar_times(t)[0]  # the opening of the refit's own day is known
        own, late = t - 5 - 199, t - 5 - 199 - LATE
        assert made.train_rows == 2 * own + max(0, late)


@pytest.mark.parametrize("model", MODELS)
def test_the_model_of_the_day_speaks_with_live_bits(model: str) -> None:
    done = walked(model)
    for bars in histories():
        said = done.signals[bars.symbol]
        assert said.p_up is not None
        assert len(said.stances) == len(said.p_up) == len(bars)
        for t in range(len(bars)):
            speaker = source_at(said, t)
            if speaker is None or t < 199:
                assert math.isnan(said.p_up[t])
                assert said.stances[t] == NONE
            elif t % 7 == 0 or bars.ts_close[t] in {made.ts for made in done.refits}:
                made = done.models[speaker]
                live = predict_row(made.card, made.scorer, bars.slice(t - 199, t + 1))
                assert said.p_up[t] == live.p_up
                up = KEEP if live.abstains else UP
                assert said.stances[t] == (up if live.value else DOWN)
                assert ABSTAINS[said.abstains[t] if said.abstains else 0] == live.abstains
                assert made.card.train_end < bars.ts_close[t]


def source_at(said: Signals, t: int) -> str | None:
    named = [model_id for first, model_id in said.sources if first <= t]
    return named[-1] if named else None


def test_sources_change_at_the_refits() -> None:
    done = walked("logit")
    ids = [made.model_id for made in done.refits]
    assert list(done.models) == ids
    assert len(set(ids)) == 5
    starts = [FROM + 60 * step for step in range(5)]
    for bars in histories():
        shift = LATE if bars.symbol == "C" else 0
        assert done.signals[bars.symbol].sources == tuple(
            (start - shift, model_id) for start, model_id in zip(starts, ids, strict=True)
        )
    assert done.signals["A"].threshold == 0.5


@pytest.mark.parametrize("window", [None, 150])
@pytest.mark.parametrize("model", MODELS)
def test_poisoned_futures_move_nothing_said_before(model: str, window: int | None) -> None:
    whole = walked(model, window)
    rng = random.Random(5)  # noqa: S311 - a test market
    draws = 1 if model == "rf" else 4
    for t in [FROM + 60, *(rng.randrange(FROM, COUNT - 1) for _ in range(draws))]:
        poisoned = [poison(bars, t, seed=t + index) for index, bars in enumerate(histories())]
        said = walk(poisoned, model=model, window=window)
        short = walk([until(bars, close(t)) for bars in histories()], model=model, window=window)
        early = [made for made in whole.refits if made.ts <= close(t)]
        assert list(said.refits[: len(early)]) == early == list(short.refits)
        for bars in histories():
            known = len(until(bars, close(t)))
            assert_same_start(whole.signals[bars.symbol], said.signals[bars.symbol], known)
            assert_same_start(whole.signals[bars.symbol], short.signals[bars.symbol], known)


def assert_same_start(one: Signals, other: Signals, known: int) -> None:
    assert one.p_up is not None
    assert other.p_up is not None
    assert one.p_up[:known].tobytes() == other.p_up[:known].tobytes()
    assert one.stances[:known] == other.stances[:known]
    assert [s for s in one.sources if s[0] < known] == [s for s in other.sources if s[0] < known]


def poison(bars: Bars, t: int, *, seed: int) -> Bars:
    """Replace every bar that closes after bar t of the market by noise; forget later splits."""
    known, noise = len(until(bars, close(t))), random_bars(seed, len(bars))
    past = tuple(s for s in bars.splits if to_day(s.ex_date) <= session_day(close(t)))
    return replace(joined(bars, noise, known), splits=past)


def joined(bars: Bars, then: Bars, start: int) -> Bars:
    """Give `bars` with the prices of `then` from bar `start` on."""
    return replace(
        bars,
        open=bars.open[:start] + then.open[start:],
        high=bars.high[:start] + then.high[start:],
        low=bars.low[:start] + then.low[start:],
        close=bars.close[:start] + then.close[start:],
        volume=bars.volume[:start] + then.volume[start:],
    )


def test_nothing_is_read_or_said_after_the_span() -> None:
    whole, cut = walked("logit"), walk(list(histories()), last=400)
    assert cut.refits == whole.refits[:3]
    for bars in histories():
        known = len(until(bars, close(400)))
        assert_same_start(whole.signals[bars.symbol], cut.signals[bars.symbol], known)
        assert len(cut.signals[bars.symbol].stances) == len(bars)
        assert set(cut.signals[bars.symbol].stances[known:]) == {NONE}


def test_a_rolling_window_trains_on_its_own_sessions() -> None:
    done = walked("logit", 150)
    for made in done.refits:
        parts = []
        for bars in histories():
            known = until(bars, made.ts)
            parts.append(known.slice(max(0, len(known) - 150 - 199), len(known)))
        data = build_dataset(parts, DEFAULT, LABELS)
        oldest = made.ts - close(149) + close(0)
        assert oldest <= data.ts.min()
        assert same_scorer(
            done.models[made.model_id], refit(data, Plan(model="logit"), seed=3, now=1)
        )
    assert [made.train_rows for made in done.refits] == [112, 232, 314, 374, 432]
    assert walked("logit").refits[0].train_rows == 112


def test_the_bars_known_then_are_those_of_the_whole_history_masked() -> None:
    """Law 4 for datasets: rows of the cut bars are rows of the whole, label known by then."""
    whole = build_dataset(histories(), DEFAULT, LABELS)
    for t in (300, 301, 444):
        cut = build_dataset(known_then(histories(), DEFAULT, close(t)), DEFAULT, LABELS)
        rows = whole.label_end < close(t)
        for column in ("x", "y", "ts", "label_end", "rules"):
            assert getattr(cut, column).tobytes() == getattr(whole, column)[rows].tobytes()
        assert names_of(cut) == [
            name for name, kept in zip(names_of(whole), rows, strict=True) if kept
        ]


def names_of(dataset: Dataset) -> list[str]:
    return [dataset.symbols[index] for index in dataset.symbol]


def test_symbols_not_listed_yet_or_not_any_more_are_left_out() -> None:
    gone = planted("D", 4, COUNT, edge=0).slice(0, 300)
    everyone = [*histories(), gone]
    assert [bars.symbol for bars in known_then(everyone, DEFAULT, close(100))] == ["B", "A", "D"]
    at_end = known_then(everyone, DEFAULT, close(COUNT - 1), window=100)
    assert [bars.symbol for bars in at_end] == ["B", "A", "C"]
    assert [len(bars) for bars in at_end] == [299, 299, 299]
    done = walk(everyone)
    assert max(first for first, _ in done.signals["D"].sources) < 300
    assert done.models[done.refits[-1].model_id].card.symbols == ("A", "B", "C", "D")


def test_the_first_refit_waits_for_enough_rows() -> None:
    bars = [planted("A", 7, 500, edge=0.01)]
    done = walk(bars, first=0, every=21)
    # 199 bars of look-back, 100 rows, 6 bars until the last of them is known
    assert done.refits[0][0::2] == (close(199 + 100 + 6 - 1), 100)
    assert set(done.signals["A"].stances[:304]) == {NONE}
    assert done.signals["A"].stances[304] in {UP, DOWN, KEEP}
    assert estimate_refits(bars, DEFAULT, LABELS, from_ts=0, every=21) == len(done.refits) == 10


def test_a_refit_without_enough_rows_is_left_out() -> None:
    """For a year nothing moves, so a rolling window runs dry and the last model goes on."""
    lively = planted("A", 7, 800, edge=0.01)
    bars = joined(lively, from_closes([lively.close[419]] * 800), 420)
    times = refit_times([bars], DEFAULT, LABELS, from_ts=0, every=30, window=150)
    assert times == [close(304 + 30 * step) for step in range(6)]
    done = walk([bars], first=0, every=30, window=150)
    assert len(done.signals["A"].sources) == 6


def test_where_no_model_can_be_fitted_it_is_said() -> None:
    bars = [planted("A", 7, 320, edge=0)]
    with pytest.raises(DataError, match=r"no model can be fitted from .* 100 labelled rows"):
        walk(bars, first=320)
    with pytest.raises(DataError, match="99 labelled rows from 304 bars"):
        walk(bars, first=300, last=303)
    rising = from_closes([10**6 * (100 + day) for day in range(400)])
    with pytest.raises(DataError, match="ups and downs"):
        walk([rising], first=0)
    with pytest.raises(DataError, match="different sources"):
        walk([bars[0], replace(bars[0], symbol="B", source="polygon")])


def test_the_estimate_is_the_number_of_refits() -> None:
    for first, last, every in ((0, None, 45), (FROM, 500, 60), (300, 331, 7)):
        done = walk(list(histories()), first=first, last=last, every=every)
        estimate = estimate_refits(
            histories(),
            DEFAULT,
            LABELS,
            from_ts=close(first),
            until_ts=None if last is None else close(last),
            every=every,
        )
        assert estimate == len(done.refits) > 0


def test_progress_is_told_after_each_refit_and_may_stop_it() -> None:
    told: list[tuple[int, int]] = []

    def stop(done: int, total: int) -> None:
        told.append((done, total))
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        walk(list(histories()), progress=stop)
    assert told == [(1, 5), (2, 5)]


def test_two_runs_are_the_same_and_models_are_kept_only_when_asked() -> None:
    once = walked("rf")
    again = walk(list(histories()[::-1]), model="rf", keep=False)
    assert again.refits == once.refits
    assert again.models == {}
    for symbol, said in once.signals.items():
        assert_same_start(said, again.signals[symbol], len(said.stances))


@pytest.mark.parametrize("model", MODELS)
def test_a_refit_can_be_stored_and_read_again(model: str, tmp_path: Path) -> None:
    made = walked(model).refits[1]
    kept = walked(model).models[made.model_id]
    assert (kept.card.verdict, kept.card.metrics, kept.card.folds) == (NOT_EVALUATED, {}, ())
    assert kept.card.created == made.ts
    saved = save_model(tmp_path, kept)
    card = load_card(tmp_path, saved.model_id, saved.card_sha256)
    assert load_scorer(tmp_path, card) == kept.scorer
    assert from_json(card.to_json()) == card


def test_a_later_close_of_a_session_moves_no_refit() -> None:
    """Where symbols close at different times, a model speaks from the first close on."""
    early = planted("A", 7, 420, edge=0.01)
    late = planted("B", 8, 420, edge=0.01)
    late = replace(late, ts_close=type(late.ts_close)("q", (ts + 60 for ts in late.ts_close)))
    done = walk([early, late], first=320, every=30)
    assert done.refits[0].ts == close(320)
    # the last label of B is known only when its bar has closed
    assert done.refits[0].train_rows == (320 - 5 - 199) + (319 - 5 - 199)
    kept = done.models[done.refits[0].model_id]
    assert kept.card.last_ts == close(320)
    assert np.isfinite(done.signals["B"].p_up or [])[320:].all()


def test_a_label_counts_once_its_bar_has_closed() -> None:
    """The bar that ends B's label closes after A's: at A's close its label is not known."""
    early, late = planted("A", 7, 300, edge=0.01), planted("B", 8, 300, edge=0.01)
    late = replace(late, ts_close=type(late.ts_close)("q", (ts + 60 for ts in late.ts_close)))
    # A gives t - 204 labelled rows at t, B one less: 101 at bar 255, 99 the day before
    assert refit_times([early, late], DEFAULT, LABELS, from_ts=0)[0] == close(255)
    assert walk([early, late], first=0).refits[0].train_rows == 101


def test_a_scorer_is_proven_on_every_row(monkeypatch: pytest.MonkeyPatch) -> None:
    proven: list[int] = []
    monkeypatch.setattr(training, "CHECKED_ROWS", 40)
    monkeypatch.setattr(training, "check_scorer", lambda _s, _e, x: proven.append(len(x)))
    data = build_dataset(known_then(histories(), DEFAULT, close(FROM)), DEFAULT, LABELS)
    refit(data, Plan(model="logit"), seed=1, now=1)
    assert proven == [40, 40, 32]
