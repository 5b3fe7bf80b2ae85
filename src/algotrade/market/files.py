"""CSV files of bars, splits and dividends: read exactly and whole, or refused by row and column.

Prices are read from their text, never through a float. Column names are recognised as most tools
write them (COLUMN_NAMES) or mapped by hand; the separator is a comma, a semicolon or a tab. A file
that is wrong anywhere gives nothing: a DataError names its first few wrong cells.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import re
import zlib
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING

from algotrade.bars import Bars, from_rows
from algotrade.domain.actions import Dividend, Split
from algotrade.domain.money import MICROS, divide_half_even
from algotrade.domain.symbols import parse_symbol
from algotrade.domain.times import parse_date
from algotrade.errors import DataError, InputError, shown
from algotrade.market.file_times import TIMEFRAMES, time_reader
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import date
    from pathlib import Path
    from typing import TextIO

    from algotrade.market.calendar import Calendar

    Cells = Mapping[str, str]  # the text of a row by role
    Names = Mapping[str, Sequence[str]]

_COMMON: Names = {
    "open": ("open", "o", "openprice"),
    "high": ("high", "h", "highprice"),
    "low": ("low", "l", "lowprice"),
    "close": ("close", "c", "closeprice"),
    "volume": ("volume", "v", "vol"),
    "symbol": ("symbol", "ticker", "sym"),
}
_INSTANTS = ("tsopen", "timestamp", "datetime", "windowstart", "t", "ts")
COLUMN_NAMES: Mapping[str, Names] = {
    # by timeframe: roles, and the headings that mean them, without case, blanks and punctuation
    "1d": {"ts": ("session", "date", "tradedate", *_INSTANTS, "time"), **_COMMON},
    "1m": {"ts": (*_INSTANTS, "date", "time"), "clock": ("time",), **_COMMON},
}
_SPLIT_NAMES: Names = {
    "symbol": _COMMON["symbol"],
    "ex_date": ("executiondate", "exdate", "date"),
    "split_from": ("splitfrom",),
    "split_to": ("splitto",),
}
_DIVIDEND_NAMES: Names = {
    "symbol": _COMMON["symbol"],
    "ex_date": ("exdividenddate", "exdate", "date"),
    "amount": ("cashamount", "amount", "dividend"),
}
_OPTIONAL = ("symbol", "clock")
_PRICES = ("open", "high", "low", "close")
_NAME = re.compile(r"(.+?)\.(?:csv|tsv|txt)(?:\.gz)?", re.IGNORECASE | re.DOTALL)
_ACTIONS = re.compile(r"(splits|dividends|tickers)\..+", re.IGNORECASE)  # names that are no symbols
_PUNCTUATION = re.compile(r"[^a-z0-9]")
_DECIMALS = 6
_LONGEST_NUMBER = 60  # characters
_SEPARATORS = ",;\t"
_TOLD = 5
_LONGEST_LINE = 1 << 16  # characters
_LARGEST_FILE = 1 << 31  # characters, after decompression
_HIGHEST_PRICE = 10**9 * MICROS
_HIGHEST_VOLUME = 9 * 10**12 * MICROS
_HIGHEST_RATIO = 10**9


class _CellError(Exception):
    """A cell that cannot be read: its role, and why."""

    def __init__(self, role: str, why: object) -> None:
        super().__init__(str(why))
        self.role = role


class _Table(NamedTuple):
    """An open file: its headings, and its rows with their line numbers."""

    header: list[str]
    rows: Iterator[tuple[int, list[str]]]


def read_csv(
    path: Path,
    *,
    calendar: Calendar,
    timeframe: str = "1d",
    symbol: str | None = None,
    mapping: Mapping[str, str] | None = None,
    tz: str | None = None,
    source: str = "csv",
    rounding: bool = False,
) -> dict[str, Bars]:
    """Read the bars of one file, by symbol, in time order; DataError where any cell is wrong.

    symbol: of the whole file, or the only one wanted of a file with a symbol column; without it,
    that column or else the file's name tells. mapping: heading -> role of COLUMN_NAMES.
    tz: zone of times that bear none. rounding: prices and volumes finer than 1e-6 are rounded
    half-even instead of refused. A row told twice with the same values is read once.
    """
    if timeframe not in TIMEFRAMES:
        raise InputError(
            f"bars of {shown(timeframe)} cannot be imported", hint=f"use {' or '.join(TIMEFRAMES)}"
        )
    read_time = time_reader(timeframe, calendar, tz)
    named: str | None = None
    found: dict[str, dict[int, tuple[int, ...]]] = {}

    def take(cells: Cells) -> None:
        owner = named or _symbol(cells)
        if symbol is not None and owner != symbol:
            return
        row = _bar(cells, read_time, rounding=rounding)
        known = found.setdefault(owner, {}).setdefault(row[0], row)
        if known != row:
            raise _CellError("ts", f"{shown(cells['ts'])} came before, with other values")

    with _opened(path) as table:
        places = _places(path, table.header, COLUMN_NAMES[timeframe], mapping or {})
        if "symbol" not in places:
            named = symbol or _symbol_of_name(path)
        _take_rows(path, table, places, take)
    if not found:
        raise DataError(f"{path.name} has no bars" + (f" of {symbol}" if symbol else ""))
    return {
        owner: from_rows(source, owner, timeframe, (rows[ts] for ts in sorted(rows)))
        for owner, rows in sorted(found.items())
    }


def csv_files(folder: Path) -> list[Path]:
    """Give the files of bars in a folder, by name; splits, dividends and tickers are left out."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        match = _NAME.fullmatch(path.name)
        if match is None or _ACTIONS.fullmatch(path.name) or not path.is_file():
            continue
        other = found.setdefault(match[1], path)
        if other is not path:
            raise InputError(f"{other.name} and {path.name} are one name", hint="keep one of them")
    if not found:
        raise InputError(f"no CSV file of bars in {folder}", hint="names such as AAPL.csv.gz")
    return list(found.values())


