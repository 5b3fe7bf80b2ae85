"""Delivery of a notice: a program of the user's, an https webhook; bounded in time, no retry.

The webhook's address is a secret: no line here repeats it. It is resolved once, and the connection
goes to an address that was looked at, so that no name can lead into a private network.
"""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

from algotrade.clock import monotonic
from algotrade.config import environment, find_webhook
from algotrade.errors import SettingsError
from algotrade.record import NamedTuple
from algotrade.values import read_program

if TYPE_CHECKING:
    import http.client
    from collections.abc import Callable, Mapping
    from urllib.parse import SplitResult

    from algotrade.config import Settings

SECONDS = 3.0  # for everything

_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")  # of the environment, for the program
_PORTS = {"https": 443, "http": 80}


class Outcome(NamedTuple):
    """How many ways the notice went, and a line for each that failed."""

    delivered: int
    failures: tuple[str, ...]


class _NotToldError(ValueError):
    """Why one way did not work, in words that name no address."""


def deliver(settings: Settings, line: str, message: Mapping[str, object]) -> Outcome:
    """Send a message every way that is configured, at once; never raises."""
    body = json.dumps(message, allow_nan=False).encode()
    deadline = monotonic() + SECONDS
    ways: dict[str, Callable[[], None]] = {}
    failures: list[str] = []
    command = settings.text("notify.command")
    if command:
        ways["command"] = lambda: _run(command, line, body, deadline)
    try:
        webhook = find_webhook(settings)
    except SettingsError as error:
        failures.append(error.message)
    else:
        if webhook is not None:
            address, near = webhook.reveal(), settings.text("notify.loopback") == "on"
            ways["webhook"] = lambda: _post(address, body, deadline, loopback=near)
    outcomes = _all_at_once(ways, deadline)
    failures += [f"{name}: {why}" for name, why in outcomes.items() if why is not None]
    return Outcome(sum(why is None for why in outcomes.values()), tuple(failures))


def _all_at_once(ways: Mapping[str, Callable[[], None]], deadline: float) -> dict[str, str | None]:
    """Try each way in a thread of its own; give why it failed, or None. A late one is left."""
    outcomes: dict[str, str | None] = dict.fromkeys(ways, f"no answer within {SECONDS:g} s")

    def attempt(name: str) -> None:
        try:
            ways[name]()
        except _NotToldError as error:
            outcomes[name] = str(error)
        except (OSError, ValueError) as error:
            outcomes[name] = f"failed ({type(error).__name__})"
        else:
            outcomes[name] = None

    threads = [threading.Thread(target=attempt, args=(name,), daemon=True) for name in ways]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - monotonic()))
    return dict(outcomes)


def _run(command: str, line: str, body: bytes, deadline: float) -> None:
    """Run the program: no shell, an environment without our keys, stopped at the deadline."""
    import os
    import signal
    import subprocess

    argv = read_program(command)
    mine = environment()
    clean = {"PATH": "/usr/bin:/bin"} | {name: mine[name] for name in _KEPT if mine.get(name)}
    try:
        child = subprocess.Popen(  # noqa: S603 -- the user's own program, no shell
            [*argv, line],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=clean,
            start_new_session=True,
        )
    except OSError as error:
        raise _NotToldError(f"cannot be started: {error.strerror}") from None
    try:
        child.communicate(body, timeout=max(0.1, deadline - 0.2 - monotonic()))
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        raise _NotToldError(f"did not end within {SECONDS:g} s, and was killed") from None
    if child.returncode:
        raise _NotToldError(f"ended with {child.returncode}")


def _post(address: str, body: bytes, deadline: float, *, loopback: bool) -> None:
    """Post JSON; any answer but 2xx is a failure, a redirect too."""
    import http.client

    parts = _checked(address)
    port = parts.port or _PORTS[parts.scheme]
    where = _reachable(str(parts.hostname), port, scheme=parts.scheme, loopback=loopback)
    connection = _connection(parts, port, where, max(0.1, deadline - monotonic()))
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("POST", target, body, {"Content-Type": "application/json"})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise _NotToldError(f"no answer ({type(error).__name__})") from None
    finally:
        connection.close()
    if not 200 <= status < 300:
        raise _NotToldError(f"answered {status}")


def _checked(address: str) -> SplitResult:
    from urllib.parse import urlsplit

    wrong = "the address is not https://HOST/PATH"
    if not address.isascii() or not address.isprintable() or " " in address:
        raise _NotToldError(wrong)
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        raise _NotToldError(wrong) from None
    if parts.scheme not in _PORTS or not parts.hostname or parts.username or port == 0:
        raise _NotToldError(wrong)
    return parts


def _reachable(host: str, port: int, *, scheme: str, loopback: bool) -> str:
    """Resolve a host; refuse it where any of its addresses is not a public one."""
    import ipaddress
    import socket

    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        raise _NotToldError("its host has no address") from None
    numbers = [str(entry[4][0]) for entry in found]
    parsed = [ipaddress.ip_address(number.split("%")[0]) for number in numbers]
    addresses = [getattr(one, "ipv4_mapped", None) or one for one in parsed]
    if loopback and all(one.is_loopback for one in addresses):
        return numbers[0]
    if scheme != "https":
        raise _NotToldError("the address is not https")
    if any(not one.is_global or one.is_multicast for one in addresses):
        raise _NotToldError("its host is in a private network")
    return numbers[0]


def _connection(
    parts: SplitResult, port: int, where: str, seconds: float
) -> http.client.HTTPConnection:
    """Connect to the address that was looked at; the certificate must be the host's."""
    import http.client
    import socket
    import ssl

    host = str(parts.hostname)
    connection = http.client.HTTPConnection(host, port, timeout=seconds)
    wire = None
    try:
        wire = socket.create_connection((where, port), timeout=seconds)
        if parts.scheme == "https":
            context = ssl.create_default_context()
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            wire = context.wrap_socket(wire, server_hostname=host)
    except OSError as error:
        if wire is not None:
            wire.close()
        raise _NotToldError(f"cannot connect ({type(error).__name__})") from None
    connection.sock = wire
    return connection
