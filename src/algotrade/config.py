"""Settings: default < algotrade.toml < environment < flag, each with the layer it came from.

The only file that reads the environment. A name that is not in the table of `settings.py` is an
error, so that a misspelt limit is never silently absent.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from algotrade.errors import InputError, SecretError, SettingsError, shown
from algotrade.record import NamedTuple
from algotrade.settings import SETTINGS
from algotrade.values import FLAG, Value, parse_value, read_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from algotrade.domain.costs import CostModel
    from algotrade.domain.risk import Limits
    from algotrade.settings import Setting

FILE_NAME = "algotrade.toml"
HALT_FILE = "HALT"
WATCHLISTS = "watchlists"
KEY_VARIABLES = ("MASSIVE_API_KEY", "POLYGON_API_KEY")
_PREFIX = "ALGOTRADE_"
WEBHOOK_VARIABLE = "ALGOTRADE_WEBHOOK"
_RESERVED = ("ALGOTRADE_HOME", "ALGOTRADE_NOW", "ALGOTRADE_HALT", WEBHOOK_VARIABLE)


_BY_NAME = {setting.name: setting for setting in SETTINGS}


class Secret:
    """A key that never shows itself."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "Secret(...)"

    def reveal(self) -> str:
        """Give the key, for the one header that needs it."""
        return self._text


class Settings(NamedTuple):
    """Everything a run was told: settings, home, and what the environment says."""

    home: Path
    home_origin: str
    values: Mapping[str, Value]
    now: str | None
    halt: str | None
    key: Secret | None
    watchlists: Mapping[str, tuple[str, ...]]
    spared: tuple[str, ...] = ()  # what is wrong and stands at its default: see `load_settings`

    def text(self, name: str) -> str:
        """Give a setting's text."""
        return self.values[name].text

    def number(self, name: str) -> int:
        """Give a setting in its integer unit: micro-dollars, nano-shares, bps or a count."""
        return parse_value(_BY_NAME[name], self.values[name])

    @property
    def store(self) -> Path:
        """Give the path of the store."""
        return self.home / "data" / "algotrade.db"

    @property
    def models(self) -> Path:
        """Give the folder of the models."""
        return self.home / "models"

    @property
    def halt_file(self) -> Path:
        """Give the path of the file whose presence halts trading."""
        return self.home / HALT_FILE

    @property
    def threshold(self) -> float:
        """Give the probability above which a prediction is 1."""
        return float(self.text("train.threshold"))

    def with_flags(self, flags: Mapping[str, str | None]) -> Settings:
        """Give the settings with those that flags set; None sets nothing."""
        values = {**self.values, **_from_flags(flags)}
        return self._replace(values=values)

    def costs(self) -> CostModel:
        """Give the cost model."""
        from algotrade.domain.costs import CostModel  # here: many commands never trade

        return CostModel(
            commission_per_share=self.number("costs.commission_per_share_usd"),
            commission_per_trade=self.number("costs.commission_per_trade_usd"),
            commission_bps=self.number("costs.commission_pct"),
            commission_minimum=self.number("costs.commission_minimum_usd"),
            slippage_bps=self.number("costs.slippage_bps"),
            volume_cap_bps=self.number("costs.volume_cap_pct"),
        )

    def limits(self) -> Limits:
        """Give the risk limits."""
        from algotrade.domain.risk import Limits
        from algotrade.domain.rules import FIELD_SETTINGS

        numbers = {field: self.number(name) for field, name in FIELD_SETTINGS.items()}
        lists = {
            name: tuple(self.text(f"risk.{name}").replace(",", " ").split())
            for name in ("restricted", "allowed")
        }
        on = self.text("risk.short") == "on"
        return Limits(allow_short=on, complete=True, **lists, **numbers)  # type: ignore[arg-type]


def load_settings(
    *,
    home: str | None = None,
    flags: Mapping[str, str | None] | None = None,
    isolated: bool = False,
    ending: bool = False,
) -> Settings:
    """Read every layer once and check every value; `flags` maps setting names to typed text.

    isolated: read no environment, so that only defaults, the home's file and flags count. ending:
    for what only ends orders and positions: a wrong setting that it can do without stands at its
    default and is told in `spared`.
    """
    environ: Mapping[str, str] = {} if isolated else os.environ
    where, origin = _find_home(home, environ)
    table = _read_file(where / FILE_NAME)
    lists = table.pop(WATCHLISTS, {})
    values = {setting.name: Value(setting.default, "default") for setting in SETTINGS}
    layers = {**_from_file(table), **_from_environment(environ), **_from_flags(flags or {})}
    spares = _Spares(_not_needed(layers) if ending else (), [])
    for name, value in layers.items():
        with spares.sparing(name):
            parse_value(_known(name, value, where), value)
            values[name] = value
    watchlists, key = {}, None
    with spares.sparing(WATCHLISTS):
        watchlists = _watchlists(lists)
    with spares.sparing("key_file"):
        key = _find_key(values["key_file"].text, where, environ)
    return Settings(
        home=where,
        home_origin=origin,
        values=values,
        now=environ.get("ALGOTRADE_NOW") or None,
        halt=environ.get("ALGOTRADE_HALT") or None,
        key=key,
        watchlists=watchlists,
        spared=tuple(spares.told),
    )


