"""The commands backup and restore."""

from __future__ import annotations

from typing import Annotated

import typer

from algotrade.cli.flags import plain_words
from algotrade.cli.output import View
from algotrade.cli.run import Run, command, new_app

APPS = {"backup": new_app(), "restore": new_app()}


@APPS["backup"].command()
@command
def backup(
    run: Run,
    file: Annotated[
        str | None, typer.Argument(help="Where to; default: backups/ under the home.")
    ] = None,
) -> None:
    """Copy the store, whole and checked, beside whatever is writing; models are not in it."""
    from algotrade.workflows.backup import backup as backup_workflow

    with run.workspace(reading=file is not None) as ws:  # from a read-only disk to another
        made = backup_workflow(ws, file)
    row = {
        "file": str(made.path),
        **made.manifest._asdict(),
        "removed": [str(path) for path in made.removed],
    }
    lines = [
        f"backup {made.path}",
        f"{made.manifest.size:,} bytes, commit {made.manifest.seq}, checked",
    ]
    run.out.emit(View(schema="algotrade.backup/1", data=row, rows=[row], above=lines))


@APPS["restore"].command()
@command
def restore(
    run: Run,
    file: Annotated[str, typer.Argument(help="The backup.")],
    reason: Annotated[
        str, typer.Option("--reason", help="Why commits or manifest may be missing; it is sealed.")
    ] = "",
) -> None:
    """Check a backup, set aside the store that is there, and put the backup in its place."""
    from algotrade.workflows.backup import restore as restore_workflow

    done = restore_workflow(run.settings, file, plain_words(reason))
    row = {
        "file": str(done.path),
        "commit": done.head.seq,
        "hash": done.head.hash,
        "aside": str(done.aside) if done.aside else None,
    }
    lines = [f"restored {done.path} as commit {done.head.seq}"]
    lines += [f"what was there lies in {done.aside}"] if done.aside else []
    run.out.emit(View(schema="algotrade.restore/1", data=row, rows=[row], above=lines))
