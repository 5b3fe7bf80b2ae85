"""What every test begins with: nothing that the shell of whoever runs them would add."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from unittest import mock

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_OURS = ("ALGOTRADE_", "POLYGON_API_KEY", "MASSIVE_API_KEY", "ALPACA_", "CREDENTIALS_DIRECTORY")


@pytest.fixture(scope="session", autouse=True)
def nothing_inherited() -> Iterator[None]:
    """Hide settings and keys of the environment; modules have read ALGOTRADE_GOLDEN by now."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(_OURS)}
    with mock.patch.dict(os.environ, kept, clear=True):
        yield
