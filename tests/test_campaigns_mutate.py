"""Mutation: which changes are made to a file; a check that lets all pass is seen by its tests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from campaigns import mutate

SOURCE = '''"""Words."""
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import one

def least(a: int = 2, *, on: bool = True) -> str | None:
    """Say it."""
    if a < 3 and not on:
        return f"x{-a}"
    return "low" if a in (1,) else None
'''
CHANGES = [
    (6, "2 -> 3"),
    (6, "True -> False"),
    (8, "a < 3 and (not on) -> a < 3 or not on"),
    (8, "a < 3 -> a <= 3"),
    (8, "a < 3 -> a >= 3"),
    (8, "3 -> 4"),
    (8, "not on -> on"),
    (9, "return f'x{-a}' -> return None"),
    (9, "'x' -> 'xx'"),
    (9, "-a -> a"),
    (10, "return 'low' if a in (1,) else None -> return None"),
    (10, "'low' if a in (1,) else None -> None if a in (1,) else 'low'"),
    (10, "a in (1,) -> a not in (1,)"),
    (10, "1 -> 2"),
    (10, "'low' -> 'lowx'"),
]


def test_each_mutant_has_one_change_and_no_docstring_or_type_has_any() -> None:
    made = list(mutate.mutants(SOURCE))
    assert sorted((one.line, one.change) for one in made) == sorted(CHANGES)
    assert len({one.source for one in made}) == len(made)
    whole = mutate.control(SOURCE, "least", "return 'all'").source
    assert whole.endswith("def least(a: int=2, *, on: bool=True) -> str | None:\n    return 'all'")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tests", "killed"),
    [("tests/test_trading_risk.py", True), ("tests/test_domain_money.py", False)],
)
def test_a_check_that_lets_all_pass_is_killed_by_its_own_tests_only(
    tmp_path: Path,
    tests: str,
    killed: bool,  # noqa: FBT001  a case
) -> None:
    out = tmp_path / "result.json"
    asked = ("--file", "src/algotrade/trading/risk.py", "--tests", tests, "--sites", "0")
    command = (sys.executable, str(Path(mutate.__file__)), *asked, "--out", str(out))
    ended = subprocess.run(command, capture_output=True, check=False)
    assert ended.returncode == (0 if killed else 1), ended.stderr.decode()
    result: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    assert (result["control_killed"], result["tried"]) == (killed, 0)
