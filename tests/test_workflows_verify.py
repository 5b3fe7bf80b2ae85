"""Parity and drift on real stores: what was decided comes out again, or the number is told."""

from __future__ import annotations

import json
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from algotrade.domain.decisions import HOLD, ORDER, REFUSED
from algotrade.domain.risk import Conditions
from algotrade.domain.signals import NONE, Signals
from algotrade.store import bars as bar_store
from algotrade.store.database import immediate
from algotrade.store.past import load_past
from algotrade.trading.broker import SimulatedBroker
from algotrade.trading.feed import Market
from algotrade.trading.session import Decider, MemoryJournal, run_session
from algotrade.trading.state import TradingState
from algotrade.trading.strategies import load_strategy
from algotrade.workflows.conditions import outlook_of
from algotrade.workflows.context import DAILY
from algotrade.workflows.drift import drift
from algotrade.workflows.rerun import Choices, Rerun
from algotrade.workflows.settle import load_history
from algotrade.workflows.verify import verify_backtest, verify_parity
from cli_helpers import cli, copied, process, query
from verify_world import SYMBOLS, build, opened, spoil

if TYPE_CHECKING:
    from pathlib import Path

    from algotrade.bars import Bars
    from algotrade.workflows.drift import DriftResult
    from algotrade.workflows.verify import ParityResult

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("world") / "home"
    build(home, 58)
    return home


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("small") / "home"
    build(home, 4)
    return home


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a home traded for 23 sessions by one process a session, as cron would."""
    home = tmp_path_factory.mktemp("month") / "home"
    cli("fetch", "AAPL", "IBM", home=home).well()
    asked = ("--strategy", "sma-state", "-p", "fast=2", "-p", "slow=5", "--qty", "10")
    for _ in range(23):
        before = _clock(home)
        done = process(
            *("trade", "-s", "AAPL", "-s", "IBM", *asked, "--home", str(home)), cwd=home.parent
        )
        assert done.code == 0, done
        if _clock(home) == before:  # nothing was placed: time does not move by itself
            cli("clock", "next", home=home).well()
    return home


def _clock(home: Path) -> str:
    return str(query(home, "SELECT value FROM meta WHERE name = 'sample_clock'")[0][0])


def parity(home: Path) -> ParityResult:
    with opened(home) as ws:
        return verify_parity(ws)


# ---- everything comes out again


def test_a_thousand_decisions_of_every_kind_come_out_the_same(world: Path) -> None:
    started = time.monotonic()
    result = parity(world)
    taken = time.monotonic() - started
    assert [(one.decision_id, one.difference) for one in result.differing] == []
    assert result.passed
    assert result.identical == result.decisions >= 1_000
    assert result.partial == 0
    assert taken < 30, taken
    actions = dict(query(world, "SELECT action, count(*) FROM decisions GROUP BY action"))
    assert min(actions[action] for action in (ORDER, HOLD, REFUSED)) > 20
    codes = {code for (code,) in query(world, "SELECT DISTINCT code FROM decisions")}
    assert {"halted", "in", "out"} <= codes
    kinds = {kind for (kind,) in query(world, "SELECT DISTINCT type FROM orders")}
    assert kinds == {"market", "limit", "stop"}
    assert {"expired", "filled"} <= {s for (s,) in query(world, "SELECT state FROM order_events")}


def test_one_run_over_the_whole_world_gives_its_ledger_entry_for_entry(world: Path) -> None:
    with opened(world) as ws:
        result = verify_backtest(ws)
    assert result.difference is None
    assert result.entries > 50
    assert result.orders > 50


def test_a_month_of_one_shot_processes_is_one_backtest(month: Path) -> None:
    with opened(month) as ws:
        past = load_past(ws.db, ws.account)
        made = [one.stored.decision for one in past.decisions]
        first, policy, limits = made[0].ts, made[0].policy, made[0].limits
        assert len({one.ts for one in made}) >= 21
        histories = []
        for symbol in ("AAPL", "IBM"):
            history = load_history(ws, symbol, until=made[-1].decided_at)
            said = load_strategy("sma-state", {"fast": "2", "slow": "5"}).history(history.bars)
            quiet = sum(ts < first for ts in history.bars.ts_close)
            stances = bytes([NONE]) * quiet + said.stances[quiet:]
            histories.append(history._replace(signals=Signals(said.sources, stances)))
        state, journal = TradingState(account=ws.account), MemoryJournal()
        state.book(past.entries[0])
        run_session(
            Market(histories, policy).turns(state, limits),
            state=state,
            broker=SimulatedBroker(ws.settings.costs()),
            journal=journal,
            decider=Decider(
                policy=policy,
                limits=limits,
                conditions=lambda moment: Conditions(moment.ts, moment.close),
                look=outlook_of(histories).facts,
            ),
        )
        assert verify_backtest(ws).difference is None
        settled = [entry for entry in past.entries[1:] if entry.ts <= made[-1].decided_at]
    assert journal.entries == settled
    assert len(settled) > 8
    orders = [one.placed for one in made if one.placed]
    assert [one.placed for one in journal.decisions if one.placed] == orders


# ---- and a change by hand is found


def first(home: Path) -> tuple[str, Any, Any]:
    """Give the first difference as the command line tells it."""
    ran = cli("verify", "parity", "--json", home=home)
    assert ran.code == 10, ran
    envelope = json.loads(ran.out)
    assert envelope["ok"] is False
    assert envelope["schema"] == "algotrade.verify/1"
    told = envelope["data"]["differences"][0]
    assert told["stored"] != told["now"]
    return told["what"], told["stored"], told["now"]


SPOILS = {
    "bars": (
        "UPDATE bars SET volume = volume + 1 WHERE ts_close = (SELECT max(bar_ts) FROM decisions)"
        " AND series_id = (SELECT series_id FROM series WHERE symbol = 'AAPL')"
    ),
    "grounds": (
        "UPDATE grounds SET body = replace(body, '\"max_position_bps\":1000',"
        " '\"max_position_bps\":1001')"
    ),
    "orders.quantity": "UPDATE orders SET quantity = quantity + 1",
    "orders.side": "UPDATE orders SET side = CASE side WHEN 'buy' THEN 'sell' ELSE 'buy' END",
    "decisions.p_up": "UPDATE decisions SET p_up = 0.5 WHERE p_up IS NOT NULL",
    "state.equity": "UPDATE decisions SET ledger_seq = ledger_seq - 1 WHERE ledger_seq > 4",
    "signal.p_up": "UPDATE decisions SET body = json_set(body, '$[0][2]', 0.25) WHERE p_up > 0",
    "features.SMA_50": "UPDATE decisions SET body = json_set(body, '$[1][6][0][1]', 1.5)"
    " WHERE p_up > 0",
    "verdict.R10.value": "UPDATE decisions SET body = json_set(body, '$[3][1][4]', 1)",
    "order.quantity": "UPDATE decisions SET body = json_set(body, '$[2][5]', 7)"
    " WHERE json_extract(body, '$[2]') IS NOT NULL",
    "verdict.R19.value": "UPDATE marks SET value = value + 9000000000",
    "decisions": "DELETE FROM decisions WHERE decision_id ="
    " (SELECT min(decision_id) FROM decisions WHERE action = 'refused')",
}


@pytest.mark.parametrize("what", SPOILS)
def test_one_change_by_hand_is_found_and_named(small: Path, tmp_path: Path, what: str) -> None:
    home = copied(small, tmp_path / "home")
    assert spoil(home, SPOILS[what]) > 0
    found, _, _ = first(home)
    assert found == what


def test_a_limit_changed_with_its_hash_is_found_by_deciding_again(
    small: Path, tmp_path: Path
) -> None:
    import hashlib

    home = copied(small, tmp_path / "home")
    digest, body = query(home, "SELECT hash, body FROM grounds LIMIT 1")[0]
    other = body.replace('"max_position_bps":1000', '"max_position_bps":1')
    fresh = hashlib.sha256(other.encode()).hexdigest()
    spoil(
        home,
        f"INSERT INTO grounds VALUES ('{fresh}', '{other}')",  # noqa: S608 -- our own rows
        f"UPDATE decisions SET grounds = '{fresh}' WHERE grounds = '{digest}'",  # noqa: S608
    )
    assert first(home) == ("verdict.R10.limit", 1000, 1)


def test_one_byte_of_the_model_is_found(small: Path, tmp_path: Path) -> None:
    home = copied(small, tmp_path / "home")
    (scorer,) = home.glob("models/*/scorer.json")
    content = bytearray(scorer.read_bytes())
    content[len(content) // 2] ^= 1
    scorer.write_bytes(content)
    what, _, now = first(home)
    assert what == "model"
    assert "SHA-256 differs" in now


def test_a_changed_ledger_is_refused_before_anything_is_compared(
    small: Path, tmp_path: Path
) -> None:
    home = copied(small, tmp_path / "home")
    spoil(home, "UPDATE ledger SET amount = amount + 1 WHERE seq = 2")
    ran = cli("verify", "parity", home=home)
    assert ran.code == 10
    assert "does not fit its hash chain" in ran.err


def test_an_order_without_its_decision_is_found(small: Path, tmp_path: Path) -> None:
    home = copied(small, tmp_path / "home")
    spoil(
        home,
        "DELETE FROM decisions WHERE decision_id ="
        " (SELECT max(decision_id) FROM decisions WHERE action = 'order')",
    )
    wrong = {one.what.split(".")[0] for one in parity(home).rows}
    assert "orders" in wrong


# ---- drift


def drifted(home: Path, flags: dict[str, str | None] | None = None) -> DriftResult:
    with opened(home, flags) as ws:
        result = drift(ws)
    assert sum(part.amount for part in result.parts) == result.gap
    return result


def test_daily_trading_on_unchanged_data_does_not_drift(month: Path) -> None:
    result = drifted(month)
    assert result.gap == 0
    assert [part for part in result.parts if part.amount or part.changed] == []


def test_the_parts_add_up_in_a_world_of_everything(world: Path) -> None:
    result = drifted(world)
    parts = {part.name: part for part in result.parts}
    assert parts["timing"].changed > 0  # sessions at which not everything was asked
    assert parts["signal"] == ("signal", 0, 0)
    assert parts["other"] == ("other", 0, 0)


def test_a_revised_bar_is_drift_and_no_difference(month: Path, tmp_path: Path) -> None:
    home = copied(month, tmp_path / "home")
    with opened(home) as ws:
        bars = bar_store.load_bars(ws.db, ws.source, "AAPL", DAILY, last=18)
        raised = _raised(bars.slice(0, 4))
        with immediate(ws.db):
            later = ws.clock.now() + 1
            assert bar_store.save_bars(ws.db, raised, recorded_at=lambda _: later).changed == 4
    assert parity(home).passed
    changed = {part.name for part in drifted(home).parts if part.changed}
    assert changed == {"data revision"}


def _raised(bars: Bars) -> Bars:
    from array import array
    from dataclasses import replace

    names = ("open", "high", "low", "close")
    twice = [array("q", [value * 2 for value in bars.column(name)]) for name in names]
    return replace(bars, open=twice[0], high=twice[1], low=twice[2], close=twice[3])


def test_other_costs_today_are_named_cost(month: Path) -> None:
    result = drifted(month, {"costs.commission_minimum_usd": "3"})
    parts = {part.name: part for part in result.parts}
    assert parts["cost"].amount == 2_000_000 * parts["cost"].changed > 0
    assert result.gap == parts["cost"].amount


def test_each_step_of_drift_takes_one_thing_more_as_it_was(small: Path) -> None:
    with opened(small) as ws:
        past = load_past(ws.db, ws.account)
        rerun = Rerun(ws, past, past.decisions)
        every = rerun.asks(Choices(at_close=True))
        assert all(one.at <= other.at for one, other in pairwise(every))
        assert {ask.like.symbol for ask in every} == set(SYMBOLS)
        assert len(rerun.asks(Choices())) == len(past.decisions)
