"""Features of your own: windows by hand, the same bits live and in training, bad code."""

from __future__ import annotations

import hashlib
import math
import pickle
import re
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import algotrade
from algotrade.domain.times import iso
from algotrade.errors import DataError, InputError, ModelError
from algotrade.learning import own_features as module
from algotrade.learning.dataset import build_dataset
from algotrade.learning.features import DEFAULT, TREND, compute_features, feature_row
from algotrade.learning.labels import LabelSpec
from algotrade.learning.own_features import card_features, features, load_features, own_features
from algotrade.learning.training import Plan, train
from algotrade.learning.walkforward import walk_forward_forecast
from learning_markets import DOLLAR, RATIOS, from_closes, planted, random_bars, with_splits

if TYPE_CHECKING:
    from collections.abc import Callable

    from algotrade.bars import Bars

MINE = """
@features(lookback=20)
def build(bars):
    close = bars["close"]
    return pd.DataFrame({
        "away": close / close.rolling(20).mean() - 1,
        "faded": close / close.ewm(span=9).mean(),
        "traded": bars["volume"] / bars["volume"].rolling(10).mean(),
    })
"""


def own(folder: Path, code: str = MINE, *, name: str = "mine") -> str:
    """Write a file of features; give the name of the function in it."""
    path = folder / f"{name}.py"
    head = "import pandas as pd\nfrom algotrade import features\n"
    path.write_text(head + textwrap.dedent(code), "utf-8")
    return f"{path}:build"


def built(
    code: Callable[[pd.DataFrame], object], *, lookback: int = 3, scale_free: bool = True
) -> module.OwnFeatures:
    return own_features(features(lookback=lookback, scale_free=scale_free)(code), name="mine")


# ---- by hand


def test_what_a_function_sees_by_hand() -> None:
    """A 2-for-1 split before bar 3: dollars and shares of each row's own bar."""
    seen: list[pd.DataFrame] = []

    def build(bars: pd.DataFrame) -> pd.DataFrame:
        seen.append(bars.copy())
        return bars[["close"]].rename(columns={"close": "last"})

    mine = built(build)
    del seen[:]
    bars = with_splits(
        from_closes([10 * DOLLAR, 12 * DOLLAR, 14 * DOLLAR, 8 * DOLLAR]), [(3, (1, 2))]
    )
    matrix = mine.matrix(bars)
    assert matrix[:, 0].tolist()[2:] == [14.0, 8.0]
    assert np.isnan(matrix[:2]).all()
    before, after = seen[:2]
    assert before["close"].tolist() == [10.0, 12.0, 14.0]
    assert after["close"].tolist() == [6.0, 7.0, 8.0]
    assert after["volume"].tolist() == [2e6, 2e6, 1e6]
    assert list(after.columns) == ["open", "high", "low", "close", "volume"]
    assert after.index.name == "ts_close"
    assert [stamp.isoformat() for stamp in after.index] == [
        iso(ts).replace("Z", "+00:00") for ts in bars.ts_close[1:]
    ]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    cut=st.integers(45, 89),
    places=st.lists(st.tuples(st.integers(1, 89), st.sampled_from(RATIOS)), max_size=3),
)
def test_a_row_is_the_same_bits_live_and_in_training(
    seed: int, cut: int, places: list[tuple[int, tuple[int, int]]]
) -> None:
    """The law of features, for functions full of running sums and recursive averages."""

    def build(bars: pd.DataFrame) -> pd.DataFrame:
        close = bars["close"]
        return pd.DataFrame(
            {
                "away": close / close.rolling(9).mean(),
                "spread": close.rolling(12).std(),
                "slow": close.ewm(span=40).mean(),
                "place": close.rank(pct=True),
            }
        )

    mine = built(build, lookback=20)
    bars = with_splits(random_bars(seed, 90), sorted(dict(places).items()))
    whole = mine.matrix(bars)
    mine.memory.clear()
    assert np.array(mine.row(bars.slice(0, cut + 1))).tobytes() == whole[cut].tobytes()
    mine.memory.clear()
    assert mine.matrix(bars.slice(0, cut + 1))[cut].tobytes() == whole[cut].tobytes()
    assert mine.row(bars.slice(cut - 25, cut + 1)) == tuple(whole[cut].tolist())


def test_a_function_cannot_look_ahead_or_change_the_window_for_others() -> None:
    def build(bars: pd.DataFrame) -> pd.DataFrame:
        bars["close"] = bars["close"] / bars["close"].iloc[-1]
        return pd.DataFrame({"tomorrow": bars["close"].shift(-1).fillna(1.0)})

    bars = random_bars(1, 60)
    assert set(built(build).matrix(bars)[2:, 0].tolist()) == {1.0}
    again = built(lambda bars: bars[["close"]].rename(columns={"close": "x"})).matrix(bars)
    assert again[2:, 0].tolist() == [close / DOLLAR for close in bars.close[2:]]


