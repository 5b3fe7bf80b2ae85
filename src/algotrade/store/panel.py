"""Panels: one column of many symbols as one numpy matrix, aligned on the times any of them has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from algotrade.bars import COLUMNS
from algotrade.errors import InputError, shown
from algotrade.store.bars import find_series, load_bars
from algotrade.store.chunks import BEGIN, END, prepare_chunks, stream_columns, to_blob
from algotrade.store.database import reading

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import TypeAlias

    import numpy as np
    from numpy.typing import NDArray

    Times: TypeAlias = NDArray[np.int64]
    Matrices: TypeAlias = dict[str, NDArray[np.int64]]
    Place: TypeAlias = slice | NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Panel:
    """Bars of k symbols on the n times (ts_close, rising) at which any of them has a bar.

    columns: name -> int64 (n, k), as traded and never adjusted; 0 where the symbol has no bar. A
    symbol's own column is contiguous (Fortran order).
    present: bool (n, k), true where the symbol has a bar: a volume may be 0 by itself.
    """

    source: str
    timeframe: str
    symbols: tuple[str, ...]
    ts: NDArray[np.int64]
    columns: Mapping[str, NDArray[np.int64]]
    present: NDArray[np.bool_]


def load_panel(
    db: sqlite3.Connection,
    source: str,
    symbols: Sequence[str],
    timeframe: str,
    columns: Sequence[str] = ("close",),
    *,
    after: int | None = None,
    until: int | None = None,
    known_at: int | None = None,
) -> Panel:
    """Load columns of bars with ts_close in (after, until]; a symbol not stored is all missing.

    known_at: as the bars were known then, from rows; without it the newest revisions, from the
    cache. Raises InputError on a name that is no column of bars.
    """
    unknown = [name for name in columns if name not in COLUMNS]
    if unknown or not columns:
        what = f"{shown(unknown[0])} is no column of bars" if unknown else "no column is named"
        raise InputError(what, hint=f"columns of bars: {', '.join(COLUMNS)}")
    columns = tuple(dict.fromkeys(columns))
    names = ("ts_close", *columns)
    if known_at is None:
        start = BEGIN if after is None else min(max(BEGIN, after + 1), END)
        stop = END if until is None else min(max(BEGIN, until + 1), END)
        found = [find_series(db, source, symbol, timeframe) for symbol in symbols]
        prepare_chunks(db, [ident for ident in found if ident is not None], start, stop)
        with reading(db):
            blobs = _read_chunks(db, found, names, start, stop)
            ts, matrices, present = _fill(blobs, len(found), columns)
    else:
        with reading(db):
            loaded = [
                load_bars(
                    db, source, symbol, timeframe, after=after, until=until, known_at=known_at
                )
                for symbol in symbols
            ]
        blobs = ([to_blob(bars.column(name)) for name in names] for bars in loaded)
        ts, matrices, present = _fill(blobs, len(loaded), columns)
    return Panel(
        source=source,
        timeframe=timeframe,
        symbols=tuple(symbols),
        ts=ts,
        columns={name: matrix.T for name, matrix in matrices.items()},
        present=present.T,
    )


def _read_chunks(
    db: sqlite3.Connection,
    series: Sequence[int | None],
    names: Sequence[str],
    start: int,
    stop: int,
) -> Iterator[list[bytes]]:
    for ident in series:
        if ident is None:
            yield [b""] * len(names)
        else:
            yield from stream_columns(db, (ident,), names, start, stop)


def _fill(
    symbols: Iterable[list[bytes]], count: int, columns: Sequence[str]
) -> tuple[Times, Matrices, NDArray[np.bool_]]:
    """Give the times, and matrices of one row a symbol, from each symbol's times and columns.

    Symbols of one market mostly share their times: the values of those that have the times of the
    first go straight into the matrices; the others wait until all times are known.
    """
    import numpy as np

    first = b""
    straight: list[int] = []
    waiting: dict[int, list[bytes]] = {}
    matrices = _zeros(columns, count, 0)
    for row, blobs in enumerate(symbols):
        if blobs[0] and not first:
            first = blobs[0]
            matrices = _zeros(columns, count, len(first) // 8)
        if first and blobs[0] == first:
            _put(matrices, row, slice(None), blobs)
            straight.append(row)
        else:
            waiting[row] = blobs
    known = np.frombuffer(first, "<i8")
    kinds = {blobs[0] for blobs in waiting.values()}
    ts = _grid([known, *(np.frombuffer(times, "<i8") for times in kinds)])
    place = _place(ts, known)
    if len(ts) > len(known):
        matrices = {name: _widened(matrix, place, len(ts)) for name, matrix in matrices.items()}
    present = np.zeros((count, len(ts)), np.bool_)
    for row in straight:
        present[row, place] = True
    for row, blobs in waiting.items():
        place = _place(ts, np.frombuffer(blobs[0], "<i8"))
        _put(matrices, row, place, blobs)
        present[row, place] = True
    return ts, matrices, present


def _zeros(columns: Sequence[str], rows: int, length: int) -> Matrices:
    import numpy as np

    return {name: np.zeros((rows, length), np.int64) for name in columns}


def _put(matrices: Matrices, row: int, place: Place, blobs: Sequence[bytes]) -> None:
    import numpy as np

    for matrix, blob in zip(matrices.values(), blobs[1:], strict=True):
        matrix[row, place] = np.frombuffer(blob, "<i8")


def _widened(matrix: NDArray[np.int64], place: Place, length: int) -> NDArray[np.int64]:
    import numpy as np

    wider = np.zeros((len(matrix), length), np.int64)
    wider[:, place] = matrix
    return wider


def _grid(times: Sequence[Times]) -> Times:
    """Give the sorted union of the times; most often the longest of them already is."""
    import numpy as np

    grid = max(times, key=len, default=np.empty(0, np.int64)).astype(np.int64)
    others = [one for one in times if not _is_within(grid, one)]
    return np.unique(np.concatenate([grid, *others])) if others else grid


def _is_within(grid: Times, times: Times) -> bool:
    import numpy as np

    if _run(grid, times) is not None:
        return True
    places = np.minimum(np.searchsorted(grid, times), len(grid) - 1)
    return bool(np.array_equal(grid[places], times))


def _place(grid: Times, times: Times) -> Place:
    import numpy as np

    run = _run(grid, times)
    return np.searchsorted(grid, times) if run is None else run


def _run(grid: Times, times: Times) -> slice | None:
    """Give where in the grid the times lie if they lie there without a hole."""
    import numpy as np

    if not len(times):
        return slice(0, 0)
    first = int(np.searchsorted(grid, times[0]))
    run = slice(first, first + len(times))
    return run if np.array_equal(grid[run], times) else None
