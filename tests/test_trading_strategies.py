"""Strategies: by hand, against fractions, laws of causality, code of your own, bad input."""

from __future__ import annotations

import hashlib
import pickle
import re
import subprocess
import sys
import textwrap
from array import array
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import algotrade
from algotrade.bars import Bars
from algotrade.domain.actions import Split
from algotrade.domain.signals import DOWN, KEEP, NONE, UP, Signals
from algotrade.domain.times import DAY, HOUR, to_date
from algotrade.errors import InputError
from algotrade.market.sample import SYMBOLS, read_actions, read_columns
from algotrade.trading.strategies import LONGEST, Strategy, load_strategy, share_runs, strategies
from builders import DOLLAR, bars_of, closes, opens, session

Place = tuple[int, int, int]  # bar, split_from, split_to


def split_at(bars: Bars, *places: Place) -> Bars:
    """Add splits on the sessions of these bars; prices stay as traded."""
    facts = [Split("AAPL", session(bar), old, new) for bar, old, new in places]
    return replace(bars, splits=tuple(sorted(facts, key=lambda split: split.ex_date)))


def said(stances: bytes) -> str:
    return "".join("-UDK"[stance] for stance in stances)


def sma(name: str, fast: int, slow: int) -> Strategy:
    return load_strategy(name, {"fast": str(fast), "slow": str(slow)})


def own(folder: Path, code: str, *, name: str = "mine") -> str:
    """Write a file of strategies; give its path."""
    path = folder / f"{name}.py"
    head = "from algotrade import DOWN, KEEP, NONE, UP, strategy\n"
    path.write_text(head + textwrap.dedent(code), "utf-8")
    return str(path)


MOMENTUM = """
@strategy(lookback=lambda days: days + 1)
def momentum(window, *, days: int = 3):
    return UP if window.close[-1] > window.close[-days - 1] else DOWN
"""


# ---- by hand


def test_state_by_hand() -> None:
    """Averages of two and of three, above, equal and above again."""
    bars = bars_of([4 * DOLLAR, 5 * DOLLAR, 6 * DOLLAR, 5 * DOLLAR, 7 * DOLLAR, 8 * DOLLAR])
    # bar:      2          3            4        5
    # fast sum  11 (5.5)   11 (5.5)     12 (6)   15 (7.5)
    # slow sum  15 (5)     16 (5.33)    18 (6)   20 (6.67)
    assert said(sma("sma-state", 2, 3).history(bars).stances) == "--UUDU"
    # at bar 4 they are equal: no longer above, not below; at bar 5 it goes above from equal
    assert said(sma("sma-cross", 2, 3).history(bars).stances) == "---KKU"


def test_cross_by_hand() -> None:
    """Average of one (the close) and of two: above where the close rose, equal where it stayed."""
    prices = [5, 6, 7, 7, 6, 6, 5, 6, 5]
    bars = bars_of([price * DOLLAR for price in prices])
    # sides        + + 0 - 0 - + -
    assert said(sma("sma-cross", 1, 2).history(bars).stances) == "--KKDKDUD"
    assert said(sma("sma-state", 1, 2).history(bars).stances) == "-UUDDDDUD"


def test_a_split_alone_is_no_cross() -> None:
    flat = [700 * DOLLAR] * 6 + [100 * DOLLAR] * 6
    bars = bars_of(flat)
    assert "D" in said(sma("sma-cross", 1, 3).history(bars).stances)
    told = split_at(bars, (6, 1, 7))
    assert said(sma("sma-cross", 1, 3).history(told).stances) == "---KKKKKKKKK"
    rising = split_at(bars_of([700 * DOLLAR] * 6 + [100 * DOLLAR + 1] * 6), (6, 1, 7))
    assert said(sma("sma-cross", 1, 3).history(rising).stances) == "---KKKUKKKKK"


@pytest.mark.parametrize("name", ["sma-state", "sma-cross"])
@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_bars_say_nothing(name: str, count: int) -> None:
    bars = bars_of([DOLLAR] * count) if count else Bars(source="s", symbol="A", timeframe="1d")
    strategy = sma(name, 2, 3)
    assert strategy.history(bars).stances == bytes(count)
    assert strategy.stance(bars) == NONE