_SPARED = (
    *("risk.", "train.", "watch.", "notify.", "backup."),
    *(WATCHLISTS, "api_base", "rate", "history_years", "format", "cash_usd"),
)


class _Spares(NamedTuple):
    """Beginnings of the names of settings that may be wrong, and what was told of those."""

    names: tuple[str, ...]
    told: list[str]

    @contextlib.contextmanager
    def sparing(self, name: str) -> Iterator[None]:
        """Note what is wrong with a setting that may be, instead of raising it."""
        try:
            yield
        except SettingsError as error:
            if not name.startswith(self.names):
                raise
            self.told.append(error.message)


def _not_needed(layers: Mapping[str, Value]) -> tuple[str, ...]:
    """Give what ending positions can do without.

    The costs are those of fills in a simulated account; the key tells which source `auto` is.
    """
    at_broker = "broker" in layers and layers["broker"].text != "simulated"
    named = at_broker or ("source" in layers and layers["source"].text != "auto")
    return (*_SPARED, *(["costs."] if at_broker else []), *(["key_file"] if named else []))


def bare_settings(home: str | None) -> Settings:
    """Give the defaults for a home: for a halt, which must not wait for settings that are wrong."""
    values = {setting.name: Value(setting.default, "default") for setting in SETTINGS}
    return Settings(*_find_home(home, os.environ), values, None, None, None, {})


def broker_keys(settings: Settings, broker: str, *, live: bool) -> tuple[Secret, Secret] | None:
    """Give key id and secret of an account at a broker: from its file, else the environment.

    The file holds them on two lines. A paper account never sees the live key, nor the reverse.
    """
    kind = "live" if live else "paper"
    named = settings.text(f"{kind}_key_file")
    if named:
        lines = _read_private(settings.home / _file(named, f"{kind}_key_file")).split()
        if len(lines) != 2:
            raise SecretError(
                f"{kind}_key_file {named} does not hold two lines", hint="key id, then secret"
            )
        return _secret(lines[0], f"{kind}_key_file"), _secret(lines[1], f"{kind}_key_file")
    names = [f"{broker.upper()}_{kind.upper()}_{part}" for part in ("KEY_ID", "SECRET")]
    found = [os.environ.get(name, "").strip() for name in names]
    if not any(found):
        return None
    if not all(found):
        raise SecretError(f"only one of {names[0]} and {names[1]} is set", hint="set both")
    return _secret(found[0], names[0]), _secret(found[1], names[1])


def read_again(settings: Settings) -> Settings:
    """Read the file and the environment anew, for a process that stays; flags stay as typed."""
    flags = {name: one.text for name, one in settings.values.items() if one.origin == FLAG}
    return load_settings(home=str(settings.home), flags=flags)


def find_webhook(settings: Settings) -> Secret | None:
    """Look for the address of the webhook, a secret: notify.webhook_file, then the environment."""
    named = settings.text("notify.webhook_file")
    if named:
        text = _read_private(
            settings.home / _file(named, "notify.webhook_file"), "notify.webhook_file"
        )
    else:
        text = os.environ.get(WEBHOOK_VARIABLE, "")
    return Secret(text.strip()) if text.strip() else None


def environment() -> Mapping[str, str]:
    """Give the environment, for the few questions that are not settings (NO_COLOR, TERM)."""
    return os.environ


def variable_of(name: str) -> str:
    """Give the environment variable of a setting."""
    return _PREFIX + name.upper().replace(".", "__")


def _find_home(flag: str | None, environ: Mapping[str, str]) -> tuple[Path, str]:
    if flag is not None:
        if not flag:
            raise InputError("--home is empty", hint="--home FOLDER, or leave it out")
        return read_path(flag, "--home").absolute(), "--home"
    if environ.get("ALGOTRADE_HOME"):
        return _file(environ["ALGOTRADE_HOME"], "ALGOTRADE_HOME").absolute(), "ALGOTRADE_HOME"
    try:
        here = Path.cwd()
    except FileNotFoundError:  # removed under our feet: there is nothing to find here
        here = Path("/")
    for folder in (here, *here.parents):
        if (folder / FILE_NAME).is_file():
            return folder, f"{FILE_NAME} found from the current directory"
    base = environ.get("XDG_DATA_HOME")
    data = Path(base) if base else Path(environ.get("HOME", "~")).expanduser() / ".local/share"
    return data.absolute() / "algotrade", "the user's data directory"


