"""Law: a feed that skips what nothing can come of leads to what deciding at every bar leads to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from algotrade.trading import feed
from engine_world import make_world, play, story

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from algotrade.domain.decisions import Policy
    from algotrade.domain.ledger import Stretch
    from algotrade.trading.state import TradingState
    from engine_world import RunJournal

SEEN = {  # what must have happened somewhere in a few hundred worlds for the law to say anything
    *("fill", "split", "dividend", "delisting"),
    *("partial", "filled", "triggered", "expired", "cancelled"),
    *("market", "limit", "stop", "stop-limit", "gtc", "day"),
    *("order", "hold", "refused", "in", "out", "small", "halted"),
    *("halt", "short", "part of a share", "waiting at the end", "skipped"),
}


def difference(seed: int, symbols: int, length: int) -> str | None:
    """Name the first thing that skipping changes in a world, or None."""
    world = make_world(seed, symbols, length)
    skipping, every = (story(*play(world, skip=skip)) for skip in (True, False))
    return next((name for name in every if skipping[name] != every[name]), None)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 5), st.integers(2, 40), st.sampled_from([5, 40, 300]))
def test_skipping_changes_nothing_where_every_rule_is_asked(
    seed: int, symbols: int, length: int, bps: int
) -> None:
    world = make_world(seed, symbols, length)
    limits = world.limits._replace(
        complete=True,
        daily_loss_reduce_bps=bps,
        daily_loss_halt_bps=3 * bps,
        weekly_loss_halt_bps=2 * bps,
        max_unexecuted_bps=10**9,
        cooldown_sessions=seed % 3,
        max_losing_exits=seed % 4,
    )
    world = world._replace(limits=limits)
    skipping, every = (story(*play(world, skip=skip)) for skip in (True, False))
    for name, expected in every.items():
        assert skipping[name] == expected, name


@settings(max_examples=500, deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 6), st.integers(2, 60))
def test_skipping_changes_nothing(seed: int, symbols: int, length: int) -> None:
    assert difference(seed, symbols, length) is None


def test_the_worlds_hold_everything_that_the_law_speaks_of() -> None:
    seen: set[str] = set()
    for seed in range(200):
        world = make_world(seed, 1 + seed % 6, 30)
        every, _ = play(world, skip=False)
        journal, state = play(world, skip=True)
        seen |= set(_happened(journal, state))
        if journal.recorded < every.recorded:
            seen.add("skipped")
    assert seen >= SEEN, SEEN - seen


def _happened(journal: RunJournal, state: TradingState) -> Iterator[str]:
    yield from (entry.kind for entry in journal.entries)
    for order, _, what, _ in journal.events:
        yield from (what, order.type, order.time_in_force)
        if order.quantity % 10**9:
            yield "part of a share"
    for run in journal.runs:
        yield from (run.action, run.code)
    yield from (decision.action for decision in journal.orders)
    yield from ("halt" for _ in journal.halts)
    yield from ("waiting at the end" for _ in state.open_orders)
    yield from ("short" for one in state.portfolio.positions.values() if one.quantity < 0)


def differences() -> set[str | None]:
    return {difference(seed, 1 + seed % 6, 30) for seed in range(200)}


def test_one_bar_skipped_too_many_breaks_the_law(monkeypatch: pytest.MonkeyPatch) -> None:
    true_next = feed._Track.next_bar

    def one_late(track: feed._Track, index: int, state: TradingState, policy: Policy | None) -> int:
        return true_next(track, index, state, policy) + 1

    monkeypatch.setattr(feed._Track, "next_bar", one_late)
    assert differences() >= {"entries", "runs"}


def test_a_halt_that_is_skipped_breaks_the_law(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_: feed.Market, stretch: Stretch, *__: object) -> Stretch:
        return stretch

    monkeypatch.setattr(feed.Market, "_until_halt", none)
    assert "halts" in differences()


def test_a_first_speaker_that_is_skipped_breaks_the_law(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed.Market, "first_speaker", lambda *_: None)
    assert "halts" in {difference(seed, 3, 7) for seed in range(680, 700)} | differences()


def test_a_stance_that_wavers_under_a_halt_breaks_the_law(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed._Track, "_wavers", lambda *_: False)
    assert "runs" in differences()