def parse_mapping(text: str) -> dict[str, str]:
    """Read `Date=ts,Last=close`: heading = role."""
    pairs = [part.rpartition("=") for part in text.split(",")]
    if not all(heading.strip() and role.strip() for heading, _, role in pairs):
        raise InputError(
            f"mapping {shown(text)} is not HEADING=ROLE,...", hint="Date=ts,Last=close"
        )
    return {heading.strip(): role.strip() for heading, _, role in pairs}


def read_splits(path: Path) -> list[Split]:
    """Read splits (ticker, execution_date, split_from, split_to), by symbol and ex-date."""
    found: set[Split] = set()

    def take(cells: Cells) -> None:
        old, new = (
            Fraction(_amount(cells, role, _HIGHEST_RATIO * MICROS), MICROS)
            for role in ("split_from", "split_to")
        )
        if not old or not new:
            raise _CellError("split_to" if old else "split_from", "a split has no zero")
        scale = math.lcm(old.denominator, new.denominator)
        before, after = int(old * scale), int(new * scale)
        ex_date = _ex_date(cells)
        symbol = _symbol(cells)
        found.add(Split(symbol=symbol, ex_date=ex_date, split_from=before, split_to=after))

    with _opened(path) as table:
        _take_rows(path, table, _places(path, table.header, _SPLIT_NAMES, {}), take)
    return sorted(found, key=lambda s: (s.symbol, s.ex_date, s.split_from, s.split_to))


def read_dividends(path: Path) -> list[Dividend]:
    """Read cash dividends (ticker, ex_dividend_date, cash_amount), by symbol and ex-date.

    Amounts finer than a micro-dollar are rounded half-even, as the provider's are.
    """
    found: set[Dividend] = set()

    def take(cells: Cells) -> None:
        amount = _amount(cells, "amount", _HIGHEST_PRICE, rounding=True)
        if not amount:
            raise _CellError("amount", "a dividend of nothing")
        found.add(Dividend(symbol=_symbol(cells), ex_date=_ex_date(cells), amount=amount))

    with _opened(path) as table:
        _take_rows(path, table, _places(path, table.header, _DIVIDEND_NAMES, {}), take)
    return sorted(found, key=lambda d: (d.symbol, d.ex_date, d.amount))


# ---- rows


def _take_rows(
    path: Path, table: _Table, places: Mapping[str, int], take: Callable[[Cells], None]
) -> None:
    """Hand each row to `take`; raise DataError with the first few cells that were wrong."""
    wrong: list[str] = []
    for line, cells in table.rows:
        try:
            if len(cells) != len(table.header):
                told = f"{len(cells)} fields where the header has {len(table.header)}"
                raise _CellError("", told)  # noqa: TRY301  reported with the cells
            take({role: cells[place].strip() for role, place in places.items()})
        except _CellError as why:
            column = f" column {shown(table.header[places[why.role]])}" if why.role else ""
            wrong.append(f"row {line}{column}: {why}")
            if len(wrong) == _TOLD:
                break
    if wrong:
        stopped = "; not read further" if len(wrong) == _TOLD else ""
        raise DataError(
            f"{path.name} {wrong[0]}; nothing of the file was taken",
            hint=f"also {'; '.join(wrong[1:])}{stopped}" if wrong[1:] else None,
        )


def _bar(
    cells: Cells, read_time: Callable[[str], tuple[int, int]], *, rounding: bool
) -> tuple[int, ...]:
    """Read one row into the order of `bars.COLUMNS`."""
    text = f"{cells['ts']} {cells['clock']}" if "clock" in cells else cells["ts"]
    try:
        times = read_time(text)
    except ValueError as why:
        raise _CellError("ts", why) from None
    prices = [_amount(cells, role, _HIGHEST_PRICE, rounding=rounding) for role in _PRICES]
    if 0 in prices:
        raise _CellError(_PRICES[prices.index(0)], "a price of zero")
    return (*times, *prices, _amount(cells, "volume", _HIGHEST_VOLUME, rounding=rounding))


