"""Import: bars, splits and dividends from files, all of a call or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from algotrade.errors import DataError, InputError, shown
from algotrade.store import actions as action_store
from algotrade.store import bars as bar_store
from algotrade.store.chunks import prepare_chunks
from algotrade.store.database import immediate
from algotrade.workflows.context import CSV, DAILY, POLYGON, Workspace, ensure_account
from algotrade.workflows.settle import settle
from algotrade.workflows.sources import ensure_calendar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from algotrade.bars import Bars, Finding
    from algotrade.domain.actions import Dividend, Split
    from algotrade.domain.orders import Fill
    from algotrade.market.calendar import Calendar

FLAT = "flat"
KINDS = {CSV: CSV, FLAT: POLYGON}  # kind of file -> the source its bars belong to


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRequest:
    """Which files, of which kind, and how to read them."""

    paths: tuple[Path, ...]
    kind: str = CSV
    symbol: str | None = None
    timeframe: str = "1d"
    mapping: str = ""
    tz: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What an import brought."""

    source: str
    symbols: int
    new: int
    changed: int
    splits: int
    dividends: int
    rejected: int
    fills: tuple[Fill, ...] = ()


def source_of(kind: str) -> str:
    """Give the source that files of a kind belong to."""
    if kind not in KINDS:
        raise InputError(f"--kind {shown(kind)} cannot be read", hint=f"one of {', '.join(KINDS)}")
    return KINDS[kind]


def import_files(ws: Workspace, request: ImportRequest) -> ImportReport:
    """Read every file and store it in one transaction; a wrong cell anywhere stores nothing.

    As after a fetch, the account is open then, and what waited for a price is filled.
    """
    calendar = ensure_calendar(ws)
    now = ws.clock.now()
    batches = _flat(request, calendar) if request.kind == FLAT else _csv(request, calendar, now)
    symbols: set[str] = set()
    daily: set[int] = set()
    new = changed = rejected = 0
    with immediate(ws.db):
        for bars, findings in batches:
            series = bar_store.series_id(ws.db, bars.source, bars.symbol, bars.timeframe)
            saved = bar_store.save_bars(ws.db, bars, recorded_at=lambda _: now)
            bar_store.save_rejected(ws.db, series, findings, seen_at=now)
            daily |= {series} if bars.timeframe == DAILY else set()
            symbols.add(bars.symbol)
            new, changed = new + saved.new, changed + saved.changed
            rejected += len(findings)
        splits, dividends = _import_actions(ws, request, now)
        ensure_account(ws)
        fills = settle(ws)
    prepare_chunks(ws.db, daily)  # so that the first backtest need not
    return ImportReport(
        source=ws.source,
        symbols=len(symbols),
        new=new,
        changed=changed,
        splits=splits,
        dividends=dividends,
        rejected=rejected,
        fills=fills,
    )


def _csv(
    request: ImportRequest, calendar: Calendar, now: int
) -> Iterator[tuple[Bars, tuple[Finding, ...]]]:
    from algotrade.market.files import parse_mapping, read_csv

    for path in _files(request):
        found = read_csv(
            path,
            calendar=calendar,
            timeframe=request.timeframe,
            symbol=request.symbol,
            mapping=parse_mapping(request.mapping) if request.mapping else None,
            tz=request.tz,
            source=CSV,
        )
        for bars in found.values():
            _check_believable(path, bars, calendar, now)
            yield bars, ()


def _check_believable(path: Path, bars: Bars, calendar: Calendar, now: int) -> None:
    """Refuse the file where a bar cannot have been printed by any market, or not yet."""
    from algotrade.market.quality import inspect_bars, set_aside

    _, wrong = set_aside(bars, inspect_bars(bars, calendar, now=now))
    if wrong:
        others = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise DataError(
            f"{path.name} {bars.symbol} {wrong[0].when}: {wrong[0].reason}{others};"
            " nothing was taken",
            hint="correct the file; algotrade data check judges what is stored",
        )


def _flat(request: ImportRequest, calendar: Calendar) -> Iterator[tuple[Bars, tuple[Finding, ...]]]:
    from algotrade.market.flatfiles import flat_files, read_flat_files

    files: list[Path] = []
    for path in request.paths:
        found = flat_files(path, calendar).files if path.is_dir() else [(None, path)]
        files += [file for _, file in found]
    wanted = {request.symbol} if request.symbol else None
    for batch in read_flat_files(
        files, timeframe=request.timeframe, calendar=calendar, symbols=wanted
    ):
        rejected: dict[str, list[Finding]] = {}
        for finding in batch.rejected:
            rejected.setdefault(finding.symbol, []).append(finding)
        for bars in batch.bars:
            yield bars, tuple(rejected.get(bars.symbol, ()))


def _files(request: ImportRequest) -> list[Path]:
    from algotrade.market.files import csv_files

    files: list[Path] = []
    for path in request.paths:
        if path.is_dir():
            files += csv_files(path)
        elif not path.is_file():
            raise InputError(f"no file {shown(str(path))}", hint="a CSV file or a folder of them")
        elif not _actions_kind(path):
            files.append(path)
    return files


def _import_actions(ws: Workspace, request: ImportRequest, now: int) -> tuple[int, int]:
    """Store the splits and dividends that lie beside the bars, or were named themselves."""
    from algotrade.market.files import read_dividends, read_splits

    splits: list[Split] = []
    dividends: list[Dividend] = []
    for path in _action_files(request.paths):
        if _actions_kind(path) == "splits":
            splits += read_splits(path)
        else:
            dividends += read_dividends(path)
    count_splits = count_dividends = 0
    for symbol in sorted({split.symbol for split in splits}):
        own = [split for split in splits if split.symbol == symbol]
        count_splits += action_store.save_splits(ws.db, ws.source, symbol, own, known_at=now)
    for symbol in sorted({dividend.symbol for dividend in dividends}):
        paid = [dividend for dividend in dividends if dividend.symbol == symbol]
        count_dividends += action_store.save_dividends(ws.db, ws.source, symbol, paid, known_at=now)
    return count_splits, count_dividends


def _action_files(paths: Iterable[Path]) -> list[Path]:
    """Give the files of splits and dividends; beside a folder of bars, those of its parent too."""
    found: dict[Path, None] = {}
    for path in paths:
        folders = [path, path.parent] if path.is_dir() else []
        for candidate in [path, *(file for folder in folders for file in sorted(folder.iterdir()))]:
            if candidate.is_file() and _actions_kind(candidate):
                found[candidate] = None
    return list(found)


def _actions_kind(path: Path) -> str | None:
    name = path.name.lower().split(".")[0]
    return name if name in {"splits", "dividends"} else None
