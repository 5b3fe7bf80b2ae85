"""Export: bars or any rows to CSV, JSON lines or Parquet, exactly, whole or not at all.

Dollars and shares are written as the decimals they are: text in CSV, number literals in JSON lines,
decimal128 in Parquet. Times are ISO 8601 with Z (a UTC timestamp in Parquet). Text that a
spreadsheet would run as a formula is written with an apostrophe before it, in CSV only.
"""

from __future__ import annotations

import csv
import importlib
import json
import os
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from io import StringIO
from typing import TYPE_CHECKING, Any

from algotrade.bars import Bars
from algotrade.domain.money import MICROS
from algotrade.domain.times import iso, session_day, to_date
from algotrade.errors import DiskError, InputError, SettingsError, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO

CSV, JSONL, PARQUET = "csv", "jsonl", "parquet"
FORMATS = (CSV, JSONL, PARQUET)
BAR_FIELDS = (
    *("source", "symbol", "timeframe", "session", "ts_open", "ts_close"),
    *("open", "high", "low", "close", "volume"),
)

_AMOUNTS = ("open", "high", "low", "close", "volume")
_RISKY = ("=", "+", "-", "@", "\t", "\r")
_ROWS = 10_000  # formatted at once
_DIGITS, _SCALE = 19, 6  # of a decimal in Parquet


def format_of(path: Path, asked: str | None = None) -> str:
    """Give the format that was asked for, or that the file's name tells."""
    found = asked or path.suffix.removeprefix(".").casefold()
    if found in FORMATS:
        return found
    raise InputError(
        f"format {shown(found)} cannot be written", hint=f"one of {', '.join(FORMATS)}"
    )


def write_bars(
    panel: Bars | Iterable[Bars],
    path: Path,
    *,
    format: str | None = None,  # noqa: A002
) -> int:
    """Write bars of one or many symbols, in the order given; give how many."""
    chosen = format_of(path, format)
    series = [panel] if isinstance(panel, Bars) else panel
    if chosen == PARQUET:
        return _write_parquet((_bar_table(bars) for bars in series), _bar_schema(), path)
    count = 0
    with _whole(path) as file:
        if chosen == CSV:
            file.write((",".join(BAR_FIELDS) + "\n").encode())
        for bars in series:
            count += len(bars)
            for text in _bar_lines(bars, chosen):
                file.write(text.encode())
    return count


def write_rows(
    rows: Iterable[Mapping[str, Any]],
    path: Path,
    *,
    format: str | None = None,  # noqa: A002
) -> int:
    """Write rows (text, numbers, Decimal, dates, None) under the names of all of them."""
    chosen = format_of(path, format)
    found = list(rows)
    names = list(dict.fromkeys(name for row in found for name in row))
    if chosen == PARQUET:
        arrow = _arrow("pyarrow")
        columns = {name: [_plain(row.get(name)) for row in found] for name in names}
        table = arrow.table(columns)
        return _write_parquet([table], table.schema, path)
    with _whole(path) as file:
        if chosen == CSV:
            file.write(csv_text([names, *([row.get(n) for n in names] for row in found)]).encode())
        else:
            for row in found:
                file.write(f"{_json(row)}\n".encode())
    return len(found)


def csv_text(lines: Iterable[Sequence[object]]) -> str:
    """Give lines as CSV that a spreadsheet opens without running anything."""
    buffer = StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([_cell(value) for value in line] for line in lines)
    return buffer.getvalue()


def decimal_text(micros: int) -> str:
    """Give millionths as a plain decimal, exactly: 41.411, 0.000001, 3572300."""
    sign = "-" if micros < 0 else ""
    whole, part = divmod(abs(micros), MICROS)
    return f"{sign}{whole}.{part:06d}".rstrip("0") if part else f"{sign}{whole}"


