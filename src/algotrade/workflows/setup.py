"""Setting up: create a workspace, and tell its state in one look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from algotrade.config import FILE_NAME, Settings
from algotrade.errors import DiskError, ModelError
from algotrade.settings import NUMBERS, SETTINGS
from algotrade.store import bars as bar_store
from algotrade.store import journal, records
from algotrade.workflows.context import Workspace, halts, open_workspace
from algotrade.workflows.models import choose_model_for, load_card_of, standing_of
from algotrade.workflows.state import stale_sessions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from algotrade.store.bars import SeriesSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesStatus:
    """One stored series and how many completed sessions it is behind; None if it cannot be told."""

    series: SeriesSummary
    behind: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountStatus:
    """One account in numbers."""

    account: str
    source: str
    entries: int
    waiting: int
    halt: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusResult:
    """What this workspace is and holds."""

    home: Path
    home_origin: str
    source: str
    account: str
    now: int
    simulated: bool
    key: bool
    market_open: bool | None
    series: tuple[SeriesStatus, ...]
    model: str | None
    model_words: str | None
    accounts: tuple[AccountStatus, ...]
    halts: tuple[str, ...]


def init_home(settings: Settings, say: Callable[[str], None]) -> list[Path]:
    """Create the store and a settings file with every default shown; nothing is overwritten."""
    created = []
    path = settings.home / FILE_NAME
    if not settings.store.exists():
        created.append(settings.store)
    with open_workspace(settings, say, create=True, anew=True):
        pass
    try:
        settings.models.mkdir(parents=True, exist_ok=True, mode=0o700)
        with path.open("x", encoding="utf-8") as file:
            file.write(settings_template())
        created.append(path)
    except FileExistsError:
        pass
    except OSError as error:
        raise DiskError(f"{path} cannot be written: {error.strerror}") from error
    return created


def settings_template() -> str:
    """Give a settings file in which every setting is a comment that shows its default."""
    lines = [
        "# This file makes its folder a workspace: data/ and models/ lie beside it, and every",
        "# command that starts here or below finds it. Each line shows a default; remove the # to",
        "# change it. `algotrade config show --origin` tells where each value comes from.",
        "",
    ]
    section = ""
    for setting in SETTINGS:
        table, _, key = setting.name.rpartition(".")
        if table != section:
            lines += ["", f"[{table}]"]
            section = table
        quoted = setting.kind not in NUMBERS
        value = f'"{setting.default}"' if quoted else setting.default
        lines.append(f"# {f'{key} = {value}':<40}  # {setting.doc}")
    return "\n".join(lines) + "\n"


def show_status(ws: Workspace) -> StatusResult:
    """Gather home, freshness, model, accounts and halts."""
    series = [
        SeriesStatus(
            series=found,
            behind=stale_sessions(ws, found.last) if found.source == ws.source else None,
        )
        for found in bar_store.summaries(ws.db)
    ]
    model, words = _model(ws)
    calendar = ws.calendar(ws.clock.now() - 10 * 86_400_000_000)
    return StatusResult(
        home=ws.settings.home,
        home_origin=ws.settings.home_origin,
        source=ws.source,
        account=ws.account,
        now=ws.clock.now(),
        simulated=ws.simulated,
        key=ws.settings.key is not None,
        market_open=calendar.is_open(ws.clock.now()) if len(calendar) else None,
        series=tuple(series),
        model=model,
        model_words=words,
        accounts=tuple(_account(ws, record) for record in records.accounts(ws.db)),
        halts=halts(ws),
    )


def _model(ws: Workspace) -> tuple[str | None, str | None]:
    """Give the model in use, and what it is; a refused one says why."""
    try:
        name = choose_model_for(ws._replace(say=lambda _: None)).model_id
    except ModelError:
        return None, None
    try:
        return name, standing_of(ws, load_card_of(ws, name)).words
    except ModelError as error:
        return name, error.message


def _account(ws: Workspace, record: records.AccountRecord) -> AccountStatus:
    return AccountStatus(
        account=record.account,
        source=record.source,
        entries=journal.verify_chain(ws.db, record.account),
        waiting=len(journal.open_orders(ws.db, record.account)),
        halt=journal.current_halt(ws.db, record.account),
    )
