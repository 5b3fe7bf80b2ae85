"""Runs: list the backtests that were kept, show one, and tell two apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from algotrade.errors import InputError, shown
from algotrade.record import NamedTuple
from algotrade.store import bars as bar_store
from algotrade.store import runs as run_store
from algotrade.workflows.backtest_report import luck
from algotrade.workflows.context import DAILY, Workspace

if TYPE_CHECKING:
    from collections.abc import Mapping


class Difference(NamedTuple):
    """One thing that two runs do not share; None where one of them does not have it."""

    name: str
    first: Any
    second: Any


def list_runs(ws: Workspace, last: int | None = None) -> list[run_store.RunRecord]:
    """Give the runs, newest first."""
    return run_store.list_runs(ws.db, last=last)


def find_run(ws: Workspace, name: str) -> run_store.RunRecord:
    """Give the run whose id begins with `name`, or whose number it is; its digest is checked."""
    if name.isdigit() and name.isascii():
        wanted = name.lstrip("0")
        found = [one for one in run_store.list_runs(ws.db) if str(one.number) == wanted]
    else:
        found = run_store.find_runs(ws.db, name) if name.isascii() and name else []
    if len(found) == 1:
        run_store.check_run(ws.db, found[0].run_id)
        return found[0]
    what = "more than one run begins with" if found else "no run begins with"
    raise InputError(f"{what} {shown(name)}", hint="algotrade runs list shows them")


def run_trail(ws: Workspace, record: run_store.RunRecord) -> run_store.RunTrail:
    """Load the whole journal of a run."""
    return run_store.RunTrail(
        run_store.run_entries(ws.db, record.run_id),
        list(run_store.run_decisions(ws.db, record.run_id)),
        run_store.run_marks(ws.db, record.run_id),
    )


def judged_now(ws: Workspace, record: run_store.RunRecord) -> tuple[int, float | None]:
    """Count the plans tried by now on these bars, and how sure that leaves the run not luck."""
    tried = run_store.trials(ws.db, record.source, record.symbols, record.from_ts, record.until_ts)
    others = [one.report["figures"] for one in tried if one.plan_hash != record.plan_hash]
    return len(others) + 1, luck(record.report["figures"], others)


def diff_runs(
    first: run_store.RunRecord, second: run_store.RunRecord
) -> tuple[list[Difference], list[Difference]]:
    """Give what was asked differently, and every figure that came out differently."""
    asked = _differences(_flat("", _asked(first)), _flat("", _asked(second)))
    figures = _differences(first.report["figures"], second.report["figures"])
    return asked, figures


def stored_symbols(ws: Workspace) -> list[str]:
    """Give every symbol with daily bars, or say how to get some."""
    from algotrade.workflows.models import no_bars

    names = bar_store.stored_symbols(ws.db, ws.source, DAILY)
    if not names:
        raise no_bars(ws, "any symbol")
    return names


def _asked(record: run_store.RunRecord) -> dict[str, Any]:
    return {
        "symbols": " ".join(record.symbols),
        "from_ts": record.from_ts,
        "until_ts": record.until_ts,
        "source": record.source,
        "bars_hash": record.bars_hash,
        **record.spec,
    }


def _flat(prefix: str, table: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in table.items():
        if isinstance(value, dict):
            found |= _flat(f"{prefix}{name}.", value)
        else:
            found[prefix + name] = value
    return found


def _differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Difference]:
    names = dict.fromkeys((*first, *second))
    return [
        Difference(name, first.get(name), second.get(name))
        for name in names
        if first.get(name) != second.get(name)
    ]
