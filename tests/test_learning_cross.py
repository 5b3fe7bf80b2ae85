"""Cross-section: by hand, against a slow second definition, and the laws of its bits."""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from dataclasses import replace
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algotrade.bars import Bars, from_rows
from algotrade.domain.money import MICROS
from algotrade.domain.times import HOUR, session_day, to_day
from algotrade.errors import DataError, InputError, ModelError
from algotrade.learning.audit_markets import futures
from algotrade.learning.cross import CrossSection, bind, split_print
from algotrade.learning.cross_rules import needed, read_with
from algotrade.learning.dataset import build_dataset
from algotrade.learning.features import PRESETS, FeatureSpec, compute_features, feature_row
from algotrade.learning.forecast import forecast
from algotrade.learning.labels import LabelSpec
from algotrade.learning.predictor import predict_row
from algotrade.learning.presets import CROSS, RANKED
from algotrade.learning.training import Plan, refit, train
from algotrade.learning.walkforward import known_then, walk_forward_forecast
from learning_markets import DOLLAR, RATIOS, bar_times, from_closes, planted, with_splits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LOOKBACK = 130  # the fewest that give momentum_126, and quicker than 200
SPEC = FeatureSpec(preset="cross", names=CROSS, lookback=LOOKBACK)
NAMES = tuple(f"S{number:02}" for number in range(12))


def holed(bars: Bars, gone: Sequence[int]) -> Bars:
    """Bars without some of them."""
    rows = list(
        zip(
            *(bars.ts_open, bars.ts_close, bars.open, bars.high, bars.low, bars.close, bars.volume),
            strict=True,
        )
    )
    kept = [row for place, row in enumerate(rows) if place not in {*gone}]
    return from_rows(bars.source, bars.symbol, bars.timeframe, kept, bars.splits)


def late(bars: Bars, places: Sequence[int]) -> Bars:
    """Bars of which some close an hour later than anybody's."""
    closes = [ts + HOUR * (place in places) for place, ts in enumerate(bars.ts_close)]
    return replace(bars, ts_close=type(bars.ts_close)("q", closes))


def universe(seed: int, count: int = 170, *, symbols: int = 12, rough: bool = True) -> list[Bars]:
    """Symbols that move, some with splits, holes and a later beginning."""
    rng = random.Random(seed)  # noqa: S311 - a test market
    found = []
    for name in NAMES[:symbols]:
        bars = planted(name, rng.randrange(10**6), count, edge=0.0)
        if rough and rng.random() < 0.4:
            bars = with_splits(bars, [(rng.randrange(1, count), rng.choice(RATIOS))])
        if rough and rng.random() < 0.3:
            bars = holed(bars, rng.sample(range(count), rng.randrange(1, 4)))
        if rough and rng.random() < 0.1:
            bars = holed(bars, range(rng.randrange(30)))
        found.append(bars)
    return found


def same(a: object, b: object) -> bool:
    return np.asarray(a, float).tobytes() == np.asarray(b, float).tobytes()


def section(bars: Sequence[Bars], columns: tuple[str, ...] = CROSS) -> CrossSection:
    return CrossSection(bars, columns, LOOKBACK)


# ---- a second definition, in fractions, one row at a time


def price(bars: Bars, place: int, basis: int) -> Fraction:
    """The close of a bar in the shares of bar `basis`."""
    found = Fraction(bars.close[place])
    for split in bars.splits:
        day = to_day(split.ex_date)
        if session_day(bars.ts_open[place]) < day <= session_day(bars.ts_open[basis]):
            found *= Fraction(split.split_from, split.split_to)
    return found


def whole(value: Fraction) -> int:
    return round(value)  # half to even


def move(bars: Bars, before: int, now: int, highest: int) -> int | None:
    """The move between two closes in millionths; None without both bars."""
    if before not in bars.ts_close or now not in bars.ts_close:
        return None
    first, last = bars.ts_close.index(before), bars.ts_close.index(now)
    ratio = price(bars, last, last) / price(bars, first, last) - 1
    return min(max(whole(ratio * MICROS), -MICROS), highest)


