"""The commands to start with: demo, init and status."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from algotrade.cli.output import Column, View
from algotrade.cli.portfolio import portfolio_view
from algotrade.cli.report_view import verdict_lines
from algotrade.cli.run import Run, command, new_app
from algotrade.cli.why import why_view
from algotrade.domain.times import iso, session_date
from algotrade.errors import InputError

if TYPE_CHECKING:
    from algotrade.workflows.context import Workspace
    from algotrade.workflows.demo import DemoResult
    from algotrade.workflows.setup import StatusResult

APPS = {name: new_app() for name in ("demo", "init", "status")}


@APPS["demo"].command()
@command
def demo(
    run: Run,
    keep: Annotated[
        str | None, typer.Option("--keep", help="Keep the demo's home in this new folder.")
    ] = None,
) -> None:
    """Walk the whole loop on built-in real prices: fetch, train, trade, explain.

    Works in a scratch home of its own; no key, no network, and your own accounts stay untouched.
    """
    from algotrade.config import FILE_NAME, load_settings
    from algotrade.values import read_path
    from algotrade.workflows.context import open_workspace
    from algotrade.workflows.demo import run_demo

    home = read_path(keep, "--keep").absolute() if keep else _scratch_home()
    if keep and home.exists() and any(home.iterdir()):
        raise InputError(f"--keep {keep}: the folder is not empty", hint="name a new folder")
    home.mkdir(parents=True, exist_ok=True)
    # the commands it names must work there for somebody who has a key, too
    (home / FILE_NAME).write_text('source = "sample"\n', encoding="utf-8")
    settings = load_settings(home=str(home), isolated=True)
    with contextlib.ExitStack() as stack, _progress(run) as step:

        def reopen() -> Workspace:
            return stack.enter_context(open_workspace(settings, lambda _: None, create=True))

        result = run_demo(reopen, step=step)
    run.out.emit(_demo_view(result, str(home)))


@APPS["init"].command()
@command
def init(run: Run) -> None:
    """Create a workspace: the store, and a settings file that shows every default."""
    from algotrade.workflows.setup import init_home

    created = init_home(run.settings, run.out.say)
    row = {"home": str(run.settings.home), "created": [str(path) for path in created]}
    lines = [f"home     {run.settings.home}"]
    lines += [f"created  {path}" for path in created] or ["nothing to do: it was there already"]
    lines.append("next: algotrade fetch AAPL")
    run.out.emit(View(schema="algotrade.init/1", data=row, rows=[row], above=lines))


@APPS["status"].command()
@command
def status(run: Run) -> None:
    """Show home, data, model, accounts and halts in one look."""
    from algotrade.workflows.setup import show_status

    with run.workspace(reading=True) as ws:
        result = show_status(ws)
    run.out.emit(_status_view(result))


def _scratch_home() -> Any:  # noqa: ANN401  a Path
    import tempfile
    from pathlib import Path

    return Path(tempfile.mkdtemp(prefix="algotrade-demo-"))


def _demo_view(result: DemoResult, home: str) -> View:
    lines = [
        "1. fetch: real daily prices, as traded, built into the package",
        *(
            f"   {report.symbol:<5} {report.bars:,} bars, {report.first} .. {report.last},"
            f" {report.actions} splits and dividends"
            for report in result.fetched.reports
        ),
        "",
        f"2. train: {result.card.id}, {result.card.rows:,} rows, judged on later data only",
        *(f"   {line}" for line in verdict_lines(result.card)),
        "",
        f"3. trade: hold up to 10 of each while the model says up, {len(result.trades)} sessions",
    ]
    for explained in result.reasons:
        lines += ["", *(f"   {line}" for line in why_view(explained).above)]
    account = portfolio_view(result.portfolio)
    ids = [reason.decision.order.id for reason in result.reasons if reason.decision.order]
    data = {
        "home": home,
        "model": result.card.id,
        "verdict": result.card.verdict,
        "trades": [
            {"outcome": t.outcome, "reason": t.decision.reason if t.decision else ""}
            for t in result.trades
        ],
        "orders": ids,
        "portfolio": account.data,
    }
    return View(
        schema="algotrade.demo/1",
        data=data,
        story=True,
        rows=account.rows,
        table_rows=account.table_rows,
        columns=account.columns,
        above=[*lines, "", "4. portfolio:", *account.above],
        below=[
            *account.below,
            "",
            "Go on in the same home:",
            f"  export ALGOTRADE_HOME={home}",
            *(f"  algotrade why {key}" for key in ids[:1]),
            "  algotrade risk",
            "  algotrade trade --symbol AAPL --qty 10",
            "Or start your own: algotrade fetch AAPL",
        ],
    )


def _status_view(result: StatusResult) -> View:
    rows = [
        {
            "source": found.series.source,
            "symbol": found.series.symbol,
            "timeframe": found.series.timeframe,
            "bars": found.series.bars,
            "from": session_date(found.series.first).isoformat(),
            "to": session_date(found.series.last).isoformat(),
            "sessions_behind": found.behind,
        }
        for found in result.series
    ]
    data = {
        "home": str(result.home),
        "home_from": result.home_origin,
        "source": result.source,
        "account": result.account,
        "now": iso(result.now),
        "simulated": result.simulated,
        "api_key": result.key,
        "market_open": result.market_open,
        "series": rows,
        "model": result.model,
        "standing": result.model_words,
        "accounts": [
            {
                "account": account.account,
                "source": account.source,
                "entries": account.entries,
                "waiting": account.waiting,
                "halt": account.halt,
            }
            for account in result.accounts
        ],
        "halts": list(result.halts),
    }
    return View(
        schema="algotrade.status/1",
        data=data,
        rows=_status_items(data),
        table_rows=rows,
        columns=_STATUS_COLUMNS,
        above=[
            f"home     {result.home} ({result.home_origin})",
            f"source   {result.source}, API key {'set' if result.key else 'not set'}",
            _time_line(result),
        ],
        below=[*_status_lines(result)],
    )


def _status_items(data: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the status as item and value, for a pipe: home first, then what else there is."""
    plain = [
        {"item": name, "value": value}
        for name, value in data.items()
        if not isinstance(value, list)
    ]
    for account in data["accounts"]:
        state = f"halted: {account['halt']}" if account["halt"] else "not halted"
        words = f"{account['entries']} entries, {account['waiting']} waiting, {state}"
        plain.append({"item": f"account {account['account']}", "value": words})
    plain += [{"item": "halt", "value": place} for place in data["halts"]]
    for series in data["series"]:
        name = f"bars {series['source']} {series['symbol']} {series['timeframe']}"
        words = f"{series['bars']} from {series['from']} to {series['to']}"
        plain.append({"item": name, "value": words})
    return plain


