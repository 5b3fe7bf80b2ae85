"""What every command shares: flags, settings, output and workspace, made once per run."""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import typer

from algotrade.cli.output import JSON, Output, use_color
from algotrade.config import FILE_NAME, Settings, bare_settings, environment, load_settings
from algotrade.errors import AlgotradeError, InputError, SettingsError, shown
from algotrade.record import NamedTuple
from algotrade.settings import FORMATS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from algotrade.workflows.context import Workspace

_PANEL = "Shared"
# a closed stream is None: there is nobody to show markup to
MARKUP: Literal["rich"] | None = "rich" if sys.stdout and sys.stdout.isatty() else None

SHARED: dict[str, Any] = {
    "source": Annotated[
        str | None,
        typer.Option(
            "--source", help="Market data: auto, sample, polygon.", rich_help_panel=_PANEL
        ),
    ],
    "format_": Annotated[
        str | None,
        typer.Option(
            "--format",
            help=f"Output: {', '.join(FORMATS)}.",
            rich_help_panel=_PANEL,
        ),
    ],
    "json_": Annotated[
        bool, typer.Option("--json", help="Same as --format json.", rich_help_panel=_PANEL)
    ],
    "out": Annotated[
        str | None,
        typer.Option(
            "-o", "--out", help="Write the result to a file, at once.", rich_help_panel=_PANEL
        ),
    ],
    "quiet": Annotated[
        bool, typer.Option("-q", "--quiet", help="Only errors.", rich_help_panel=_PANEL)
    ],
    "verbose": Annotated[
        bool,
        typer.Option("-v", "--verbose", help="Tracebacks of bugs, too.", rich_help_panel=_PANEL),
    ],
    "home": Annotated[
        str | None,
        typer.Option("--home", help="Folder of the workspace.", rich_help_panel=_PANEL),
    ],
    "no_color": Annotated[
        bool, typer.Option("--no-color", help="No colours.", rich_help_panel=_PANEL)
    ],
}


def new_app(**options: Any) -> typer.Typer:  # noqa: ANN401  typer's own options
    """Make the app of one command or group."""
    return typer.Typer(
        add_completion=False,
        rich_markup_mode=MARKUP,
        context_settings={"help_option_names": ["-h", "--help"]},
        **options,
    )


class Run(NamedTuple):
    """One run of one command."""

    settings: Settings
    out: Output

    @contextlib.contextmanager
    def workspace(
        self,
        *,
        create: bool = False,
        reading: bool = False,
        checked: bool = True,
        wait_s: float | None = None,
    ) -> Iterator[Workspace]:
        """Open the workspace of the settings; the flags are those of `open_workspace`."""
        from algotrade.workflows.context import open_workspace

        with open_workspace(
            self.settings,
            self.out.say,
            create=create,
            reading=reading,
            checked=checked,
            wait_s=wait_s,
        ) as ws:
            yield ws

    @property
    def progress(self) -> bool:
        """Tell whether somebody watches: stderr is a terminal and the run is not quiet."""
        return sys.stderr.isatty() and not self.out.quiet


class State:
    """What the error handler in main.py needs to know of a run that failed half way."""

    json = False
    verbose = False
    logs: Path | None = None
    settings: Settings | None = None
    wrong: AlgotradeError | None = None  # why the settings could not be read, where a halt goes on
    command = ""
    inherited: ClassVar[dict[str, Any]] = {}  # shared flags typed before a subcommand's name


def with_settings(run: Run, flags: dict[str, str | None]) -> Run:
    """Give the run with settings that the command's own flags set."""
    return run._replace(settings=run.settings.with_flags(flags))


class _Command:
    """A function (run, own flags...) as a command that takes the shared flags, too.

    Typer asks for signature and annotations of what it runs; they are read then and not before, as
    a group has ten commands of which one runs.
    """

    def __init__(self, function: Callable[..., None]) -> None:
        functools.update_wrapper(self, function, _NAMES, ())
        self._function = function

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  as typer reads them
        if name not in ("__signature__", "__annotations__"):
            raise AttributeError(name)
        signature = inspect.signature(self._function, eval_str=True)
        own = list(signature.parameters.values())[1:]
        keyword_own = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own]
        parameters = [*keyword_own, *_shared_parameters()]
        self.__signature__ = signature.replace(parameters=parameters)
        self.__annotations__ = {one.name: one.annotation for one in parameters} | {"return": None}
        return vars(self)[name]

    def __call__(self, **typed: Any) -> None:  # noqa: ANN401  whatever the flags are
        context = typed.get("ctx")
        if context is not None and context.invoked_subcommand:
            State.inherited = {name: typed[name] for name in SHARED}
            return
        State.command = self._function.__name__
        for name, text in State.inherited.items():
            typed[name] = typed[name] or (typed[name] if text is None else text)
        own = {name: value for name, value in typed.items() if name not in SHARED}
        self._function(_make_run(typed), **own)


_NAMES = ("__module__", "__name__", "__qualname__", "__doc__")


@functools.lru_cache(maxsize=1)
def _shared_parameters() -> tuple[inspect.Parameter, ...]:
    return tuple(
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=False if annotation.__origin__ is bool else None,
            annotation=annotation,
        )
        for name, annotation in SHARED.items()
    )


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Make a command of a function (run, own flags...): add the shared flags, build the run.

    A group's function takes the context, too; it is left alone where a subcommand follows, and the
    flags typed before that hold for the subcommand.
    """
    return _Command(function)


def check_target(settings: Settings, path: str | None, flag: str) -> None:
    """Refuse to write a result over what the workspace lives on."""
    if path is None or path == "-":
        return
    from pathlib import Path

    target = Path(path).absolute().resolve()
    own = [settings.home / FILE_NAME, settings.halt_file]
    folders = [settings.store.parent, settings.models]
    if any(target == file.resolve() for file in own) or any(
        target.is_relative_to(folder.resolve()) for folder in folders
    ):
        raise InputError(
            f"{flag} {shown(path)} belongs to the workspace", hint="name a file elsewhere"
        )


def _make_run(typed: dict[str, Any]) -> Run:
    State.json, State.verbose = typed["json_"] or typed["format_"] == JSON, typed["verbose"]
    if typed["json_"] and typed["format_"] not in (None, JSON):
        raise InputError(
            f"--json and --format {typed['format_']} contradict each other", hint="give one of them"
        )
    settings = _load(typed)
    State.logs = settings.home / "logs"
    State.settings = settings
    check_target(settings, typed["out"], "--out")
    out = Output(
        format=settings.text("format"),
        quiet=typed["quiet"],
        color=use_color(sys.stdout, no_color=typed["no_color"], environ=environment()),
        path=typed["out"],
    )
    State.json = out.format == JSON
    for line in settings.spared:
        out.say(f"{line}; its default stands")
    return Run(settings=settings, out=out)


def _load(typed: dict[str, Any]) -> Settings:
    """Read the settings; where they are wrong a halt goes on with the home alone.

    `cancel` and `flatten` go on without those that they can do without.
    """
    flags = {
        "source": typed["source"],
        "format": JSON if typed["json_"] else typed["format_"],
        "broker": typed.get("broker"),
    }
    State.wrong = None
    ending = State.command in ("cancel", "flatten")
    try:
        return load_settings(home=typed["home"], flags=flags, ending=ending)
    except SettingsError as error:
        if State.command != "halt":
            raise
        State.wrong = error
        return bare_settings(typed["home"]).with_flags({"format": flags["format"]})