def test_what_a_strategy_tells_of_itself() -> None:
    cross, state = load_strategy("sma-cross", {}), load_strategy("sma-state", {"slow": "100"})
    assert (cross.name, cross.lookback, cross.source) == (
        "sma-cross",
        201,
        "sma-cross fast=50 slow=200",
    )
    assert (state.lookback, state.source) == (100, "sma-state fast=50 slow=100")
    assert list(state.params.items()) == [("fast", 50), ("slow", 100)]
    bars = bars_of([DOLLAR] * 3)
    assert state.history(bars) == Signals(sources=((0, state.source),), stances=bytes(3))
    assert [shipped.name for shipped in strategies()] == ["sma-cross", "sma-state"]
    assert all(shipped.doc.endswith(".") and dict(shipped.params) for shipped in strategies())
    again = pickle.loads(pickle.dumps(cross))  # noqa: S301  # our own, to be sent to workers
    assert (again.source, again.stance(bars)) == (cross.source, NONE)


# ---- laws


def shares_of(bars: Bars, places: list[Place], at: int) -> list[Fraction]:
    """Give the closes up to a bar in the shares of that bar, the slow and plain way."""
    found = []
    for i in range(at + 1):
        price = Fraction(bars.close[i])
        for bar, old, new in places:
            if i < bar <= at:
                price *= Fraction(old, new)
        found.append(price)
    return found


def reference(prices: list[Fraction], fast: int, slow: int) -> int | None:
    """Give the sign of SMA(fast) - SMA(slow) at the last price, None without full windows."""
    if len(prices) < slow:
        return None
    gap = sum(prices[-fast:]) / Fraction(fast) - sum(prices[-slow:]) / Fraction(slow)
    return (gap > 0) - (gap < 0)


prices = st.one_of(
    st.lists(st.integers(1, 4), min_size=1, max_size=30),  # ties
    st.lists(st.integers(1, 10**13), min_size=1, max_size=30),
)
ratios = st.sampled_from([(1, 2), (2, 3), (1, 7), (10, 1), (3, 1)])
places = st.lists(
    st.tuples(st.integers(-3, 33), ratios).map(lambda pair: (pair[0], *pair[1])), max_size=4
)
periods = st.tuples(st.integers(1, 6), st.integers(1, 6)).map(lambda two: (two[0], sum(two)))


@settings(max_examples=300, deadline=None)
@given(prices=prices, cuts=places, periods=periods)
def test_averages_are_those_of_fractions(
    prices: list[int], cuts: list[Place], periods: tuple[int, int]
) -> None:
    bars = split_at(bars_of(prices), *cuts)
    sides = [reference(shares_of(bars, cuts, t), *periods) for t in range(len(bars))]
    states = [NONE if side is None else UP if side > 0 else DOWN for side in sides]
    assert list(sma("sma-state", *periods).history(bars).stances) == states
    crosses = [NONE] * min(len(bars), periods[1])
    for t in range(periods[1], len(bars)):
        before = reference(shares_of(bars, cuts, t - 1), *periods)
        assert before is not None
        up, down = before <= 0 < (sides[t] or 0), (sides[t] or 0) < 0 <= before
        crosses.append(UP if up else DOWN if down else KEEP)
    assert list(sma("sma-cross", *periods).history(bars).stances) == crosses


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Strategy:
    """A strategy whose answer hangs on every bit of its window."""
    path = own(
        tmp_path_factory.mktemp("mine"),
        """
        @strategy(lookback=5)
        def parity(window):
            columns = (window.open, window.high, window.low, window.close, window.volume)
            text = repr([window.date, window.ts_close, *columns])
            return sum(text.encode()) % 4
        """,
    )
    return load_strategy(f"{path}:parity", {})


@settings(max_examples=150, deadline=None)
@given(prices=prices, cuts=places, data=st.data())
def test_live_says_what_history_says(
    mine: Strategy, prices: list[int], cuts: list[Place], data: st.DataObject
) -> None:
    bars = split_at(bars_of(prices), *cuts)
    t = data.draw(st.integers(0, len(bars) - 1))
    for strategy in (sma("sma-state", 2, 5), sma("sma-cross", 3, 4), mine):
        history = strategy.history(bars).stances
        past = bars.slice(0, t + 1)
        assert len(history) == len(bars)
        assert history[: t + 1] == strategy.history(past).stances
        assert history[t] == strategy.stance(past)
        recent = bars.slice(max(0, t + 1 - strategy.lookback), t + 1)
        assert history[t] == strategy.stance(recent)


