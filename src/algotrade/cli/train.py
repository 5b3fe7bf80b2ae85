"""The command that trains."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from algotrade.cli.data import read_symbols
from algotrade.cli.model import AsOf, Symbols  # noqa: TC001  typer reads the annotations
from algotrade.cli.output import Column, View
from algotrade.cli.run import Run, command, new_app, with_settings
from algotrade.domain.times import read_as_of, session_date

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from algotrade.learning.card import ModelCard

APPS = {"train": new_app()}


@APPS["train"].command()
@command
def train(
    run: Run,
    symbols: Symbols = None,
    model: Annotated[
        str | None, typer.Option("--model", help="auto, rf, logit, hgb or blend.")
    ] = None,
    horizon: Annotated[str | None, typer.Option("--horizon", help="Sessions ahead.")] = None,
    threshold: Annotated[
        str | None, typer.Option("--threshold", help="Prediction is 1 above this p(up).")
    ] = None,
    seed: Annotated[str | None, typer.Option("--seed", help="Seed of the training.")] = None,
    as_of: AsOf = None,
) -> None:
    """Train on stored bars, judge out of sample, and register the model."""
    from algotrade.workflows.train import train_model

    run = with_settings(
        run,
        {
            "train.model": model,
            "train.horizon": horizon,
            "train.threshold": threshold,
            "train.seed": seed,
        },
    )
    wanted = read_symbols(run, symbols or [])
    with run.workspace() as ws, _progress(run) as progress:
        card = train_model(ws, wanted, as_of=read_as_of(as_of), progress=progress)
    if not run.out.is_for_people:
        run.out.say(card.verdict)
    run.out.emit(_train_view(card))


def number(value: float | None, digits: int = 4) -> str:
    """Give a score for a table; a dash where it is undefined."""
    return "-" if value is None else f"{value:.{digits}f}"


_TITLES = {"balanced_accuracy": "balanced", "log_loss": "log loss"}


def _train_view(card: ModelCard) -> View:
    data = {
        "model": card.id,
        "kind": card.kind,
        "source": card.source,
        "symbols": list(card.symbols),
        "rows": card.rows,
        "first": session_date(card.first_ts).isoformat(),
        "last": session_date(card.last_ts).isoformat(),
        "horizon": card.horizon,
        "threshold": card.threshold,
        "metrics": dict(card.metrics),
        "baselines": {name: dict(scores) for name, scores in card.baselines.items()},
        "folds": [
            {
                "test_first": fold.test_first,
                "test_last": fold.test_last,
                "test_rows": fold.test_rows,
            }
            for fold in card.folds
        ],
        "verdict": card.verdict,
    }
    rows = [
        {"score_of": name, **{key: scores.get(key) for key in card.metrics}}
        for name, scores in {card.id: card.metrics, **card.baselines}.items()
    ]
    names = ("accuracy", "balanced_accuracy", "auc", "brier", "log_loss")
    return View(
        schema="algotrade.train/1",
        data=data,
        rows=rows,
        columns=[
            Column(
                title="out of sample",
                cell=lambda row: str(row["score_of"]),
                right=False,
                whole=True,
            ),
            *(Column(title=_TITLES.get(name, name), cell=_score(name)) for name in names),
        ],
        above=[
            (
                f"{card.kind} on {_named(card.symbols)}: {card.rows:,} rows,"
                f" {data['first']} .. {data['last']}, up over the next {card.horizon} sessions"
            )
        ],
        below=[card.verdict, f"saved {card.id}", "next: algotrade predict"],
    )


def _named(symbols: Sequence[str]) -> str:
    if len(symbols) <= 8:
        return ", ".join(symbols)
    return f"{symbols[0]} .. {symbols[-1]} ({len(symbols):,} symbols)"


def _score(name: str) -> Callable[[Any], str]:
    return lambda row: number(row.get(name))


@contextlib.contextmanager
def _progress(run: Run) -> Iterator[Callable[[int, int], None] | None]:
    """Show how many fits are done, where somebody watches."""
    if not run.progress:
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("train", total=None)

        def step(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield step
