"""The command that writes the report of a model as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from algotrade.cli.output import View, write_file, write_result
from algotrade.cli.run import Run, command, new_app

APPS = {"report": new_app()}


@APPS["report"].command()
@command
def report(
    run: Run,
    model: Annotated[
        str | None, typer.Option("--model", help="Model id; else the one in use.")
    ] = None,
    kept: Annotated[
        str | None, typer.Option("--run", help="Kept backtest whose equity is shown.")
    ] = None,
) -> None:
    """Write the report of a model as one HTML page that needs nothing else.

    It goes to the file of --out (- for stdout), else to reports/MODEL.html under the home.
    """
    from algotrade.workflows.models import load_model
    from algotrade.workflows.report_html import report_page, run_curve

    with run.workspace(reading=True) as ws:
        card = load_model(ws, model).card
        page = report_page(card, run_curve(ws, kept) if kept else None)
    if run.out.path == "-":
        write_result(page)
        return
    path = Path(run.out.path or run.settings.home / "reports" / f"{card.id}.html").absolute()
    if run.out.path is None:
        path.parent.mkdir(mode=0o700, exist_ok=True)
    write_file(str(path), page)
    row = {"model": card.id, "run": kept, "path": str(path)}
    run.out.path = None  # the page was the file that was asked for
    run.out.emit(View(schema="algotrade.report/1", data=row, rows=[row], above=[f"wrote {path}"]))
