"""Code of your own: find the function by its name and run exactly the bytes that are hashed."""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING

from algotrade.errors import InputError, ModelError, shown
from algotrade.record import NamedTuple
from algotrade.values import read_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from importlib.machinery import ModuleSpec
    from types import CodeType, ModuleType

LARGEST_LOOKBACK = 10_000
HOW = "your own: package.module:function or path/to/file.py:function"


class Own(NamedTuple):
    """A function somebody wrote: how it is called, where it stands, the SHA-256 of those bytes."""

    label: str
    path: str
    sha256: str
    function: Callable[..., object]


def near(name: str, known: Iterable[str]) -> str:
    """Ask whether a known name was meant, or say nothing."""
    from difflib import get_close_matches

    found = get_close_matches(name, list(known), n=1)
    return f"did you mean {found[0]}?" if found else ""


class _ReadOnce(SourceFileLoader):
    """Run exactly the bytes that were hashed: no cached bytecode is read or left behind."""

    def __init__(self, name: str, path: str, content: bytes) -> None:
        super().__init__(name, path)
        self._content = content

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002  # the signature of the base
        return self.source_to_code(self._content, self.path)


def load_function(
    name: str, what: tuple[str, str] = ("strategy", "strategies"), *, sha256: str = ""
) -> Own:
    """Load `package.module:function` or `path/to/file.py:function`; raises InputError.

    what: the kind of function that is wanted, one and many, for what is said of a wrong name.
    sha256: how the hash of the file must begin; another file is refused with ModelError before a
    line of it runs (the packages above a module run first, as Python has it).
    """
    one, many = what
    where, _, called = name.rpartition(":")
    if not called.isidentifier():
        raise InputError(f"{one} {shown(name)} names no function", hint=HOW)
    if where.endswith(".py"):
        path = read_path(where, one)
        module, found = _run(f"_algotrade_own_{path.stem}", path, None, sha256)
        label = f"{path.name}:{called}"
    elif all(part.isidentifier() for part in where.split(".")):
        spec = _find(where)
        path = Path(spec.origin or "")
        module, found = _run(where, path, spec, sha256)
        label = name
    else:
        raise InputError(f"{one} {shown(name)} names no module and no .py file", hint=HOW)
    function = getattr(module, called, None)
    if not callable(function):
        marked = [n for n, value in vars(module).items() if hasattr(value, "lookback")]
        hint = near(called, marked) or f"{many} in it: " + (", ".join(marked) or "none")
        raise InputError(f"{path} has no function {called}", hint=hint)
    return Own(label, str(path), found, function)


def _find(name: str) -> ModuleSpec:
    """Find a module's source; the current directory is looked at last and hides nothing."""
    first = name.split(".", maxsplit=1)[0]
    here = Path.cwd()
    if first in sys.stdlib_module_names:
        hint = f"rename your file, or name it by its path: ./{first}.py:function"
        raise InputError(f"{first} is a module of Python itself", hint=hint)
    if not {"", str(here)} & set(sys.path):
        sys.path.append(str(here))  # the function may import its neighbours when it is called
    importlib.invalidate_caches()
    try:
        spec = find_spec(name)  # runs the packages above it
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _not_loaded(name, error) from error
        spec = None
    except (Exception, SystemExit) as error:
        raise _not_loaded(name, error) from error
    if spec is None:
        raise InputError(f"there is no module {name} in {here} or installed", hint=HOW)
    if not spec.has_location or not str(spec.origin).endswith(".py"):
        raise InputError(f"{name} is not a Python source file", hint=HOW)
    stem = here.joinpath(*name.split("."))
    for mine in (stem.with_suffix(".py"), stem / "__init__.py"):
        if mine.is_file() and not mine.samefile(str(spec.origin)):
            raise InputError(
                f"{name} is {spec.origin}, and {mine} would never be read",
                hint=f"name the one you mean by its path: {mine}:function",
            )
    return spec


def _run(name: str, path: Path, found: ModuleSpec | None, wanted: str) -> tuple[ModuleType, str]:
    """Run a source file as a fresh module; give it with the SHA-256 of its bytes."""
    import hashlib

    try:
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{path} cannot be read: {reason}", hint=HOW) from error
    sha256 = hashlib.sha256(content).hexdigest()
    if not sha256.startswith(wanted):
        raise ModelError(
            f"{path} has changed: its SHA-256 begins with {sha256[:8]}, {wanted[:8]} is expected",
            hint="restore the file, or train again: algotrade train",
        )
    loader = _ReadOnce(name, str(path.absolute()), content)
    packages = found.submodule_search_locations if found else None
    spec = spec_from_file_location(
        name, path.absolute(), loader=loader, submodule_search_locations=packages
    )
    if spec is None:
        raise InputError(f"{path} is not a Python source file", hint=HOW)
    module = module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module  # dataclasses and relative imports look there
    try:
        loader.exec_module(module)
    except (Exception, SystemExit) as error:
        sys.modules.pop(name, None)
        raise _not_loaded(str(path), error) from error
    finally:
        if before is not None:
            sys.modules[name] = before  # what others have imported stays theirs
    return module, sha256


def _not_loaded(what: str, error: BaseException) -> InputError:
    return InputError(
        f"{what} cannot be loaded: {told(error, what)}",
        hint="for the whole error: python "
        + (what if what.endswith(".py") else f"-c 'import {what}'"),
    )


def told(error: BaseException, path: str = "") -> str:
    """Tell an error in one line, with the last line of that file it came through."""
    line, trace = 0, error.__traceback__  # a SyntaxError says its line by itself
    while trace is not None and not isinstance(error, SyntaxError):
        if path and trace.tb_frame.f_code.co_filename.endswith(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    said = " ".join(str(error).split())[:160]
    return f"{type(error).__name__}: {said}" + (f" (line {line})" if line else "")
