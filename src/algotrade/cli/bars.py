"""The commands that look at stored market data: bars, export, import and sql."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from algotrade.cli.data import read_symbols
from algotrade.cli.output import Column, View
from algotrade.cli.run import Run, check_target, command, new_app, with_settings
from algotrade.cli.views import fill_lines, text_cell
from algotrade.domain.money import MICROS
from algotrade.domain.timeframes import parse_timeframe
from algotrade.domain.times import iso, parse_date, read_as_of, session_date
from algotrade.errors import InputError

if TYPE_CHECKING:
    from algotrade.bars import Bars
    from algotrade.workflows.bars import BarsRequest

APPS = {
    "bars": new_app(),
    "export": new_app(),
    "import": new_app(),
    "sql": new_app(),
}

Symbol = Annotated[str, typer.Argument(help="Symbol.")]
Timeframe = Annotated[str, typer.Option("--timeframe", help="1m, 5m, 15m, 30m, 1h, 1d or 1w.")]
From = Annotated[str | None, typer.Option("--from", help="First session, YYYY-MM-DD.")]
To = Annotated[str | None, typer.Option("--to", help="Last session, YYYY-MM-DD.")]
AsOf = Annotated[
    str | None, typer.Option("--as-of", help="As known then: a date, or an instant with a zone.")
]
Adjusted = Annotated[
    bool, typer.Option("--adjusted", help="In the share basis of the last bar; else as traded.")
]


@APPS["bars"].command()
@command
def bars(
    run: Run,
    symbol: Symbol,
    timeframe: Timeframe = "1d",
    start: From = None,
    end: To = None,
    tail: Annotated[int, typer.Option("--tail", help="The last N bars; 0: all.")] = 10,
    as_of: AsOf = None,
    adjusted: Adjusted = False,
) -> None:
    """Show stored bars: as traded or adjusted, now or as they were known then."""
    from algotrade.workflows.bars import get_bars

    request = _request(run, symbol, timeframe, start, end, as_of, adjusted=adjusted, tail=tail)
    with run.workspace(reading=True) as ws:
        found = get_bars(ws, request)
    run.out.emit(_bars_view(found))


@APPS["export"].command()
@command
def export(
    run: Run,
    symbols: Annotated[
        list[str] | None, typer.Argument(help="Symbols, @watchlist or -; none: all stored.")
    ] = None,
    to: Annotated[
        str, typer.Option("--file", "-f", help="Where to: FILE.csv, .jsonl or .parquet.")
    ] = "",
    timeframe: Timeframe = "1d",
    start: From = None,
    end: To = None,
    as_of: AsOf = None,
    adjusted: Adjusted = False,
) -> None:
    """Write stored bars to a file: CSV, JSON lines or Parquet, by its ending."""
    from algotrade.workflows.bars import export_bars

    if not to:
        raise InputError("no file named", hint="algotrade export AAPL --file aapl.csv")
    check_target(run.settings, to, "--file")
    names = read_symbols(run, symbols or [])
    requests = [
        _request(run, name, timeframe, start, end, as_of, adjusted=adjusted, tail=0)
        for name in names or [""]
    ]
    with run.workspace(reading=True) as ws:
        written = export_bars(ws, requests, Path(to))
    row = {"file": to, "bars": written}
    lines = [f"wrote {written:,} bars to {to}"]
    run.out.emit(View(schema="algotrade.export/1", data=row, rows=[row], above=lines))


@APPS["import"].command("import")
@command
def import_(
    run: Run,
    paths: Annotated[list[str], typer.Argument(help="CSV files or folders, .gz too.")],
    kind: Annotated[
        str, typer.Option("--kind", help="csv, or flat for Polygon flat files.")
    ] = "csv",
    symbol: Annotated[
        str | None, typer.Option("--symbol", help="Whose bars, where the file does not say.")
    ] = None,
    timeframe: Annotated[str, typer.Option("--timeframe", help="1d or 1m.")] = "1d",
    mapping: Annotated[
        str, typer.Option("--map", help="Columns by name: 'Date=ts,Last=close'.")
    ] = "",
    tz: Annotated[
        str, typer.Option("--tz", help="Zone of times that name none.")
    ] = "America/New_York",
) -> None:
    """Import bars, splits and dividends from CSV files; all of a call or nothing."""
    from algotrade.workflows.imports import ImportRequest, import_files, source_of

    run = with_settings(run, {"source": source_of(kind)})
    request = ImportRequest(
        paths=tuple(Path(path) for path in paths),
        kind=kind,
        symbol=read_symbols(run, [symbol])[0] if symbol else None,
        timeframe=parse_timeframe(timeframe),
        mapping=mapping,
        tz=tz,
    )
    with run.workspace(create=True) as ws:
        report = import_files(ws, request)
    row = {
        "source": report.source,
        "symbols": report.symbols,
        "new": report.new,
        "changed": report.changed,
        "splits": report.splits,
        "dividends": report.dividends,
        "rejected": report.rejected,
    }
    lines = [
        (
            f"source {report.source}: {report.symbols:,} symbols imported, {report.new:,} new bars,"
            f" {report.changed:,} corrected, {report.splits:,} splits,"
            f" {report.dividends:,} dividends, {report.rejected:,} bars set aside"
        ),
        *fill_lines(report.fills),
        f"next: algotrade data check --source {report.source}",
    ]
    run.out.emit(View(schema="algotrade.import/1", data=row, rows=[row], above=lines))


@APPS["sql"].command()
@command
def sql(
    run: Run,
    query: Annotated[str, typer.Argument(help="One SELECT; see the views v_*.")],
) -> None:
    """Ask the store in SQL; nothing can be written."""
    from algotrade.workflows.query import query_store

    answer = query_store(run.settings, query, say=run.out.say)
    rows = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
    run.out.emit(
        View(
            schema="algotrade.sql/1",
            data=rows,
            rows=rows,
            columns=[
                Column(title=name, cell=text_cell(name), right=False) for name in answer.columns
            ],
            below=[f"{len(rows):,} rows"],
        )
    )


def _request(
    run: Run,
    symbol: str,
    timeframe: str,
    start: str | None,
    end: str | None,
    as_of: str | None,
    *,
    adjusted: bool,
    tail: int,
) -> BarsRequest:
    from algotrade.workflows.bars import BarsRequest

    if tail < 0:
        raise InputError(f"--tail {tail} is negative", hint="0 for all bars")
    return BarsRequest(
        symbol=read_symbols(run, [symbol])[0] if symbol else "",
        timeframe=parse_timeframe(timeframe),
        start=parse_date(start, field="--from") if start is not None else None,
        end=parse_date(end, field="--to") if end is not None else None,
        tail=tail or None,
        as_of=read_as_of(as_of),
        adjust=adjusted,
    )


def _bars_view(found: Bars) -> View:
    daily = found.timeframe in {"1d", "1w"}
    rows = [
        {
            "symbol": found.symbol,
            "timeframe": found.timeframe,
            "session": session_date(found.ts_open[i]).isoformat(),
            "closed_at": iso(found.ts_close[i]),
            "open": found.open[i] / MICROS,
            "high": found.high[i] / MICROS,
            "low": found.low[i] / MICROS,
            "close": found.close[i] / MICROS,
            "volume": found.volume[i] / MICROS,
        }
        for i in range(len(found))
    ]
    when = "session" if daily else "closed_at"
    return View(
        schema="algotrade.bars/1",
        data=rows,
        rows=rows,
        columns=[
            Column(title=when, cell=text_cell(when), right=False),
            *(Column(title=name, cell=_price(name)) for name in ("open", "high", "low", "close")),
            Column(title="volume", cell=lambda row: f"{row['volume']:,.10g}"),
        ],
        above=[f"{found.symbol} {found.timeframe}, source {found.source}"],
    )


def _price(name: str) -> Any:  # noqa: ANN401  a cell function
    return lambda row: f"{row[name]:,.10g}"
