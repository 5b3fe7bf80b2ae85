"""The chart of equity: pictures checked by eye, and laws on what may not be lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotrade.cli.chart import equity_chart

DOLLAR = 1_000_000


def picture(*dollars: float, width: int = 24, height: int = 4, encoding: str = "utf-8") -> str:
    values = [round(value * DOLLAR) for value in dollars]
    lines = equity_chart(
        values,
        first="2024-01-02",
        last="2024-03-01",
        width=width,
        height=height,
        encoding=encoding,
    )
    return "\n".join(lines)


def test_a_straight_rise_in_braille() -> None:
    assert picture(100_000, 125_000) == (
        "125.0k│                  ⣀⣠⠤⠴⠒⠋\n"
        "      │           ⢀⣀⣠⠤⠖⠚⠉⠁\n"
        "      │     ⢀⣀⡤⠴⠒⠋⠉\n"
        "100.0k│⣠⠤⠖⠚⠉⠉\n"
        "      └────────────────────────\n"
        "       2024-01-02    2024-03-01"
    )


def test_a_fall_and_recovery_in_stars() -> None:
    assert picture(1, 0, 2, height=3, encoding="ascii") == (
        "2.0|                    ****\n"
        "   |******         ******\n"
        "0.0|     ***********\n"
        "   +------------------------\n"
        "    2024-01-02    2024-03-01"
    )


@pytest.mark.parametrize("count", [1, 2, 500])
def test_what_never_moves_is_a_line_half_way_with_one_label(count: int) -> None:
    assert picture(*[100_000] * count, height=3, encoding="ascii") == (
        "      |\n"
        "100.0k|************************\n"
        "      |\n"
        "      +------------------------\n"
        "       2024-01-02    2024-03-01"
    )


def test_nothing_is_drawn_of_nothing() -> None:
    assert equity_chart([], first="", last="") == []


def test_one_bad_day_in_forty_years_is_seen() -> None:
    calm = [100_000.0] * 10_000
    calm[7_000] = 50_000
    drawn = picture(*calm, height=3, encoding="ascii").splitlines()
    assert drawn[0] == "100.0k|" + "*" * 24
    assert drawn[1] == "      |" + " " * 16 + "*"  # day 7,000 of 9,999 in column 16 of 24
    assert drawn[2] == " 50.0k|" + " " * 16 + "*"


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0, 999, ("0.0", "999.0")),
        (999, 1_000, ("0.999k", "1.000k")),  # one decimal, or two, would tell them alike
        (100_000, 101_240, ("100.0k", "101.2k")),
        (100_010, 100_020, ("100.01k", "100.02k")),
        (-1_500, 250, ("-1.5k", "0.2k")),
        (-10, 100_000, ("0.0k", "100.0k")),  # never -0.0k
        (2_000_000, 2_500_000, ("2.0M", "2.5M")),
        (3_000_000_000, 4_000_000_000, ("3.0B", "4.0B")),
        (100_000, 100_000.01, ("100.000k", "100.000k")),
    ],
)
def test_labels_are_short_and_tell_low_from_high(
    low: float, high: float, labels: tuple[str, str]
) -> None:
    lines = picture(low, high).splitlines()
    told = lines[3].split("│")[0].strip(), lines[0].split("│")[0].strip()
    assert told == labels


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "no-such-thing", None])
def test_an_encoding_without_braille_gets_what_it_can_print(encoding: str | None) -> None:
    lines = equity_chart([1, 2], first="a", last="b", encoding=encoding)
    assert "".join(lines).isascii()


def test_floats_and_whole_micro_dollars_draw_alike() -> None:
    whole = [5 * DOLLAR, 9 * DOLLAR, 7 * DOLLAR]
    drawn = equity_chart([float(value) for value in whole], first="a", last="b")
    assert drawn == equity_chart(whole, first="a", last="b")


values = st.lists(st.integers(-(10**15), 10**17), min_size=1, max_size=400)


@given(values, st.sampled_from(["utf-8", "ascii"]), st.integers(24, 100), st.integers(2, 20))
def test_a_chart_keeps_its_frame(equity: list[int], encoding: str, width: int, height: int) -> None:
    lines = equity_chart(
        equity,
        first="2024-01-02",
        last="2024-03-01",
        width=width,
        height=height,
        encoding=encoding,
    )
    assert len(lines) == height + 2
    assert all(len(line) <= 80 and line == line.rstrip() for line in lines)
    assert len(lines[-1]) == len(lines[-2])  # the last date ends where the axis does


@given(values, st.integers(24, 70), st.integers(2, 20))
def test_the_line_touches_top_and_bottom_and_has_no_gap(
    equity: list[int], width: int, height: int
) -> None:
    lines = equity_chart(equity, first="", last="", width=width, height=height, encoding="ascii")
    plot = [line.partition("|")[2].ljust(width) for line in lines[:height]]
    if max(equity) > min(equity):
        assert "*" in plot[0]
        assert "*" in plot[-1]
    strokes = [
        {row for row in range(height) if plot[row][column] == "*"} for column in range(width)
    ]
    for before, after in zip(strokes, strokes[1:] + strokes[-1:], strict=True):
        assert before == set(range(min(before), max(before) + 1))
        assert before & after  # where one column ends, the next begins
