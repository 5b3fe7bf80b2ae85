"""Named tuples that are quick to define: `NamedTuple` without a look at what its fields are.

`typing.NamedTuple` compiles the annotation of every field, which was a quarter of the start of a
command. Type checkers see the one of `typing`; while running, names and defaults are all it takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import NamedTuple as NamedTuple  # noqa: PLC0414  handed on
else:
    from collections import namedtuple

    class _Fields(type):
        """Make a subclass a named tuple of its annotated names."""

        def __new__(mcs, name, bases, namespace):  # noqa: ANN001, ANN204  seen by no type checker
            if not bases:
                return super().__new__(mcs, name, bases, namespace)
            fields = namespace.get("__annotations__", {})
            defaults = [namespace[field] for field in fields if field in namespace]
            module = namespace["__module__"]
            made = namedtuple(name, fields, defaults=defaults, module=module)  # noqa: PYI024
            for key, value in namespace.items():
                if key not in fields and key not in ("__module__", "__qualname__"):
                    setattr(made, key, value)
            made.__qualname__ = namespace["__qualname__"]
            return made

    class NamedTuple(metaclass=_Fields):
        """The base to name: `class Point(NamedTuple)`."""