def _status_lines(result: StatusResult) -> list[str]:
    told = f"{result.model} ({result.model_words})" if result.model else "none yet: algotrade train"
    lines = [f"model    {told}"]
    for account in result.accounts:
        state = f"HALTED: {account.halt}" if account.halt else "not halted"
        lines.append(
            f"account  {account.account} (source {account.source}): {account.entries} ledger"
            f" entries, chain intact, {account.waiting} orders waiting, {state}"
        )
    lines += [f"HALTED   by {place}" for place in result.halts]
    if not result.series:
        lines.append("next: algotrade fetch AAPL")
    return lines


def _time_line(result: StatusResult) -> str:
    if result.simulated and result.market_open is None:
        return "time     simulated, and not started: the first fetch starts it"
    simulated = " (simulated)" if result.simulated else ""
    return f"time     {iso(result.now)}{simulated}, market {_market_word(result.market_open)}"


def _market_word(is_open: bool | None) -> str:
    return "unknown" if is_open is None else "open" if is_open else "closed"


def _behind(row: Any) -> str:  # noqa: ANN401  a row
    return "-" if row["sessions_behind"] is None else str(row["sessions_behind"])


_STATUS_COLUMNS = (
    Column(title="source", cell=lambda row: str(row["source"]), right=False),
    Column(title="symbol", cell=lambda row: str(row["symbol"]), right=False),
    Column(title="bars", cell=lambda row: f"{row['bars']:,}"),
    Column(title="from", cell=lambda row: str(row["from"]), right=False),
    Column(title="to", cell=lambda row: str(row["to"]), right=False),
    Column(title="behind", cell=_behind),
)


@contextlib.contextmanager
def _progress(run: Run) -> Any:  # noqa: ANN401  a step function
    """Show the step being done, where somebody watches."""
    if not run.progress:
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status("demo") as spinner:
        yield lambda line: spinner.update(f"algotrade {line}")
