"""The laws of the house, read off the source with `ast`: who may import, call and contain what.

A rule is a function from one module to the sentences that say what is wrong with it. Every rule
is run over every module of the package, and over snippets that it must, and must not, find wrong.
"""

from __future__ import annotations

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

import algotrade.errors
from algotrade.errors import AlgotradeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "algotrade"

BOTTOM = {"bars", "clock", "config", "export", "measures", "own_code", "settings", "values"}
ROOMS = {"broker", "market", "learning", "trading", "portfolio", "store"}
_GROUND = {"errors", "record", "domain", *BOTTOM}
_ALL = {*_GROUND, *ROOMS, "workflows"}
MAY_IMPORT = {
    "errors": set[str](),
    "record": set[str](),
    "domain": {"errors", "record"},
    **dict.fromkeys(BOTTOM, _GROUND),
    **dict.fromkeys(ROOMS, _GROUND),
    "workflows": _ALL,
    "cli": {*_GROUND, "workflows"},
    "__init__": _ALL,  # the Python API
    "__main__": {"cli"},
}

# a library, and the modules that may import it; `.` separates, so `learning\..+` is a room
LIBRARIES = {
    "typer": r"cli\..+",
    "rich": r"cli\..+",
    "polygon": r"market\.polygon\w*",
    "urllib3": r"market\..+|broker\.alpaca\w*",
    "alpaca": r"broker\.alpaca\w*",
    "requests": r"broker\.alpaca\w*",
    "exchange_calendars": r"market\.calendar",
    "sqlite3": r"store\..+",
    "sqlite_utils": r"store\..+",
    "sklearn": r"learning\..+",
    "joblib": r"learning\..+|workflows\.\w+",  # and one workflow at most: see fan_outs
    "pandas": r"learning\..+|\w+\.export\w*|bars|__init__",
    "time": r"clock",
    "random": r"(?!domain|trading).+",
    "secrets": r"(?!domain|trading).+",
    "uuid": r"(?!domain|trading).+",
    **dict.fromkeys(("pickle", "marshal", "shelve", "dill", "cloudpickle"), r"learning\.registry"),
}

# a dotted name as written or imported, and the modules that may use it
NAMES = {
    r"os\.(environb?|getenv|putenv)": r"config",
    r"(.+\.)?(datetime|date|Timestamp)\.(now|utcnow|today)": r"clock",
    r"(.+\.)?random\..+": r"(?!domain|trading).+",
    r"(np|numpy)\.random\.(?!default_rng$|Generator$|SeedSequence$).+": r"(?!.)",
    r"random\.(?!Random$).+": r"(?!.)",
    r"os\.(system|popen|exec\w+|spawn\w+)": r"(?!.)",
    r"eval|exec|compile|__import__": r"(?!.)",
    r"print|input": r"cli\..+",
    r"joblib\.load": r"learning\.registry",
}

HEAVY = {
    *("numpy", "pandas", "scipy", "sklearn", "joblib", "sqlite_utils"),
    *("exchange_calendars", "polygon", "urllib3", "alpaca", "requests"),
}

_SQL = re.compile(
    r"\s*(?:(?:SELECT|INSERT|UPDATE|DELETE|CREATE|BEGIN|PRAGMA|ALTER|DROP|COMMIT|ROLLBACK)\b"
    r"|(?i:select\b.+\bfrom|insert\s+(or\s+\w+\s+)?into|update\s+\w+\s+set|delete\s+from"
    r"|create\s+(unique\s+|temp\s+)?(table|index|view|trigger)|pragma\s+\w+)\b)",
    re.DOTALL,
)


class Module(NamedTuple):
    name: str  # dotted, without the package: market.sample, market.__init__, __main__
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        return self.name.split(".")[0]


class Import(NamedTuple):
    target: str  # dotted, with the imported name: algotrade.errors.DataError
    line: int
    lazy: bool  # inside a function
    typing: bool  # inside `if TYPE_CHECKING`