def mean_move(every: Sequence[Bars], before: int, now: int, highest: int) -> Fraction | None:
    moves = [found for one in every if (found := move(one, before, now, highest)) is not None]
    enough = len(moves) >= max(10, math.ceil(len(every) * 0.8))
    return Fraction(sum(moves), len(moves)) if enough else None


def slope(every: Sequence[Bars], own: Bars, closes: Sequence[int]) -> float:
    pairs = []
    for before, now in pairwise(closes):
        market, mine = (
            mean_move(every, before, now, 2 * MICROS),
            move(own, before, now, 2 * MICROS),
        )
        if market is None or mine is None:
            return math.nan
        pairs.append((whole(market), mine))
    n = len(pairs)
    xs, ys = sum(x for x, _ in pairs), sum(y for _, y in pairs)
    above = n * sum(x * y for x, y in pairs) - xs * ys
    below = n * sum(x * x for x, _ in pairs) - xs * xs
    return float(Fraction(above, below)) if below else math.nan


def place_among(every: Sequence[Bars], own: Bars, now: int, name: str) -> float:
    values = {}
    for one in every:
        stop = bisect_right(one.ts_close, now)
        if now in one.ts_close and stop >= LOOKBACK:
            spec = FeatureSpec(preset="x", names=(name,), lookback=LOOKBACK)
            (value,) = feature_row(one.slice(0, stop), spec)
            if not math.isnan(value):
                values[one.symbol] = value
    if own.symbol not in values or len(values) < max(10, math.ceil(len(every) * 0.8)):
        return math.nan
    mine = values.pop(own.symbol)
    below = sum(value < mine for value in values.values())
    ties = sum(value == mine for value in values.values())
    return float(Fraction(2 * below + ties + 1, 2 * (len(values) + 1)))


def slow_row(members: Sequence[Bars], own: Bars, at: int) -> list[float]:
    """The row of bar `at`, by the words of the docs."""
    every = [*(one for one in members if one.symbol != own.symbol), own]
    closes = own.ts_close[: at + 1]
    markets = [
        mean_move(every, closes[-1 - lag], closes[-1], highest)
        for lag, highest in ((1, 2 * MICROS), (21, 10 * MICROS))
    ]
    return [
        *(math.nan if found is None else float(found / MICROS) for found in markets),
        slope(every, own, closes[-64:]),
        *(place_among(every, own, closes[-1], name) for name in RANKED),
    ]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), data=st.data())
def test_rows_are_those_of_a_slow_second_definition(seed: int, data: st.DataObject) -> None:
    members = universe(seed)
    own = data.draw(st.sampled_from(members))
    kind = data.draw(st.sampled_from(["member", "another", "asked with other bars"]))
    if kind != "member":
        own = planted("OTHER" if kind == "another" else own.symbol, seed, 170, edge=0.0)
        own = late(own, data.draw(st.lists(st.integers(60, 169), max_size=2)))
    at = data.draw(st.integers(LOOKBACK - 1, len(own) - 1))
    assert same(section(members).matrix(own)[at], slow_row(members, own, at))


def test_the_slow_definition_says_something() -> None:
    members = universe(3)
    rows = [slow_row(members, members[0], at) for at in (140, 150, 160)]
    assert sum(not math.isnan(value) for row in rows for value in row) >= 20


# ---- by hand


def level(moves: Callable[[int], int], symbol: str) -> Bars:
    """A symbol whose closes go up and down by so many per cent of 100 dollars."""
    return from_closes([(100 + moves(day)) * DOLLAR for day in range(LOOKBACK)], symbol=symbol)


def test_market_and_beta_by_hand() -> None:
    """Ten that go from 100 to 101 and back, and one that goes from 100 to 102 and back."""
    others = [level(lambda day: day % 2, name) for name in NAMES[:10]]
    own = level(lambda day: 2 * (day % 2), "OWN")
    market, far, beta = section(others, ("market_1", "market_21", "beta_63")).row(own)
    assert market == far == (10 * 10_000 + 20_000) / 11 / 1e6  # the last day is odd: up
    ups, downs = [20_000, round(120_000 / 11)], [-19_608, round(-(10 * 9_901 + 19_608) / 11)]
    pairs = np.array([ups, downs])[[day % 2 for day in range(63)]]
    assert beta == pytest.approx(np.polyfit(pairs[:, 1], pairs[:, 0], 1)[0], rel=1e-12)


