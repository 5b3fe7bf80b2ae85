"""Strategies of your own: mark the function, read its parameters and its look-back."""

from __future__ import annotations

import inspect
import math
import re
from typing import TYPE_CHECKING, TypeVar

from algotrade.errors import InputError, shown
from algotrade.own_code import LARGEST_LOOKBACK, near, told

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Value = int | float | str | bool
F = TypeVar("F", bound="Callable[..., object]")

_KINDS = ("int", "float", "str", "bool")
_INTEGER = r"-?[0-9]{1,18}"  # compiled where there is something to read
_DECIMAL = r"-?[0-9]{1,15}(\.[0-9]{1,15})?(e-?[0-9]{1,3})?"


def strategy(*, lookback: int | Callable[..., int]) -> Callable[[F], F]:
    """Mark a function as a strategy that reads `lookback` bars, or lookback(its parameters)."""

    def mark(function: F) -> F:
        vars(function)["lookback"] = lookback
        return function

    return mark


# ---- parameters


def known_parameters(function: Callable[..., object], label: str) -> dict[str, Value]:
    """Give the parameters that have a default, in the order of the function."""
    return {
        name: parameter.default
        for name, (parameter, _) in _parameters(function, label).items()
        if parameter.default is not parameter.empty
    }


def read_params(
    function: Callable[..., object], typed: Mapping[str, str], label: str
) -> dict[str, Value]:
    """Read typed values by the kind of each parameter; the others keep their defaults."""
    parameters = _parameters(function, label)
    for name in typed:
        if name not in parameters:
            known = ", ".join(f"{n} ({kind})" for n, (_, kind) in parameters.items()) or "none"
            hint = near(name, parameters)
            raise InputError(
                f"{label} has no parameter {shown(name)}",
                hint=f"{hint}; its parameters: {known}" if hint else f"its parameters: {known}",
            )
    values: dict[str, Value] = {}
    for name, (parameter, kind) in parameters.items():
        if name in typed:
            values[name] = _read(typed[name], kind, f"{label}: {name}")
        elif parameter.default is parameter.empty:
            raise InputError(f"{label} needs a value for {name}", hint=f"-p {name}=... ({kind})")
        else:
            whole = kind == "float" and type(parameter.default) is int
            values[name] = float(parameter.default) if whole else parameter.default
    return values


def lookback_of(function: Callable[..., object], params: Mapping[str, Value], label: str) -> int:
    """Give the bars that one decision reads, as the function declares it."""
    declared = getattr(function, "lookback", None)
    hint = f"put @strategy(lookback=21) above it: a whole number from 1 to {LARGEST_LOOKBACK}"
    if callable(declared):
        wanted = inspect.signature(declared).parameters
        if missing := [name for name in wanted if name not in params]:
            raise InputError(
                f"{label}: its lookback asks for {', '.join(missing)}, which is no parameter",
                hint="name parameters of the function: @strategy(lookback=lambda days: days + 1)",
            )
        try:
            declared = declared(**{name: params[name] for name in wanted})
        except Exception as error:
            raise InputError(f"{label}: its lookback failed: {told(error)}", hint=hint) from error
    if type(declared) is not int or not 1 <= declared <= LARGEST_LOOKBACK:
        what = "declares no lookback" if declared is None else f"has lookback {declared!r:.40}"
        raise InputError(f"{label} {what}", hint=hint)
    return declared


def as_text(params: Mapping[str, Value]) -> list[str]:
    """Write parameters as name=value, the same text for the same value."""
    return [f"{name}={_written(value)}" for name, value in params.items()]


def _written(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and not re.fullmatch(r"[\w.:/+-]+", value, re.ASCII):
        return ascii(value)
    return str(value)


def _parameters(
    function: Callable[..., object], label: str
) -> dict[str, tuple[inspect.Parameter, str]]:
    """Give each parameter after the window with its kind; raises InputError."""
    try:
        found = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:
        raise InputError(f"{label} has no signature to read", hint=f"write def: {error}") from None
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    first = found[0].kind if found else None
    if first not in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD):
        raise InputError(f"{label} takes no window", hint="def rule(window, *, days: int = 20)")
    parameters = {}
    for parameter in found[1:]:
        kind = _kind(parameter)
        if parameter.kind not in named or kind not in _KINDS:
            raise InputError(
                f"{label}: parameter {parameter} cannot be given as text",
                hint=f"name it after * with a type ({', '.join(_KINDS)}): *, days: int = 20",
            )
        parameters[parameter.name] = (parameter, kind)
    return parameters


def _kind(parameter: inspect.Parameter) -> str:
    annotation = parameter.annotation
    if annotation is parameter.empty:
        annotation = type(parameter.default)
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")


def _read(text: str, kind: str, what: str) -> Value:
    if kind == "str":
        return text
    if kind == "bool" and text in {"true", "false"}:
        return text == "true"
    if kind == "int" and re.fullmatch(_INTEGER, text):
        return int(text)
    if kind == "float" and re.fullmatch(_DECIMAL, text) and math.isfinite(float(text)):
        return float(text)
    wanted = {"bool": "true or false", "int": "a whole number such as 20", "float": "such as 0.5"}
    raise InputError(f"{what}={shown(text)} is not a {kind}", hint=wanted[kind])