@settings(max_examples=100, deadline=None)
@given(prices=prices, cuts=places, poison=st.integers(1, 10**13), data=st.data())
def test_the_future_moves_nothing(
    mine: Strategy, prices: list[int], cuts: list[Place], poison: int, data: st.DataObject
) -> None:
    t = data.draw(st.integers(0, len(prices) - 1))
    bars = split_at(bars_of(prices), *cuts)
    past = [cut for cut in cuts if cut[0] <= t]
    other = prices[: t + 1] + [poison] * (len(prices) - t + 3)
    poisoned = split_at(bars_of(other), *past, (t + 1, 1, 50), (t + 2, 3, 1))
    for strategy in (sma("sma-state", 2, 5), sma("sma-cross", 3, 4), mine):
        history, changed = strategy.history(bars).stances, strategy.history(poisoned).stances
        assert history[: t + 1] == changed[: t + 1]


@settings(max_examples=100, deadline=None)
@given(prices=prices, cuts=places, scale=st.integers(2, 10**5))
def test_a_dearer_share_crosses_at_the_same_bars(
    prices: list[int], cuts: list[Place], scale: int
) -> None:
    bars = split_at(bars_of(prices), *cuts)
    scaled = split_at(bars_of([price * scale for price in prices]), *cuts)
    for strategy in (sma("sma-state", 2, 5), sma("sma-cross", 3, 4)):
        assert strategy.history(bars).stances == strategy.history(scaled).stances


def sample_bars(symbol: str) -> Bars:
    columns = read_columns(symbol)
    splits = [f for f in read_actions() if isinstance(f, Split) and f.symbol == symbol]
    return Bars(
        source="sample",
        symbol=symbol,
        timeframe="1d",
        ts_open=array("q", (day * DAY + 15 * HOUR for day in columns.day)),
        ts_close=array("q", (day * DAY + 21 * HOUR for day in columns.day)),
        **{name: getattr(columns, name) for name in ("open", "high", "low", "close", "volume")},
        splits=tuple(sorted(splits, key=lambda split: split.ex_date)),
    )


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_live_says_what_history_says_on_the_sample(symbol: str, tmp_path: Path) -> None:
    bars = sample_bars(symbol)
    rule = load_strategy(f"{own(tmp_path, MOMENTUM)}:momentum", {"days": "60"})
    at = {
        len(share) - 1 for share in (bars.ts_open[: start + 1] for start, _, _ in share_runs(bars))
    }
    near_splits = {t + step for t in at for step in (-1, 0, 1, 30, 59, 60, 61, 199, 200, 201)}
    for strategy in (load_strategy("sma-cross", {}), load_strategy("sma-state", {}), rule):
        stances = strategy.history(bars).stances
        for t in sorted(
            {*range(0, len(bars), 41), *(t for t in near_splits if 0 <= t < len(bars))}
        ):
            assert stances[t] == strategy.stance(bars.slice(0, t + 1)), to_date(t)
        assert {UP, DOWN} <= set(stances)
    crosses = load_strategy("sma-cross", {}).history(bars).stances
    turns = [stance for stance in crosses if stance in {UP, DOWN}]
    assert all(a != b for a, b in pairwise(turns))  # they alternate


# ---- your own


def test_a_strategy_of_your_own_by_hand(tmp_path: Path) -> None:
    path = own(tmp_path, MOMENTUM)
    digest = hashlib.sha256((tmp_path / "mine.py").read_bytes()).hexdigest()[:8]
    strategy = load_strategy(f"{path}:momentum", {"days": "2"})
    assert (strategy.source, strategy.lookback) == (f"mine.py:momentum days=2 @{digest}", 3)
    bars = bars_of([DOLLAR * price for price in (5, 4, 6, 5, 5, 9)])
    assert said(strategy.history(bars).stances) == "--UUDU"
    assert said(load_strategy(f"{path}:momentum", {"days": "5"}).history(bars).stances) == "-----U"


