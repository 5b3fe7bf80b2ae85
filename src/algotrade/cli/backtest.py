"""The command backtest: run the live decision over stored history and tell what came of it."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from algotrade.cli.data import read_symbols
from algotrade.cli.output import Column, View
from algotrade.cli.policy import Asked, asking
from algotrade.cli.run import Run, command, new_app, with_settings
from algotrade.cli.workers import Backend, Jobs, Scheduler  # noqa: TC001  typer reads them
from algotrade.domain.times import DAY, end_of_day, parse_date, session_date
from algotrade.errors import InputError
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from algotrade.domain.ledger import Mark
    from algotrade.store.runs import RunRecord
    from algotrade.workflows.backtest_plan import Plan
    from algotrade.workflows.context import Workspace
    from algotrade.workflows.fan_out import Workers

APPS = {"backtest": new_app()}

_SIZE = "5%"  # of equity, where no size is given: fits under the limits of live trading
_NO_BENCHMARK = "none"


@APPS["backtest"].command()
@command
@asking(size=_SIZE)
def backtest(
    run: Run,
    symbols: Annotated[
        list[str] | None, typer.Argument(help="Symbols or @watch-list; none: all stored.")
    ] = None,
    start: Annotated[str | None, typer.Option("--from", help="First session to decide at.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Last session.")] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Model id; default: the newest trained.")
    ] = None,
    walk_forward: Annotated[
        bool, typer.Option("--walk-forward", help="Refit on the way, as live use would.")
    ] = False,
    every: Annotated[
        int | None,
        typer.Option(
            "--every", help="Sessions between refits of a walk-forward: 21.", min=1, max=1000
        ),
    ] = None,
    *,
    asked: Asked,
    limits: Annotated[
        str, typer.Option("--limits", help="live, wide, or a TOML file with a [risk] table.")
    ] = "live",
    commission: Annotated[
        str | None, typer.Option("--commission", help="Percent of each fill, instead of costs.*.")
    ] = None,
    slippage: Annotated[
        str | None, typer.Option("--slippage", help="Basis points, instead of costs.slippage_bps.")
    ] = None,
    cash: Annotated[str | None, typer.Option("--cash", help="Dollars to start with.")] = None,
    benchmark: Annotated[
        str, typer.Option("--benchmark", help="equal (the run's symbols), a symbol, or none.")
    ] = "equal",
    jobs: Jobs = None,
    backend: Backend = None,
    scheduler: Scheduler = None,
) -> None:
    """Decide at every stored bar as `trade` would have, and keep the run.

    A parameter with several values, -p fast=10,20,50, runs a grid; every run counts as a trial.
    """
    from algotrade.workflows.fan_out import read_workers

    _check_speaker(strategy=asked.rule, model=model, walk_forward=walk_forward)
    if every is not None and not walk_forward:
        raise InputError("--every is of a --walk-forward", hint="--walk-forward --every 21")
    workers = read_workers(jobs, backend, scheduler)
    run = with_settings(run, _cost_flags(commission, slippage, cash))
    world = _World(start, end, limits, benchmark, walk_forward, every)
    with run.workspace() as ws:
        plan = _plan(run, ws, read_symbols(run, symbols or ()), model, asked, world)
        view = _run_view(run, ws, plan, workers)
    run.out.emit(view)


class _World(NamedTuple):
    """What is typed about span, limits and refits."""

    start: str | None
    end: str | None
    limits: str
    benchmark: str
    walk_forward: bool
    every: int | None


def _plan(
    run: Run, ws: Workspace, symbols: list[str], model: str | None, asked: Asked, world: _World
) -> Plan:
    from algotrade.workflows.backtest_plan import EVERY, Plan
    from algotrade.workflows.limits import read_limits
    from algotrade.workflows.runs import stored_symbols
    from algotrade.workflows.trade import Request

    first = None if world.start is None else parse_date(world.start, field="--from")
    last = None if world.end is None else parse_date(world.end, field="--to")
    if first is not None and last is not None and first > last:
        raise InputError(f"--from {first} lies after --to {last}", hint="the earlier date first")
    opening = run.settings.number("cash_usd")
    if opening == 0:
        raise InputError("nothing can be bought without cash", hint="--cash 100000")
    return Plan(
        request=Request(
            symbols=tuple(symbols or stored_symbols(ws)), model_id=model, **asked._asdict()
        ),
        from_ts=None if first is None else end_of_day(first) + 1 - DAY,
        until_ts=None if last is None else end_of_day(last),
        limits=read_limits(run.settings, world.limits),
        limits_name=world.limits,
        costs=run.settings.costs(),
        cash=opening,
        walk_forward=world.walk_forward,
        every=world.every or EVERY,
        benchmark=_read_benchmark(run, world.benchmark),
    )


def _run_view(run: Run, ws: Workspace, plan: Plan, workers: Workers) -> View:
    """Run one plan, or the grid that its parameters span."""
    from algotrade.workflows.backtest import backtest
    from algotrade.workflows.sweep import sweep, sweep_plans

    plans = sweep_plans(plan)
    with _progress(run, "backtest") as progress:
        if len(plans) == 1:
            return run_view(*backtest(ws, plan, progress=progress, workers=workers))
        return _sweep_view(ws, sweep(ws, plans, workers=workers, progress=progress))


def run_view(record: RunRecord, marks: Sequence[Mark]) -> View:
    """Show a run: verdict, equity, risk, trades, costs."""
    from algotrade.cli.chart import equity_chart

    values = [mark.cash + mark.value for mark in marks]
    chart = equity_chart(
        values,
        first=str(session_date(record.from_ts)),
        last=str(session_date(record.until_ts)),
        encoding=getattr(sys.stdout, "encoding", None),
    )
    row = run_row(record)
    return View(
        schema="algotrade.backtest/1",
        data={**row, "figures": dict(record.report["figures"]), "spec": dict(record.spec)},
        rows=[figured_row(record)],
        above=[*_head(record), "", *chart, "", *figure_lines(record)],
        story=True,
    )


def run_row(record: RunRecord) -> dict[str, Any]:
    """Give what identifies a run as flat JSON."""
    halted, reduced = record.report["halted_at"], record.report.get("reducing_at")
    return {
        "run": record.run_id,
        "number": record.number,
        "sweep": record.sweep,
        "strategy": record.strategy,
        "symbols": " ".join(record.symbols),
        "first": session_date(record.from_ts).isoformat(),
        "last": session_date(record.until_ts).isoformat(),
        "source": record.source,
        "halt": record.halt,
        "halted": session_date(halted).isoformat() if halted else None,
        "reducing": record.report.get("reducing"),
        "reduced": session_date(reduced).isoformat() if reduced else None,
        "verdict": record.report["verdict"],
    }


def _head(record: RunRecord) -> list[str]:
    names = record.symbols
    what = " ".join(names) if len(names) <= 6 else f"{len(names)} symbols"
    lines = [
        (
            f"{record.run_id}  {record.strategy} on {what},"
            f" {session_date(record.from_ts)} .. {session_date(record.until_ts)}"
        )
    ]
    row = run_row(record)
    if row["reducing"]:
        told = f"{row['reducing']}; only what reduces a position was placed from then on"
        lines.insert(0, f"REDUCING {row['reduced']}: {told}")
    if record.halt:
        lines.insert(0, f"HALTED   {row['halted']}: {record.halt}; nothing was placed from then on")
    return [*lines, f"verdict  {record.report['verdict']}"]


def figure_lines(record: RunRecord) -> list[str]:
    """Tell the figures of a run in lines; each is a row of `v_run_figures`."""
    f = record.report["figures"]
    held = "" if f["benchmark_return"] is None else f"; benchmark {pct(f['benchmark_return'])}"
    return [
        (
            f"equity   ${f['start']:,.2f} -> ${f['end']:,.2f}: {pct(f['total_return'])},"
            f" {pct(f['annual_return'])} a year{held}"
        ),
        (
            f"risk     volatility {pct(f['volatility'], sign=False)} a year, worst fall"
            f" {pct(f['max_drawdown'])}, longest {f['longest_drawdown'] or 0:,} bars;"
            f" VaR 95% {pct(f['value_at_risk'])} a bar"
        ),
        (
            f"sharpe   {number(f['sharpe'])}, 90% between {number(f['sharpe_low'])} and"
            f" {number(f['sharpe_high'])}; {pct(f['deflated_sharpe'], sign=False)} sure not to be"
            f" luck after {f['trials']} {'trial' if f['trials'] == 1 else 'trials'}"
        ),
        (
            f"trades   {f['closed_trades']} closed, {pct(f['win_rate'], sign=False)} won, profit"
            f" factor {number(f['profit_factor'])}, average {dollars(f['average_trade'])}"
        ),
        (
            f"costs    fees {dollars(f['fees'])}, slippage {dollars(f['slippage'])};"
            f" turnover {number(f['turnover'])} a year; dividends {dollars(f['dividends'])}"
        ),
        (
            f"exposure {pct(f['exposure'], sign=False)} of equity on average, in the market"
            f" {pct(f['time_invested'], sign=False)} of bars"
        ),
        (
            f"orders   {f['orders']} placed, {f['fills']} fills, {f['expired']} expired,"
            f" {f['cancelled']} cancelled, {f['refused_spans']} spans of refusals"
        ),
        f"next: algotrade runs show {record.run_id} --fills",
    ]


def pct(value: float | None, *, sign: bool = True) -> str:
    """Give a fraction as a percentage; n/a where it is undefined."""
    if value is None:
        return "n/a"
    return f"{value:+.1%}" if sign else f"{value:.1%}"


def number(value: float | None) -> str:
    """Give a plain figure; n/a where it is undefined."""
    return "n/a" if value is None else f"{value:.2f}"


def dollars(value: float | None) -> str:
    """Give dollars; n/a where undefined."""
    if value is None:
        return "n/a"
    return f"-${-value:,.2f}" if value < 0 else f"${value:,.2f}"


RUN_COLUMNS = (
    Column("run", lambda row: str(row["run"]), right=False, whole=True),
    Column("strategy", lambda row: str(row["strategy"]), right=False),
    Column("return", lambda row: pct(row["total_return"])),
    Column("sharpe", lambda row: number(row["sharpe"])),
    Column("not luck", lambda row: pct(row["deflated_sharpe"], sign=False)),
    Column("worst fall", lambda row: pct(row["max_drawdown"])),
    Column("trades", lambda row: str(row["closed_trades"])),
)


def figured_row(record: RunRecord) -> dict[str, Any]:
    """Give a run with its figures as one flat row."""
    row = run_row(record)
    return {**row, **record.report["figures"], **row}  # `symbols` names them, here, too


def _sweep_view(ws: Workspace, made: Sequence[RunRecord]) -> View:
    """Show a grid, best Sharpe ratio first; each point raised the bar for the others."""
    from algotrade.workflows.runs import judged_now

    rows = []
    for record in made:
        trials, sure = judged_now(ws, record)
        rows.append({**figured_row(record), "trials": trials, "deflated_sharpe": sure})
    rows.sort(key=_by_sharpe)
    best = rows[0]
    sure_of_best = pct(best["deflated_sharpe"], sign=False)
    return View(
        schema="algotrade.sweep/1",
        data=rows,
        rows=rows,
        columns=RUN_COLUMNS,
        below=[
            (
                f"The best of {len(rows)}: {best['strategy']}. After {best['trials']} plans on"
                f" these bars it is {sure_of_best} sure not to be luck."
            )
        ],
    )


def _by_sharpe(row: Mapping[str, Any]) -> tuple[bool, float]:
    return row["sharpe"] is None, -(row["sharpe"] or 0.0)


def _check_speaker(*, strategy: str | None, model: str | None, walk_forward: bool) -> None:
    asked = {"--strategy": strategy, "--model": model, "--walk-forward": walk_forward or None}
    named = [flag for flag, value in asked.items() if value is not None]
    if len(named) > 1:
        raise InputError(f"{' and '.join(named)} contradict each other", hint="give one of them")


def _cost_flags(
    commission: str | None, slippage: str | None, cash: str | None
) -> dict[str, str | None]:
    found: dict[str, str | None] = {"costs.slippage_bps": slippage, "cash_usd": cash}
    if commission is not None:
        found |= {
            "costs.commission_pct": commission.removesuffix("%"),
            "costs.commission_per_share_usd": "0",
            "costs.commission_per_trade_usd": "0",
            "costs.commission_minimum_usd": "0",
        }
    return found


def _read_benchmark(run: Run, text: str) -> str | None:
    if text == _NO_BENCHMARK:
        return None
    return text if text == "equal" else read_symbols(run, [text])[0]


@contextlib.contextmanager
def _progress(run: Run, what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar at a terminal; elsewhere nothing."""
    if not run.progress:
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