def _bar_lines(bars: Bars, chosen: str) -> Iterator[str]:
    """Give the lines of bars in pieces of many lines; our own values need no quoting."""
    identity = (bars.source, bars.symbol, bars.timeframe)
    if chosen == CSV:
        head = csv_text([identity]).rstrip("\n")
        line = f"{head.replace('{', '{{').replace('}', '}}')},{','.join(['{}'] * 8)}\n"
    else:
        head = _json(dict(zip(BAR_FIELDS, identity, strict=False)))[1:-1]
        quoted = (f'"{name}": "{{}}"' for name in BAR_FIELDS[3:6])
        bare = (f'"{name}": {{}}' for name in _AMOUNTS)
        told = ", ".join((head.replace("{", "{{").replace("}", "}}"), *quoted, *bare))
        line = f"{{{{{told}}}}}\n"
    for start in range(0, len(bars), _ROWS):
        part = bars.slice(start, start + _ROWS)
        columns = (
            (to_date(session_day(ts)).isoformat() for ts in part.ts_open),
            map(iso, part.ts_open),
            map(iso, part.ts_close),
            *(map(decimal_text, part.column(name)) for name in _AMOUNTS),
        )
        yield "".join(map(line.format, *columns))


def _cell(value: object) -> str:
    """Give a CSV cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, date | datetime):
        return value.isoformat().replace("+00:00", "Z")
    text = value if isinstance(value, str) else _json(value)
    return f"'{text}" if text.startswith(_RISKY) else text


def _json(value: object) -> str:
    """Give JSON with Decimals as number literals, digit for digit."""
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError(f"{value} is no number in JSON")
        return format(value, "f")
    if isinstance(value, dict):
        pairs = (f"{json.dumps(str(name))}: {_json(item)}" for name, item in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_json, value))}]"
    if isinstance(value, date | datetime):
        return f'"{_cell(value)}"'
    return json.dumps(value, allow_nan=False)


def _plain(value: object) -> object:
    """Give a value that a Parquet column can hold; nested ones as JSON."""
    return _json(value) if isinstance(value, dict | list | tuple) else value


# ---- Parquet


def _arrow(name: str) -> Any:  # noqa: ANN401  pyarrow has no types
    try:
        return importlib.import_module(name)
    except ImportError:
        raise SettingsError(
            "writing Parquet needs pyarrow", hint="pip install 'algotrade[parquet]'"
        ) from None


def _bar_schema() -> Any:  # noqa: ANN401  as _arrow
    arrow = _arrow("pyarrow")
    text, instant = arrow.dictionary(arrow.int32(), arrow.string()), arrow.timestamp("us", tz="UTC")
    kinds = [text, text, text, arrow.date32(), instant, instant]
    kinds += [arrow.decimal128(_DIGITS, _SCALE)] * len(_AMOUNTS)
    return arrow.schema(list(zip(BAR_FIELDS, kinds, strict=True)))


def _bar_table(bars: Bars) -> Any:  # noqa: ANN401  as _arrow
    """Give bars as a table whose columns are built from their integers, without text."""
    import numpy as np

    arrow, schema = _arrow("pyarrow"), _bar_schema()
    columns = []
    for field in schema:
        if field.name in ("source", "symbol", "timeframe"):
            index = arrow.array(np.zeros(len(bars), dtype=np.int32))
            columns.append(arrow.DictionaryArray.from_arrays(index, [getattr(bars, field.name)]))
        elif field.name == "session":
            days = np.array([session_day(ts) for ts in bars.ts_open], dtype=np.int32)
            columns.append(arrow.array(days).cast(field.type))
        elif field.name in _AMOUNTS:
            values = bars.numpy(field.name) if len(bars) else np.zeros(0, dtype=np.int64)
            wide = np.stack([values, values >> 63], axis=1)  # 128 bits, the sign in the upper half
            buffers = [None, arrow.py_buffer(np.ascontiguousarray(wide))]
            columns.append(arrow.Array.from_buffers(field.type, len(bars), buffers))
        else:
            columns.append(arrow.array(np.array(bars.column(field.name))).cast(field.type))
    return arrow.Table.from_arrays(columns, schema=schema)


def _write_parquet(tables: Iterable[Any], schema: Any, path: Path) -> int:  # noqa: ANN401
    parquet = _arrow("pyarrow.parquet")
    count = 0
    with _whole(path) as file, parquet.ParquetWriter(file, schema) as writer:
        for table in tables:
            count += table.num_rows
            writer.write_table(table)
    return count


# ---- files


@contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """Write beside the file and put it in its place at the end; a failure leaves what was there."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise DiskError(
            f"{path}: {error.strerror or error}", hint="check disk and rights"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
