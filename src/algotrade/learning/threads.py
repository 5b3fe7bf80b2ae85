"""One thread for what must be repeatable: splitting sums over threads moves their last bits."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import Any


def one_thread() -> AbstractContextManager[Any]:
    """Hold the thread pools of all libraries loaded by now at one thread.

    It is quicker, too, on small data: threads of OpenMP that wait for a busy core spin.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # ships no types

    limits: AbstractContextManager[Any] = threadpool_limits(limits=1)
    return limits


def one_thread_again() -> AbstractContextManager[Any]:
    """Hold those at one thread that were loaded when this was first called; microseconds."""
    limits: AbstractContextManager[Any] = _pools().limit(limits=1)
    return limits


@cache
def _pools() -> Any:  # noqa: ANN401 - threadpoolctl ships no types
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
