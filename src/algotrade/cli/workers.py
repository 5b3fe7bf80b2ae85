"""The flags that say who does the work of a search or a sweep."""

from __future__ import annotations

from typing import Annotated

import typer

Jobs = Annotated[
    int | None, typer.Option("--jobs", help="Processes that share the work; the same bits.")
]
Backend = Annotated[str | None, typer.Option("--backend", help="loky (here) or dask.")]
Scheduler = Annotated[
    str | None, typer.Option("--scheduler", help="Address of a running Dask scheduler.")
]
