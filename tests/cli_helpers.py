"""Run the command line as a person or a cron job would, in this process or in one of its own."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from algotrade.cli import main
from algotrade.cli.run import State
from polygon_server import KEY, plausible_bars

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PROGRAM = str(Path(sys.executable).with_name("algotrade"))
PATH = "/usr/bin:/bin"
OPENING_CASH = 100_000.0
# Friday's close, then the two sessions after it; a polygon workspace is set to just after one
FRIDAY, MONDAY, TUESDAY = (f"2026-11-{day}T21:05:00Z" for day in (20, 23, 24))
MARKET = plausible_bars(502, last=date(2026, 11, 24))
SERVED = 500  # bars by Friday's close; the last two sessions are served later


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a run ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def envelope(self) -> dict[str, Any]:
        """Parse stdout as the one JSON object that it must be."""
        found: dict[str, Any] = json.loads(self.out)
        assert self.out.count("\n") == 1
        return found

    @property
    def data(self) -> Any:  # noqa: ANN401 -- whatever the command's schema says
        """Give the data of the JSON envelope of a run that went well."""
        envelope = self.envelope
        assert set(envelope) == {"schema", "ok", "data", "warnings"}
        assert envelope["ok"] is True, envelope
        return envelope["data"]

    def well(self) -> Ran:
        """Insist that the run went well."""
        assert self.code == 0, self
        return self


def cli(*args: str, home: Path | None, env: Mapping[str, str] | None = None) -> Ran:
    """Run a command in this process, with an environment of its own and nothing inherited."""
    where = {"ALGOTRADE_HOME": str(home)} if home else {}
    clean = {"PATH": PATH, "HOME": "/nonexistent", **where, **(env or {})}
    out, err = io.StringIO(), io.StringIO()
    State.json, State.verbose, State.inherited = False, False, {}
    with (
        mock.patch.dict(os.environ, clean, clear=True),
        mock.patch.object(sys, "argv", ["algotrade", *args]),
        mock.patch("signal.signal"),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main.run()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
    return Ran(code=code, out=out.getvalue(), err=err.getvalue())


def process(
    *args: str, cwd: Path, env: Mapping[str, str] | None = None, driver: str | None = None
) -> Ran:
    """Run a command in a process of its own, that inherits nothing.

    driver: Python that runs instead of the program; it finds `args` in sys.argv[1:].
    """
    start = [sys.executable, "-c", driver] if driver else [PROGRAM]
    clean = {"PATH": PATH, "HOME": str(cwd), **(env or {})}
    done = subprocess.run(
        [*start, *args], cwd=cwd, env=clean, capture_output=True, text=True, check=False, timeout=60
    )
    return Ran(code=done.returncode, out=done.stdout, err=done.stderr)


def copied(home: Path, to: Path) -> Path:
    """Copy a prepared home, so that a test may change it."""
    shutil.copytree(home, to)
    return to


def live(base: str, now: str = FRIDAY, **more: str) -> dict[str, str]:
    """Give the environment of somebody with a key, at a time, beside a server on loopback."""
    return {
        "POLYGON_API_KEY": KEY,
        "ALGOTRADE_API_BASE": base,
        "ALGOTRADE_RATE": "0",
        "ALGOTRADE_NOW": now,
        **more,
    }


def served(sessions_later: int = 0) -> list[dict[str, Any]]:
    """Give what the market has printed by Friday's close, or some sessions later."""
    return MARKET[: SERVED + sessions_later]


def query(home: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """Read the store behind the program's back."""
    with contextlib.closing(sqlite3.connect(home / "data" / "algotrade.db", timeout=1)) as db:
        return db.execute(sql, values).fetchall()


def contents(home: Path) -> dict[str, str]:
    """Give a digest of every table of the store, by name."""
    names = query(home, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    return {
        name: hashlib.sha256(repr(query(home, f'SELECT * FROM "{name}"')).encode()).hexdigest()  # noqa: S608 -- our own tables
        for (name,) in names
    }


def files(folder: Path) -> dict[str, str]:
    """Give a digest of every file below a folder, by name."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@contextlib.contextmanager
def locked_store(home: Path) -> Iterator[None]:
    """Hold the store as another program's endless write would."""
    with contextlib.closing(
        sqlite3.connect(home / "data" / "algotrade.db", isolation_level=None)
    ) as db:
        db.execute("BEGIN EXCLUSIVE")
        yield
        db.execute("ROLLBACK")


def one_clear_line(ran: Ran, code: int, *, hint: bool = True) -> str:
    """Insist on a failure told well; give the line that tells it.

    hint: a remedy must stand below it; else it may.
    """
    assert ran.code == code, ran
    assert not ran.out, ran
    assert "Traceback" not in ran.err, ran
    assert "a bug" not in ran.err, ran
    assert all(letter.isprintable() or letter == "\n" for letter in ran.err), ran
    lines = ran.err.splitlines()
    if hint or lines[-1].startswith("  try: "):
        assert lines.pop().startswith("  try: "), ran
    assert lines[-1].startswith("algotrade: "), ran
    return lines[-1]