def test_ranks_by_hand() -> None:
    """Trends of different strength: volume is the same everywhere, so all share the middle."""
    members = [
        level(lambda day, steps=steps: day * steps // 2 + day % 3, name)  # type: ignore[misc]
        for steps, name in enumerate(NAMES[:10])
    ]
    crossed = section(members, ("rank_momentum_21", "rank_volume_20"))
    found = [crossed.row(one) for one in members]
    assert [row[1] for row in found] == [0.5] * 10
    values = [feature_row(one, replace(SPEC, names=("momentum_21",)))[0] for one in members]
    order = sorted(range(10), key=lambda place: values[place])
    assert [found[place][0] for place in order] == [(2 * k + 1) / 20 for k in range(10)]


def test_a_split_of_another_symbol_is_no_move() -> None:
    members = [level(lambda day: day % 2, name) for name in NAMES[:10]]
    closes = [x // 2 if day >= 100 else x for day, x in enumerate(members[3].close)]
    halved = with_splits(from_closes(closes, symbol=NAMES[3]), [(100, (1, 2))])
    changed = [*members[:3], halved, *members[4:]]
    columns = ("market_1", "market_21", "beta_63")
    whole_rows, split_rows = (
        section(one, columns).matrix(members[0]) for one in (members, changed)
    )
    assert same(whole_rows, split_rows)
    assert not np.isnan(split_rows[-1]).any()


@pytest.mark.parametrize(("size", "least"), [(10, 10), (12, 10), (13, 11), (15, 12), (200, 160)])
def test_how_many_must_take_part(size: int, least: int) -> None:
    assert needed(size) == least


# ---- who is missing


def test_too_few_take_part_and_they_are_named() -> None:
    members = universe(5, rough=False)
    short = [holed(one, [len(one) - 1]) if place > 8 else one for place, one in enumerate(members)]
    crossed = section(short)
    assert np.isnan(crossed.row(members[0])).all()
    said = crossed.missing(members[0])
    assert said.startswith("9 of 12 symbols have a bar of ")
    assert said.endswith("a cross-section needs 10; missing: S09, S10, S11")
    whole_one = section(members)
    assert not np.isnan(whole_one.row(members[0])).any()
    assert whole_one.missing(members[0]) == ""


def test_a_hole_weeks_ago_is_missing_in_the_slope_alone() -> None:
    members = universe(6, rough=False)
    short = [holed(one, [len(one) - 30]) if place > 8 else one for place, one in enumerate(members)]
    row = dict(zip(CROSS, section(short).row(members[0]), strict=True))
    assert [name for name, value in row.items() if math.isnan(value)] == ["beta_63"]
    assert "9 of 12 symbols have a bar of" in section(short).missing(members[0])


def test_young_symbols_have_moves_but_no_rank() -> None:
    members = universe(7, rough=False)
    young = [holed(one, range(80)) if place > 8 else one for place, one in enumerate(members)]
    row = dict(zip(CROSS, section(young).row(members[0]), strict=True))
    assert {name for name, value in row.items() if math.isnan(value)} == {
        name for name in CROSS if name.startswith("rank_")
    }
    assert f"9 of 12 symbols have {LOOKBACK} bars to" in section(young).missing(members[0])


def test_no_bars_at_all() -> None:
    nothing = [replace(Bars(source="s", symbol=name, timeframe="1d")) for name in NAMES]
    own = planted("S00", 1, 170, edge=0.0)
    assert np.isnan(section(nothing).row(own)).all()
    assert "1 of 12 symbols" in section(nothing).missing(own)
    assert section(universe(1)).matrix(own.slice(0, 40)).shape == (40, len(CROSS))


def test_fewer_than_ten_symbols_are_refused() -> None:
    with pytest.raises(InputError, match="compare 10 symbols or more, there are 9") as caught:
        bind(SPEC, universe(1)[:9])
    assert "--features default" in str(caught.value.hint)
    with pytest.raises(InputError, match="there are 2"):
        build_dataset(universe(1)[:2], PRESETS["cross"])
    assert bind(PRESETS["default"], []) is PRESETS["default"]


def test_without_a_universe_nothing_is_computed() -> None:
    with pytest.raises(ModelError, match="market_1 needs the bars of a universe"):
        feature_row(planted("S00", 1, 200, edge=0.0), PRESETS["cross"])


def test_a_wrong_price_of_another_symbol_is_named() -> None:
    members = universe(8, rough=False)
    closes = [*members[4].close]
    closes[20] = 0
    members[4] = replace(members[4], close=type(members[4].close)("q", closes))
    with pytest.raises(DataError, match="S04: a price of 0"):
        section(members).row(members[0])


# ---- laws of bits

SEEDS = st.integers(0, 10**6)


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, number=st.integers(0, 11), at=st.integers(LOOKBACK - 1, 164))
def test_the_last_row_of_what_live_reads_is_that_of_all(seed: int, number: int, at: int) -> None:
    """The law of features: whatever lies before the look-back or after the row moves no bit."""
    members = universe(seed)
    own = members[number]
    at = min(at, len(own) - 1)
    whole_row = section(members).matrix(own)[at]
    live = own.slice(at - LOOKBACK + 1, at + 1) if at >= LOOKBACK else own.slice(0, at + 1)
    read = read_with(live, members, LOOKBACK)
    assert same(section(read).row(live), whole_row)
    assert section(read).fingerprint(live) == section(members).fingerprint(live)


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, number=st.integers(0, 11), at=st.integers(LOOKBACK, 165))
def test_another_future_of_every_symbol_moves_no_row(seed: int, number: int, at: int) -> None:
    members = universe(seed)
    ts = members[number].ts_close[min(at, len(members[number]) - 1)]
    poisoned = futures(members, ts, seed + 1)
    stop = bisect_right(members[number].ts_close, ts)
    rows = [section(one).matrix(one[number])[:stop] for one in (members, poisoned)]
    assert same(*rows)
    cut = [one.slice(0, bisect_right(one.ts_close, ts)) for one in members]
    assert same(section(cut).matrix(cut[number]), rows[0])