def test_the_page_shows_a_strategy_that_works(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "strategies.md").read_text("utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "momentum.py").write_text(code, "utf-8")
    strategy = load_strategy(f"{tmp_path / 'momentum.py'}:momentum", {"days": "1"})
    assert said(strategy.history(bars_of([DOLLAR, 2 * DOLLAR, DOLLAR])).stances) == "-UD"
    for shipped in strategies():
        assert f"`{shipped.name}`" in page
        assert all(f"`{name}` ({value})" in page for name, value in shipped.params.items())


def test_a_window_is_in_the_shares_of_its_last_bar(tmp_path: Path) -> None:
    """3 old shares become 2 new: prices times 3/2, volumes times 2/3, to the nearest double."""
    path = own(
        tmp_path,
        """
        seen = []
        @strategy(lookback=2)
        def look(window):
            seen.append((window.date, window.ts_close, window.open, window.close, window.volume))
            assert len(window.high) == len(window.low) == 2
            assert (window.symbol, window.timeframe) == ("AAPL", "1d")
            return KEEP
        """,
    )
    bars = split_at(bars_of([10 * DOLLAR + 1, 15 * DOLLAR, 16 * DOLLAR]), (1, 3, 2))
    strategy = load_strategy(f"{path}:look", {})
    assert said(strategy.history(bars).stances) == "-KK"
    seen = strategy.rule.args[0].function.__globals__["seen"]  # type: ignore[attr-defined]
    first = [float(Fraction(10_000_001 * 3, 2 * 10**6)), 15.0]
    days = [session(0), session(1)]
    volumes = [float(Fraction(10**6 * 2, 3)), 10.0**6]
    assert seen[0] == (days, [closes(0), closes(1)], first, first, volumes)
    assert seen[1][3] == [15.0, 16.0]
    assert opens(0) < closes(0)


def test_what_is_done_to_a_window_ends_with_it(tmp_path: Path) -> None:
    path = own(
        tmp_path,
        """
        @strategy(lookback=3)
        def rude(window):
            stance = UP if window.close[-1] > window.close[0] else DOWN
            window.close[:] = [0.0] * 9
            window.close = None
            return stance
        """,
    )
    bars = bars_of([DOLLAR * price for price in (1, 2, 3, 4, 3, 2)])
    assert said(load_strategy(f"{path}:rude", {}).history(bars).stances) == "--UUDD"


def test_a_module_of_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "my_rules_for_test"
    package.mkdir()
    (package / "__init__.py").write_text("", "utf-8")
    (package / "helper.py").write_text("DAYS = 2\n", "utf-8")
    own(package, "from .helper import DAYS\n" + MOMENTUM, name="mod")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    strategy = load_strategy("my_rules_for_test.mod:momentum", {})
    assert strategy.source.startswith("my_rules_for_test.mod:momentum days=3 @")
    assert sys.path[-1] == str(tmp_path)  # looked at last
    loaded = sys.modules["my_rules_for_test.mod"]
    own(package, MOMENTUM.replace("> window", "< window"), name="mod")
    changed = load_strategy("my_rules_for_test.mod:momentum", {})  # the bytes of now, not a cache
    bars = bars_of([DOLLAR, DOLLAR, DOLLAR, 2 * DOLLAR])
    assert said(strategy.history(bars).stances + changed.history(bars).stances) == "---U---D"
    assert not list(tmp_path.rglob("mod.*.pyc"))
    assert sys.modules["my_rules_for_test.mod"] is loaded  # what others hold stays theirs
    for name in [name for name in sys.modules if name.startswith("my_rules_for_test")]:
        del sys.modules[name]


def test_annotations_kept_as_text_and_every_kind(tmp_path: Path) -> None:
    path = tmp_path / "kinds.py"
    path.write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from algotrade import KEEP, strategy\n"
        "@dataclass\n"
        "class State:\n"
        "    days: int\n"
        "@strategy(lookback=1)\n"
        "def rule(window, *, days: int, share: float = 1, name='a b', fast: bool = False):\n"
        "    return KEEP\n",
        "utf-8",
    )
    for name, text in (("days", "x"), ("share", "nan"), ("share", "1e999"), ("fast", "yes")):
        with pytest.raises(InputError, match=f"kinds.py:rule: {name}='{text}' is not a"):
            load_strategy(f"{path}:rule", {"days": "1", name: text})
    typed = {"days": "-4", "share": "2.5e-1", "fast": "true"}
    strategy = load_strategy(f"{path}:rule", typed)
    assert strategy.source.split(" @")[0] == "kinds.py:rule days=-4 share=0.25 name='a b' fast=true"
    assert dict(strategy.params) == {"days": -4, "share": 0.25, "name": "a b", "fast": True}
    plain = load_strategy(f"{path}:rule", {"days": "1", "share": "1"}).source
    assert plain == load_strategy(f"{path}:rule", {"days": "1"}).source


