"""Break one file at one place after another, and see which breaks its tests do not notice.

python tests/campaigns/mutate.py --file src/algotrade/trading/risk.py \
    --tests tests/test_trading_rules.py tests/test_trading_risk.py --out mutate_risk.json

A mutant changes one comparison, operator, constant, condition or returned value. It lives in a copy
of the checkout, and the tests are run against it in a process of their own, stopped at the first
failure. Without a change the tests must pass; the control, whose heart does nothing, must fail.
Properties are drawn without chance and not shrunk, so that a run repeats.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import importlib.util
import json
import os
import platform
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import hypothesis
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parents[2]
COPIED = ("src", "tests", "docs", "pyproject.toml", "algotrade.toml")
TOLD = "told.txt"  # what pytest says, in the copy
ELSEWHERE = 70  # how a child ends that would have tested another copy of the program
MEMORY = 4 << 30

SWAPPED: dict[type, tuple[type, ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.FloorDiv,),
    ast.FloorDiv: (ast.Mult,),
    ast.Mod: (ast.Mult,),
    ast.Pow: (ast.Mult,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
}
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}

CONTROLS = {  # function and its whole body: a check that lets all pass, a ledger that stands still
    "src/algotrade/trading/risk.py": (
        "check_order",
        "return RiskVerdict(FIRST_IDS, (0,) * len(FIRST), (0,) * len(FIRST), _ALL_PASS)",
    ),
    "src/algotrade/domain/ledger.py": ("apply", "return portfolio"),
}


class Mutant(NamedTuple):
    """The file with one change."""

    line: int
    change: str
    source: str


def mutants(source: str) -> Iterator[Mutant]:
    """Give every mutant of a file, in the order of its tree."""
    tree = ast.parse(source)
    for holder, name, place, node in list(_places(tree)):
        for other in _others(node):
            _put(holder, name, place, other)
            change = f"{ast.unparse(node)} -> {ast.unparse(other)}"
            yield Mutant(node.lineno, change, ast.unparse(tree))
            _put(holder, name, place, node)


def _places(node: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, Any]]:
    """Give each statement and expression that runs, with where it hangs."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        children = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
        for place, child in children:
            if not isinstance(child, ast.AST) or _is_silent(child):
                continue
            if isinstance(child, ast.expr | ast.stmt):
                yield node, name, place, child
            yield from _places(child)


