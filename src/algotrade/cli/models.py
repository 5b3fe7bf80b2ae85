"""The commands of models: list, show, diff, promote, rollback, verify, shadow, rm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from algotrade.cli.audit import audit_progress
from algotrade.cli.output import Column, View
from algotrade.cli.report_view import report_view
from algotrade.cli.run import Run, command, new_app
from algotrade.domain.times import iso, session_date
from algotrade.errors import ModelError

if TYPE_CHECKING:
    from algotrade.store.models import ModelState
    from algotrade.workflows.model_diff import Differing
    from algotrade.workflows.model_drift import Drift
    from algotrade.workflows.registry import Listed, Promotion, Shown
    from algotrade.workflows.shadow import Beside

APPS = {"models": new_app()}

ModelName = Annotated[str, typer.Argument(help="Model id.")]
Reason = Annotated[str | None, typer.Option("--reason", help="Why; kept with the step.")]
_DRIFT_LINES = 6


@APPS["models"].command("list")
@command
def list_(run: Run) -> None:
    """List the models of this source, the newest first."""
    from algotrade.workflows.registry import list_models

    with run.workspace(reading=True) as ws:
        rows = [_listed_row(one) for one in list_models(ws)]
    below = [] if rows else ["no model yet: algotrade train"]
    if any(row["gate"] == "refused" for row in rows):
        below.append("* no evidence of an edge: algotrade models show ID says why")
    notes = [f"{row['model']}: {row['fault']}" for row in rows if row["fault"]]
    view = View(
        schema="algotrade.models/1", data=rows, rows=rows, columns=_LIST, below=[*notes, *below]
    )
    run.out.emit(view)


@APPS["models"].command("show")
@command
def show(
    run: Run,
    model: Annotated[str | None, typer.Argument(help="Model id; none: the one in use.")] = None,
) -> None:
    """Show a model's report, its history, drift, and what it said as a shadow."""
    from algotrade.workflows.registry import show_model

    with run.workspace(reading=True) as ws:
        shown = show_model(ws, model)
    run.out.emit(_show_view(shown))


@APPS["models"].command("diff")
@command
def diff(run: Run, first: ModelName, second: ModelName) -> None:
    """Show what differs between two models: plan, data, figures."""
    from algotrade.workflows.model_diff import diff_models

    with run.workspace(reading=True) as ws:
        found = diff_models(ws, first, second)
    rows = [_diff_row(one) for one in found]
    below = [] if rows else ["nothing differs"]
    columns = [
        Column(title="part", cell=lambda row: str(row["part"]), right=False),
        Column(title="name", cell=lambda row: str(row["name"]), right=False),
        Column(title=first, cell=lambda row: _cell(row["first"])),
        Column(title=second, cell=lambda row: _cell(row["second"])),
    ]
    run.out.emit(
        View(
            schema="algotrade.models-diff/1",
            data={"first": first, "second": second, "differs": rows},
            rows=rows,
            columns=columns,
            below=below,
        )
    )


@APPS["models"].command("promote")
@command
def promote(run: Run, model: ModelName, reason: Reason = None) -> None:
    """Promote a model: full audit, then the gate; where it refuses, by hand with a reason."""
    from algotrade.workflows.registry import promote as promote_workflow

    with run.workspace() as ws, audit_progress(run) as progress:
        done = promote_workflow(ws, model, reason=reason, progress=progress)
    run.out.emit(_promotion_view(done, "promote"))


@APPS["models"].command("rollback")
@command
def rollback(run: Run, reason: Reason = None) -> None:
    """Go back to the model that was promoted before."""
    from algotrade.workflows.registry import rollback as rollback_workflow

    with run.workspace() as ws:
        done = rollback_workflow(ws, reason=reason)
    run.out.emit(_promotion_view(done, "rollback"))


@APPS["models"].command("verify")
@command
def verify(
    run: Run,
    model: Annotated[str | None, typer.Argument(help="Model id; none: all of them.")] = None,
) -> None:
    """Hash every file again; exit code 6 where one is not what was saved."""
    from algotrade.workflows.registry import verify_models

    with run.workspace(reading=True) as ws:
        found = verify_models(ws, model)
    rows = [{"model": one.model_id, "files": one.files, "fault": one.fault} for one in found]
    faults = [one for one in found if one.fault]
    lines = [f"{one.model_id}: {one.fault or f'{one.files} files are as saved'}" for one in found]
    view = View(
        schema="algotrade.models-verify/1",
        data=rows,
        rows=rows,
        above=lines or ["no model yet: algotrade train"],
        columns=(),
    )
    run.out.emit(view, ok=not faults)
    if faults:
        for one in faults:
            run.out.say(str(one.fault))
        raise typer.Exit(ModelError.exit_code)


@APPS["models"].command("shadow")
@command
def shadow(
    run: Run,
    model: Annotated[str, typer.Argument(help="Model id, or off.")],
) -> None:
    """Let a model speak beside the one in use: written down, never followed."""
    from algotrade.workflows.registry import set_shadow

    chosen = None if model == "off" else model
    with run.workspace() as ws:
        set_shadow(ws, chosen)
    data, row = {"shadow": chosen}, {"shadow": chosen or "off"}
    told = f"shadow   {chosen}, from the next predict or trade on" if chosen else "shadow   none"
    run.out.emit(View(schema="algotrade.models-shadow/1", data=data, rows=[row], above=[told]))


@APPS["models"].command("rm")
@command
def remove(run: Run, model: ModelName) -> None:
    """Remove a model's files; refused while something stored needs them."""
    from algotrade.workflows.registry import remove as remove_workflow

    with run.workspace() as ws:
        remove_workflow(ws, model)
    row = {"removed": model}
    view = View(schema="algotrade.models-rm/1", data=row, rows=[row], above=[f"removed  {model}"])
    run.out.emit(view)


