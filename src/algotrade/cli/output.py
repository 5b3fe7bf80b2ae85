"""Output: results to stdout in the format asked for, talk to stderr; nothing else prints."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any

from algotrade.errors import EXIT_PIPE, DiskError, InputError
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TextIO

TABLE, TSV, CSV, JSON, JSONL = "table", "tsv", "csv", "json", "jsonl"
WIDTH = 80
_LABEL = 9  # "reason   ", "signal   ": the width of the labels that lines begin with


class Column(NamedTuple):
    """One column of the table for people: title, and how a row's cell reads.

    whole: its words are names to be copied, never broken; other columns give way.
    """

    title: str
    cell: Callable[[Mapping[str, Any]], str]
    right: bool = True
    whole: bool = False


class View(NamedTuple):
    """A result in every form: `data` for JSON, flat `rows` for the others, lines for people.

    above, below: sentences printed around the table; table_rows: what the columns read, where that
    is not `rows`. story: the sentences are the result, so a pipe gets them, too, unless it asks.
    """

    schema: str
    data: Any
    rows: Sequence[Mapping[str, Any]]
    columns: Sequence[Column] = ()
    above: Sequence[str] = ()
    below: Sequence[str] = ()
    story: bool = False
    table_rows: Sequence[Mapping[str, Any]] | None = None


class Output:
    """Where and how this run prints; `warnings` collects what was said, for the JSON envelope."""

    def __init__(self, *, format: str, quiet: bool, color: bool, path: str | None) -> None:  # noqa: A002
        self.format = format
        self.quiet = quiet
        self.path = path
        self.color = color
        self.warnings: list[str] = []

    def say(self, line: str) -> None:
        """Tell the person running this one line on stderr."""
        self.warnings.append(line)
        if not self.quiet:
            write_error(f"algotrade: {line}")

    def say_once(self, line: str) -> None:
        """Tell a line that a loop would repeat."""
        if line not in self.warnings:
            self.say(line)

    @property
    def is_for_people(self) -> bool:
        """Tell whether results come as tables and sentences."""
        return self._chosen(story=False) == TABLE

    def _chosen(self, *, story: bool) -> str:
        if self.format != "auto":
            return self.format
        return TABLE if story or (self.path is None and sys.stdout.isatty()) else TSV

    def emit(self, view: View, *, ok: bool = True) -> None:
        """Print a result; quiet runs print one only where a format was asked for."""
        if self.format == "auto" and self.quiet and self.path is None:
            return
        chosen = self._chosen(story=view.story)
        text = self._table(view) if chosen == TABLE else render(view, chosen, self.warnings, ok=ok)
        self._write(text)

    def _write(self, text: str) -> None:
        if self.path is None or self.path == "-":
            write_result(text)
            return
        write_file(self.path, text)

    def _table(self, view: View) -> str:
        parts = [_wrapped(plain(line)) for line in view.above]
        if view.columns and (view.rows if view.table_rows is None else view.table_rows):
            parts.append(self._draw(view))
        parts += [_wrapped(plain(line)) for line in view.below]
        return "\n".join(part.rstrip("\n") for part in parts) + "\n"

    def _draw(self, view: View) -> str:
        """Draw with rich; cells are plain text, never markup."""
        from io import StringIO

        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
        for column in view.columns:
            table.add_column(
                column.title,
                justify="right" if column.right else "left",
                overflow="fold",
                no_wrap=column.whole,
            )
        for row in view.rows if view.table_rows is None else view.table_rows:
            table.add_row(*(Text(plain(column.cell(row))) for column in view.columns))
        buffer = StringIO()
        width = max(WIDTH, _terminal_width())
        console = Console(
            file=buffer, width=width, no_color=not self.color, force_terminal=self.color
        )
        console.print(table)
        return "\n".join(line.rstrip() for line in buffer.getvalue().strip("\n").splitlines())


def render(view: View, chosen: str, warnings: Sequence[str], *, ok: bool = True) -> str:
    """Give a view as text for programs."""
    if chosen in {JSON, JSONL}:
        return _json(view, chosen, warnings, ok=ok)
    names = list(dict.fromkeys(name for row in view.rows for name in row))
    lines = [names, *([_cell(row.get(name)) for name in names] for row in view.rows)]
    if chosen == CSV:
        return _csv(lines)
    return "".join("\t".join(_flat(cell) for cell in line) + "\n" for line in lines if line)


def _json(view: View, chosen: str, warnings: Sequence[str], *, ok: bool) -> str:
    import json

    if chosen == JSONL:
        return "".join(json.dumps(row, allow_nan=False) + "\n" for row in view.rows)
    envelope = {"schema": view.schema, "ok": ok, "data": view.data, "warnings": list(warnings)}
    return json.dumps(envelope, allow_nan=False) + "\n"


def write_result(text: str) -> None:
    """Write to stdout; a reader that has gone away ends the run quietly."""
    try:
        sys.stdout.write(_writable(text, getattr(sys.stdout, "encoding", None) or "utf-8"))
        sys.stdout.flush()
    except BrokenPipeError:
        silence(sys.stdout)
        raise SystemExit(EXIT_PIPE) from None
    except OSError as error:
        silence(sys.stdout)
        raise DiskError(
            f"the result cannot be written: {error.strerror}; what the command did stands"
        ) from error


def silence(stream: TextIO) -> None:
    """Send the rest of a broken stream nowhere, so that the interpreter can end in peace."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _writable(text: str, encoding: str) -> str:
    """Replace what an old terminal's encoding does not have, as the rules of a table."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.replace("\u2500", "-").encode(encoding, "replace").decode(encoding)
    return text


def write_file(path: str, text: str) -> None:
    """Write a result to a file, whole or not at all; raises InputError or DiskError."""
    try:
        _write_file(path, text)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise InputError(
            f"--out {path}: {error.strerror}", hint="a file in a folder that exists"
        ) from error
    except OSError as error:
        raise DiskError(
            f"--out {path}: {error.strerror}", hint="a file in a folder that exists"
        ) from error


def _write_file(path: str, text: str) -> None:
    """Write a file at once, old or new and never half; a device or a pipe takes it as it comes."""
    if os.path.exists(path) and not os.path.isfile(path):  # noqa: PTH110, PTH113  a name
        with open(path, "w", encoding="utf-8") as special:  # noqa: PTH123
            special.write(text)
        return
    partial = f"{path}.{os.getpid()}.part"
    try:
        with open(partial, "w", encoding="utf-8") as file:  # noqa: PTH123
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)  # noqa: PTH105
    except OSError:
        with contextlib.suppress(OSError):  # it may be what could not be made
            os.unlink(partial)  # noqa: PTH108
        raise


def write_error(line: str) -> None:
    """Write one line to stderr, if anybody listens."""
    try:
        print(plain(line), file=sys.stderr, flush=True)
    except (OSError, ValueError):
        silence(sys.stderr)


def plain(text: str) -> str:
    """Drop control characters, C1 and bidi marks, so that no text can drive the terminal."""
    return "".join(c for c in text if c.isprintable() or c == "\n")


def use_color(stream: TextIO, *, no_color: bool, environ: Mapping[str, str]) -> bool:
    """Tell whether a stream takes colour: a terminal, NO_COLOR unset, TERM not dumb."""
    refused = no_color or bool(environ.get("NO_COLOR")) or environ.get("TERM") == "dumb"
    return stream.isatty() and not refused


def _wrapped(line: str) -> str:
    """Break a sentence at the width of a terminal, under the text that its label begins.

    A command is left whole, so that it can be copied.
    """
    if len(line) <= WIDTH or line.startswith(("  export ", "  algotrade ")):
        return line
    import textwrap

    start = len(line) - len(line.lstrip())
    label = line[start : start + _LABEL]
    indent = start + (_LABEL if label.endswith(" ") and label.strip() else 0)
    return textwrap.fill(
        line, WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )


def _terminal_width() -> int:
    import shutil

    return shutil.get_terminal_size((WIDTH, 24)).columns if sys.stdout.isatty() else WIDTH


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list | tuple):
        import json

        return json.dumps(value, allow_nan=False)
    return str(value)


def _flat(cell: str) -> str:
    return plain(cell.replace("\t", " ").replace("\n", " "))


def _csv(lines: Sequence[Sequence[str]]) -> str:
    """Write CSV; text that a spreadsheet would run as a formula is quoted with an apostrophe."""
    import csv
    from io import StringIO

    buffer = StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    for line in lines:
        writer.writerow([_defused(plain(cell)) for cell in line])
    return buffer.getvalue()


def _defused(cell: str) -> str:
    risky = cell[:1] in {"=", "+", "-", "@"} and not _is_number(cell)
    return f"'{cell}" if risky else cell


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