# ---- bad input

BAD_CODE = [
    ("def rule(window): return UP", "declares no lookback", "@strategy(lookback=21)"),
    ("@strategy(lookback=0)\ndef rule(window): return UP", "has lookback 0", "from 1 to"),
    ("@strategy(lookback=True)\ndef rule(window): return UP", "has lookback True", "from 1 to"),
    ("@strategy(lookback=lambda d: d)\ndef rule(window): return UP", "asks for d", "name param"),
    ("@strategy(lookback=lambda: 1 / 0)\ndef rule(window): return UP", "ZeroDivision", "@strategy"),
    ("@strategy(lookback=1)\ndef rule(): return UP", "takes no window", "def rule(window"),
    ("@strategy(lookback=1)\ndef rule(window, **more): return UP", "**more", "name it after"),
    ("@strategy(lookback=1)\ndef rule(window, days=[]): return UP", "days=[]", "int, float"),
    ("@strategy(lookback=1)\ndef rule(window, days): return UP", "days", "int, float"),
    (
        "@strategy(lookback=1)\ndef rule(window, days: int): return UP",
        "needs a value for days",
        "-p",
    ),
    (
        "@strategy(lookback=1)\ndef rules(window): return UP",
        "no function rule",
        "did you mean rules",
    ),
    ("rule = int", "mine.py:rule has no signature", "write def"),
    ("rule = 7", "no function rule", "strategies in it: none"),
    ("def rule(window) return", "SyntaxError: expected ':' (mine.py, line 2)", "python "),
    ("\nimport no_such_module_here", "No module named 'no_such_module_here' (line 3)", "python "),
    ("raise SystemExit(3)", "SystemExit: 3 (line 2)", "python "),
    ("@strategy\ndef rule(window): return UP", "TypeError: strategy()", "python "),
]
BAD_ANSWERS = [
    ("\n    return 1 / 0", "mine.py:rule failed at AAPL 2024-01-02: ZeroDivisionError", "mend"),
    ("\n    return window.close[-9]", "IndexError: list index out of range (line 4)", "lookback"),
    ("\n    raise SystemExit", "failed at AAPL 2024-01-02: SystemExit", "mend"),
    (
        "return None",
        "mine.py:rule returned None at AAPL 2024-01-02",
        "return UP, DOWN, KEEP or NONE",
    ),
    ("return True", "returned True", "nothing else"),
    ("return 4", "returned 4", "nothing else"),
    ("return -1", "returned -1", "nothing else"),
    ("return 1.0", "returned 1.0", "nothing else"),
    ("return 'UP'", "returned 'UP'", "mine.py"),
]
BAD_NAMES = [
    ("sma-cros", {}, "unknown strategy 'sma-cros'", "did you mean sma-cross?"),
    ("", {}, "unknown strategy ''", "sma-cross, sma-state; your own: package.module:function"),
    ("sma-cross", {"fst": "5"}, "sma-cross has no parameter 'fst'", "did you mean fast?"),
    ("sma-cross", {"zzz": "5"}, "no parameter 'zzz'", "its parameters: fast (int), slow (int)"),
    ("sma-cross", {"fast": "5.0"}, "sma-cross: fast='5.0' is not a int", "a whole number"),
    ("sma-cross", {"fast": "x" * 99}, "fast='xxxxx", "a whole number"),
    ("sma-cross", {"fast": "1_0"}, "fast='1_0'", "a whole number"),
    ("sma-cross", {"fast": "200"}, "fast=200 slow=200 cannot be used", "1 <= fast < slow <= 1000"),
    ("sma-cross", {"fast": "0"}, "fast=0 slow=200", "1 <= fast"),
    ("sma-state", {"slow": str(LONGEST + 1)}, "slow=1001", "<= 1000"),
    ("statistics:mean", {}, "statistics is a module of Python itself", "./statistics.py:function"),
    ("no_such_package.mod:rule", {}, "no module no_such_package.mod in ", "path/to/file.py"),
    ("algotrade.nothing:rule", {}, "no module algotrade.nothing in", "path/to/file.py"),
    ("algotrade.bars:adjusted", {}, "declares no lookback", "@strategy"),
    ("gone/nowhere.py:rule", {}, "gone/nowhere.py cannot be read: No such file", "path/to/file.py"),
    ("a b:rule", {}, "names no module and no .py file", "package.module:function"),
    (":rule", {}, "names no module", "package.module:function"),
    ("mod:", {}, "names no function", "package.module:function"),
    ("mod:a.b", {}, "names no function", "package.module:function"),
]


