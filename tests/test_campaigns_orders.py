"""Short forms of the campaigns on orders: kills, equal intents, schedules; each control fails."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from campaigns import equal_intents, kill_trade, simulate_orders

if TYPE_CHECKING:
    from pathlib import Path

AT_ALPACA = pytest.mark.skipif(find_spec("alpaca") is None, reason="needs algotrade[alpaca]")


def test_seeded_schedules_lose_and_double_nothing_and_repeat_bit_for_bit() -> None:
    result = simulate_orders.campaign(150, 7, repeat_every=10)
    assert result["first"] == []
    assert (result["schedules"], result["unequal"]) == (150, 0)
    assert result["seen"]["deaths"] > 50
    assert result["seen"]["executions"] > 50


def test_the_schedules_see_a_key_that_is_made_too_late() -> None:
    assert simulate_orders.campaign(60, 7, key_at_call=True)["breaches"] > 5


@AT_ALPACA
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # it forks, and means to
def test_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    with kill_trade.bench(tmp_path, 5) as running:
        while running.result.kills < 8:
            running.trial()
    assert running.result.wrong == []


@AT_ALPACA
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_the_kills_see_a_key_that_is_made_too_late(tmp_path: Path) -> None:
    with kill_trade.bench(tmp_path, 5, key_at_call=True) as running:
        while not running.result.wrong and running.result.trials < 25:
            running.trial()
    assert running.result.wrong


@AT_ALPACA
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_equal_intents_at_once_are_one_order() -> None:
    result = equal_intents.campaign(2, 3, at_once=8)
    assert (result["orders"], result["first"]) == (2, [])
    assert result["ends"] == {"0": 2 * 8}


@AT_ALPACA
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_equal_intents_see_a_program_that_forgets_what_was_asked() -> None:
    assert equal_intents.campaign(1, 3, at_once=4, broken=True)["orders"] > 1


@AT_ALPACA
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize(("room", "placed"), [(3.5, 3), (20.0, 8)])
def test_of_competing_intents_as_many_pass_as_there_is_room_for(
    tmp_path: Path, room: float, placed: int
) -> None:
    with kill_trade.bench(tmp_path, 9) as running:
        ordered, codes = equal_intents.competing(running, at_once=8, room=room)
    assert ordered == [1.0] * placed
    assert sorted(codes) == [0] * placed + [3] * (8 - placed)  # the others are refused by risk