def parse(name: str, text: str) -> Module:
    return Module(name, text, ast.parse(text))


def package() -> list[Module]:
    return [
        parse(".".join(path.relative_to(PACKAGE).with_suffix("").parts), path.read_text("utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
    ]


def imports(node: ast.AST, *, lazy: bool = False, typing: bool = False) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Import(names=names):
                yield from (Import(a.name, child.lineno, lazy, typing) for a in names)
            case ast.ImportFrom(module=source, names=names, level=level):
                base = "." * level + (source or "")
                yield from (Import(f"{base}.{a.name}", child.lineno, lazy, typing) for a in names)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                yield from imports(child, lazy=True, typing=typing)
            case ast.If(test=ast.Name(id="TYPE_CHECKING"), body=body, orelse=other):
                yield from imports(ast.Module(body, []), lazy=lazy, typing=True)
                yield from imports(ast.Module(other, []), lazy=lazy, typing=typing)
            case _:
                yield from imports(child, lazy=lazy, typing=typing)


def dotted(node: ast.AST) -> str | None:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            base = dotted(value)
            return f"{base}.{attr}" if base else None
    return None


def names(module: Module) -> Iterator[tuple[int, str]]:
    """Give each attribute chain, called name and imported name with its line."""
    for node in ast.walk(module.tree):
        used = node.func if isinstance(node, ast.Call) else node
        if isinstance(used, ast.Attribute) or isinstance(node, ast.Call):
            name = dotted(used)
            if name:
                yield getattr(used, "lineno", 0), name
    yield from ((found.line, found.target) for found in imports(module.tree))


def strings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Give each string with its line, `?` for what an f-string fills in; docstrings left out."""
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if id(node) not in told:
                yield node.lineno, text
            case ast.JoinedStr(values=parts):
                yield (
                    node.lineno,
                    "".join(str(p.value) if isinstance(p, ast.Constant) else "?" for p in parts),
                )


# ---- the rules


def imports_run_downhill(module: Module) -> Iterator[str]:
    if module.room not in MAY_IMPORT:
        yield f"{module.name}: {module.room} is no room of the house"
        return
    allowed = MAY_IMPORT[module.room] | {module.room, "__version__"}
    for found in imports(module.tree):
        if found.target.startswith("."):
            yield f"{module.name}:{found.line} imports by a relative name"
        if not found.target.startswith("algotrade."):
            continue
        room = found.target.split(".")[1]
        drawn = module.room == "cli" and found.typing and room in ROOMS  # a view names its type
        if room not in allowed and not drawn:
            yield f"{module.name}:{found.line} imports {room} uphill or sideways"


def libraries_stay_in_their_room(module: Module) -> Iterator[str]:
    for found in imports(module.tree):
        library = found.target.split(".")[0]
        handed_on = module.room == "workflows" and found.typing  # it names what it passes along
        if not handed_on and not re.fullmatch(LIBRARIES.get(library, ".*"), module.name):
            yield f"{module.name}:{found.line} imports {library}"


def names_stay_in_their_room(module: Module) -> Iterator[str]:
    for line, name in sorted(set(names(module))):
        for pattern, where in NAMES.items():
            if re.fullmatch(pattern, name) and not re.fullmatch(where, module.name):
                yield f"{module.name}:{line} uses {name}"


def heavy_libraries_are_imported_late(module: Module) -> Iterator[str]:
    for found in imports(module.tree):
        if found.target.split(".")[0] in HEAVY and not (found.lazy or found.typing):
            yield f"{module.name}:{found.line} imports {found.target} when it is itself imported"


def sql_is_only_in_the_store(module: Module) -> Iterator[str]:
    if module.room == "store":
        return
    for line, text in strings(module.tree):
        if _SQL.match(text):
            yield f"{module.name}:{line} holds SQL: {text[:40]!r}"


def modules_begin_with_a_docstring(module: Module) -> Iterator[str]:
    if not (ast.get_docstring(module.tree) or "").strip():
        yield f"{module.name} does not say what it is for"


def files_and_functions_are_small(module: Module) -> Iterator[str]:
    if (lines := len(module.text.splitlines())) > 400:
        yield f"{module.name} has {lines} lines"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > 60:
                yield f"{module.name}:{node.lineno} {node.name} has {lines} lines"


def dataclasses_are_frozen(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        for decorator in getattr(node, "decorator_list", []):
            call = decorator if isinstance(decorator, ast.Call) else None
            if dotted(call.func if call else decorator) in {"dataclass", "dataclasses.dataclass"}:
                options = call.keywords if call else []
                if not any(o.arg == "frozen" and _is_true(o.value) for o in options):
                    yield f"{module.name}:{decorator.lineno} a dataclass is not frozen"


def no_call_is_unsafe_or_unseeded(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Call):
            continue
        if any(k.arg == "shell" and not _is_false(k.value) for k in node.keywords):
            yield f"{module.name}:{node.lineno} calls a shell"
        function = (dotted(node.func) or "").rpartition(".")[2]
        if function in {"default_rng", "Random"} and not (node.args or node.keywords):
            yield f"{module.name}:{node.lineno} draws without a seed"


def exceptions_form_one_tree(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef) and module.name != "errors":
            bases = {(dotted(base) or "").rpartition(".")[2] for base in node.bases}
            raised = any(re.fullmatch(r"(Base)?Exception|\w+(Error|Warning)", b) for b in bases)
            private = node.name.startswith("_") and not bases & {"AlgotradeError", *true_tree()}
            if raised and not private:  # a private one never leaves its file
                yield f"{module.name}:{node.lineno} {node.name} belongs into errors.py"


def _is_true(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


def _is_false(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


RULES: list[Callable[[Module], Iterator[str]]] = [
    imports_run_downhill,
    libraries_stay_in_their_room,
    names_stay_in_their_room,
    heavy_libraries_are_imported_late,
    sql_is_only_in_the_store,
    modules_begin_with_a_docstring,
    files_and_functions_are_small,
    dataclasses_are_frozen,
    no_call_is_unsafe_or_unseeded,
    exceptions_form_one_tree,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_house(rule: Callable[[Module], Iterator[str]]) -> None:
    assert [wrong for module in package() for wrong in rule(module)] == []


LATE = "def f() -> None:\n    "
TYPES = "if TYPE_CHECKING:\n    "
WRONG = [
    (imports_run_downhill, "domain.money", "from algotrade.bars import Bars"),
    (imports_run_downhill, "bars", "from algotrade.market import calendar"),
    (imports_run_downhill, "errors", "import algotrade.domain.money"),
    (imports_run_downhill, "market.sample", "from algotrade.store.bars import save"),
    (imports_run_downhill, "trading.risk", TYPES + "from algotrade.learning import predictor"),
    (imports_run_downhill, "portfolio.equity", LATE + "import algotrade.trading.state"),
    (imports_run_downhill, "workflows.trade", "from algotrade.cli.views import show"),
    (imports_run_downhill, "workflows.trade", "import algotrade.cli"),
    (imports_run_downhill, "cli.trade", "from algotrade.store import journal"),
    (imports_run_downhill, "cli.trade", LATE + "from algotrade.market import sample"),
    (imports_run_downhill, "__init__", "from algotrade.cli.main import run"),
    (imports_run_downhill, "market.sample", "from .source import Span"),
    (imports_run_downhill, "utils.misc", "import os"),
    (libraries_stay_in_their_room, "workflows.fetch", "import typer"),
    (libraries_stay_in_their_room, "portfolio.report", LATE + "from rich.table import Table"),
    (libraries_stay_in_their_room, "market.files", LATE + "from polygon import RESTClient"),
    (libraries_stay_in_their_room, "workflows.trade", "import sqlite3"),
    (libraries_stay_in_their_room, "workflows.train", LATE + "from sklearn import ensemble"),
    (libraries_stay_in_their_room, "trading.session", LATE + "import joblib"),
    (libraries_stay_in_their_room, "market.quality", TYPES + "import pandas as pd"),
    (libraries_stay_in_their_room, "trading.session", "import time"),
    (libraries_stay_in_their_room, "config", "from time import time_ns"),
    (libraries_stay_in_their_room, "trading.broker", "import random"),
    (libraries_stay_in_their_room, "domain.orders", "from uuid import uuid4"),
    (libraries_stay_in_their_room, "learning.predictor", "import pickle"),
    (names_stay_in_their_room, "cli.main", "import os\nhome = os.environ['HOME']"),
    (names_stay_in_their_room, "market.polygon", "from os import getenv"),
    (names_stay_in_their_room, "trading.session", "import datetime\nx = datetime.datetime.now()"),
    (names_stay_in_their_room, "portfolio.lots", "from datetime import date\nx = date.today()"),
    (names_stay_in_their_room, "learning.dataset", LATE + "return pd.Timestamp.now()"),
    (names_stay_in_their_room, "trading.broker", LATE + "return np.random.default_rng(7)"),
    (names_stay_in_their_room, "learning.splits", LATE + "np.random.seed(7)"),
    (names_stay_in_their_room, "learning.splits", "import random\nrandom.shuffle([])"),
    (names_stay_in_their_room, "workflows.fetch", "print('fetched')"),
    (names_stay_in_their_room, "config", "eval('1')"),
    (names_stay_in_their_room, "workflows.demo", "import os\nos.system('true')"),
    (names_stay_in_their_room, "learning.training", LATE + "return joblib.load(path)"),
    (heavy_libraries_are_imported_late, "bars", "import numpy as np"),
    (heavy_libraries_are_imported_late, "learning.a", "class A:\n    import pandas"),
    (
        heavy_libraries_are_imported_late,
        "learning.a",
        "try:\n    from sklearn import svm\nfinally: 0",
    ),
    (heavy_libraries_are_imported_late, "store.a", TYPES + "pass\nelse:\n    import sqlite_utils"),
    (sql_is_only_in_the_store, "workflows.status", "q = 'SELECT 1'"),
    (sql_is_only_in_the_store, "workflows.status", "q = f'''\n  select {x} from bars'''"),
    (sql_is_only_in_the_store, "market.files", "db.execute('PRAGMA user_version')"),
    (sql_is_only_in_the_store, "cli.main", "q = 'insert or ignore into bars values (1)'"),
    (sql_is_only_in_the_store, "trading.session", "begin = 'BEGIN IMMEDIATE'"),
    (modules_begin_with_a_docstring, "market.files", "x = 1"),
    (modules_begin_with_a_docstring, "market.files", "''"),
    (files_and_functions_are_small, "market.files", "x = 1\n" * 401),
    (files_and_functions_are_small, "market.files", "def f():\n" + "    x = 1\n" * 60),
    (dataclasses_are_frozen, "domain.a", "@dataclass\nclass A: ..."),
    (dataclasses_are_frozen, "domain.a", "@dataclass(slots=True)\nclass A: ..."),
    (dataclasses_are_frozen, "domain.a", "@dataclasses.dataclass(frozen=False)\nclass A: ..."),
    (no_call_is_unsafe_or_unseeded, "workflows.a", "subprocess.run('x', shell=True)"),
    (no_call_is_unsafe_or_unseeded, "workflows.a", "subprocess.run('x', shell=how)"),
    (no_call_is_unsafe_or_unseeded, "learning.a", "np.random.default_rng()"),
    (no_call_is_unsafe_or_unseeded, "learning.a", "random.Random()"),
    (exceptions_form_one_tree, "store.a", "class Gone(DataError): ..."),
    (exceptions_form_one_tree, "store.a", "class Gone(Exception): ..."),
    (exceptions_form_one_tree, "store.a", "class _Gone(errors.DataError): ..."),
]
RIGHT = [
    (imports_run_downhill, "workflows.trade", "from algotrade.store import journal"),
    (imports_run_downhill, "market.sample", "from algotrade.market.source import Span"),
    (imports_run_downhill, "store.journal", "from algotrade import __version__"),
    (imports_run_downhill, "cli.views", TYPES + "from algotrade.portfolio.report import Report"),
    (libraries_stay_in_their_room, "market.polygon_http", LATE + "from polygon import RESTClient"),
    (libraries_stay_in_their_room, "workflows.export", LATE + "import pandas as pd"),
    (libraries_stay_in_their_room, "workflows.context", TYPES + "import sqlite3"),
    (libraries_stay_in_their_room, "bars", "from datetime import time"),
    (names_stay_in_their_room, "config", "import os\nhome = os.environ['HOME']"),
    (names_stay_in_their_room, "trading.session", "now = clock.now()"),
    (names_stay_in_their_room, "domain.symbols", "import re\nplain = re.compile('a')"),
    (names_stay_in_their_room, "learning.splits", LATE + "return np.random.default_rng(seed)"),
    (heavy_libraries_are_imported_late, "bars", TYPES + "import numpy as np"),
    (heavy_libraries_are_imported_late, "bars", LATE + "import numpy as np"),
    (sql_is_only_in_the_store, "store.bars", "q = 'SELECT 1'"),
    (sql_is_only_in_the_store, "cli.sql", "'''Select rows from a view.'''\nx = 'Update the store'"),
    (files_and_functions_are_small, "market.files", "x = 1\n" * 400),
    (dataclasses_are_frozen, "domain.a", "@dataclass(frozen=True)\nclass A: ..."),
    (no_call_is_unsafe_or_unseeded, "learning.a", "np.random.default_rng(seed)"),
    (exceptions_form_one_tree, "store.a", "class Journal(Protocol): ..."),
    (exceptions_form_one_tree, "store.a", "class _Skip(ValueError): ..."),
]


@pytest.mark.parametrize(("rule", "name", "text"), WRONG)
def test_a_rule_finds_what_is_wrong(
    rule: Callable[[Module], Iterator[str]], name: str, text: str
) -> None:
    assert list(rule(parse(name, text)))


@pytest.mark.parametrize(("rule", "name", "text"), RIGHT)
def test_a_rule_leaves_alone_what_is_right(
    rule: Callable[[Module], Iterator[str]], name: str, text: str
) -> None:
    assert list(rule(parse(name, text))) == []


def test_every_rule_can_fail() -> None:
    assert {rule for rule, _, _ in WRONG} == set(RULES)


# ---- what only the whole package can show


def import_cycle(modules: Iterable[Module]) -> list[str]:
    """Give one cycle of imports, or nothing; late imports count, those for types do not."""
    known = {module.name: module for module in modules}
    graph = {
        name: {home for found in imports(module.tree) if (home := _home(found, known)) != name}
        for name, module in known.items()
    }
    try:
        TopologicalSorter({name: homes - {""} for name, homes in graph.items()}).prepare()
    except CycleError as error:
        return [str(name) for name in error.args[1]]
    return []


def _home(found: Import, known: dict[str, Module]) -> str:
    """Give the module of ours that an import reads, or the empty name."""
    first, *parts = found.target.split(".")
    if first != "algotrade" or found.typing or parts == ["__version__"]:
        return ""
    for stop in range(len(parts), -1, -1):
        for name in (".".join(parts[:stop]), ".".join([*parts[:stop], "__init__"])):
            if name in known:
                return name
    return ""


def fan_outs(modules: Iterable[Module]) -> list[str]:
    """Give the workflows that import joblib."""
    return [
        module.name
        for module in modules
        if module.room == "workflows"
        and any(found.target.split(".")[0] == "joblib" for found in imports(module.tree))
    ]


def test_no_import_cycle() -> None:
    assert import_cycle(package()) == []


def test_an_import_cycle_is_found() -> None:
    circle = [
        parse("market.a", "from algotrade.market import b"),
        parse("market.b", LATE + "from algotrade.market.c import d"),
        parse("market.c", "import algotrade.market.a"),
    ]
    assert set(import_cycle(circle)) == {"market.a", "market.b", "market.c"}
    assert import_cycle(circle[:2]) == []
    assert (
        import_cycle([parse("a", TYPES + "import algotrade.b"), parse("b", "import algotrade.a")])
        == []
    )


def test_one_workflow_at_most_fans_out() -> None:
    assert len(fan_outs(package())) <= 1
    assert fan_outs([parse("workflows.search", LATE + "import joblib")]) == ["workflows.search"]


def test_all_rooms_are_seen() -> None:
    assert {module.room for module in package()} >= {"errors", "domain", "bars", *ROOMS, "cli"}


# ---- the tree of errors and the table of exit codes


class Leaf(NamedTuple):
    parent: str
    exit_code: int


def told_tree(docstring: str) -> dict[str, Leaf]:
    """Read `Name  code  meaning` lines, indented below their parent, from a docstring."""
    found: dict[str, Leaf] = {}
    above: list[tuple[int, str]] = [(0, "AlgotradeError")]
    for indent, name, code in re.findall(r"^( +)(\w+) +(\d+) {2,}\S", docstring, re.MULTILINE):
        while above[-1][0] >= len(indent):
            above.pop()
        found[name] = Leaf(above[-1][1], int(code))
        above.append((len(indent), name))
    return found


def true_tree(base: type[AlgotradeError] = AlgotradeError) -> dict[str, Leaf]:
    found: dict[str, Leaf] = {}
    for child in base.__subclasses__():
        if child.__module__ != algotrade.errors.__name__:
            continue  # a test's own; those of the package are found by exceptions_form_one_tree
        found[child.__name__] = Leaf(base.__name__, child.exit_code)
        found |= true_tree(child)
    return found


def exit_codes(markdown: str) -> set[int]:
    """Read the codes of the table whose first column is called `code`."""
    table = re.search(r"^\| *code *\|.*\n\|[-| :]+\n((?:\|.*\n?)+)", markdown, re.MULTILINE)
    cells = re.findall(r"^\|([^|]+)\|", table[1], re.MULTILINE) if table else []
    return {int(code) for cell in cells for code in re.findall(r"\d+", cell)}


def defined_codes() -> set[int]:
    constants = vars(algotrade.errors).items()
    named = {value for name, value in constants if name.startswith("EXIT_")}
    return named | {leaf.exit_code for leaf in true_tree().values()}


def test_the_docstring_of_errors_is_the_tree() -> None:
    told = told_tree(algotrade.errors.__doc__ or "")
    assert told == true_tree()
    assert len(told) > 10


def test_a_docstring_that_lies_is_found() -> None:
    docstring = algotrade.errors.__doc__ or ""
    lies = [
        docstring.replace("DataError               5", "DataError               6"),
        docstring.replace("        SecretError", "    SecretError"),
        docstring.replace("    DiskError", "    DriveError"),
    ]
    assert docstring not in lies
    assert all(told_tree(lie) != true_tree() for lie in lies)


def test_error_kinds_are_distinct() -> None:
    classes = [getattr(algotrade.errors, name) for name in true_tree()]
    assert len({error.kind for error in [AlgotradeError, *classes]}) == len(classes) + 1


def test_docs_print_the_exit_codes_there_are() -> None:
    page = ROOT / "docs" / "cli.md"
    if not page.exists():
        pytest.skip("docs/cli.md is not written yet")
    assert exit_codes(page.read_text("utf-8")) == defined_codes()


def test_an_exit_code_table_is_read() -> None:
    table = "text\n\n| code | meaning |\n| --- | --- |\n| 0 | done |\n| 3 / 4 | no |\n\n| 7 | x |\n"
    assert exit_codes(table) == {0, 3, 4}
    assert exit_codes("no table") == set()
