"""The tree of errors, each with its exit code; `cli/main.py` is the one place that catches them.

AlgotradeError
    InputError              2   a flag, symbol, quantity, date or file the user typed
    HaltedError             4   trading is halted; a person must lift it
    DataError               5   market data missing, stale, invalid or of another source
    ModelError              6   model missing, tampered with, of other versions or another source
    ProviderError           7   provider or network down; nothing was sent, nothing was stored
    OrderUnknownError       8   an order may or may not have reached the broker
    LockedError             9   another run holds the lock
    LedgerError            10   ledger corrupt, mismatched or not ours
    DiskError              11   disk full, read-only or failing
    SettingsError          12   settings, limits, permissions
        SecretError        12   a key is missing, refused or unsafe
        PlanError          12   the provider's plan does not include what was asked
    MarketClosedError      13   the market is closed where an open one was required

A refusal by risk (exit 3) and a warning found by a check (exit 20) are values, not exceptions:
they come back from the workflow and the command turns them into an exit code.
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_BUG = 1
EXIT_REFUSED = 3
EXIT_HALTED = 4
EXIT_DATA = 5
EXIT_WARNING = 20
EXIT_INTERRUPTED = 130
EXIT_PIPE = 141
EXIT_TERMINATED = 143

_SHOWN = 40


def shown(text: str) -> str:
    """Quote what somebody typed or sent: escaped to ASCII, cut to a line's worth."""
    return ascii(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


class AlgotradeError(Exception):
    """A failure told in one line: what, and what to do about it."""

    exit_code = EXIT_BUG
    kind = "bug"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InputError(AlgotradeError):
    """Something the user typed cannot be used."""

    exit_code = 2
    kind = "input"


class HaltedError(AlgotradeError):
    """Trading is halted."""

    exit_code = EXIT_HALTED
    kind = "halted"


class DataError(AlgotradeError):
    """Market data is missing, stale, invalid or of another source."""

    exit_code = EXIT_DATA
    kind = "data"


class ModelError(AlgotradeError):
    """A model is missing, tampered with, of other versions or of another source."""

    exit_code = 6
    kind = "model"


class ProviderError(AlgotradeError):
    """The provider or the network failed; nothing was sent and nothing stored."""

    exit_code = 7
    kind = "provider"


class OrderUnknownError(AlgotradeError):
    """An order may or may not have reached the broker."""

    exit_code = 8
    kind = "order-unknown"


class LockedError(AlgotradeError):
    """Another run holds the lock."""

    exit_code = 9
    kind = "locked"


class LedgerError(AlgotradeError):
    """The ledger or its file is corrupt, mismatched or not ours."""

    exit_code = 10
    kind = "ledger"


class DiskError(AlgotradeError):
    """The disk is full, read-only or failing."""

    exit_code = 11
    kind = "disk"


class SettingsError(AlgotradeError):
    """A setting, limit or permission is wrong."""

    exit_code = 12
    kind = "settings"


class SecretError(SettingsError):
    """A key is missing, refused or kept unsafely."""

    kind = "secret"


class PlanError(SettingsError):
    """The provider's plan does not include what was asked."""

    kind = "plan"


class MarketClosedError(AlgotradeError):
    """The market is closed where an open one was required."""

    exit_code = 13
    kind = "market-closed"
