"""algotrade: decide, trade and explain US equities from one process and one SQLite store."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from algotrade.domain.signals import DOWN, KEEP, NONE, UP
    from algotrade.learning.own_features import features
    from algotrade.trading.strategies import Window
    from algotrade.trading.strategy_loader import strategy

__version__ = "0.1.0"
__all__ = ["DOWN", "KEEP", "NONE", "UP", "Window", "__version__", "features", "strategy"]

_HOMES = {
    **dict.fromkeys(("DOWN", "KEEP", "NONE", "UP"), "algotrade.domain.signals"),
    "Window": "algotrade.trading.strategies",
    "features": "algotrade.learning.own_features",
    "strategy": "algotrade.trading.strategy_loader",
}

if not TYPE_CHECKING:  # so that a misspelt name is still found by type checkers

    def __getattr__(name: str) -> object:
        """Import a public name when it is first asked for: commands start without them."""
        if name not in _HOMES:
            raise AttributeError(f"module 'algotrade' has no attribute {name!r}")
        from importlib import import_module

        value = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return value
