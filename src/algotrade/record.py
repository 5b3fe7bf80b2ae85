"""Named tuples that are quick to define: `NamedTuple` without a look at what its fields are.

`typing.NamedTuple` compiles the annotation of every field, and `collections.namedtuple` the source
of a constructor for every class: together a quarter of the start of a command. Type checkers see
the one of `typing`; while running, names and defaults are all it takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import NamedTuple as NamedTuple  # noqa: PLC0414  handed on
else:
    from collections import _tuplegetter, namedtuple
    from functools import cache
    from types import FunctionType

    @cache
    def _of_length(count):  # noqa: ANN001, ANN202  seen by no type checker, as all below
        """Give a named tuple of so many nameless fields, which others are made of."""
        return namedtuple(f"_Record{count}", ("_",) * count, rename=True)  # noqa: PYI024

    def _replace(self, /, **changes):  # noqa: ANN001, ANN003, ANN202
        """Give a copy with other values in the named fields."""
        made = self._make(map(changes.pop, self._fields, self))
        if changes:
            raise TypeError(f"{type(self).__name__} has no fields {', '.join(changes)}")
        return made

    def _repr(self) -> str:  # noqa: ANN001
        fields = zip(self._fields, self, strict=True)
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in fields)})"

    class _Fields(type):
        """Make a subclass a named tuple of its annotated names."""

        def __new__(mcs, name, bases, namespace):  # noqa: ANN001, ANN204
            if not bases:
                return super().__new__(mcs, name, bases, namespace)
            fields = tuple(namespace.get("__annotations__", ()))
            defaults = {field: namespace[field] for field in fields if field in namespace}
            base = _of_length(len(fields))
            make = base.__new__
            code = make.__code__.replace(co_varnames=("_cls", *fields))
            namespace |= {field: _tuplegetter(place, "") for place, field in enumerate(fields)}
            namespace |= {
                "__slots__": (),
                "__new__": FunctionType(
                    code, make.__globals__, "__new__", tuple(defaults.values())
                ),
                "__repr__": _repr,
                "__match_args__": fields,
                "_fields": fields,
                "_field_defaults": defaults,
                "_replace": _replace,
                "__replace__": _replace,
            } | {key: namespace[key] for key in ("__new__", "__repr__") if key in namespace}
            return type(name, (base,), namespace)

    class NamedTuple(metaclass=_Fields):
        """The base to name: `class Point(NamedTuple)`."""
