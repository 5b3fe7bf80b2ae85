"""The documents are executed and compared: what they show runs, what they list exists."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import algotrade
from algotrade.config import load_settings
from algotrade.settings import SETTINGS
from algotrade.workflows.setup import settings_template

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
CLI_PAGE = ROOT / "docs" / "cli.md"

# nothing that comes from one machine: registries, their options, somebody's directories
_HOST = re.compile(
    r"(pypi|test\.pypi|anaconda|npmjs|rubygems|crates)\.(org|com|io)\b"
    r"|pythonhosted\.org|(index|find)-(url|links)\b|proxy\.golang",
    re.IGNORECASE,
)
_MACHINE_PATH = re.compile(
    r"(?<![\w.:/-])(?:/(?:root|work|Users|private)/\w|/home/(?!you\b)\w|[A-Z]:\\Users\\)"
)
_BINARY = {".bars", ".png", ".joblib", ".npz", ".db"}


def blocks(markdown: str, marker: str) -> list[str]:
    """Give the code of each fenced block that stands right below `<!-- marker -->`."""
    pattern = rf"^<!-- {marker} -->\n```\w+\n(.*?)^```$"
    return re.findall(pattern, markdown, re.MULTILINE | re.DOTALL)


def without_fences(markdown: str) -> str:
    return re.sub(r"^```.*?^```$", "", markdown, flags=re.MULTILINE | re.DOTALL)


def links(markdown: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]+`", "", without_fences(markdown)))


def anchors(markdown: str) -> set[str]:
    """Give the anchors of a page's headings, as code hosts make them."""
    titles = re.findall(r"^#+ +(.+?) *$", without_fences(markdown), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(page: Path) -> list[str]:
    broken = []
    for link in links(page.read_text("utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text("utf-8"))):
            broken.append(f"{page.name}: {link}")
    return broken


def machine_traces(text: str) -> list[str]:
    return [match[0] for pattern in (_HOST, _MACHINE_PATH) for match in pattern.finditer(text)]


def repository_files() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listing.returncode:
        pytest.skip("not a git checkout")
    paths = [ROOT / os.fsdecode(name) for name in listing.stdout.split(b"\0") if name]
    return [path for path in paths if path.is_file()]


def readme() -> str:
    text = README.read_text("utf-8")
    if len(text.splitlines()) < 10:
        pytest.skip("README.md is not written yet")
    return text


def cli_page() -> str:
    if not CLI_PAGE.exists():
        pytest.skip("docs/cli.md is not written yet")
    return CLI_PAGE.read_text("utf-8")


def require_module(name: str) -> None:
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not written yet")


def clean_environment(home: Path) -> dict[str, str]:
    """Give the environment of somebody who has just installed the program, and has no key."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ALGOTRADE_", "XDG_")) and not name.endswith("_API_KEY")
    }
    programs = str(Path(sys.executable).parent)
    return kept | {
        "HOME": str(home),
        "PATH": os.pathsep.join([programs, kept.get("PATH", os.defpath)]),
        "COLUMNS": "80",
        "NO_COLOR": "1",
        "TERM": "dumb",
    }


# ---- README


@pytest.mark.slow
def test_readme_blocks_run_in_a_fresh_home(tmp_path: Path) -> None:
    code = blocks(readme(), "run")
    assert code
    for block in code:  # in their order, in one home, as a reader types them
        done = subprocess.run(
            ["sh", "-eu", "-c", block],
            cwd=tmp_path,
            env=clean_environment(tmp_path),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("marker", ["demo", "test"])
def test_readme_has_the_one_block_that_ci_runs(marker: str) -> None:
    (block,) = blocks(readme(), marker)
    assert block.strip()
    assert readme().count(f"<!-- {marker} -->") == 1


def test_ci_can_be_run() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


# ---- docs/cli.md


def commands() -> list[str]:
    """Give the names of the top-level commands that `--help` shows."""
    require_module("algotrade.cli.main")
    import typer

    group = typer.main.get_command(importlib.import_module("algotrade.cli.main").app)
    context = typer.Context(group, info_name="algotrade")
    listed = group.list_commands(context)  # type: ignore[attr-defined]  # an app is a group
    found = {name: group.get_command(context, name) for name in listed}  # type: ignore[attr-defined]
    return [name for name, command in found.items() if not command.hidden]


def undocumented(page: str, names: list[str]) -> list[str]:
    """Give the commands that have no heading of their own."""
    return [
        name
        for name in names
        if not re.search(rf"^#+ +`?(algotrade )?{re.escape(name)}`? *$", page, re.MULTILINE)
    ]


def test_every_command_has_a_section() -> None:
    page, names = cli_page(), commands()
    assert names
    assert undocumented(page, names) == []


def test_cli_page_is_what_the_program_prints(tmp_path: Path) -> None:
    require_module("algotrade.cli.docs")
    done = subprocess.run(
        [sys.executable, "-m", "algotrade.cli.docs"],
        env=clean_environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    assert CLI_PAGE.read_text("utf-8") == done.stdout, "python -m algotrade.cli.docs > docs/cli.md"


def test_every_setting_is_documented() -> None:
    page = cli_page()
    assert [setting.name for setting in SETTINGS if f"`{setting.name}`" not in page] == []


# ---- the workspace file


def test_workspace_file_changes_nothing_and_shows_the_defaults(tmp_path: Path) -> None:
    text = (ROOT / "algotrade.toml").read_text("utf-8")
    assert text == settings_template()  # what `init` writes
    assert not any(tomllib.loads(text).values())
    active = re.sub(r"^# (?=[a-z_]+ = )", "", text, flags=re.MULTILINE)
    (tmp_path / "algotrade.toml").write_text(active, "utf-8")
    shown = load_settings(home=str(tmp_path)).values
    assert {name: value.text for name, value in shown.items()} == {
        setting.name: setting.default for setting in SETTINGS
    }
    assert {value.origin for value in shown.values()} == {"algotrade.toml"}


# ---- the repository


def test_relative_links_lead_somewhere() -> None:
    pages = [path for path in repository_files() if path.suffix == ".md"]
    assert README in pages
    assert [wrong for page in pages for wrong in broken_links(page)] == []


def test_no_file_names_a_registry_or_a_machine() -> None:
    traces = {
        str(path.relative_to(ROOT)): found
        for path in repository_files()
        if path.suffix not in _BINARY and path != Path(__file__)
        if (found := machine_traces(path.read_text("utf-8")))
    }
    assert traces == {}


def test_package_data_is_not_ignored() -> None:
    tracked = set(repository_files())  # the wheel leaves out what git ignores
    data = ROOT / "src" / "algotrade" / "market" / "data"
    assert set(data.iterdir()) <= tracked


def test_changelog_has_the_current_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert re.search(rf"^## \[{re.escape(algotrade.__version__)}\]", changelog, re.MULTILINE)


def test_constraints_pin_every_dependency_and_nothing_else_than_versions() -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+( ; [^;]+)?", line) for line in lines)
    pinned = {re.sub(r"[-_.]+", "-", line.split("==")[0]).lower() for line in lines}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    wanted = {re.split(r"[<>=!\[ ]", line)[0].lower() for group in groups for line in group}
    assert wanted - {"algotrade"} <= pinned
    assert "pip" not in pinned


# ---- the checks above can fail


def test_blocks_are_read_by_their_marker() -> None:
    page = "<!-- run -->\n```sh\na\nb\n```\n\n```sh\nc\n```\n<!-- demo -->\n```sh\nd\n```\n"
    assert blocks(page, "run") == ["a\nb\n"]
    assert blocks(page, "demo") == ["d\n"]
    assert blocks(page, "test") == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# The top\n[a](page.md) [b](gone.md) [c](#the-top) [d](#gone) [e](page.md#the-top)\n"
        "[f](https://example.org) `[g](gone.md)`\n```\n[h](gone.md)\n```\n",
        "utf-8",
    )
    assert broken_links(page) == ["page.md: gone.md", "page.md: #gone"]


def test_an_undocumented_command_is_found() -> None:
    page = "# Commands\n\n## `algotrade fetch`\n\n### trade\n\nrisk\n"
    assert undocumented(page, ["fetch", "trade", "risk"]) == ["risk"]


@pytest.mark.parametrize(
    "text",
    ["https://p~ypi.org/simple", "--index-url x", "cd /r~oot/x", "'/w~ork/main'", "/home/a~nn/x"],
)
def test_a_trace_of_a_machine_is_found(text: str) -> None:
    assert machine_traces(text.replace("~", ""))  # so that this file bears none itself


@pytest.mark.parametrize(
    "text", ["/home/you/trading", "api.polygon.io/v2", "src/w~ork/x", "https://a.b/w~ork/x"]
)
def test_an_innocent_path_is_left_alone(text: str) -> None:
    assert machine_traces(text.replace("~", "")) == []
