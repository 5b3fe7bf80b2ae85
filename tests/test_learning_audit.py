"""The audit against a collection of leaks, against honest work, and against our own, sabotaged."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest

from algotrade.domain.times import DAY
from algotrade.errors import InputError
from algotrade.learning import audit_decisions, dataset, features, matrix, splits, walkforward
from algotrade.learning.audit import ALL, CHEAP, AuditReport, _chosen, run_audit, tell
from algotrade.learning.audit_decisions import (
    decisions,
    determinism,
    fills,
    null_markets,
    shifted_labels,
    split,
)
from algotrade.learning.audit_features import (
    Outcome,
    nearest_that_agrees,
    perturbation,
    scale,
    start_up,
    truncation,
)
from algotrade.learning.audit_markets import null_market, other_future, other_past, without_splits
from algotrade.learning.audit_subject import subject
from algotrade.learning.features import DEFAULT, SEED, FeatureSpec
from algotrade.learning.labels import LabelSpec, compute_labels
from algotrade.learning.own_features import features as mark
from algotrade.learning.own_features import own_features
from algotrade.learning.training import Plan
from leaks import HONEST, LEAKS, RECURSIVE, Specimen, away, move
from leaks_training import (
    FILLS,
    HONEST_FILLS,
    HONEST_FITS,
    HONEST_SPLITS,
    LABELS,
    PEEKING,
    SPLITS,
    Fitted,
    clean,
    nearest_date,
    pipeline,
    shuffled,
    table,
)
from learning_markets import planted, with_splits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

    from algotrade.bars import Bars
    from algotrade.learning.dataset import Dataset
    from algotrade.learning.splits import Fold

    Folder = Callable[[Dataset, Sequence[Bars]], list[Fold]]

LOGIT = Plan(model="logit", folds=3)


@cache
def one_symbol() -> Bars:
    return with_splits(planted("A", 1, 520, edge=0.0), [(300, (1, 2))])


@cache
def two_symbols() -> tuple[Bars, ...]:
    return tuple(planted(symbol, 7 + i, 420, edge=0.003) for i, symbol in enumerate("AB"))


@cache
def two_sets() -> Dataset:
    return dataset.build_dataset(two_symbols())


def audited(
    tests: Sequence[str], spec: FeatureSpec = DEFAULT, bars: Sequence[Bars] = ()
) -> AuditReport:
    return run_audit(bars or two_symbols(), spec, LABELS, LOGIT, seed=1, tests=tests, null_seeds=3)


def features_audit(specimen: Specimen) -> list[Outcome]:
    of, bars = specimen.subject, one_symbol()
    found = [
        *truncation(of, bars, seed=1),
        *perturbation(of, bars, seed=1),
        *start_up(of, bars, seed=1),
        *scale(of, bars),
    ]
    return [outcome for outcome in found if outcome.passed is False]


# ---- the collection


def test_the_collection_is_large_enough() -> None:
    leaking = [*LEAKS, *PEEKING, *SPLITS, *FILLS]
    honest = [*HONEST, *HONEST_FITS, *HONEST_SPLITS, *HONEST_FILLS]
    assert (len(LEAKS), len(leaking)) >= (25, 50)
    assert (len(HONEST), len(honest)) >= (15, 30)
    names = [specimen.name for specimen in (*LEAKS, *RECURSIVE, *HONEST)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("specimen", LEAKS, ids=lambda specimen: specimen.name)
def test_a_feature_that_looks_ahead_is_found(specimen: Specimen) -> None:
    found = features_audit(specimen)
    assert tuple(outcome.test for outcome in found) == specimen.by
    first = found[0]
    assert first.what in specimen.subject.names
    assert first.ts in one_symbol().ts_close
    assert first.ahead is not None
    assert first.ahead >= 1
    assert specimen.ahead in (None, first.ahead)


@pytest.mark.parametrize("specimen", RECURSIVE, ids=lambda specimen: specimen.name)
def test_a_recursive_feature_is_told_from_a_leak(specimen: Specimen) -> None:
    found = features_audit(specimen)
    assert tuple(outcome.test for outcome in found) == specimen.by
    assert "declare" in found[0].detail


@pytest.mark.parametrize("specimen", HONEST, ids=lambda specimen: specimen.name)
def test_an_honest_feature_is_left_alone(specimen: Specimen) -> None:
    assert features_audit(specimen) == []


@pytest.mark.parametrize("fitted", PEEKING, ids=lambda fitted: fitted.name)
def test_a_fit_that_knows_the_future_is_found(fitted: Fitted) -> None:
    at = [two_symbols()[0].ts_close[bar] for bar in (270, 310)]
    (found,) = decisions(fitted.say, two_symbols(), at, seed=1)
    assert (found.test, found.passed, found.what) == ("A3", False, "prediction")
    assert found.value != found.other
    assert found.ahead is not None
    assert found.ahead >= 1


@pytest.mark.parametrize("fitted", HONEST_FITS, ids=lambda fitted: fitted.name)
def test_an_honest_fit_is_left_alone(fitted: Fitted) -> None:
    at = [two_symbols()[0].ts_close[bar] for bar in (270, 310)]
    assert [one.passed for one in decisions(fitted.say, two_symbols(), at, seed=1)] == [True]


@pytest.mark.parametrize("folder", SPLITS, ids=lambda folder: folder.__name__)
def test_a_split_that_peeks_is_found(folder: Folder) -> None:
    found = split(two_sets(), two_symbols(), folder(two_sets(), two_symbols()))
    assert {(one.test, one.passed) for one in found} == {("A4", False)}
    assert found[0].ahead is not None
    assert found[0].ahead >= 1


@pytest.mark.parametrize("folder", HONEST_SPLITS, ids=lambda folder: folder.__name__)
def test_an_honest_split_is_left_alone(folder: Folder) -> None:
    found = split(two_sets(), two_symbols(), folder(two_sets(), two_symbols()))
    assert [one.passed for one in found] == [True]


@pytest.mark.parametrize("name", FILLS)
def test_a_fill_that_cannot_be_is_found(name: str) -> None:
    assert [one.passed for one in fills([FILLS[name]], two_symbols())] == [False]


@pytest.mark.parametrize("name", HONEST_FILLS)
def test_an_honest_fill_is_left_alone(name: str) -> None:
    assert [one.passed for one in fills([HONEST_FILLS[name]], two_symbols())] == [True]


def test_a_last_bar_that_is_still_forming_is_found() -> None:
    end = two_symbols()[0].ts_close[-1]
    assert {one.passed for one in fills([], two_symbols(), now=end - 1)} == {False}
    assert {one.passed for one in fills([], two_symbols(), now=end)} == {True}


# ---- statistics: what says too much of a market without a signal


def fair(say: object, **more: object) -> Outcome:
    (found,) = null_markets(say, LABELS, seeds=range(4), bars=420, **more)  # type: ignore[arg-type]  # any pipeline
    return found


def test_a_market_without_a_signal_gives_one_half() -> None:
    found = fair(pipeline(clean))
    assert found.passed is True
    assert found.value == pytest.approx(0.5, abs=0.08)


def test_knowing_the_answer_is_found_where_there_is_nothing_to_know() -> None:
    def oracle(histories: Sequence[Bars]) -> dict[str, np.ndarray]:
        rows = table(histories)
        noise = np.random.default_rng(1).random(len(rows.y)) < 0.2
        p = np.where(rows.y < 0, np.nan, (rows.y == 1) ^ noise)
        return {bars.symbol: p[rows.symbol == i] for i, bars in enumerate(histories)}

    assert fair(oracle).passed is False
    assert fair(pipeline(nearest_date, shuffled)).passed is False  # overlapping labels


def test_a_gate_that_lets_noise_pass_is_found() -> None:
    assert fair(pipeline(clean), gate=lambda _bars, _seed: True).passed is False
    assert fair(pipeline(clean), gate=lambda _bars, seed: seed == 2).passed is True
    assert "1 promoted" in fair(pipeline(clean), gate=lambda _bars, seed: seed == 2).detail


def test_labels_shifted_in_time_teach_nothing() -> None:
    bars = [planted(symbol, 3 + i, 900, edge=0.0) for i, symbol in enumerate("AB")]
    data = dataset.build_dataset(bars)

    def nearest_date(folds: list[Fold]) -> Callable[[Dataset], np.ndarray]:
        def say(rolled: Dataset) -> np.ndarray:
            p = np.full(len(rolled), np.nan)
            for fold in folds:
                far = np.abs(rolled.ts[fold.test][:, None] - rolled.ts[fold.train])
                other = rolled.symbol[fold.test][:, None] != rolled.symbol[fold.train]
                p[fold.test] = rolled.y[fold.train][(far + 1e18 * other).argmin(axis=1)]
            return p

        return say

    honest = splits.walk_forward(data.ts, data.label_end)
    (found,) = shifted_labels(data, nearest_date(honest), seed=1)
    assert found.passed is True
    rows = np.random.default_rng(2).permutation(len(data))
    parts = np.array_split(rows, 5)
    leaky = [splits.Fold(np.setdiff1d(rows, part), part) for part in parts]
    (found,) = shifted_labels(data, nearest_date(leaky), seed=1)
    assert found.passed is False


def test_a_draw_without_a_seed_is_found() -> None:
    draws = iter(range(9))
    assert determinism(lambda: {"model id": "same"})[0].passed is True
    (found,) = determinism(lambda: {"model id": "same", "predictions": next(draws)})
    assert (found.passed, found.what) == (False, "predictions")


# ---- our own, whole and sabotaged


@pytest.mark.parametrize("spec", [DEFAULT, SEED], ids=lambda spec: spec.preset)
def test_our_own_passes_every_test(spec: FeatureSpec) -> None:
    bars = [with_splits(two_symbols()[0], [(250, (2, 3))]), two_symbols()[1]]
    done: list[tuple[int, int]] = []
    report = run_audit(
        bars, spec, LABELS, LOGIT, seed=1, null_seeds=3, progress=lambda *at: done.append(at)
    )
    assert report.tests == ALL
    assert report.passed, report.lines()
    assert report.failures == ()
    expected = dict.fromkeys(ALL, "passed") | ({"A7": "n/a"} if spec is SEED else {})
    assert report.results() == expected
    steps = len(ALL) - 1 + 3  # A6 takes one for each of its markets
    assert done == [(number, steps) for number in range(1, steps + 1)]
    assert run_audit(bars, spec, LABELS, LOGIT, seed=1, null_seeds=3) == report


def test_our_split_purged_one_bar_short_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def short(
        ts: np.ndarray, label_end: np.ndarray, test: np.ndarray, **_more: object
    ) -> np.ndarray:
        return np.asarray(label_end < ts[test].min() + DAY)

    assert audited(CHEAP).passed
    monkeypatch.setattr(splits, "train_mask", short)
    report = audited(CHEAP)
    assert {one.test for one in report.failures} == {"A4"}
    assert {one.ahead for one in report.failures} == {1}
    assert "looks 1 bar ahead" in "\n".join(report.lines())


def test_our_labels_that_claim_to_end_one_bar_early_are_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def early(bars: Bars, spec: LabelSpec) -> object:
        real = compute_labels(bars, spec)
        return replace(real, label_end=np.where(real.y < 0, -1, real.label_end - DAY))

    monkeypatch.setattr(dataset, "compute_labels", early)
    report = audited(["A4"])
    assert "label end" in {one.what for one in report.failures}
    assert "fold 1" in {one.what for one in report.failures}


def test_our_labels_that_begin_before_the_fill_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def from_the_close(bars: Bars, spec: LabelSpec) -> object:
        real, close = compute_labels(bars, spec), bars.numpy("close")
        y = real.y.copy()
        known = len(y) - spec.horizon - 1
        y[:known] = bars.numpy("open")[1 + spec.horizon :] > close[:known]
        return replace(real, y=y)

    monkeypatch.setattr(audit_decisions, "compute_labels", from_the_close)
    report = audited(["A5"])
    assert {one.what for one in report.failures} == {"label"}


def test_our_features_one_bar_late_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = matrix.feature_matrix

    def late(bars: Bars, spec: FeatureSpec) -> np.ndarray:
        rows = real(bars, spec)
        return np.vstack([rows[1:], rows[-1:]])

    monkeypatch.setattr(matrix, "feature_matrix", late)
    report = audited(ALL)
    assert {one.test for one in report.failures} == {"A1", "A1b"}
    assert {one.ahead for one in report.failures if one.test == "A1b"} == {1}
    assert report.results()["A4"] == "n/a"  # not run on such features


def test_our_training_that_knows_one_more_bar_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = walkforward.known_then

    def later(histories: Sequence[Bars], spec: FeatureSpec, ts: int, **more: int) -> list[Bars]:
        return real(histories, spec, ts + DAY, **more)

    monkeypatch.setattr(walkforward, "known_then", later)
    report = audited(["A3"])
    (found,) = report.failures
    assert found.ahead == 1
    assert found.what == "prediction"


def test_our_bits_that_differ_live_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = features.feature_row

    def rounded(bars: Bars, spec: FeatureSpec) -> tuple[float, ...]:
        return tuple(value * (1 + 1e-15) for value in real(bars, spec))

    monkeypatch.setattr("algotrade.learning.audit_subject.feature_row", rounded)
    assert "A2" in {one.test for one in audited(["A2"]).failures}


# ---- your own features


def test_own_features_are_audited_and_a_leak_stops_the_rest() -> None:
    @mark(lookback=40)
    def honest(bars: pd.DataFrame) -> pd.DataFrame:
        return bars.assign(away=away(bars), move=move(bars))[["away", "move"]]

    @mark(lookback=40)
    def leaking(bars: pd.DataFrame) -> pd.DataFrame:
        return honest(bars).assign(tomorrow=move(bars).shift(-1))

    passed = audited(CHEAP, own_features(honest, name="mine:honest").spec())
    assert passed.passed, passed.lines()
    report = audited(("A5", "A1"), own_features(leaking, name="mine:leaking").spec())
    assert report.results() == {"A1": "failed", "A5": "n/a"}
    (found,) = report.failures
    assert (found.what, found.ahead) == ("tomorrow", 1)
    lines = report.lines()
    assert lines[0].startswith("A1  failed  features without later bars")
    assert "tomorrow A 19" in lines[1]
    assert "against nan, looks 1 bar ahead" in lines[1]
    assert lines[2].endswith("not run: features failed")


def test_own_features_on_a_market_without_a_signal_and_twice() -> None:
    @mark(lookback=40)
    def honest(bars: pd.DataFrame) -> pd.DataFrame:
        return bars.assign(away=away(bars), move=move(bars))[["away", "move"]]

    report = audited(("A2", "A6", "A8"), own_features(honest, name="mine:honest").spec())
    assert report.results() == {"A2": "passed", "A6": "passed", "A8": "passed"}


def test_of_many_symbols_a_few_are_looked_at_one_with_a_split() -> None:
    many = [planted(symbol, index, 300, edge=0.0) for index, symbol in enumerate("ABCDEFGH")]
    for place in (0, 7):
        bars = [
            with_splits(one, [(250, (1, 2))]) if i == place else one for i, one in enumerate(many)
        ]
        looked_at = _chosen(bars, 1)
        assert len(looked_at) == 4
        assert any(one.splits for one in looked_at)
        assert _chosen(bars[::-1], 1) == looked_at
    assert audited(CHEAP, bars=[*many, many[0].slice(0, 1)][1:]).passed


def test_exhaustive_cuts_find_what_few_cuts_miss() -> None:
    rare = next(one for one in LEAKS if "rare" in one.name).subject
    assert truncation(rare, one_symbol(), seed=1)[0].passed
    (found,) = truncation(rare, one_symbol(), seed=1, exhaustive=True)
    assert (found.passed, found.ahead) == (False, 1)


def test_a_function_that_fails_without_later_bars_is_found() -> None:
    @mark(lookback=40)
    def fails(bars: pd.DataFrame) -> pd.DataFrame:
        if 40 < len(bars) < 400:
            raise ValueError("too few")
        return bars.assign(move=move(bars))[["move"]]

    found = subject(own_features(fails, name="x").spec())
    outcomes = truncation(found, one_symbol(), seed=1)
    assert outcomes[0].passed is False
    assert "too few" in outcomes[0].detail


# ---- parts


def test_other_markets_are_what_they_say() -> None:
    bars = one_symbol()
    future, past = other_future(bars, 100, 1), other_past(bars, 100, 1)
    assert future.close[:101] == bars.close[:101]
    assert past.close[100:] == bars.close[100:]
    assert all(a != b for a, b in zip(future.close[101:], bars.close[101:], strict=True))
    assert all(a != b for a, b in zip(past.close[:100], bars.close[:100], strict=True))
    assert future.ts_close == bars.ts_close
    for made in (future, past, null_market("N", 1, 300)):
        low, high = made.numpy("low"), made.numpy("high")
        for name in ("open", "close"):
            assert (low <= made.numpy(name)).all()
            assert (made.numpy(name) <= high).all()
    assert without_splits(bars).splits == ()
    assert without_splits(bars).close[0] == pytest.approx(bars.close[0] / 2, abs=1)
    assert without_splits(bars).close[300:] == bars.close[300:]


@pytest.mark.parametrize("ahead", [1, 4, 6, 7, 30, 99])
def test_the_nearest_that_agrees(ahead: int) -> None:
    asked: list[int] = []

    def agrees(distance: int) -> bool:
        asked.append(distance)
        return distance >= ahead

    assert nearest_that_agrees(agrees, 0, 100) == ahead
    assert len(asked) <= 13


def test_an_unknown_test_is_refused_and_a_report_tells_itself() -> None:
    with pytest.raises(InputError, match="'A9' is unknown"):
        audited(["A9"])
    report = audited(CHEAP)
    assert len(report.lines()) == len(CHEAP)
    assert report.lines()[3].startswith("A5  passed  fills after decisions: ")
    outcome = Outcome(test="A6", passed=False, what="accuracy", value=0.75, detail="too good")
    assert tell(outcome) == "accuracy, 0.75 against nothing, too good"