def test_rows_are_remembered_by_their_content(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def build(bars: pd.DataFrame) -> pd.DataFrame:
        calls.append(len(bars))
        return bars[["close"]].rename(columns={"close": "x"})

    bars, mine = random_bars(1, 60), built(build)
    first = mine.matrix(bars)
    asked = len(calls)
    assert asked <= 1 + 58 + 10  # for the columns, each bar, a few bars once more
    second = mine.matrix(bars.slice(10, 60))
    assert len(calls) - asked <= 10
    assert second[2:].tobytes() == first[12:].tobytes()
    monkeypatch.setattr(module, "REMEMBERED", 5)
    assert mine.matrix(random_bars(2, 60)).shape == (60, 1)
    assert len(mine.memory) <= 5


# ---- from a file to a model


def test_a_file_is_named_by_its_path_and_its_bytes(tmp_path: Path) -> None:
    spec = load_features(own(tmp_path))
    digest = hashlib.sha256((tmp_path / "mine.py").read_bytes()).hexdigest()
    assert spec.preset == f"{tmp_path}/mine.py:build@{digest[:32]}"
    assert spec.names == ("away", "faded", "traded")
    assert spec.lookback == 200  # the trend beside it
    assert load_features("default") is DEFAULT
    assert algotrade.features is features
    with pytest.raises(InputError, match="preset 'defualt' is unknown"):
        load_features("defualt")


def test_the_example_of_the_page_runs(tmp_path: Path) -> None:
    page = Path(__file__).parents[1] / "docs" / "audit.md"
    (code,) = re.findall(
        r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    (tmp_path / "mine.py").write_text(code, "utf-8")
    spec = load_features(f"{tmp_path / 'mine.py'}:build")
    assert spec.names == ("away", "spread")
    assert np.isfinite(compute_features(random_bars(3, 230), spec)[-1]).all()


def test_own_features_beside_those_of_the_house(tmp_path: Path) -> None:
    spec = load_features(own(tmp_path))
    bars = with_splits(random_bars(5, 260), [(230, (1, 2))])
    wide = replace(spec, names=("away", *TREND, "traded"))
    matrix = compute_features(bars, wide)
    assert np.isnan(matrix[:199]).all()
    assert np.isfinite(matrix[199:]).all()
    assert feature_row(bars, wide) == tuple(matrix[-1].tolist())
    assert matrix[-1, 1:3].tolist() == compute_features(bars, DEFAULT_TREND)[-1].tolist()
    with pytest.raises(DataError, match="150 bars, but one row of features needs 200"):
        feature_row(bars.slice(0, 150), wide)


DEFAULT_TREND = replace(DEFAULT, names=TREND)


def test_train_and_forecast_on_own_features(tmp_path: Path) -> None:
    spec = load_features(own(tmp_path))
    bars = [planted(symbol, 7 + i, 420, edge=0.01) for i, symbol in enumerate("AB")]
    data = build_dataset(bars, spec)
    assert data.x.shape[1] == 3
    assert data.fingerprint != build_dataset(bars).fingerprint
    model = train(data, Plan(model="logit"), seed=1, now=5)
    assert (model.card.preset, model.card.names) == (spec.preset, spec.names)
    found = card_features(model.card)
    assert found == spec
    assert feature_row(bars[0], found) == tuple(compute_features(bars[0], spec)[-1].tolist())
    said = walk_forward_forecast(
        bars, spec, LabelSpec(), Plan(model="logit"), seed=1, from_ts=bars[0].ts_close[380]
    )
    assert len(said.refits) == 2


def test_a_file_that_has_changed_is_not_run(tmp_path: Path) -> None:
    name, proof = own(tmp_path), tmp_path / "proof"
    bars = [planted(symbol, 7 + i, 420, edge=0.01) for i, symbol in enumerate("AB")]
    card = train(build_dataset(bars, load_features(name)), Plan(), seed=1, now=5).card
    own(tmp_path, MINE + f"open({str(proof)!r}, 'w').close()\n")
    with pytest.raises(
        ModelError, match=r"mine\.py has changed: its SHA-256 begins with"
    ) as caught:
        card_features(card)
    assert "train again" in str(caught.value.hint)
    assert not proof.exists()
    with pytest.raises(ModelError, match="not named by their hash"):
        card_features(replace(card, preset=name))
    own(tmp_path)
    with pytest.raises(ModelError, match="now gives other columns"):
        card_features(replace(card, names=("away",)))
    plain = replace(card, preset="default", names=DEFAULT.names)
    assert card_features(plain) == DEFAULT


def test_features_travel_to_another_process_by_name(tmp_path: Path) -> None:
    spec, bars = load_features(own(tmp_path)), random_bars(1, 60)
    sent = pickle.dumps(spec)
    there = pickle.loads(sent)  # noqa: S301 - our own bytes
    assert there == spec
    assert spec.own is not None
    assert there.own.matrix(bars).tobytes() == spec.own.matrix(bars).tobytes()
    own(tmp_path, MINE + "\n")
    with pytest.raises(ModelError, match="has changed"):
        pickle.loads(sent)  # noqa: S301 - our own bytes


# ---- bad code and bad answers

BAD_CODE = [
    (
        "def build(bars): return bars",
        "mine.py:build declares no lookback",
        "@features(lookback=21)",
    ),
    ("@features(lookback=1)\ndef build(bars): return bars", "has lookback 1", "2 to 10000"),
    ("@features(lookback=True)\ndef build(bars): return bars", "has lookback True", "whole"),
    ("@features(lookback=9)\ndef other(bars): return bars", "no function build", "in it: other"),
    ("@features(lookback=9)\ndef build(): return 1", "made-up window: TypeError", "mend"),
    ("@features(lookback=9)\ndef build(bars): return 1 / 0", "ZeroDivisionError", "mend"),
    ("@features(lookback=9)\ndef build(bars): return bars.iloc[-10]", "IndexError", "longer"),
    ("@features(lookback=9)\ndef build(bars): raise SystemExit(1)", "SystemExit: 1", "mend"),
    ("@features(lookback=9)\ndef build(bars): return 7", "gave 7 (int)", "a DataFrame"),
    (
        "@features(lookback=9)\ndef build(bars): return bars['close']",
        "a Series of shape (9,)",
        "at",
    ),
    ("@features(lookback=9)\ndef build(bars): return bars[[]]", "DataFrame of shape (9, 0)", "one"),
    (
        "@features(lookback=9)\ndef build(bars): return bars[['open', 'open']]",
        "DataFrame of shape (9, 2)",
        "no name twice",
    ),
    (
        "@features(lookback=9)\ndef build(bars): return bars.rename(columns={'close': 'SMA_50'})",
        "calls a column SMA_50, which is a feature of algotrade",
        "another name",
    ),
    ("1 / 0", "cannot be loaded: ZeroDivisionError", "python"),
]


@pytest.mark.parametrize(("code", "message", "hint"), BAD_CODE)
def test_code_that_cannot_be_used(tmp_path: Path, code: str, message: str, hint: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        load_features(own(tmp_path, code))
    assert hint in str(caught.value.hint)
    assert "mine.py" in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("statistics:mean", "statistics is a module of Python itself"),
        ("mine.py:", "feature function 'mine.py:' names no function"),
        ("gone.py:build", "gone.py cannot be read: No such file"),
        ("a b:build", "feature function 'a b:build' names no module and no .py file"),
    ],
)
def test_names_that_cannot_be_used(name: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        load_features(name)


def test_answers_that_cannot_be_used() -> None:
    bars = random_bars(1, 60)

    def late(change: Callable[[pd.DataFrame], object]) -> module.OwnFeatures:
        """Answer well about the made-up window, then otherwise."""

        def build(frame: pd.DataFrame) -> object:
            good = frame[["close"]].rename(columns={"close": "x"})
            return good if frame.index[0].year == 2000 else change(good)

        return built(build)

    for change, message in (
        (lambda good: good.iloc[1:], "gave a DataFrame of shape (2, 1) for 3 bars"),
        (lambda good: good[::-1], "gave a DataFrame of shape (3, 1) for 3 bars"),
        (lambda good: good.assign(more=1.0), "gave the columns x, more"),
        (lambda good: good.astype(str) + "$", "gave no numbers (ValueError"),
        (lambda good: good["nothing"], "failed at AAPL 1997-05-21: KeyError: 'nothing'"),
    ):
        with pytest.raises(InputError, match=re.escape(message)) as caught:
            late(change).matrix(bars)
        assert "AAPL 1997-05-21" in str(caught.value)


def test_a_function_that_remembers_or_draws_lots_is_refused() -> None:
    calls: list[int] = []

    def build(bars: pd.DataFrame) -> pd.DataFrame:
        calls.append(1)
        return pd.DataFrame({"x": float(len(calls))}, index=bars.index)

    with pytest.raises(InputError, match="said two things of the same window at AAPL") as caught:
        built(build).matrix(random_bars(1, 60))
    assert "nothing remembered" in str(caught.value.hint)


@pytest.mark.parametrize("days", [-1, 5])
def test_a_column_that_never_says_anything_is_told(days: int) -> None:
    """Reading later bars, or more bars than declared, leaves nothing at the last bar."""
    mine = built(lambda bars: bars[["close"]].shift(days).rename(columns={"close": "x"}))
    with pytest.raises(InputError, match="x is no number at any of 58 bars of AAPL") as caught:
        mine.matrix(random_bars(1, 60))
    assert "neither later bars nor more than its lookback=3" in str(caught.value.hint)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_short_histories(count: int) -> None:
    bars: Bars = random_bars(1, 5).slice(0, count)
    matrix = built(lambda bars: bars[["close"]].rename(columns={"close": "x"})).matrix(bars)
    assert matrix.shape == (count, 1)
    assert [math.isnan(value) for value in matrix[:, 0]] == [True, True, False][:count]
