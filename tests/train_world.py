"""A home with bars of a market whose truth is known, to train on as a person would."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from algotrade.config import load_settings
from algotrade.store.bars import save_bars
from algotrade.store.database import immediate
from algotrade.workflows.context import ensure_account, open_workspace
from algotrade.workflows.sources import ensure_calendar
from algotrade.workflows.train import TrainRequest, TrainResult, train_model

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from algotrade.bars import Bars
    from algotrade.workflows.context import Workspace
    from algotrade.workflows.train import Progress

CSV = {"ALGOTRADE_SOURCE": "csv"}
LOGIT = {"train.model": "logit"}
NAMES = ("AAPL", "IBM", "MSFT", "GOOG")


@contextlib.contextmanager
def opened(home: Path, **flags: str) -> Iterator[Workspace]:
    """Open a home on imported bars; flags: settings with __ for the dot."""
    given: dict[str, str | None] = {"source": "csv", **LOGIT}
    given |= {name.replace("__", "."): value for name, value in flags.items()}
    settings = load_settings(home=str(home), flags=given)
    with open_workspace(settings, lambda _: None, create=True) as ws:
        yield ws


def store(home: Path, bars: Sequence[Bars]) -> None:
    """Put bars into a new home as `import` would, under names of shares."""
    with opened(home) as ws:
        ensure_calendar(ws)
    with opened(home) as ws, immediate(ws.db):
        ensure_account(ws)
        for name, one in zip(NAMES, bars, strict=False):
            renamed = replace(one, source="csv", symbol=name)
            save_bars(ws.db, renamed, recorded_at=lambda ts: ts)


def trained(
    home: Path,
    *symbols: str,
    final: bool = False,
    as_of: int | None = None,
    progress: Progress | None = None,
    **flags: str,
) -> TrainResult:
    """Train in a home on imported bars."""
    with opened(home, **flags) as ws:
        request = TrainRequest(symbols=symbols, as_of=as_of, final=final)
        return train_model(ws, request, progress=progress)
