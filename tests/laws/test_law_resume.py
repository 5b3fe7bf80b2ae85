"""Law: replay(a + b) is b applied to replay(a), wherever the ledger is cut, and `until` is a cut."""

from __future__ import annotations

import copy

from hypothesis import given, settings
from hypothesis import strategies as st

from algotrade.domain.ledger import apply, replay
from laws_ledger import Step, histories, play


@settings(max_examples=80, deadline=None)
@given(histories, st.data())
def test_a_cut_anywhere_changes_nothing(history: list[Step], data: st.DataObject) -> None:
    entries, _ = play(history)
    cut = data.draw(st.integers(0, len(entries)))
    resumed = replay(entries[:cut])
    before = copy.deepcopy(resumed)
    after = resumed
    for entry in entries[cut:]:
        after = apply(after, entry)
    assert after == replay(entries)
    assert resumed == before  # applying never changes the portfolio it starts from


@settings(max_examples=80, deadline=None)
@given(histories, st.integers(-1, 26))
def test_until_includes_its_instant_and_nothing_later(history: list[Step], until: int) -> None:
    entries, _ = play(history)  # entry number n is effective at n
    assert replay(entries, until=until) == replay([e for e in entries if e.ts < until + 1])


@settings(max_examples=80, deadline=None)
@given(histories)
def test_a_cut_inside_one_instant_is_a_cut_all_the_same(history: list[Step]) -> None:
    entries, book = play(history)
    portfolio = replay(iter(entries))
    assert portfolio.cash == book.cash
    assert replay(entries[:0]).cash == 0
