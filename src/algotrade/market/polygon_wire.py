"""The wire under a call: the official client's pool of one host, cut by a fuse at a deadline."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from algotrade.market.polygon_words import clean

if TYPE_CHECKING:
    from collections.abc import Iterator


class Fuse:
    """Cuts the wire at the deadline, wherever the other side stalls: handshake, headers, body.

    Timeouts of a socket begin anew with each byte, so a slow drip passes them all.
    """

    def __init__(self) -> None:
        self.blown = False
        self._wire: socket.socket | None = None

    def hold(self, wire: socket.socket) -> None:
        """Take a second handle of a new connection; TLS detaches the first."""
        self.drop()
        self._wire = wire.dup()
        if self.blown:
            self._blow()

    def drop(self) -> None:
        """Give the handle back."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    @contextmanager
    def burning(self, seconds: float) -> Iterator[None]:
        """Cut the wire unless the block ends within that time."""
        self.blown = False
        timer = threading.Timer(seconds, self._blow)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _blow(self) -> None:
        self.blown = True
        if self._wire is not None:
            with suppress(OSError):
                self._wire.shutdown(socket.SHUT_RDWR)


def make_client(base: str, key: str) -> Any:  # noqa: ANN401 -- the client ships no types we use
    """Make the official client, without its retries, its paging and its logging."""
    import logging

    from polygon import RESTClient

    logging.getLogger("RESTClient").handlers.clear()  # it writes to standard output
    return RESTClient(api_key=key, base=base, retries=0, pagination=False)


def fused_pool(client: Any, base: str, fuse: Fuse) -> Any:  # noqa: ANN401 -- as above
    """Give the client's pool of one host, telling the fuse of each new connection."""
    pool = client.client.connection_from_url(base)
    plain: Any = pool.ConnectionCls  # of http or https, by the base

    class FusedConnection(plain):  # type: ignore[misc] # a class known at run time only
        def _new_conn(self) -> socket.socket:
            wire: socket.socket = super()._new_conn()
            fuse.hold(wire)
            return wire

    pool.ConnectionCls = FusedConnection
    return pool


def broken(error: Exception) -> str:
    """Say in a few words why no answer came."""
    from urllib3 import exceptions

    if isinstance(error, exceptions.SSLError):
        return f"no secure connection ({clean(str(error))})"
    if isinstance(error, exceptions.NewConnectionError):
        return "cannot connect"
    return "silence" if isinstance(error, exceptions.TimeoutError) else "the connection broke"
