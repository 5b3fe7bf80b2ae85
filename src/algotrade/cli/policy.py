"""The flags that say how to trade, shared by `trade` and `backtest`, read into what they mean."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from algotrade.cli.flags import plain_words, sharing
from algotrade.domain.decisions import EQUITY, NOTIONAL, PROBABILITY, RISK, VOLATILITY, Sizing
from algotrade.domain.money import BPS, parse_quantity, parse_usd, scaled
from algotrade.domain.orders import DAY, GTC, LIMIT, MARKET, STOP, STOP_LIMIT, TIMES_IN_FORCE
from algotrade.errors import InputError, shown
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


_PANEL = "How"
_SIZES = {
    "qty": "",
    "usd": NOTIONAL,
    "equity": EQUITY,
    "volatility": VOLATILITY,
    "probability": PROBABILITY,
    "risk": RISK,
}
_PERCENT = re.compile(r"([+-]?)([0-9]{1,4}(?:\.[0-9]{1,2})?)%", re.ASCII)
_PRICE = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?", re.ASCII)


def _option(name: str, text: str, *more: str) -> Any:  # noqa: ANN401  typer's own option
    return typer.Option(name, *more, help=text, rich_help_panel=_PANEL)


FLAGS: dict[str, Any] = {
    "qty": Annotated[str | None, _option("--qty", "Shares to hold, or with --side to order.")],
    "usd": Annotated[str | None, _option("--usd", "Dollars to enter with.")],
    "equity": Annotated[str | None, _option("--equity", "Part of equity to enter with: 10%.")],
    "volatility": Annotated[
        str | None, _option("--volatility", "So much that it moves 15% of equity a year.")
    ],
    "probability": Annotated[
        str | None, _option("--probability", "Up to 10% of equity, by damped p(up).")
    ],
    "risk": Annotated[
        str | None,
        _option("--risk", "Part of equity to lose down to --stop, which then only sizes: 0.5%."),
    ],
    "whole": Annotated[bool, _option("--whole", "Whole shares only.")],
    "strategy": Annotated[
        str | None,
        _option("--strategy", "A rule instead of a model: sma-cross, sma-state, mod:function."),
    ],
    "params": Annotated[list[str] | None, _option("--param", "Of the rule: fast=50.", "-p")],
    "exit_below": Annotated[
        str | None, _option("--exit-below", "Keep a position until p(up) is at or below this.")
    ],
    "short": Annotated[bool, _option("--short", "Sell short while down is said.")],
    "limit": Annotated[
        str | None,
        _option(
            "--limit", "Limit price, or -0.5%: that much below the close to buy, above it to sell."
        ),
    ],
    "stop": Annotated[
        str | None,
        _option("--stop", "Stop price, or 1%: that much above the close to buy, below it to sell."),
    ],
    "tif": Annotated[str | None, _option("--tif", "gtc, the default, or day: for one session.")],
}


class Asked(NamedTuple):
    """How to trade, in the fields of a policy."""

    quantity: int
    sizing: Sizing | None
    exit_below: float | None
    order_type: str
    time_in_force: str
    limit_price: int | None
    stop_price: int | None
    limit_bps: int | None
    stop_bps: int | None
    short: bool
    whole: bool
    rule: str | None
    params: tuple[tuple[str, str], ...]


def asking(*, size: str | None = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Put the flags of FLAGS where a command's function takes `asked`, and read them into it.

    size: the part of equity that is meant where no flag gives the size.
    """
    return sharing("asked", FLAGS, lambda typed: _read_asked(typed, size))


def _read_asked(typed: Mapping[str, Any], default_size: str | None) -> Asked:
    """Read the flags; exactly one of them gives the size."""
    sizes = {f"--{name}": typed[name] for name in _SIZES}
    if default_size is not None and all(typed is None for typed in sizes.values()):
        sizes["--equity"] = default_size
    quantity, sizing = _read_size(sizes)
    limit, stop, tif = typed["limit"], typed["stop"], typed["tif"] or GTC
    if tif not in TIMES_IN_FORCE:
        raise InputError(f"--tif {shown(tif)} is not a time in force", hint=f"{GTC} or {DAY}")
    limit_price, limit_bps = _read_price("--limit", limit)
    if sizing is not None and sizing.kind == RISK:
        sizing, stop = _with_stop(sizing, stop), None
    stop_price, stop_bps = _read_price("--stop", stop)
    kinds = {(False, False): MARKET, (True, False): LIMIT, (False, True): STOP}
    return Asked(
        quantity=quantity,
        sizing=sizing,
        exit_below=_read_probability("--exit-below", typed["exit_below"]),
        order_type=kinds.get((limit is not None, stop is not None), STOP_LIMIT),
        time_in_force=tif,
        limit_price=limit_price,
        stop_price=stop_price,
        limit_bps=limit_bps,
        stop_bps=stop_bps,
        short=typed["short"],
        whole=typed["whole"],
        rule=typed["strategy"],
        params=_read_params(typed["params"]),
    )