# ---- views


def _listed_row(one: Listed) -> dict[str, Any]:
    card, standing = one.card, one.standing
    state = standing.state if standing else "refused" if one.fault else "removed"
    return {
        "model": one.record.model_id,
        "kind": card.kind if card else None,
        "trained": session_date(one.record.trained_at).isoformat(),
        "symbols": list(card.symbols) if card else None,
        "state": state,
        "by": standing.last.by if standing and standing.last else None,
        "gate": None if standing is None else "passed" if standing.passed else "refused",
        "verdict": card.verdict if card else None,
        "expires": session_date(card.expires).isoformat() if card and card.expires else None,
        "used": one.used,
        "shadow": one.shadow,
        "fault": one.fault,
    }


def _symbols(row: Any) -> str:  # noqa: ANN401  a row
    names = row["symbols"] or []
    return " ".join(names) if len(names) <= 2 else f"{names[0]} +{len(names) - 1}"


def _state_cell(row: Any) -> str:  # noqa: ANN401  a row
    """Mark what the gate refused."""
    return f"{row['state']}{'*' if row['gate'] == 'refused' else ''}"


def _role(row: Any) -> str:  # noqa: ANN401  a row
    return "used" if row["used"] else "shadow" if row["shadow"] else ""


_LIST = [
    Column(title="model", cell=lambda row: str(row["model"]), right=False, whole=True),
    Column(title="trained", cell=lambda row: str(row["trained"]), right=False, whole=True),
    Column(title="symbols", cell=_symbols, right=False),
    Column(title="state", cell=_state_cell, right=False, whole=True),
    Column(title="expires", cell=lambda row: str(row["expires"] or "-"), right=False, whole=True),
    Column(title="now", cell=_role, right=False, whole=True),
]


def _show_view(shown: Shown) -> View:
    view = report_view(shown.card)
    data = view.data | {
        "standing": shown.standing.words,
        "state": shown.standing.state,
        "states": [_state_row(one) for one in shown.states],
        "drift": {
            symbol: {"drifted": dict(found.over), "indices": found.indices}
            for symbol, found in shown.drift.items()
        },
        "shadow": [one._asdict() for one in shown.shadow],
        "note": shown.note,
    }
    return view._replace(
        schema="algotrade.models-show/1",
        data=data,
        story=True,
        below=[
            *view.below,
            f"state    {shown.standing.words}",
            *(f"trained  {iso(ts)}" for ts in shown.trained),
            *(f"{_state_word(one)}" for one in shown.states),
            *_expiry_lines(shown),
            *_drift_lines(shown.drift),
            *(line for one in shown.shadow for line in _beside_lines(one)),
            *([f"note     {shown.note}"] if shown.note else []),
        ],
    )


def _state_row(one: ModelState) -> dict[str, Any]:
    return {"state": one.state, "at": iso(one.at), "by": one.by, "reason": one.reason}


def _state_word(one: ModelState) -> str:
    why = f": {one.reason}" if one.reason else ""
    return f"{one.state:<9}{iso(one.at)}, by {one.by}{why}"


def _expiry_lines(shown: Shown) -> list[str]:
    if not shown.card.expires:
        return ["expires  never"]
    return [f"expires  {iso(shown.card.expires)}: from then on it enters nothing"]


def _drift_lines(drift: dict[str, Drift]) -> list[str]:
    lines = []
    for symbol, found in list(drift.items())[:_DRIFT_LINES]:
        worst = ", ".join(f"{name} {index:.2f}" for name, index in found.over[:3])
        told = f"{len(found.over)} features over their limit: {worst}" if worst else "as usual"
        then = "; nothing is entered" if found.abstains else ""
        lines.append(f"drift    {symbol}: {told}{then}")
    more = len(drift) - _DRIFT_LINES
    return [*lines, *([f"drift    {more} symbols more: --json"] if more > 0 else [])]


def _beside_lines(one: Beside) -> list[str]:
    if one.accuracy is None or one.log_loss is None:
        waiting = _bars(one.waiting)
        return [f"shadow   beside {one.used}: {waiting}, no outcome is known yet"]
    return [
        (
            f"shadow   beside {one.used} on {_bars(one.bars)} with an outcome,"
            f" {one.waiting} without: accuracy {one.accuracy[0]:.3f} against"
            f" {one.accuracy[1]:.3f}, log loss"
            f" {one.log_loss[0]:.4f} against {one.log_loss[1]:.4f}, mean difference of p(up)"
            f" {one.difference:+.4f}, same word {one.agreement:.1%}"
        )
    ]


def _bars(count: int) -> str:
    return f"{count} bar{'' if count == 1 else 's'}"


def _diff_row(one: Differing) -> dict[str, Any]:
    return {"part": one.part, "name": one.name, "first": one.first, "second": one.second}


def _cell(value: Any) -> str:  # noqa: ANN401  of a card
    return "-" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _promotion_view(done: Promotion, what: str) -> View:
    audit = done.audited.report.results() if done.audited else None
    row = {
        "model": done.card.id,
        "state": done.standing.state,
        "standing": done.standing.words,
        "retired": done.before,
        "verdict": done.sentence,
    }
    lines = [f"model    {done.card.id}: {done.standing.words}"]
    if done.audited is not None:
        lines.append(f"audit    clean: {', '.join(audit or ())}")
        lines.append(f"gate     {done.sentence}")
    if done.before:
        lines.append(f"retired  {done.before}")
    return View(
        schema=f"algotrade.models-{what}/1", data={**row, "audit": audit}, rows=[row], above=lines
    )
