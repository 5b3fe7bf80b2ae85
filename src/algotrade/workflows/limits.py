"""Limits by name: those of live trading, wide ones, or those of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.domain.risk import WIDE, Limits
from algotrade.errors import InputError, shown
from algotrade.settings import SETTINGS

if TYPE_CHECKING:
    from algotrade.config import Settings

LIVE, WIDE_NAME = "live", "wide"


def read_limits(settings: Settings, name: str) -> Limits:
    """Give the limits that `--limits` names: live, wide, or a TOML file with a [risk] table."""
    if name == LIVE:
        return settings.limits()
    if name == WIDE_NAME:
        return WIDE
    import tomllib
    from pathlib import Path

    try:
        table = tomllib.loads(Path(name).read_text(encoding="utf-8"), parse_float=str)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"--limits {shown(name)} cannot be read: {error}", hint="live, wide, or a TOML file"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(
            f"--limits {shown(name)}: {error}", hint="[risk] as in algotrade.toml"
        ) from error
    risk = table.get("risk")
    if not isinstance(risk, dict) or len(table) > 1:
        raise InputError(
            f"--limits {shown(name)} is not one [risk] table", hint="[risk] as in algotrade.toml"
        )
    flags = {f"risk.{key}": str(value) for key, value in risk.items()}
    known = {setting.name for setting in SETTINGS}
    strange = next((name for name in flags if name not in known), None)
    if strange is not None:
        raise InputError(
            f"--limits {shown(name)}: unknown setting {shown(strange)}",
            hint="algotrade config show lists the settings",
        )
    return settings.with_flags(flags).limits()
