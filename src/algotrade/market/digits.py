"""Columns of numbers out of delimited text, exactly and without a Python loop over the rows.

Eight characters are loaded as one 64-bit word, so a field of n digits costs n/8 steps of a few
numpy operations. What is not a plain decimal within bounds is marked, for the caller to look at.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from algotrade.errors import DataError
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Words = NDArray[np.uint64]
    Flags = NDArray[np.bool_]

NEWLINE, COMMA, POINT = 10, 44, 46
_WORD = 8
_PAD = b"\0" * (3 * _WORD)
_BLOCK = 1 << 22  # bytes of text at once
_CHUNK = 1 << 18  # bytes of the compressed file
_LARGEST_FILE = 1 << 33  # bytes, after decompression
_LONGEST_TEXT = 32  # of a text compared; longer ones differ by their length only


class Table(NamedTuple):
    """Text cut into fields: `fields` of each of `rows` rows.

    words: the eight bytes at each position. start, end, point: shape (rows, fields), positions of
    each field in `words`; point is the position of a single decimal point, or `end` without one.
    odd: rows that do not have that many fields, by their own bytes; they are not among the others.
    """

    words: Words
    start: Ints
    end: Ints
    point: Ints
    odd: tuple[bytes, ...]


class Numbers(NamedTuple):
    """Values of one column, and where they could not be read."""

    values: Ints
    wrong: Flags


def blocks(path: Path) -> Iterator[bytes]:
    """Give the text in blocks of whole lines; a gzip stream must have its end and checksum."""
    rest, total = b"", 0
    for piece in _pieces(path):
        total += len(piece)
        if total > _LARGEST_FILE:
            raise DataError(f"{path.name} is larger than {_LARGEST_FILE} bytes")
        rest += piece
        if len(rest) >= _BLOCK:
            end = rest.rfind(b"\n") + 1
            if not end:
                raise DataError(f"{path.name} has a line of over {_BLOCK} bytes")
            yield rest[:end]
            rest = rest[end:]
    if rest:
        yield rest if rest.endswith(b"\n") else rest + b"\n"


def _pieces(path: Path) -> Iterator[bytes]:
    """Decompress, every piece bounded."""
    with path.open("rb") as file:
        if path.suffix != ".gz":
            yield from iter(lambda: file.read(_BLOCK), b"")
            return
        stream = zlib.decompressobj(wbits=31)
        while chunk := stream.unconsumed_tail or stream.unused_data or file.read(_CHUNK):
            if stream.eof:  # another member follows
                stream = zlib.decompressobj(wbits=31)
            yield stream.decompress(chunk, _BLOCK)
        yield stream.flush()
        if not stream.eof:
            raise EOFError("the compressed stream ends early")


def cut(block: bytes, fields: int) -> Table:
    """Cut whole lines into fields at commas; lines of another number of fields are set apart."""
    import numpy as np

    block, odd = _regular(block, fields)
    padded = _PAD + block + _PAD
    text = np.frombuffer(padded, dtype=np.uint8)
    words: Words = np.ndarray((len(padded) - _WORD + 1,), "<u8", buffer=padded, strides=(1,))
    marks = np.flatnonzero((text == COMMA) | (text == NEWLINE) | (text == POINT))
    ends = np.flatnonzero(text[marks] != POINT)  # which of the marks end a field
    end = marks[ends]
    points = np.diff(ends, prepend=-1) - 1
    single = points == 1
    point = np.where(single, marks[ends - 1], end)
    point[points > 1] = -1  # a second point: no number
    start = np.concatenate(([len(_PAD)], end + 1))[: len(end)]
    shape = (-1, fields)
    return Table(words, start.reshape(shape), end.reshape(shape), point.reshape(shape), odd)


def whole_numbers(table: Table, column: int) -> Numbers:
    """Read unsigned whole numbers of up to 19 digits."""
    import numpy as np

    start, end = table.start[:, column], table.end[:, column]
    length = end - start
    values = np.zeros(len(start), dtype=np.int64)
    wrong = (length <= 0) | (length > 19) | (table.point[:, column] != end)
    scale = 1
    for taken in range(0, min(int(length.max(initial=0)), 19), _WORD):
        part, bad = _digits(table.words, end - taken, np.clip(length - taken, 0, _WORD))
        values += part * scale
        wrong |= bad
        scale *= 10**_WORD
    wrong |= values < 0  # more than 64 bits hold
    return Numbers(values, wrong)


def decimals(table: Table, column: int, places: int) -> Numbers:
    """Read unsigned decimals into whole numbers of 10**-places."""
    import numpy as np

    start, end, point = (part[:, column] for part in (table.start, table.end, table.point))
    before, after = point - start, np.maximum(end - point - 1, 0)
    wrong = (before <= 0) | (before > 2 * _WORD) | (after > places) | (point == end - 1)
    values, bad = _digits(table.words, point, np.clip(before, 0, _WORD))
    wrong |= bad
    if (before > _WORD).any():
        high, bad = _digits(table.words, point - _WORD, np.clip(before - _WORD, 0, _WORD))
        values += high * 10**_WORD
        wrong |= bad
    wrong |= values >= 2**63 // 10**places
    fraction, bad = _digits(table.words, end, np.clip(after, 0, places))
    powers = 10 ** np.arange(places, -1, -1)
    values = values * 10**places + fraction * powers[np.clip(after, 0, places)]
    return Numbers(values, wrong | bad)


def runs(table: Table, column: int) -> list[tuple[int, int, bytes]]:
    """Give (first row, row after the last, text) of each run of equal text in a column."""
    import numpy as np

    start, end = table.start[:, column], table.end[:, column]
    if not len(start):
        return []
    length = end - start
    differs = np.zeros(len(start), dtype=bool)
    differs[0] = True
    differs[1:] = length[1:] != length[:-1]
    for taken in range(0, min(int(length.max()), _LONGEST_TEXT), _WORD):
        masks = _masks()[np.clip(length - taken, 0, _WORD)]
        word = table.words[np.minimum(start + taken, len(table.words) - 1)] & masks
        differs[1:] |= word[1:] != word[:-1]
    first = np.flatnonzero(differs)
    stop = np.append(first[1:], len(start))
    return [
        (row, after, field(table, row, column))
        for row, after in zip(first.tolist(), stop.tolist(), strict=True)
    ]


def select(table: Table, rows: Ints) -> Table:
    """Give a table of these rows only."""
    return table._replace(start=table.start[rows], end=table.end[rows], point=table.point[rows])


def field(table: Table, row: int, column: int) -> bytes:
    """Give the text of one field."""
    return _text(table, int(table.start[row, column]), int(table.end[row, column]))


def _text(table: Table, start: int, end: int) -> bytes:
    places = range(start, end, _WORD)
    return b"".join(int(table.words[at]).to_bytes(_WORD, "little") for at in places)[: end - start]


def _regular(block: bytes, fields: int) -> tuple[bytes, tuple[bytes, ...]]:
    """Give the lines with that many fields, and the others."""
    import numpy as np

    text = np.frombuffer(block, dtype=np.uint8)
    newline = np.flatnonzero(text == NEWLINE)
    commas = np.flatnonzero(text == COMMA)
    if len(commas) == len(newline) * (fields - 1):
        grid = commas.reshape(-1, fields - 1)
        if (grid[:, -1] < newline).all() and (grid[1:, 0] > newline[:-1]).all():
            return block, ()
    kept: list[bytes] = []
    odd: list[bytes] = []
    for one in block.splitlines(keepends=True):
        (kept if one.count(b",") == fields - 1 else odd).append(one)
    return b"".join(kept), tuple(odd)


def _masks() -> Words:
    """Give, by how many of the last characters of a word count, from none to all, its mask."""
    import numpy as np

    return np.array([(1 << (_WORD * n)) - 1 for n in range(_WORD + 1)], dtype=np.uint64)


def _digits(words: Words, end: Ints, count: Ints) -> Numbers:
    """Read the `count` (0 to 8) digits that end before position `end`."""
    import numpy as np

    def u64(value: int) -> np.uint64:
        return np.uint64(value)

    word = (words[end - _WORD] ^ u64(0x3030303030303030)) & ~_masks()[_WORD - count]
    wrong = ((word + u64(0x7676767676767676)) | word) & u64(0x8080808080808080) != 0
    word = word * u64(10) + (word >> u64(8))
    word = ((word & u64(0x000000FF000000FF)) * u64(0x000F424000000064)) + (
        ((word >> u64(16)) & u64(0x000000FF000000FF)) * u64(0x0000271000000001)
    )
    return Numbers((word >> u64(32)).astype(np.int64), wrong)
