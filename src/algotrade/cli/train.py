"""The command that trains."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from algotrade.cli.data import read_symbols
from algotrade.cli.model import AsOf, Symbols  # noqa: TC001  typer reads the annotations
from algotrade.cli.report_view import figure, money_line, report_data, report_view
from algotrade.cli.run import Run, command, new_app, with_settings
from algotrade.cli.workers import Backend, Jobs, Scheduler  # noqa: TC001  typer reads them
from algotrade.domain.times import read_as_of, session_date

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from algotrade.cli.output import View
    from algotrade.store.trials import HoldoutRecord
    from algotrade.workflows.train import TrainResult

APPS = {"train": new_app()}

Features = Annotated[
    str | None,
    typer.Option("--features", help="default, seed, cross, package.module:build or file.py:build."),
]
Param = Annotated[
    list[str] | None,
    typer.Option("--param", help="Parameter of the model, name=value; may be repeated."),
]
Folds = Annotated[
    str | None, typer.Option("--folds", help="Test blocks of the walk-forward, 1 to 100.")
]
Window = Annotated[
    str | None,
    typer.Option("--window", help="What trains: expanding, rolling (756) or rolling:SESSIONS."),
]
Final = Annotated[
    bool, typer.Option("--final", help="Judge on the hold-out, too: once, and never again.")
]
Searched = Annotated[
    bool, typer.Option("--search", help="Choose among at most 12 points; each is a trial.")
]
Grid = Annotated[
    list[str] | None,
    typer.Option("--grid", help="Your own grid, name=v1,v2; may be repeated; searches."),
]


@APPS["train"].command()
@command
def train(
    run: Run,
    symbols: Symbols = None,
    model: Annotated[
        str | None, typer.Option("--model", help="auto, rf, logit, hgb, blend or module:Class.")
    ] = None,
    horizon: Annotated[str | None, typer.Option("--horizon", help="Sessions ahead.")] = None,
    threshold: Annotated[
        str | None, typer.Option("--threshold", help="Prediction is 1 above this p(up).")
    ] = None,
    seed: Annotated[str | None, typer.Option("--seed", help="Seed of the training.")] = None,
    features: Features = None,
    param: Param = None,
    folds: Folds = None,
    window: Window = None,
    final: Final = False,
    search: Searched = False,
    grid: Grid = None,
    jobs: Jobs = None,
    backend: Backend = None,
    scheduler: Scheduler = None,
    as_of: AsOf = None,
) -> None:
    """Train on stored bars, judge out of sample, and register the model."""
    from algotrade.workflows.fan_out import read_workers
    from algotrade.workflows.search import Search, read_grid
    from algotrade.workflows.train import TrainRequest, train_model

    own = read_grid(grid)
    workers = read_workers(jobs, backend, scheduler)
    run = with_settings(
        run,
        {
            "train.model": model,
            "train.horizon": horizon,
            "train.threshold": threshold,
            "train.seed": seed,
            "train.params": " ".join(param) if param else None,
            "train.features": features,
            "train.folds": folds,
            "train.window": window,
        },
    )
    wanted = read_symbols(run, symbols or [])
    with run.workspace() as ws, _progress(run) as progress:
        request = TrainRequest(
            symbols=wanted,
            as_of=read_as_of(as_of),
            final=final,
            search=Search(own) if search or own else None,
            workers=workers,
        )
        result = train_model(ws, request, progress=progress)
    if not run.out.is_for_people:
        run.out.say(result.card.verdict)
    if result.note:
        run.out.say(f"{result.card.id}: {result.note}")
    run.out.emit(_train_view(result))


def _train_view(result: TrainResult) -> View:
    card, spent = result.card, result.holdout
    data = report_data(card) | {"holdout": None if spent is None else _holdout_data(spent)}
    view = report_view(card)
    until = f", for use until {session_date(card.expires)}" if card.expires else ""
    below = [f"saved    {card.id}{until}", "next: algotrade predict"]
    return view._replace(
        schema="algotrade.train/1",
        data=data,
        above=[*view.above, *(_holdout_lines(spent) if spent else ())],
        below=below,
    )


def _holdout_data(spent: HoldoutRecord) -> dict[str, Any]:
    return {
        "plan": spent.plan,
        "first": session_date(spent.first_ts).isoformat(),
        "last": session_date(spent.last_ts).isoformat(),
        **spent.figures,
    }


def _holdout_lines(spent: HoldoutRecord) -> list[str]:
    """Tell what came of the hold-out; nobody can look at it again."""
    found = spent.figures["metrics"]
    first, last = session_date(spent.first_ts), session_date(spent.last_ts)
    return [
        "",
        f"hold-out {first} .. {last}, {found['n']:,} rows, looked at now and never again:",
        f"         {spent.figures['verdict']}",
        (
            f"         {money_line(found)}; permutation p {figure(found.get('permutation_p'))},"
            f" PSR of the excess {figure(found.get('excess_psr'))}"
        ),
    ]


@contextlib.contextmanager
def _progress(run: Run) -> Iterator[Callable[[str, int, int], None] | None]:
    """Show which steps are done, where somebody watches."""
    if not run.progress:
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("train", total=None)

        def step(what: str, done: int, total: int) -> None:
            bar.update(task, description=f"train: {what}", completed=done, total=total)

        yield step
