"""A line chart of an account's equity for a terminal, in braille dots or in plain stars."""

from __future__ import annotations

from math import ceil, floor
from typing import TYPE_CHECKING

from algotrade.domain.money import MICROS
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDEST = 80  # columns of a terminal
BLANK = 0x2800  # braille without a dot
BRAILLE = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # a dot's bit by row, column
SCALES = ((10**9, "B"), (10**6, "M"), (10**3, "k"))


class Style(NamedTuple):
    """What a chart is drawn with: dots down and across in a cell, and the axis."""

    down: int
    across: int
    side: str
    corner: str
    floor: str


DOTS = Style(4, 2, "\u2502", "\u2514", "\u2500")
STARS = Style(1, 1, "|", "+", "-")


def equity_chart(
    values: Sequence[float],
    *,
    first: str,
    last: str,
    width: int = 70,
    height: int = 8,
    encoding: str | None = "utf-8",
) -> list[str]:
    """Draw micro-dollars, evenly spaced, as lines of at most 80 columns; none without a value.

    first, last: dates of the ends, written below. width: columns of the drawing, with room for
    both dates. Each column spans all values that fall on it, so that no spike is lost. An encoding
    without braille gets stars.
    """
    if not values:
        return []
    style = DOTS if _prints_braille(encoding) else STARS
    low, high = min(values), max(values)
    labels = _labels(low, high)
    margin = max(map(len, labels))
    width = min(width, WIDEST - margin - 1)
    spans = _spans(values, width * style.across)
    rows = _cells(spans, low, high, height, style)
    at = (height - 1, 0) if high > low else (_line_of(0.5, height * style.down) // style.down,) * 2
    told = dict(zip(at, labels, strict=True))
    lines = [f"{told.get(row, ''):>{margin}}{style.side}{text}" for row, text in enumerate(rows)]
    return [
        *(line.rstrip() for line in lines),
        " " * margin + style.corner + style.floor * width,
        " " * (margin + 1) + first + last.rjust(width - len(first)),
    ]


def _labels(low: float, high: float) -> tuple[str, str]:
    """Give short dollars for the lowest and highest value, with the decimals it takes to differ."""
    most = max(abs(low), abs(high))
    size, letter = next((s for s in SCALES if most >= s[0] * MICROS), (1, ""))
    texts = ("", "")
    for decimals in (1, 2, 3):
        bottom, top = (round(value / MICROS / size, decimals) + 0.0 for value in (low, high))
        texts = f"{bottom:.{decimals}f}{letter}", f"{top:.{decimals}f}{letter}"
        if low == high or bottom < top:
            break
    return texts


def _prints_braille(encoding: str | None) -> bool:
    try:
        chr(BLANK).encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _spans(values: Sequence[float], columns: int) -> list[tuple[float, float]]:
    """Give the lowest and highest point of the line over each of so many equal columns."""
    steps = len(values) - 1

    def on_line(x: float) -> float:
        left = min(floor(x), steps)
        right = min(left + 1, steps)
        return values[left] + (values[right] - values[left]) * (x - left)

    spans = []
    for column in range(columns):
        start, end = steps * column / columns, steps * (column + 1) / columns
        inside = values[ceil(start) : floor(end) + 1]
        points = (on_line(start), *inside, on_line(end))
        spans.append((min(points), max(points)))
    return spans


def _line_of(share: float, dots: int) -> int:
    """Give the row of dots, counted from the top, of a share of the height from the bottom."""
    return dots - 1 - round(share * (dots - 1))


def _cells(
    spans: list[tuple[float, float]], low: float, high: float, height: int, style: Style
) -> list[str]:
    """Give the rows of text, from the top, in which each span is a vertical stroke of dots."""
    dots, reach = height * style.down, high - low
    masks = [[0] * (len(spans) // style.across) for _ in range(height)]
    for column, span in enumerate(spans):
        bottom, top = (_line_of((at - low) / reach if reach else 0.5, dots) for at in span)
        for line in range(top, bottom + 1):
            bit = BRAILLE[line % style.down][column % style.across]
            masks[line // style.down][column // style.across] |= bit
    return ["".join(_character(mask, style) for mask in row) for row in masks]


def _character(mask: int, style: Style) -> str:
    if not mask:
        return " "
    return chr(BLANK + mask) if style is DOTS else "*"