def read_overrides(typed: Sequence[str] | None, reason: str | None) -> tuple[str, ...]:
    """Read ids of rules, in any case; each must be one that a reason may let an order pass."""
    from algotrade.domain.rules import MAY_BE_OVERRIDDEN, RULE

    ids = [text for one in typed or () for text in one.replace(",", " ").split()]
    known = {rule_id.lower(): rule_id for rule_id in RULE}
    found = {known.get(text.lower(), "") for text in ids}
    may = f"those that may be overridden: {', '.join(MAY_BE_OVERRIDDEN)}"
    if "" in found:
        strange = next(text for text in ids if text.lower() not in known)
        raise InputError(f"--override {shown(strange)} is no limit", hint=may)
    for rule_id in sorted(found - {*MAY_BE_OVERRIDDEN}):
        raise InputError(
            f"--override {rule_id}: no reason lets an order pass {RULE[rule_id].name}", hint=may
        )
    if typed is not None and not ids:
        raise InputError("--override names no limit", hint="--override R07 --reason TEXT")
    if reason is not None and not plain_words(reason):
        raise InputError("--reason is empty", hint="a few words; they are written down")
    if bool(ids) != bool(reason):
        missing, given = ("--reason", "--override") if ids else ("--override", "--reason")
        raise InputError(f"{given} needs {missing}", hint="--override R07 --reason TEXT")
    return tuple(sorted(found))


def _read_params(typed: Sequence[str] | None) -> tuple[tuple[str, str], ...]:
    """Read key=value pairs; the rule itself checks them."""
    pairs = []
    for text in typed or ():
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise InputError(f"-p {shown(text)} is not name=value", hint="-p fast=50")
        pairs.append((name, value))
    return tuple(pairs)


def _read_percent(flag: str, text: str) -> int:
    """Read a positive percentage into basis points."""
    found = _PERCENT.fullmatch(text)
    bps = scaled(found[2], 2) if found else 0
    if found is None or found[1] or not bps:
        raise InputError(f"{flag} {shown(text)} is not a percentage", hint=f"{flag} 10%")
    return bps


def _read_size(given: Mapping[str, str | None]) -> tuple[int, Sizing | None]:
    named = [(flag, text) for flag, text in given.items() if text is not None]
    if len(named) != 1:
        flags = " and ".join(flag for flag, _ in named)
        what = f"{flags} contradict each other" if named else "no size is given"
        raise InputError(what, hint=f"one of {', '.join(given)}")
    ((flag, text),) = named
    if flag == "--qty":
        return parse_quantity(text), None
    kind = _SIZES[flag.removeprefix("--")]
    amount = parse_usd(text, field=flag) if kind == NOTIONAL else _read_percent(flag, text)
    return 0, Sizing(kind, amount)


def _with_stop(sizing: Sizing, text: str | None) -> Sizing:
    """Give a size by risk with its stop: a price, or a distance against the position."""
    if text is None:
        raise InputError("--risk needs a --stop", hint="--stop 95, or 5% from the close")
    try:
        price, bps = _read_price("--stop", text)
    except InputError:
        price, bps = None, 0
    if price is None and not (bps and bps > 0):
        raise InputError(
            f"--stop {shown(text)} is no stop to size by",
            hint="a price, --stop 95, or over 0% and under 100% from the close, --stop 5%",
        )
    return sizing._replace(stop_price=price, stop_bps=bps)


def _read_price(flag: str, text: str | None) -> tuple[int | None, int | None]:
    """Read a price in micro-dollars, or a distance from the close in bps."""
    if text is None:
        return None, None
    found = _PERCENT.fullmatch(text)
    if found is not None:
        bps = scaled(found[2], 2) or 0
        if bps >= BPS:
            raise InputError(
                f"{flag} {shown(text)} is no price's distance", hint=f"under 100%: {flag} -0.5%"
            )
        return None, -bps if found[1] == "-" else bps
    price = scaled(text, 6) if _PRICE.fullmatch(text) else None
    if price:
        return price, None
    raise InputError(
        f"{flag} {shown(text)} is not a price", hint=f"{flag} 190.50, or a distance: {flag} -0.5%"
    )


def _read_probability(flag: str, text: str | None) -> float | None:
    if text is None:
        return None
    if re.fullmatch(r"0?\.[0-9]{1,6}", text, re.ASCII):
        return float(text)
    raise InputError(f"{flag} {shown(text)} is not a probability", hint=f"{flag} 0.49")