def _amount(cells: Cells, role: str, highest: int, *, rounding: bool = False) -> int:
    """Read a number, not negative, into millionths, exactly."""
    text = cells[role]
    whole, point, part = text.partition(".")
    if not (whole + part).isdigit() or not text.isascii() or len(text) > _LONGEST_NUMBER:
        raise _CellError(role, f"{shown(text)} is not a plain number such as 1234.56")
    if not point:
        micros = int(whole) * MICROS
    elif len(part) <= _DECIMALS or not part[_DECIMALS:].strip("0"):
        micros = int(whole or "0") * MICROS + int(part[:_DECIMALS].ljust(_DECIMALS, "0"))
    elif rounding:
        micros = divide_half_even(int(whole + part), 10 ** (len(part) - _DECIMALS))
    else:
        raise _CellError(role, f"{shown(text)} is finer than 0.000001; rounding must be asked for")
    if micros > highest:
        raise _CellError(role, f"{shown(text)} is beyond belief")
    return micros


def _symbol(cells: Cells) -> str:
    try:
        return parse_symbol(cells["symbol"]).symbol
    except InputError as why:
        raise _CellError("symbol", why.message) from None


def _ex_date(cells: Cells) -> date:
    try:
        return parse_date(cells["ex_date"], field="date")
    except InputError as why:
        raise _CellError("ex_date", why.message) from None


def _symbol_of_name(path: Path) -> str:
    match = _NAME.fullmatch(path.name)
    try:
        return parse_symbol(match[1] if match else path.name).symbol
    except InputError:
        raise InputError(
            f"the file name {shown(path.name)} does not tell the symbol of its bars",
            hint="--symbol AAPL, or a column symbol",
        ) from None


# ---- headings


def _places(
    path: Path, header: Sequence[str], names: Names, mapping: Mapping[str, str]
) -> dict[str, int]:
    """Find the column of each role."""
    words = [_PUNCTUATION.sub("", heading.casefold()) for heading in header]
    twice = next((header[i] for i, word in enumerate(words) if word and word in words[:i]), None)
    if twice is not None:
        raise DataError(f"{path.name} row 1: the heading {shown(twice)} stands twice")
    places: dict[str, int] = {}
    for heading, role in mapping.items():
        word = _PUNCTUATION.sub("", heading.casefold())
        if role not in names or word not in words:
            raise InputError(
                f"mapping {shown(heading)}={shown(role)}: no such "
                + ("role" if role not in names else f"heading in {path.name}"),
                hint=f"headings {_listed(header)}; roles {', '.join(names)}",
            )
        places[role] = words.index(word)
    mapped = dict(places)
    for role, usual in names.items():
        if role not in mapped:
            at = next((words.index(word) for word in usual if word in words), None)
            if at is not None and at not in mapped.values():
                places[role] = at
    missing = [role for role in names if role not in places and role not in _OPTIONAL]
    if missing:
        raise DataError(
            f"{path.name} row 1: no column for {', '.join(missing)}",
            hint=f"its headings are {_listed(header)}; map them: Date=ts,Last=close",
        )
    if "clock" not in mapped and words[places[next(iter(names))]] != "date":
        places.pop("clock", None)  # a column of times counts only beside one of dates
    return places


def _listed(header: Sequence[str]) -> str:
    return ", ".join(shown(heading) for heading in header[:20])


# ---- files


@contextmanager
def _opened(path: Path) -> Iterator[_Table]:
    """Open a file of text, compressed or not; what is wrong with it as a whole is a DataError."""
    try:
        with path.open("rb") as raw:
            binary = gzip.GzipFile(fileobj=raw) if path.suffix.casefold() == ".gz" else raw
            with io.TextIOWrapper(binary, encoding="utf-8-sig", errors="replace") as file:
                yield _table(path, file)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path.name} is not a whole gzip file: {error}") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error


def _table(path: Path, file: TextIO) -> _Table:
    lines = _lines(path, file)
    skipped, first = next(((n, line) for n, line in enumerate(lines) if line.strip()), (0, ""))
    if not first:
        raise DataError(f"{path.name} is empty")
    separator = max(_SEPARATORS, key=first.count)
    reader = csv.reader(chain([first], lines), delimiter=separator, strict=True)

    def rows() -> Iterator[tuple[int, list[str]]]:
        while True:
            number = skipped + reader.line_num + 1  # where the row begins: quotes may hold lines
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise DataError(f"{path.name} row {number}: {error}") from error
            if cells:
                yield number, cells

    found = rows()
    return _Table([heading.strip() for heading in next(found)[1]], found)


def _lines(path: Path, file: TextIO) -> Iterator[str]:
    """Give the lines, none of them endless, none of them binary."""
    number = size = 0
    while line := file.readline(_LONGEST_LINE):
        number += 1
        size += len(line)
        if len(line) == _LONGEST_LINE:
            raise DataError(f"{path.name} row {number}: a line of over {_LONGEST_LINE} characters")
        if "\0" in line:
            raise DataError(f"{path.name} row {number}: a NUL byte", hint="save it as CSV in UTF-8")
        if size > _LARGEST_FILE:
            raise DataError(f"{path.name} is larger than {_LARGEST_FILE} characters")
        yield line
