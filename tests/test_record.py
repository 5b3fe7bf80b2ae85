"""Records: the named tuples of the package do what those of the standard library do."""

from __future__ import annotations

import copy
import json
import pickle
from collections import namedtuple

import pytest

from algotrade.record import NamedTuple


class Point(NamedTuple):
    """A record with all that one may have."""

    x: int
    y: str = "why"
    z: float | None = None

    @property
    def twice(self) -> int:
        """Give something of the fields."""
        return 2 * self.x


class Empty(NamedTuple):
    """A record without fields."""


Same = namedtuple("Same", ("x", "y", "z"), defaults=("why", None))  # noqa: PYI024  the oracle


def test_a_record_is_the_named_tuple_of_the_standard_library() -> None:
    ours, theirs = Point(1, z=2.5), Same(1, z=2.5)
    assert tuple(ours) == tuple(theirs) == (1, "why", 2.5)
    assert repr(ours) == repr(theirs).replace("Same", "Point")
    assert ours._asdict() == theirs._asdict()
    assert tuple(ours._replace(y="b")) == tuple(theirs._replace(y="b"))
    assert (Point._fields, Point._field_defaults) == (Same._fields, Same._field_defaults)
    assert (ours.x, ours.y, ours.z, ours.twice) == (1, "why", 2.5, 2)
    assert tuple(Point._make([1, 2, 3])) == tuple(Same._make([1, 2, 3]))
    assert json.dumps(ours) == json.dumps(theirs)
    assert pickle.loads(pickle.dumps(ours)) == copy.copy(ours) == ours  # noqa: S301
    assert (Point.__module__, Point.__qualname__, Point.__doc__) == (
        __name__,
        "Point",
        "A record with all that one may have.",
    )
    assert Empty() == ()
    assert repr(Empty()) == "Empty()"
    match ours:
        case Point(1, word):
            assert word == "why"
        case _:
            pytest.fail("a record does not match by place")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [((), {}), ((1, "b", 3, 4), {}), ((1,), {"w": 2}), ((1,), {"x": 2})],
)
def test_wrong_fields_are_refused(arguments: tuple[object, ...], named: dict[str, object]) -> None:
    with pytest.raises(TypeError):
        Same(*arguments, **named)
    with pytest.raises(TypeError):
        Point(*arguments, **named)  # type: ignore[arg-type]


def test_a_record_does_not_change() -> None:
    point = Point(1)
    with pytest.raises(AttributeError):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(AttributeError):
        point.other = 2  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="Point has no fields other"):
        point._replace(other=2)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Point._make([1])
