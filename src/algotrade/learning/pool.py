"""Pool: what does the same work on many items, here or elsewhere, and gives results in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Shared = TypeVar("Shared")
Item = TypeVar("Item")
Result = TypeVar("Result")


class Pool(Protocol):
    """Gives work(shared, item) of each item, in order, as it is asked for."""

    def __call__(
        self, work: Callable[[Shared, Item], Result], shared: Shared, items: Sequence[Item]
    ) -> Iterator[Result]:
        """Begin; what the work raises is raised here."""


def alone(
    work: Callable[[Shared, Item], Result], shared: Shared, items: Sequence[Item]
) -> Iterator[Result]:
    """Do the work in this process, item by item."""
    for item in items:
        yield work(shared, item)
