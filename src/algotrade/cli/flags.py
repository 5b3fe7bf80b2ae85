"""Flags that commands share: put where a parameter of a command stands, and read into it."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from algotrade.cli.run import Run


def plain_words(text: str) -> str:
    """Give what somebody said as one line that can be stored and printed, whatever bytes came."""
    readable = text.encode("utf-8", "replace").decode("utf-8")
    return " ".join("".join(one if one.isprintable() else " " for one in readable).split())


def sharing(
    place: str, flags: Mapping[str, Any], read: Callable[[dict[str, Any]], Any]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Put flags (annotations by name) where a command takes `place`, read by `read`."""
    kind = inspect.Parameter.KEYWORD_ONLY
    shared = [
        inspect.Parameter(
            name, kind, default=False if told.__origin__ is bool else None, annotation=told
        )
        for name, told in flags.items()
    ]

    def decorator(function: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(function, eval_str=True)
        first, *others = signature.parameters.values()
        parameters = [first]
        for own in others:
            parameters += shared if own.name == place else [own.replace(kind=kind)]

        @functools.wraps(function)
        def wrapper(run: Run, **typed: Any) -> None:  # noqa: ANN401  whatever the flags are
            found = {name: typed.pop(name) for name in flags}
            function(run, **{place: read(found)}, **typed)

        wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        return wrapper

    return decorator
