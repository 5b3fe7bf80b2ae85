"""Polygon flat files: one `YYYY-MM-DD.csv.gz` a day with all tickers, day or minute bars.

Columns are found by name; `window_start` is in nanoseconds UTC (midnight in New York for day
bars), prices and volumes are as traded. A file cut short or of another shape is a DataError; a row
that cannot be believed is set aside, more than one in a hundred are a DataError, too.
"""

from __future__ import annotations

import re
import zlib
from array import array
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from algotrade.bars import COLUMNS, Bars, Finding
from algotrade.domain.money import MICROS
from algotrade.domain.symbols import parse_symbol
from algotrade.domain.times import MINUTE, iso, to_date, to_day, to_ts
from algotrade.errors import DataError, InputError, shown
from algotrade.market import digits
from algotrade.market.quality import price_faults
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from algotrade.market.calendar import Calendar
    from algotrade.market.source import Span

    Ints = NDArray[np.int64]

TIMEFRAMES = ("1d", "1m")
NEEDED = ("ticker", "volume", "open", "close", "high", "low", "window_start")

_NAME = re.compile(r"(\d{4}-\d{2}-\d{2})\.csv(\.gz)?", re.ASCII)
_NUMBER = re.compile(rb"[0-9]{1,20}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?")
_NEW_YORK = ZoneInfo("America/New_York")
_NANOS = 1000  # in a microsecond
_DECIMALS = 6
_HIGHEST = dict.fromkeys(("open", "high", "low", "close"), 10**9 * MICROS) | {
    "volume": 9 * 10**12 * MICROS
}
_BEYOND = 2**62
_HOURS = (4, 20)  # in New York: trading before and after regular hours
_MANY = 10_000
_FEW, _SHARE = 10, 100  # set aside: more than ten and more than one in a hundred refuse a file


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatBatch:
    """What one file (or a month of them) holds: bars by symbol, in time order.

    rejected: rows set aside. skipped: tickers that are none of ours by their form (warrants with
    longer names, test tickers); only told where all symbols were wanted.
    """

    files: tuple[Path, ...]
    timeframe: str
    bars: tuple[Bars, ...]
    rejected: tuple[Finding, ...] = ()
    skipped: tuple[str, ...] = ()


