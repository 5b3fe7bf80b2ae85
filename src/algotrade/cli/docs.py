"""Print docs/cli.md: every command from its own --help, exit codes and settings from the code.

Run `python -m algotrade.cli.docs > docs/cli.md`; a test compares.
"""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING

from algotrade.cli.main import COMMANDS, app, load_command
from algotrade.cli.output import write_result
from algotrade.config import KEY_VARIABLES, variable_of
from algotrade.settings import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterable

EXIT_CODES = (
    ("0", "done, nothing to do, already done, a hold", "quiet"),
    ("1", "a bug; `-v` shows the traceback", "mail"),
    ("2", "usage or input", "mail"),
    ("3", "refused by risk", "mail"),
    ("4", "trading is halted", "mail"),
    ("5", "data missing, stale, invalid, or of another source", "mail"),
    ("6", "model missing, stale, invalid or tampered with", "mail"),
    ("7", "provider or network down; nothing was stored", "retry"),
    ("8", "an order is in unknown state", "page"),
    ("9", "another run holds the lock", "retry"),
    ("10", "ledger corrupt, mismatched or not ours", "page"),
    ("11", "disk full, read-only or failing", "page"),
    ("12", "settings, limits, secrets, the provider's plan", "page"),
    ("13", "market closed where an open one was required", "later"),
    ("20", "a check found a warning", "mail"),
    ("130", "interrupted", ""),
    ("141", "the reader of the output has gone", ""),
    ("143", "terminated", ""),
)


def page() -> str:
    """Give the whole page as Markdown."""
    parts = [
        "# Command line",
        "Written by `python -m algotrade.cli.docs`; do not edit by hand.",
        (
            "Results go to stdout, everything else to stderr. On a terminal results are tables,"
            " in a pipe tab-separated values (`demo` and `why` tell their story there, too);"
            " `--json` gives one object with a versioned `schema`."
        ),
        "## Exit codes",
        _table(("code", "meaning", "cron"), EXIT_CODES),
        "## Settings",
        (
            "A flag beats the environment, which beats `algotrade.toml` in the home, which beats"
            " the default. `algotrade config show --origin` tells where each value comes from."
        ),
        _table(
            ("setting", "default", "variable", "meaning"),
            [(f"`{s.name}`", s.default, f"`{variable_of(s.name)}`", s.doc) for s in SETTINGS],
        ),
        (
            "The API key is taken from `$CREDENTIALS_DIRECTORY/polygon`, `key_file`, or"
            f" {' or '.join(f'`{name}`' for name in KEY_VARIABLES)}, never from a flag."
            " `ALGOTRADE_HOME` names the home, `ALGOTRADE_NOW` sets the clock of the paper account,"
            " `ALGOTRADE_HALT` halts trading while it is set."
        ),
        "## Commands",
        _fenced(_help([])),
    ]
    for name in COMMANDS:
        parts += [f"## `algotrade {name}`", _fenced(_help([name]))]
        for sub in getattr(load_command(name), "commands", {}):
            parts += [f"### `algotrade {name} {sub}`", _fenced(_help([name, sub]))]
    return "\n\n".join(parts) + "\n"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _fenced(text: str) -> str:
    return f"```text\n{text.strip()}\n```"


def _help(args: list[str]) -> str:
    """Give what `--help` prints at 80 columns, without the terminal of whoever runs this."""
    buffer = io.StringIO()
    with contextlib.redirect_stdout(buffer), contextlib.suppress(SystemExit):
        app([*args, "--help"], prog_name="algotrade")
    return buffer.getvalue()


def main() -> None:
    """Print the page."""
    write_result(page())


if __name__ == "__main__":
    main()