@pytest.mark.parametrize(("code", "message", "hint"), BAD_CODE)
def test_code_that_cannot_be_used(tmp_path: Path, code: str, message: str, hint: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        load_strategy(f"{own(tmp_path, code)}:rule", {})
    assert hint in str(caught.value.hint)
    assert "mine.py" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("body", "message", "hint"), BAD_ANSWERS)
def test_answers_that_are_none(tmp_path: Path, body: str, message: str, hint: str) -> None:
    path = own(tmp_path, "@strategy(lookback=2)\ndef rule(window): " + body)
    strategy = load_strategy(f"{path}:rule", {})
    for ask in (strategy.history, strategy.stance):
        with pytest.raises(InputError, match=re.escape(message)) as caught:
            ask(bars_of([DOLLAR] * 2))
        assert hint in str(caught.value.hint)


@pytest.mark.parametrize(("name", "params", "message", "hint"), BAD_NAMES)
def test_names_and_parameters_that_cannot_be_used(
    name: str, params: dict[str, str], message: str, hint: str
) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        load_strategy(name, params)
    assert hint in str(caught.value.hint)
    assert caught.value.exit_code == 2


def test_a_strategy_that_remembers_is_refused(tmp_path: Path) -> None:
    code = """
    calls = []
    @strategy(lookback=1)
    def rule(window):
        calls.append(1)
        return UP if len(calls) <= 7 else DOWN
    """
    strategy = load_strategy(f"{own(tmp_path, code)}:rule", {})
    with pytest.raises(
        InputError, match="two things of the same window at AAPL 2024-01-0"
    ) as caught:
        strategy.history(bars_of([DOLLAR] * 7))
    assert "nothing remembered" in str(caught.value.hint)


def test_an_installed_module_is_not_taken_for_yours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own(tmp_path, MOMENTUM, name="hypothesis")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    with pytest.raises(InputError, match="would never be read") as caught:
        load_strategy("hypothesis:momentum", {})
    assert f"{tmp_path / 'hypothesis.py'}:function" in str(caught.value.hint)
    assert load_strategy("hypothesis.py:momentum", {}).source.startswith("hypothesis.py:momentum")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import no_such_module_here", "cannot be loaded: ModuleNotFoundError: No module named"),
        ("1 / 0", "broken_for_test.mod cannot be loaded: ZeroDivisionError"),
        (None, "broken_for_test.mod is not a Python source file"),
    ],
)
def test_a_package_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, message: str
) -> None:
    folder = tmp_path / "broken_for_test"
    (folder / "mod").mkdir(parents=True)
    if text is not None:
        (folder / "__init__.py").write_text(text, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    with pytest.raises(InputError, match=message):
        load_strategy("broken_for_test.mod:rule", {})
    sys.modules.pop("broken_for_test", None)


def test_public_names_come_when_they_are_asked_for() -> None:
    assert (algotrade.UP, algotrade.DOWN, algotrade.KEEP, algotrade.NONE) == (UP, DOWN, KEEP, NONE)
    assert all(getattr(algotrade, name) is not None for name in algotrade.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        getattr(algotrade, "nothing")  # noqa: B009  # a type checker knows better
    code = (
        "import sys, algotrade; assert not [m for m in sys.modules if m.startswith('algotrade.')];"
        "from algotrade import UP, strategy; import algotrade.trading.strategies;"
        "assert not {'numpy', 'pandas', 'difflib', 'hashlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
