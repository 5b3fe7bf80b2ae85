"""A model that passed the gate for its direction only: no size rests on its p(up)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from algotrade.store.database import immediate
from algotrade.store.models import GATE, HAND, PROMOTED, ModelState, save_state
from algotrade.workflows.models import load_model
from cli_helpers import cli, contents, copied, one_clear_line
from verify_world import opened

if TYPE_CHECKING:
    from pathlib import Path

SIZED = "--probability", "10%"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a home whose model was let pass for its direction only."""
    home = tmp_path_factory.mktemp("direction") / "home"
    cli("fetch", "AAPL", home=home).well()
    cli("train", "AAPL", "--model", "logit", "-q", home=home).well()
    say(home, direction_only=True)
    return home


def say(home: Path, *, direction_only: bool, by: str = GATE) -> None:
    """Promote the model, with what the gate said of its probabilities."""
    with opened(home) as ws, immediate(ws.db):
        card = load_model(ws).card
        numbers = {"promoted": True, "direction_only": direction_only}
        state = ModelState(card.id, "sample", PROMOTED, ws.clock.now(), by, "a drill", numbers)
        save_state(ws.db, state)


@pytest.mark.parametrize(
    "words",
    [
        ("trade", "-s", "AAPL"),
        ("trade", "-s", "AAPL", "--dry-run"),
        ("backtest", "AAPL", "--from", "2012-12-01"),
    ],
)
def test_no_size_by_its_probability(made: Path, words: tuple[str, ...]) -> None:
    before = contents(made)
    ran = cli(*words, *SIZED, home=made)
    line = one_clear_line(ran, 2)
    assert "passed the gate for its direction only" in line
    assert "--equity 10%" in ran.err
    assert contents(made) == before


def test_other_sizes_and_other_models_are_free(made: Path, tmp_path: Path) -> None:
    home = copied(made, tmp_path / "home")
    for size in (("--qty", "1"), ("--equity", "5%"), ("--volatility", "1%")):
        cli("trade", "-s", "AAPL", *size, "--dry-run", home=home).well()
    say(home, direction_only=False, by=HAND)
    cli("trade", "-s", "AAPL", *SIZED, "--dry-run", home=home).well()


def test_a_refit_takes_it_over(made: Path, tmp_path: Path) -> None:
    home = copied(made, tmp_path / "home")
    cli("clock", "next", "5", home=home).well()
    ran = cli("train", "AAPL", "--model", "logit", home=home).well()
    assert "promoted as a refit" in ran.err
    assert "direction only" in one_clear_line(cli("trade", "-s", "AAPL", *SIZED, home=home), 2)
