"""Brokers by name: the one that is built in, and those that other packages bring.

A plug-in is an entry point of the group `algotrade.brokers`: its name is the broker's, and what it
names is called with an `Opening` and gives a `BrokerClient`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.errors import SettingsError, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from algotrade.broker.protocol import BrokerClient, Opening

GROUP = "algotrade.brokers"
ALPACA = "alpaca"


def open_client(name: str, opening: Opening) -> BrokerClient:
    """Open an account at the broker of that name."""
    if name == ALPACA:
        return _open_alpaca(opening)
    from importlib.metadata import entry_points

    for entry in entry_points(group=GROUP):
        if entry.name == name:
            make: Callable[[Opening], BrokerClient] = entry.load()
            return make(opening)
    known = sorted({ALPACA, *(entry.name for entry in entry_points(group=GROUP))})
    raise SettingsError(f"no broker is called {shown(name)}", hint=f"simulated, {', '.join(known)}")


def _open_alpaca(opening: Opening) -> BrokerClient:
    from algotrade.broker.alpaca import open_alpaca

    try:
        return open_alpaca(opening)
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("alpaca"):
            raise
        raise SettingsError(
            "broker alpaca needs alpaca-py, which is not installed",
            hint="pip install 'algotrade[alpaca]'",
        ) from error