def _is_silent(node: ast.AST) -> bool:
    """Tell docstrings, and what only type checkers read."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _put(holder: ast.AST, name: str, place: int | None, node: ast.AST) -> None:
    if place is None:
        setattr(holder, name, node)
    else:
        getattr(holder, name)[place] = node


def _others(node: ast.AST) -> Iterator[Any]:
    """Give what could stand there by mistake."""
    match node:
        case ast.Compare():
            for at, op in enumerate(node.ops):
                for swap in SWAPPED[type(op)]:
                    ops = [*node.ops[:at], swap(), *node.ops[at + 1 :]]
                    yield ast.Compare(node.left, ops, node.comparators)
        case ast.BinOp() | ast.AugAssign() | ast.BoolOp():
            for swap in SWAPPED.get(type(node.op), ()):
                other = copy.copy(node)
                other.op = swap()
                yield other
        case ast.Constant(value=bool() | int() | str()):
            yield ast.Constant(_another(node.value))
        case _:
            yield from _other_paths(node)


def _another(value: Any) -> Any:  # noqa: ANN401  of whatever kind the file has
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else f"{value}x"


def _other_paths(node: ast.AST) -> Iterator[Any]:
    """Give another sign, branch, function or result."""
    match node:
        case ast.UnaryOp():
            yield node.operand
        case ast.IfExp():
            yield ast.IfExp(node.test, node.orelse, node.body)
        case ast.Call(func=ast.Name(id=name)) if name in NAMES:
            yield ast.Call(ast.Name(NAMES[name]), node.args, node.keywords)
        case ast.Return(value=value) if value is not None and ast.unparse(value) != "None":
            yield ast.Return(ast.Constant(None))


def control(source: str, function: str, body: str) -> Mutant:
    """Give the file with a function that does its work no longer."""
    tree = ast.parse(source)
    found = next(
        one for one in tree.body if isinstance(one, ast.FunctionDef) and one.name == function
    )
    found.body = ast.parse(body).body
    return Mutant(found.lineno, f"{function}: {body}", ast.unparse(tree))


class Bench:
    """A copy of the checkout in which one file changes and its tests are run."""

    def __init__(self, folder: Path, file: str, tests: Sequence[str]) -> None:
        """Copy what the tests read, compiled as it is, all but the file."""
        self.folder, self.tests, self.at_most = folder, tests, 0
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name)
            else:
                shutil.copy(ROOT / name, folder / name)
        self.file = folder / file
        self.source = self.file.read_text(encoding="utf-8")
        for compiled in (self.file.parent / "__pycache__").glob(f"{self.file.stem}.*"):
            compiled.unlink()

    def end(self, source: str) -> int:
        """Run the tests with this source; give the exit code, negative for a signal."""
        self.file.write_text(source, encoding="utf-8")
        child = os.fork()
        if child == 0:
            code = ELSEWHERE
            try:
                code = self._child()
            except BaseException:  # noqa: BLE001  the parent reads it in what the child told
                traceback.print_exc()
            finally:
                os._exit(code)  # whatever happened, the child ends here
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def _child(self) -> int:
        """Run pytest on the copy, silently, for a limited time."""
        told = os.open(self.folder / TOLD, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(told, stream)
        signal.alarm(self.at_most)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.RLIM_INFINITY))
        os.chdir(self.folder)
        sys.path[:0] = [str(self.folder / "src"), str(self.folder / "tests")]
        sys.dont_write_bytecode = self.at_most > 0  # the first run leaves its rewritten tests
        found = importlib.util.find_spec("algotrade")
        if found is None or not str(found.origin).startswith(str(self.folder)):
            return ELSEWHERE
        quiet = "-Wignore::pytest.PytestAssertRewriteWarning"  # hypothesis is here already
        return int(pytest.main(["-q", "-x", quiet, *self.tests]))

    def is_killed(self, mutant: Mutant) -> tuple[bool, bool]:
        """Tell whether the tests notice, and whether only because they would not end."""
        code = self.end(mutant.source)
        if code in (ELSEWHERE, pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED):
            raise SystemExit(f"the tests could not be run: exit {code} with {mutant.change}")
        return code != 0, code == -signal.SIGALRM


@contextlib.contextmanager
def bench(file: str, tests: Sequence[str]) -> Iterator[Bench]:
    """Give a bench on which the tests of the unchanged file pass."""
    profile = hypothesis.settings(
        derandomize=True,
        database=None,
        phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
    )
    hypothesis.settings.register_profile("mutate", profile)
    hypothesis.settings.load_profile("mutate")
    with tempfile.TemporaryDirectory(prefix="mutate_") as folder:
        made = Bench(Path(folder).resolve(), file, tests)
        began = time.monotonic()
        if code := made.end(ast.unparse(ast.parse(made.source))):
            told = (made.folder / TOLD).read_text(encoding="utf-8")
            raise SystemExit(f"{told[-2000:]}\nthe tests fail without a change: exit {code}")
        made.at_most = 30 + round(4 * (time.monotonic() - began))
        yield made


def campaign(
    file: str, tests: Sequence[str], *, sites: int | None, seed: int, lines: Sequence[int] = ()
) -> dict[str, Any]:
    """Try the control, and as many mutants as asked, drawn by the seed; None tries all."""
    began, ends, alive = time.monotonic(), Counter[str](), []
    with bench(file, tests) as running:
        broken = control(running.source, *CONTROLS[file]) if file in CONTROLS else None
        control_killed = running.is_killed(broken)[0] if broken else None
        everyone = list(mutants(running.source))
        chosen = [one for one in everyone if not lines or one.line in lines]
        random.Random(seed).shuffle(chosen)  # noqa: S311  which to try, not a secret
        for mutant in chosen[:sites]:
            killed, endless = running.is_killed(mutant)
            ends["endless" if endless else "killed" if killed else "alive"] += 1
            if not killed:
                alive.append(mutant)
                sys.stderr.write(f"alive: {mutant.line}: {mutant.change}\n")
    return {
        "campaign": "mutate",
        "file": file,
        "tests": list(tests),
        "seed": seed,
        "mutants": len(everyone),
        "tried": ends.total(),
        "killed": ends["killed"] + ends["endless"],
        "endless": ends["endless"],
        "control_killed": control_killed,
        "alive": sorted(f"{one.line}: {one.change}" for one in alive),
        "seconds": round(time.monotonic() - began, 1),
        "versions": {
            "python": platform.python_version(),
            "pytest": pytest.__version__,
            "hypothesis": hypothesis.__version__,
        },
    }


def main() -> int:
    """Run the campaign; 1 where the control lives or less than nine of ten are killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", required=True)
    parser.add_argument("--tests", nargs="+", required=True)
    parser.add_argument("--sites", "--trials", type=int, help="so many mutants; all by default")
    parser.add_argument("--lines", type=int, nargs="+", default=(), help="only those of these")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    result = campaign(
        asked.file, asked.tests, sites=asked.sites, seed=asked.seed, lines=asked.lines
    )
    text = json.dumps(result, indent=2)
    if asked.out:
        asked.out.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(text + "\n")
    enough = result["killed"] * 10 >= result["tried"] * 9
    return 0 if enough and result["control_killed"] is not False else 1


if __name__ == "__main__":
    sys.exit(main())
