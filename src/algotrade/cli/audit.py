"""The command audit: whether anything in the making of a model knows what comes later."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from algotrade.cli.data import read_symbols
from algotrade.cli.model import Symbols  # noqa: TC001  typer reads the annotations
from algotrade.cli.output import View
from algotrade.cli.run import Run, command, new_app, with_settings
from algotrade.domain.times import iso
from algotrade.errors import InputError, ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from algotrade.learning.audit_features import Outcome
    from algotrade.workflows.audit import Audited

APPS = {"audit": new_app()}


@APPS["audit"].command()
@command
def audit(
    run: Run,
    symbols: Symbols = None,
    features: Annotated[
        str | None, typer.Option("--features", help="A preset, FILE.py:NAME or package.mod:NAME.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Kind of model, or an import path.")
    ] = None,
    tests: Annotated[
        str | None, typer.Option("--tests", help="Which: A1,A4 and so on; default: all.")
    ] = None,
    cheap: Annotated[
        bool, typer.Option("--cheap", help="Only the tests that train runs, in seconds.")
    ] = False,
    exhaustive: Annotated[
        bool, typer.Option("--exhaustive", help="Cut at each of the last 500 bars, too.")
    ] = False,
) -> None:
    """Look for knowledge of the future in features, splits, fits, decisions, fills and the gate."""
    from algotrade.workflows.audit import CHEAP, AuditRequest
    from algotrade.workflows.audit import audit as audit_workflow

    if cheap and tests:
        raise InputError("--cheap and --tests contradict each other", hint="give one")
    chosen = (CHEAP,) if cheap else tuple(tests.split(",")) if tests is not None else ()
    run = with_settings(run, {"train.features": features, "train.model": model})
    request = AuditRequest(tuple(read_symbols(run, symbols or [])), chosen, exhaustive)
    with run.workspace() as ws, audit_progress(run) as progress:
        audited = audit_workflow(ws, request, progress=progress)
    run.out.emit(_audit_view(audited), ok=audited.report.passed)
    if not audited.report.passed:
        failed = [test for test, told in audited.report.results().items() if told == "failed"]
        run.out.say(f"the audit failed: {', '.join(failed)}")
        raise typer.Exit(ModelError.exit_code)


@contextlib.contextmanager
def audit_progress(run: Run) -> Iterator[Callable[[int, int], None] | None]:
    """Show how far the audit is, where somebody watches."""
    if not run.progress:
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("audit", total=None)

        def step(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield step


def _audit_view(audited: Audited) -> View:

    report = audited.report
    results = report.results()
    rows = [
        {"test": test, "result": told, "what": audited.titles[test]}
        for test, told in results.items()
    ]
    failures = [_outcome_row(one) for one in report.failures]
    verdict = "clean: nothing was found that knows what comes later"
    if not report.passed:
        count = sum(told == "failed" for told in results.values())
        verdict = f"FAILED: {count} of {len(results)} tests"
    nulls = ""
    if "A6" in results:
        nulls = f"; A6 takes {audited.null_seeds} markets without a signal"
    return View(
        schema="algotrade.audit/1",
        data={
            "passed": report.passed,
            "symbols": list(audited.symbols),
            "features": audited.features,
            "model": audited.model,
            "horizon": audited.horizon,
            "seed": audited.seed,
            "null_seeds": audited.null_seeds,
            "tests": rows,
            "outcomes": [_outcome_row(one) for one in report.outcomes],
            "failures": failures,
        },
        rows=rows,
        story=True,
        above=[
            (
                f"audit    {_named(audited.features)} features, {audited.model}, horizon"
                f" {audited.horizon}, {_symbols(len(audited.symbols))},"
                f" {audited.bars:,} bars"
            ),
            f"seed     {audited.seed}{nulls}",
            "",
            *map(_aligned, report.lines()),
        ],
        below=["", verdict],
    )


def _symbols(count: int) -> str:
    return f"{count} symbol{'' if count == 1 else 's'}"


def _named(features: str) -> str:
    """Name features; of the hash of a file of yours a part is enough."""
    name, at, digest = features.partition("@")
    return f"{name}{at}{digest[:8]}"


def _aligned(line: str) -> str:
    """Put the name of a test in the column of labels, and failures under the text."""
    test = line[:4].strip()
    return f"{test:<9}{line[4:]}" if test else " " * 9 + line.strip()


def _outcome_row(one: Outcome) -> dict[str, Any]:
    return {
        "test": one.test,
        "passed": one.passed,
        "what": one.what,
        "symbol": one.symbol,
        "first": None if one.ts is None else iso(one.ts),
        "value": _finite(one.value),
        "other": _finite(one.other),
        "bars_ahead": one.ahead,
        "detail": one.detail,
    }


def _finite(value: float | None) -> float | None:
    """Leave out what JSON has no word for."""
    return value if value is not None and value - value == 0 else None
