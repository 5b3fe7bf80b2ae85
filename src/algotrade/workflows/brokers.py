"""Brokers: open the account's broker with the keys of its kind; the consent that money needs."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from algotrade.broker.protocol import Keys, Opening
from algotrade.config import broker_keys
from algotrade.domain.times import DAY, MICROSECONDS, session_date, to_date, to_day
from algotrade.errors import InputError, MarketClosedError, ProviderError, SettingsError

if TYPE_CHECKING:
    from algotrade.broker.protocol import BrokerClient
    from algotrade.config import Settings
    from algotrade.workflows.context import Workspace

_CLOCK_APART = 5 * MICROSECONDS
_AHEAD = timedelta(days=7)


def open_broker(ws: Workspace) -> BrokerClient:
    """Open the account at its broker; nothing is asked yet."""
    from algotrade.broker.plugins import open_client

    if not ws.at_broker:
        raise InputError(
            f"account {ws.account} is simulated: there is no broker to ask",
            hint="--broker alpaca, or broker in algotrade.toml",
        )
    found = broker_keys(ws.settings, ws.broker, live=ws.live)
    other = broker_keys(ws.settings, ws.broker, live=not ws.live)
    if found and other and found[0].reveal() == other[0].reveal():
        raise SettingsError(
            "R34 the paper account and the live account have the same key",
            hint="each has a key of its own",
        )
    keys = Keys(found[0].reveal(), found[1].reveal()) if found else None
    base = ws.settings.text("broker_base") or None
    return open_client(ws.broker, Opening(live=ws.live, keys=keys, base=base))


def clock_apart(ws: Workspace, client: BrokerClient) -> int | None:
    """Give how far the broker's clock is from this one, whole seconds rounded up.

    0 where the time was told (`now`): that is nobody's clock. None where the broker does not say,
    which keeps nobody from getting out.
    """
    if ws.settings.now is not None:
        return 0
    try:
        apart = client.clock().now - ws.clock.now()
    except ProviderError as error:
        ws.say(f"the broker does not tell its time: {error.message}")
        return None
    if abs(apart) > _CLOCK_APART:
        ws.say(f"the broker's clock is {apart / MICROSECONDS:+.1f} s from this one")
    return -(-abs(apart) // MICROSECONDS)


def compare_hours(ws: Workspace, client: BrokerClient) -> None:
    """Tell where the broker's sessions of the next days are not ours."""
    now = ws.clock.now()
    first = session_date(now)
    told = {one.day: (one.opens, one.closes) for one in client.calendar(first, first + _AHEAD)}
    known = ws.calendar(now)
    ours = {
        day: (known.opens[place], known.closes[place])
        for place, day in enumerate(known.day)
        if to_day(first) <= day <= to_day(first + _AHEAD)
    }
    for day in sorted({*told, *ours}):
        if told.get(day) != ours.get(day):
            ws.say(f"the broker's calendar has other hours on {to_date(day)}; fetch renews ours")


def check_live(settings: Settings, *, flag: bool) -> bool:
    """Tell whether real money will move; flag and setting must agree (R34)."""
    on = settings.text("live") == "on" and settings.text("broker") != "simulated"
    if flag and not on:
        raise SettingsError(
            'R34 --live needs live = "on" and a broker in algotrade.toml',
            hint="or leave --live out: paper money",
        )
    if on and not flag:
        raise SettingsError(
            "R34 this account is live: real money moves only with --live",
            hint="add --live, or --broker simulated",
        )
    return on


def require_open(ws: Workspace) -> None:
    """Raise where regular trading is not going on: by the broker's clock, else by the calendar."""
    if ws.at_broker:
        is_open = open_broker(ws).clock().is_open
    else:
        is_open = ws.calendar(ws.clock.now() - 10 * DAY).is_open(ws.clock.now())
    if not is_open:
        raise MarketClosedError("the market is closed", hint="algotrade market tells when it opens")
