"""Changing a limit: one line of algotrade.toml, with its history; raising one needs a reason."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from algotrade.config import FILE_NAME, load_settings
from algotrade.errors import DiskError, InputError, SettingsError, shown
from algotrade.record import NamedTuple
from algotrade.settings import NUMBERS, SETTINGS
from algotrade.store import limits as limit_store
from algotrade.store.database import immediate
from algotrade.store.limits import LimitChange

if TYPE_CHECKING:
    from pathlib import Path

    from algotrade.config import Settings
    from algotrade.workflows.context import Workspace

_TABLE = "risk"
# of these, more is stricter
_LEAST = frozenset(
    f"risk.{name}"
    for name in ("min_price_usd", "min_free_mib", "cooldown_sessions", "duplicate_seconds")
)
_HEADER = re.compile(r"\s*\[([^\[\]]+)\]\s*(#.*)?")


class Changed(NamedTuple):
    """A limit as it was and as it is, and whether anything changed."""

    change: LimitChange
    is_new: bool


def set_limit(ws: Workspace, name: str, value: str, *, reason: str = "") -> Changed:
    """Change one limit in algotrade.toml and write the change down; the same value changes nothing.

    Raises InputError for a name that is no limit, a value that is none, or a limit raised without
    a reason; SettingsError where the file cannot be changed safely.
    """
    full = name if name.startswith(f"{_TABLE}.") else f"{_TABLE}.{name}"
    setting = next((one for one in SETTINGS if one.name == full), None)
    if setting is None or not full.startswith(f"{_TABLE}."):
        raise InputError(
            f"{shown(name)} is no limit", hint="algotrade config show lists those of risk"
        )
    was = ws.settings.values[full]
    if was.origin not in ("default", FILE_NAME):
        raise InputError(
            f"{full} is set by {was.origin}, which counts before {FILE_NAME}",
            hint="change it there, or take it away there",
        )
    after = ws.settings.with_flags({full: value})
    raised = is_raised(full, ws.settings, after)
    change = LimitChange(ws.clock.now(), full, was.text, value, raised, reason)
    if was.text == value:
        return Changed(change, is_new=False)
    if raised and not reason:
        raise InputError(f"{full} {was.text} -> {value} allows more", hint="--reason TEXT")
    path = ws.settings.home / FILE_NAME
    text = edited(_read(path), full.removeprefix(f"{_TABLE}."), _literal(setting.kind, value))
    with immediate(ws.db):
        limit_store.save_limit_change(ws.db, change)
        _replace(path, text, ws.settings.home, full, value)
    return Changed(change, is_new=True)


def limit_history(ws: Workspace) -> list[LimitChange]:
    """Give every change made by `risk set`, oldest first."""
    return limit_store.limit_changes(ws.db)


def is_raised(name: str, before: Settings, after: Settings) -> bool:
    """Tell whether a change lets more pass."""
    was, becomes = before.text(name), after.text(name)
    if name == "risk.short":
        return becomes == "on"
    if name == "risk.restricted":
        return not _symbols(was) <= _symbols(becomes)
    if name == "risk.allowed":
        old, new = _symbols(was), _symbols(becomes)
        return bool(old) and not (new and new <= old)
    less = after.number(name) < before.number(name)
    return less if name in _LEAST else after.number(name) > before.number(name)


def edited(text: str, key: str, literal: str) -> str:
    """Give the file with one key of [risk] set; every other line stays as it is."""
    lines = text.splitlines()
    line = re.compile(rf"\s*{key}\s*=\s*(\"[^\"]*\"|'[^']*'|[^#]*?)\s*(#.*)?")
    shown_default = re.compile(rf"#\s*{key}\s*=\s*(\"[^\"]*\"|[^#]*?)\s*(#.*)?")
    table, header, place, default = "", None, None, None
    for number, content in enumerate(lines):
        found = _HEADER.fullmatch(content)
        if found:
            table = found[1].strip()
            header = number if table == _TABLE else header
        elif table == _TABLE and line.fullmatch(content):
            place = number
        elif table == _TABLE and shown_default.fullmatch(content):
            default = number
    if place is not None:
        found = line.fullmatch(lines[place])
        lines[place] = _line(key, literal, found[2] if found else None)
    elif default is not None:
        found = shown_default.fullmatch(lines[default])
        lines[default] = _line(key, literal, found[2] if found else None)
    elif header is not None:
        lines.insert(header + 1, _line(key, literal, None))
    else:
        lines += ["", f"[{_TABLE}]", _line(key, literal, None)]
    return "\n".join(lines) + "\n"


def _line(key: str, literal: str, comment: str | None) -> str:
    return f"{f'{key} = {literal}':<42}  {comment}" if comment else f"{key} = {literal}"


def _literal(kind: str, value: str) -> str:
    return value if kind in NUMBERS else f'"{value}"'


def _symbols(text: str) -> set[str]:
    return set(text.replace(",", " ").split())


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error


def _replace(path: Path, text: str, home: Path, name: str, value: str) -> None:
    """Put the new text in the file's place, whole or not at all, readable by its owner alone."""
    import tomllib

    try:
        table = tomllib.loads(text, parse_float=str)
        found = str(table[_TABLE][name.removeprefix(f"{_TABLE}.")])
    except (tomllib.TOMLDecodeError, KeyError) as error:
        raise SettingsError(
            f"{path} cannot be changed safely: {error}", hint=f"set {name} by hand"
        ) from error
    if found != value:
        raise SettingsError(f"{path} cannot be changed safely", hint=f"set {name} by hand")
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(handle, text.encode())
            os.fsync(handle)
        finally:
            os.close(handle)
        beside.replace(path)
        folder = os.open(home, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise DiskError(f"{path} cannot be written: {error.strerror}") from error
    load_settings(home=str(home), isolated=True)  # what was written reads back
