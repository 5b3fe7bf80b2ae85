"""The values of settings: text from a file, a variable or a flag, checked by its kind."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from algotrade.domain.money import MICROS, scaled
from algotrade.errors import AlgotradeError, InputError, SettingsError, shown
from algotrade.record import NamedTuple
from algotrade.settings import FEEDS, FORMATS, MODEL_KINDS, NOTICES, SOURCES, SWITCHES

if TYPE_CHECKING:
    from collections.abc import Callable

    from algotrade.settings import Setting

FLAG = "flag"  # where a value comes from that was typed for this run
THREE_YEARS = 756  # sessions

_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?", re.ASCII)
_DIGITS = {"usd": 6, "shares": 9, "percent": 2, "count": 0, "fraction": 6, "ratio": 2}
_CHOICES = {
    "source": SOURCES,
    "model": MODEL_KINDS,
    "format": FORMATS,
    "switch": SWITCHES,
    "feed": FEEDS,
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}", re.ASCII)
_WINDOW = re.compile(r"rolling(?::([1-9][0-9]{0,4}))?", re.ASCII)
_WORDS: dict[str, bool | None] = {"none": None, "true": True, "false": False}


class Value(NamedTuple):
    """A setting's text and the layer it came from."""

    text: str
    origin: str


def parse_value(setting: Setting, value: Value) -> int:
    """Check a value by its kind; give numbers in their integer unit, 0 for the others."""
    if setting.kind in _CHOICES:
        choices = _CHOICES[setting.kind]
        is_path = setting.kind == "model" and ":" in value.text  # of a class, found when it is made
        if value.text not in choices and not is_path:
            raise _wrong(setting, value, "one of " + ", ".join(choices))
    elif setting.kind == "url":
        if not value.text.startswith(("https://", "http://")):
            raise _wrong(setting, value, "an address that begins with https://")
    elif setting.kind in _FORMS:
        _check_form(setting, value)
    elif setting.kind != "text":
        return _parse_number(setting, value)
    return 0


def read_path(text: str, field: str, kind: type[AlgotradeError] = InputError) -> Path:
    """Read a path that may begin with ~ or ~name; where there is no such user, raises `kind`."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise kind(f"{field} {shown(text)}: there is no such user", hint="a full path") from error


def read_window(text: str) -> int | None:
    """Read `expanding` (None), `rolling` (three years) or `rolling:SESSIONS`."""
    if text == "expanding":
        return None
    found = _WINDOW.fullmatch(text)
    if found is None:
        raise InputError(
            f"train.window = {shown(text)} cannot be read", hint="expanding, or rolling:756"
        )
    return int(found[1] or THREE_YEARS)


def read_params(text: str) -> dict[str, float | int | str | None]:
    """Read `name=value name=value`: whole numbers, numbers, true, false, none, else text."""
    found: dict[str, float | int | str | None] = {}
    for part in text.split():
        name, equals, value = part.partition("=")
        if not name or not equals or not value:
            raise InputError(
                f"parameter {shown(part)} cannot be read", hint="--param max_depth=4, for example"
            )
        if name in found:
            raise InputError(f"parameter {shown(name)} is given twice", hint="name each once")
        found[name] = _value(value)
    return found


def read_notices(text: str) -> set[str]:
    """Read which kinds of notices are told, `fills,halts`."""
    found = {word.strip() for word in text.split(",") if word.strip()}
    if found - {*NOTICES}:
        raise InputError(f"{shown(text)} names no kind of notice", hint=", ".join(NOTICES))
    return found


def read_program(text: str) -> list[str]:
    """Read a program and its arguments, as a shell would split them; nothing for an empty text."""
    import shlex

    try:
        found = shlex.split(text)
    except ValueError as error:
        raise InputError(
            f"{shown(text)} is no command: {str(error).lower()}", hint="close its quotes"
        ) from error
    if text and not (found and found[0]):
        raise InputError(f"{shown(text)} names no program", hint='"mail -s algotrade you", or ""')
    return found


def _read_symbols(text: str) -> None:
    from algotrade.domain.symbols import parse_symbol

    for name in text.replace(",", " ").split():
        try:
            choice = parse_symbol(name)
        except InputError:
            choice = None
        if choice is None or choice.note is not None:
            raise InputError(f"{shown(name)} is no ticker", hint="as they are stored: AAPL BRK.B")


def _read_name(text: str) -> None:
    if not _NAME.fullmatch(text):
        raise InputError(f"{shown(text)} is no broker's name", hint="simulated, or alpaca")


_FORMS: dict[str, Callable[[str], object]] = {
    "broker": _read_name,
    "symbols": _read_symbols,
    "window": read_window,
    "params": read_params,
    "notices": read_notices,
    "program": read_program,
}


def _check_form(setting: Setting, value: Value) -> None:
    """Refuse a text that its reader cannot read; a flag is told as the reader tells it."""
    if not value.text and setting.kind != "broker":
        return
    try:
        _FORMS[setting.kind](value.text)
    except InputError as error:
        if value.origin == FLAG:
            raise
        raise SettingsError(
            f"{setting.name} = {shown(value.text)} (from {value.origin}) cannot be used:"
            f" {error.message}",
            hint=f"{error.hint}; {setting.doc}",
        ) from error


def _value(text: str) -> float | int | str | None:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if number - number == 0:  # neither infinite nor NaN: a card holds finite numbers
            return number
    return text


def _parse_number(setting: Setting, value: Value) -> int:
    if not _NUMBER.fullmatch(value.text):
        raise _wrong(setting, value, "a plain number, not negative")
    digits = _DIGITS[setting.kind]
    number = scaled(value.text, digits)
    if number is None:
        raise _wrong(setting, value, "fewer decimals")
    if setting.most and number > (scaled(setting.most, digits) or 0):
        raise _wrong(setting, value, f"at most {setting.most}")
    if setting.kind == "fraction" and not 0 < number < MICROS:
        raise _wrong(setting, value, "a number between 0 and 1")
    return number


def _wrong(setting: Setting, value: Value, wanted: str) -> Exception:
    kind = InputError if value.origin == FLAG else SettingsError
    return kind(
        f"{setting.name} = {shown(value.text)} (from {value.origin}) cannot be used",
        hint=f"{wanted}; {setting.doc}",
    )