def _file(text: str, field: str) -> Path:
    return read_path(text, field, SettingsError)


def _read_file(path: Path) -> dict[str, object]:
    try:
        content = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except NotADirectoryError as error:
        raise SettingsError(
            f"the home {path.parent} is no folder", hint="--home FOLDER, or ALGOTRADE_HOME"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path} cannot be read: {error}", hint="mend it; algotrade risk halt needs no settings"
        ) from error
    import tomllib

    try:
        return tomllib.loads(content, parse_float=str)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            f"{path}: {error}", hint="mend that line; algotrade risk halt needs no settings"
        ) from error


def _watchlists(table: object) -> dict[str, tuple[str, ...]]:
    """Read the lists of symbols that people name with @; symbols are parsed where they are used."""
    found: dict[str, tuple[str, ...]] = {}
    for name, symbols in table.items() if isinstance(table, dict) else [("", None)]:
        if not isinstance(symbols, list) or not all(isinstance(s, str) for s in symbols):
            raise SettingsError(
                f"[{WATCHLISTS}] {shown(str(name))} in {FILE_NAME} is not a list of symbols",
                hint='[watchlists] with lines such as main = ["AAPL", "MSFT"]',
            )
        found[str(name)] = tuple(symbols)
    return found


def _from_file(table: Mapping[str, object]) -> dict[str, Value]:
    return {name: Value(value, FILE_NAME) for name, value in _flatten("", table)}


def _flatten(prefix: str, table: Mapping[str, object]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in table.items():
        if isinstance(value, dict):
            found += _flatten(f"{prefix}{key}.", value)
        else:
            found.append((f"{prefix}{key}", str(value)))
    return found


def _from_environment(environ: Mapping[str, str]) -> dict[str, Value]:
    names = {variable_of(setting.name): setting.name for setting in SETTINGS}
    found = {}
    for variable, text in environ.items():
        if not variable.startswith(_PREFIX) or variable in _RESERVED:
            continue
        name = variable.removeprefix(_PREFIX).lower().replace("__", ".")
        found[names.get(variable, name)] = Value(text, variable)
    return found


def _from_flags(flags: Mapping[str, str | None]) -> dict[str, Value]:
    found = {name: Value(text, FLAG) for name, text in flags.items() if text is not None}
    for name, value in found.items():
        parse_value(_BY_NAME[name], value)
    return found


def _known(name: str, value: Value, home: Path) -> Setting:
    if name in _BY_NAME and value.origin in (FILE_NAME, FLAG, variable_of(name)):
        return _BY_NAME[name]
    import difflib

    in_file = value.origin == FILE_NAME
    said, where = (name, str(home / FILE_NAME)) if in_file else (value.origin, "the environment")
    known = [*_BY_NAME, *map(variable_of, _BY_NAME)]
    near = difflib.get_close_matches(said, known, n=1)
    hint = f"did you mean {near[0]}?" if near else "algotrade config show lists the settings"
    raise SettingsError(f"unknown setting {shown(said)} in {where}", hint=hint)


def _find_key(key_file: str, home: Path, environ: Mapping[str, str]) -> Secret | None:
    """Look for the API key: credential file, key_file, environment; the first hit wins."""
    credentials = environ.get("CREDENTIALS_DIRECTORY")
    if credentials and (Path(credentials) / "polygon").is_file():
        return _secret((Path(credentials) / "polygon").read_text(encoding="utf-8"), "credential")
    if key_file:
        return _secret(_read_private(home / _file(key_file, "key_file")), "key_file")
    for variable in KEY_VARIABLES:
        if environ.get(variable, "").strip():
            return _secret(environ[variable], variable)
    return None


def _secret(text: str, where: str) -> Secret:
    key = text.strip()
    if not key.isascii() or not key.isprintable() or not key or " " in key:
        raise SecretError(f"the API key in {where} is not one line of plain characters")
    return Secret(key)


def _read_private(path: Path, field: str = "key_file") -> str:
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SecretError(f"{field} {path} cannot be read: {error}") from error
    if stat.S_IMODE(mode) & 0o077:
        raise SecretError(
            f"{field} {path} can be read by others", hint=f"chmod 600 {shown(str(path))}"
        )
    return text