class FlatFolder(NamedTuple):
    """The files of a folder in date order, and the sessions between them that have no file."""

    files: tuple[tuple[date, Path], ...]
    missing: tuple[date, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Day:
    """What every row of a file is checked against."""

    path: Path
    session: date
    timeframe: str
    opens: int
    closes: int
    symbols: Collection[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """What has been read of a file so far; `parts` are columns in the order of COLUMNS."""

    parts: dict[str, list[Ints]] = field(default_factory=dict)
    rejected: list[Finding] = field(default_factory=list)
    skipped: set[str] = field(default_factory=set)


def flat_files(folder: Path, calendar: Calendar, *, span: Span | None = None) -> FlatFolder:
    """Find the files of a folder and those below it, by the date in their names."""
    found: dict[date, Path] = {}
    for path in sorted(folder.rglob("*.csv*")):
        match = _NAME.fullmatch(path.name)
        if match is None:
            continue
        session = date.fromisoformat(match[1])
        if span is not None and not span.start <= session < span.end:
            continue
        other = found.setdefault(session, path)
        if other != path:
            raise InputError(
                f"two files of {session}: {other} and {path}",
                hint="name the folder of day or of minute files",
            )
    if not found:
        raise InputError(f"no flat file such as 2024-01-31.csv.gz in {folder}")
    first, last = to_day(min(found)), to_day(max(found))
    sessions = (to_date(day) for day in calendar.day if first <= day <= last)
    missing = tuple(session for session in sessions if session not in found)
    return FlatFolder(tuple(sorted(found.items())), missing)


def read_flat_files(
    files: Iterable[Path],
    *,
    timeframe: str,
    calendar: Calendar,
    symbols: Collection[str] | None = None,
    by_month: bool = False,
    source: str = "polygon",
) -> Iterator[FlatBatch]:
    """Read files in date order, one batch for each file or each month of them.

    symbols: those wanted, None for all. by_month: fewer and longer runs of bars, faster to store;
    for a choice of symbols, since a month of all of them does not fit a small memory.
    """
    ordered = sorted(files, key=lambda path: path.name)
    for _, group in groupby(ordered, key=lambda path: path.name[: 7 if by_month else 10]):
        batches = [
            read_flat_file(
                path, timeframe=timeframe, calendar=calendar, symbols=symbols, source=source
            )
            for path in group
        ]
        yield batches[0] if len(batches) == 1 else _joined(batches)


def read_flat_file(
    path: Path,
    *,
    timeframe: str,
    calendar: Calendar,
    symbols: Collection[str] | None = None,
    source: str = "polygon",
) -> FlatBatch:
    """Read one file whole, or raise DataError."""
    day = _day(path, timeframe, calendar, symbols)
    read = _Read()
    blocks = digits.blocks(path)
    try:
        header, places = _header(path, next(blocks, b""))
        rows = 0
        for block in chain([header.rest], blocks):
            if block:
                rows += _take_block(block, places, header.fields, day, read)
    except (OSError, zlib.error, EOFError) as error:
        raise DataError(f"{path.name} cannot be read whole: {error}") from error
    bars = tuple(_bars(source, symbol, day, read) for symbol in sorted(read.parts))
    if len(read.rejected) > max(_FEW, rows // _SHARE):
        first = read.rejected[0]
        raise DataError(
            f"{path.name}: {len(read.rejected)} of {rows} rows cannot be believed; the first:"
            f" {first.symbol} {first.when}: {first.reason}",
            hint=f"is it a file of {timeframe} bars?",
        )
    return FlatBatch(
        files=(path,),
        timeframe=timeframe,
        bars=bars,
        rejected=tuple(read.rejected),
        skipped=tuple(sorted(read.skipped)),
    )


def _joined(batches: Sequence[FlatBatch]) -> FlatBatch:
    """Put the bars of several files in date order together."""
    by_symbol: dict[str, list[Bars]] = {}
    for batch in batches:
        for bars in batch.bars:
            by_symbol.setdefault(bars.symbol, []).append(bars)
    joined = []
    for symbol in sorted(by_symbol):
        parts = by_symbol[symbol]
        columns: dict[str, Any] = {
            name: array("q", b"".join(part.column(name).tobytes() for part in parts))
            for name in COLUMNS
        }
        source, timeframe = parts[0].source, parts[0].timeframe
        joined.append(Bars(source=source, symbol=symbol, timeframe=timeframe, **columns))
    return FlatBatch(
        files=tuple(path for batch in batches for path in batch.files),
        timeframe=batches[0].timeframe,
        bars=tuple(joined),
        rejected=tuple(finding for batch in batches for finding in batch.rejected),
        skipped=tuple(sorted({name for batch in batches for name in batch.skipped})),
    )


# ---- the file


class _Header(NamedTuple):
    fields: int
    rest: bytes  # of the block that the header begins


def _header(path: Path, block: bytes) -> tuple[_Header, dict[str, int]]:
    first, _, rest = block.partition(b"\n")
    names = [name.strip() for name in first.decode("ascii", "replace").split(",")]
    missing = [name for name in NEEDED if names.count(name) != 1]
    if missing:
        raise DataError(
            f"{path.name} is not a flat file: no single column {', '.join(missing)}",
            hint=f"its first line is {shown(first[:80].decode('ascii', 'replace'))}",
        )
    return _Header(len(names), rest), {name: names.index(name) for name in NEEDED}


def _day(path: Path, timeframe: str, calendar: Calendar, symbols: Collection[str] | None) -> _Day:
    if timeframe not in TIMEFRAMES:
        raise InputError(f"flat files hold bars of 1d or 1m, not {shown(timeframe)}")
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise InputError(f"{path.name} is not named as flat files are: 2024-01-31.csv.gz")
    session = date.fromisoformat(match[1])
    index = calendar.find(session)
    if index is None:
        raise DataError(f"{path.name}: the exchange was closed that day")
    opens, closes = calendar.opens[index], calendar.closes[index]
    wanted = None if symbols is None else frozenset(symbols)
    return _Day(
        path=path, session=session, timeframe=timeframe, opens=opens, closes=closes, symbols=wanted
    )


# ---- rows


def _take_block(block: bytes, places: dict[str, int], fields: int, day: _Day, read: _Read) -> int:
    """Read the lines of a block; give how many of them were wanted."""
    import numpy as np

    table = digits.cut(block, fields)
    for odd in table.odd:
        if odd.strip():
            _reject(
                read, day, "", f"{odd.count(b',') + 1} fields instead of {fields}: {_said(odd)}"
            )
    owners: list[tuple[str, int]] = []  # symbol, and how many rows in a run
    chosen = []
    for start, stop, ticker in digits.runs(table, places["ticker"]):
        symbol = _symbol(ticker, day, read)
        if symbol is not None:
            owners.append((symbol, stop - start))
            chosen.append(np.arange(start, stop))
    if not chosen:
        return len(table.odd)
    rows = np.concatenate(chosen)
    if len(rows) < len(table.start):
        table = digits.select(table, rows)
    columns, wrong = _columns(table, places, day)
    _keep(columns, wrong, owners, day, read)
    return len(rows) + len(table.odd)


def _symbol(ticker: bytes, day: _Day, read: _Read) -> str | None:
    """Give the symbol of a ticker, or None where it is not wanted or none of ours."""
    text = ticker.decode("ascii", "replace")
    if day.symbols is not None:
        return text if text in day.symbols else None
    try:
        if parse_symbol(text).symbol == text:
            return text
    except InputError:  # told as skipped
        pass
    read.skipped.add(shown(text))
    return None


def _columns(
    table: digits.Table, places: dict[str, int], day: _Day
) -> tuple[dict[str, Ints], dict[int, str]]:
    """Read the columns of COLUMNS; give with them the rows that are wrong, and why."""
    import numpy as np

    wrong: dict[int, str] = {}
    columns = {}
    for name, highest in _HIGHEST.items():
        numbers = digits.decimals(table, places[name], _DECIMALS)
        for row in np.flatnonzero(numbers.wrong).tolist():
            text = digits.field(table, row, places[name])
            value = _exactly(text)
            numbers.values[row] = 0 if value is None else value
            if value is None:
                wrong[row] = f"{name} {_said(text)} is not a number of at most 6 decimals"
        for row in np.flatnonzero(numbers.values > highest).tolist():
            wrong[row] = f"{name} {numbers.values[row] / MICROS:.6g} is beyond belief"
        columns[name] = numbers.values
    stamps = digits.whole_numbers(table, places["window_start"])
    ts, parts = np.divmod(stamps.values, _NANOS)
    if day.timeframe == "1d":
        fits = ts == _local(day.session, 0)
        columns["ts_open"] = np.full(len(ts), day.opens)
        columns["ts_close"] = np.full(len(ts), day.closes)
    else:
        start, stop = (_local(day.session, hour) for hour in _HOURS)
        fits = (ts >= start) & (ts < stop) & (ts % MINUTE == 0)
        columns["ts_open"], columns["ts_close"] = ts, ts + MINUTE
    for row in np.flatnonzero(stamps.wrong | ~fits | (parts != 0)).tolist():
        stamp = _said(digits.field(table, row, places["window_start"]))
        wrong[row] = f"window_start {stamp} is not the start of a {day.timeframe} bar of that day"
    for flags in price_faults(columns).values():
        for row in np.flatnonzero(flags).tolist():
            prices = (f"{name} {columns[name][row] / MICROS:.6g}" for name in _HIGHEST)
            wrong.setdefault(row, f"{' '.join(prices)}: not believable")
    return columns, wrong


def _exactly(text: bytes) -> int | None:
    """Read a number in another notation, such as 1e-05, into millionths, or give None."""
    if not _NUMBER.fullmatch(text.strip()):
        return None
    micros = Decimal(text.decode("ascii").strip()) * MICROS
    return int(micros) if micros == micros.to_integral_value() and micros < _BEYOND else None


def _keep(
    columns: dict[str, Ints],
    wrong: dict[int, str],
    owners: Sequence[tuple[str, int]],
    day: _Day,
    read: _Read,
) -> None:
    """Add the rows that are right to the parts of their symbols, the others to the findings."""
    import numpy as np

    matrix = np.stack([columns[name] for name in COLUMNS])
    ends = np.cumsum([count for _, count in owners])
    for row in sorted(wrong):
        owner = owners[int(np.searchsorted(ends, row, side="right"))][0]
        when = iso(int(matrix[0, row])) if "window_start" not in wrong[row] else ""
        _reject(read, day, owner, wrong[row], when)
    if wrong:
        keep = np.ones(matrix.shape[1], dtype=bool)
        keep[list(wrong)] = False
        ends = np.cumsum(keep)[ends - 1]
        matrix = matrix[:, keep]
    start = 0
    for (symbol, _), stop in zip(owners, ends.tolist(), strict=True):
        if stop > start:
            read.parts.setdefault(symbol, []).append(matrix[:, start:stop])
        start = stop


def _bars(source: str, symbol: str, day: _Day, read: _Read) -> Bars:
    """Put a symbol's rows in time order; of two bars of one time the first stays."""
    import numpy as np

    parts = read.parts[symbol]
    matrix = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
    if (matrix[1, 1:] <= matrix[1, :-1]).any():
        matrix = matrix[:, np.argsort(matrix[1], kind="stable")]
        again = np.flatnonzero(matrix[1, 1:] == matrix[1, :-1]) + 1
        for row in again.tolist():
            same = bool((matrix[:, row] == matrix[:, row - 1]).all())
            told = f"a second bar of this time, {'the same' if same else 'other'} values"
            _reject(read, day, symbol, told, iso(int(matrix[0, row])))
        matrix = np.delete(matrix, again, axis=1)
    columns: dict[str, Any] = {
        name: array("q", matrix[index].tobytes()) for index, name in enumerate(COLUMNS)
    }
    return Bars(source=source, symbol=symbol, timeframe=day.timeframe, **columns)


def _reject(read: _Read, day: _Day, symbol: str, why: str, when: str = "") -> None:
    when = when if when and day.timeframe != "1d" else day.session.isoformat()
    read.rejected.append(Finding(symbol=symbol, when=when, reason=why))
    if len(read.rejected) >= _MANY:
        raise DataError(f"{day.path.name}: {_MANY} rows cannot be believed; the last: {why}")


def _local(session: date, hour: int) -> int:
    """Give an hour of a day in New York."""
    return to_ts(datetime.combine(session, time(hour), tzinfo=_NEW_YORK))


def _said(text: bytes) -> str:
    return shown(text.decode("ascii", "replace").strip())