def test_the_poison_moves_the_rows_after_it() -> None:
    members = universe(4, rough=False)
    ts = members[0].ts_close[140]
    rows = [section(one).matrix(one[0]) for one in (members, futures(members, ts, 9))]
    assert same(rows[0][:141], rows[1][:141])
    assert (rows[0][141:] != rows[1][141:]).any(axis=0).all()


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS, order=st.permutations(range(12)))
def test_the_order_of_symbols_moves_nothing(seed: int, order: list[int]) -> None:
    members = universe(seed)
    other = section([members[place] for place in order])
    assert same(section(members).matrix(members[2]), other.matrix(members[2]))
    assert section(members).fingerprint(members[2]) == other.fingerprint(members[2])


def test_a_close_that_nobody_else_has_is_no_step_of_theirs() -> None:
    members = universe(13, rough=False)
    own = late(planted("OTHER", 4, 170, edge=0.0), [150])
    rows = section(members).matrix(own)
    assert np.isnan(rows[150:152, 0]).all()
    assert np.isnan(rows[150, 3:]).all()
    assert not np.isnan(rows[152, [0, 3, 4]]).any()
    for at in (149, 150, 151, 152, 169):
        assert same(rows[at], slow_row(members, own, at))


def test_as_many_closes_too_many_as_missing_are_not_taken_for_the_grid() -> None:
    members = universe(14, rough=False)
    own = planted("OTHER", 4, 170, edge=0.0)
    closes = [*own.ts_close]
    closes[151:156] = closes[150:155]
    closes[150] = closes[149] + HOUR
    own = replace(own, ts_close=type(own.ts_close)("q", closes))
    rows = section(members).matrix(own)
    for at in (149, 150, 151, 152, 155, 156, 157):
        assert same(rows[at], slow_row(members, own, at))


