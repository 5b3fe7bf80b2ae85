"""The command of settings: config show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from algotrade.cli.output import Column, View
from algotrade.cli.run import Run, command, new_app
from algotrade.config import variable_of
from algotrade.settings import SETTINGS

if TYPE_CHECKING:
    from algotrade.config import Settings

APPS = {"config": new_app(no_args_is_help=True)}


@APPS["config"].callback()
def config() -> None:
    """Show settings and where they come from."""


@APPS["config"].command("show")
@command
def show(
    run: Run,
    origin: Annotated[
        bool, typer.Option("--origin", help="Add the layer that each value comes from.")
    ] = False,
) -> None:
    """List every setting with its value; flag > environment > algotrade.toml > default."""
    run.out.emit(_view(run.settings, origin=origin))


def _view(settings: Settings, *, origin: bool) -> View:
    rows = []
    for setting in SETTINGS:
        value = settings.values[setting.name]
        row = {"setting": setting.name, "value": value.text}
        if origin:
            row["origin"] = value.origin
        rows.append({**row, "variable": variable_of(setting.name), "meaning": setting.doc})
    names = ["setting", "value", *(["origin"] if origin else [])]
    key = "set" if settings.key is not None else "not set"
    return View(
        schema="algotrade.config/1",
        data={
            "home": str(settings.home),
            "home_from": settings.home_origin,
            "api_key": settings.key is not None,
            "settings": rows,
        },
        rows=rows,
        columns=[
            Column(
                title=name,
                cell=lambda row, name=name: str(row[name]),  # type: ignore[misc]
                right=False,
                whole=name in {"setting", "value"},
            )
            for name in names
        ],
        above=[f"home {settings.home} ({settings.home_origin}), API key {key}"],
        below=["what each means: docs/cli.md, or the comments that algotrade init writes"],
    )