def test_the_symbol_asked_about_counts_with_its_own_bars() -> None:
    """What the universe holds of it does not count: an older copy there changes nothing."""
    members = universe(11)
    older = [planted("S00", 77, 160, edge=0.0), *members[1:]]
    assert same(section(members).matrix(members[0]), section(older).matrix(members[0]))
    without = section(members[1:])
    assert same(section(members).matrix(members[0]), without.matrix(members[0]))


def test_a_fingerprint_tells_which_bar_was_changed() -> None:
    members = universe(12, rough=False)
    own, before = members[0], section(members).fingerprint(members[0])
    closes = [*members[5].close]
    closes[-30] += 1
    changed = [*members]
    changed[5] = replace(members[5], close=type(members[5].close)("q", closes))
    after = section(changed).fingerprint(own)
    others = [one.symbol for one in members[1:]]
    parts = [split_print(one, others) for one in (before, after)]
    assert [name for name in parts[0] if parts[0][name] != parts[1][name]] == [
        "bars.S05",
        "bars.others",
    ]
    assert parts[0]["bars"] == own.slice(len(own) - LOOKBACK, len(own)).fingerprint()


# ---- from a dataset to what is said


@cache
def market() -> tuple[Bars, ...]:
    return tuple(planted(name, 50 + place, 420, edge=0.004) for place, name in enumerate(NAMES))


def test_a_model_says_the_same_of_one_row_and_of_a_history() -> None:
    dataset = build_dataset(market(), PRESETS["cross"])
    assert build_dataset([*reversed(market())], PRESETS["cross"]).fingerprint == dataset.fingerprint
    assert dataset.features.own is None
    model = train(dataset, Plan(model="logit", folds=2), seed=1, now=0)
    assert model.card.names == PRESETS["cross"].names
    spec = bind(PRESETS["cross"], market())
    said = forecast(model.card, model.scorer, market()[4], spec).p_up
    assert said is not None
    for at in (199, 300, 419):
        live = market()[4].slice(at - 199, at + 1)
        narrow = bind(PRESETS["cross"], read_with(live, market(), 200))
        one = predict_row(model.card, model.scorer, live, spec=narrow)
        assert one.p_up == said[at]
        assert one.bars_hash.startswith(live.fingerprint() + "+")
    few = bind(PRESETS["cross"], [one.slice(0, 300) for one in market()])
    with pytest.raises(DataError, match=r"S04: model .* says nothing: 1 of 12 symbols have"):
        predict_row(model.card, model.scorer, market()[4], spec=few)


@pytest.mark.parametrize("window", [None, 120])
def test_a_refit_on_the_way_is_that_of_the_bars_known_then(window: int | None) -> None:
    plan, labels, spec = Plan(model="logit", window=window), LabelSpec(horizon=3), PRESETS["cross"]
    from_ts = bar_times(330)[1]
    said = [
        walk_forward_forecast(
            bars, spec, labels, plan, seed=1, from_ts=from_ts, every=40, window=window,
            keep_models=True,
        )
        for bars in (market(), futures(market(), bar_times(371)[1], 3))
    ]  # fmt: skip
    first, other = said
    assert [one.ts for one in first.refits] == [bar_times(day)[1] for day in (330, 370, 410)]
    assert first.refits[:2] == other.refits[:2]
    p = [one.signals["S03"].p_up for one in said]
    assert p[0] is not None
    assert p[1] is not None
    assert same(p[0][:372], p[1][:372])
    assert not same(p[0], p[1])
    ts = first.refits[1].ts
    known = known_then(market(), spec, ts)
    alone = refit(build_dataset(known, spec, labels), plan, seed=1, now=ts)
    assert first.models[first.refits[1].model_id].scorer.to_json() == alone.scorer.to_json()


def test_a_symbol_listed_later_is_counted_from_the_start() -> None:
    bars = [holed(one, range(380)) if place > 8 else one for place, one in enumerate(market())]
    rows = compute_features(bars[0], bind(PRESETS["cross"], bars))
    assert np.isnan(rows[:380, -3]).all()
    assert [one.symbol for one in known_then(bars, PRESETS["cross"], bar_times(300)[1])] == [*NAMES]
