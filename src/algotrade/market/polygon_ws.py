"""One connection to Polygon's websocket: second and minute aggregates, and price bands.

The official client makes the connection, signs in and subscribes. Its silence about a server that
cannot be reached, its missing deadlines and its parsing are not used: what arrives is read here.
The key travels in the one message that signs in.

what comes                                 what `Stream.run` does
a refusal that speaks of the plan          PlanError (12)
any other refusal to sign in               SecretError (12)
no greeting in time, a lost connection     ProviderError (7)
no JSON, no credible price                 counted and left out; 100 in a row: ProviderError (7)
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING, Any

from algotrade import clock
from algotrade.domain.live import LivePrice
from algotrade.errors import PlanError, ProviderError, SecretError, SettingsError, shown
from algotrade.market import polygon_fields as fields
from algotrade.market.live import FeedState
from algotrade.market.polygon_http import strict_json
from algotrade.market.polygon_words import clean
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from algotrade.errors import AlgotradeError
    from algotrade.market.live import Board
    from algotrade.market.polygon_http import JsonObject

GREETING_S = 10.0

_TICK_S = 0.1
_BAD_IN_A_ROW = 100
_ADDRESS = re.compile(r"(wss?)://([A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?)/?")
_LOOPBACK = re.compile(r"(localhost|127(\.[0-9]{1,3}){3})(:[0-9]{1,5})?")
_KINDS = {"A": "second", "AM": "minute"}
_BAND = "LULD"


class Address(NamedTuple):
    """Where a websocket answers; plain ones are on this machine."""

    host: str
    secure: bool
    delayed: bool


def read_address(text: str) -> Address:
    """Read an address; one that would send the key unencrypted over a network is refused."""
    found = _ADDRESS.fullmatch(text)
    if not found:
        raise SettingsError(
            f"watch.stream {shown(text)} is not an address", hint="for example wss://HOST"
        )
    if found[1] == "ws" and not _LOOPBACK.fullmatch(found[2]):
        raise SettingsError(
            f"watch.stream {shown(text)} would send the key unencrypted",
            hint="wss, or plain ws to this machine only (ws://127.0.0.1:PORT)",
        )
    return Address(found[2], secure=found[1] == "wss", delayed=found[2].startswith("delayed."))


def addresses(stream: str, api_base: str) -> tuple[Address, ...]:
    """Give where to connect, best first: what is set, else the vendor's current and late feeds."""
    if stream:
        return (read_address(stream),)
    found = re.fullmatch(r"https://api\.([A-Za-z0-9.-]+)/?", api_base)
    if found is None:  # a server of one's own tells where its stream is, or has none
        return ()
    return tuple(read_address(f"wss://{name}.{found[1]}") for name in ("socket", "delayed"))


class Stream:
    """One connection, from sign-in to its end; for one thread."""

    def __init__(
        self,
        address: Address,
        key: str,
        symbols: Sequence[str],
        board: Board,
        *,
        greeting_s: float = GREETING_S,
    ) -> None:
        self._address, self._key, self._board = address, key, board
        self._symbols = frozenset(symbols)
        self._greeting_s = greeting_s
        self._greeted = False
        self._bad = 0
        self._refused: AlgotradeError | None = None

    @property
    def greeted(self) -> bool:
        """Tell whether this connection has brought anything."""
        return self._greeted

    def run(self, stop: threading.Event) -> None:
        """Put prices on the board until told to stop; how it ends else is in the module's table."""
        asyncio.run(self._run(stop))

    async def _run(self, stop: threading.Event) -> None:
        client = self._client()
        task = asyncio.ensure_future(
            client.connect(
                self._take,
                close_timeout=1,
                open_timeout=self._greeting_s,
                ping_interval=10,
                ping_timeout=10,
                max_size=2**20,
            )
        )
        deadline = clock.monotonic() + self._greeting_s
        try:
            while not task.done() and not stop.is_set() and self._refused is None:
                if not self._greeted and clock.monotonic() > deadline:
                    raise ProviderError(
                        f"polygon: {self._address.host} did not answer in {self._greeting_s:g} s"
                    )
                await asyncio.wait({task}, timeout=_TICK_S)
            if self._refused is not None:
                raise self._refused
            if not stop.is_set():
                self._tell_end(task)
        finally:
            with contextlib.suppress(Exception):  # what broke is told already
                await client.close()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task

    def _client(self) -> Any:  # noqa: ANN401 -- the client ships no types we use
        import logging

        from polygon import WebSocketClient

        logging.getLogger("WebSocketClient").handlers.clear()  # it writes to standard output
        topics = [f"{kind}.{name}" for name in sorted(self._symbols) for kind in (*_KINDS, _BAND)]
        return WebSocketClient(
            api_key=self._key,
            feed=self._address.host,
            market="stocks",
            raw=True,
            subscriptions=topics,
            max_reconnects=0,
            secure=self._address.secure,
        )

    def _tell_end(self, task: asyncio.Future[None]) -> None:
        """Raise what the end of the client's work means; a plain end is a lost connection, too."""
        error = task.exception()
        if type(error).__name__ == "AuthError":
            raise self._refusal(str(error))
        why = f": {self._words(str(error))}" if error is not None and str(error) else ""
        raise ProviderError(f"polygon: the stream of {self._address.host} broke{why}")

    def _refusal(self, said: str) -> AlgotradeError:
        words = self._words(said)
        if re.search(r"\bplan\b|upgrade|not authorized|entitled", said, re.IGNORECASE):
            return PlanError(f"polygon: the stream is refused by the plan: {words}")
        return SecretError(
            f"polygon: the stream refused the key: {words}",
            hint="put a key of your account into MASSIVE_API_KEY or POLYGON_API_KEY",
        )

    def _words(self, said: str) -> str:
        return clean(clean(said, 2000).replace(self._key, "***"))

    async def _take(self, message: str | bytes) -> None:
        """Read one message: a list of events."""
        raw = message.encode() if isinstance(message, str) else message
        try:
            events = strict_json(raw, self._key)
        except (ValueError, RecursionError):
            events = None
        for event in events if isinstance(events, list) else [None]:
            self._read(event)

    def _read(self, event: object) -> None:
        try:
            if not isinstance(event, dict):
                raise ValueError("an event is no object")  # noqa: TRY301, TRY004 -- vendor data
            kind = event.get("ev")
            if kind == "status":
                self._status(event)
            elif kind in _KINDS:
                self._aggregate(event, _KINDS[kind])
            elif kind == _BAND and event.get("T") in self._symbols:
                low, high = fields.price(event, "l"), fields.price(event, "h")
                self._board.band(str(event["T"]), low, high)
        except ValueError:
            self._count_bad()

    def _aggregate(self, event: JsonObject, kind: str) -> None:
        symbol = event.get("sym")
        if symbol not in self._symbols:
            raise ValueError("of a symbol that was not asked for")
        price, ts = fields.price(event, "c"), fields.milliseconds(event, "e") * 1000
        self._bad = 0
        self._board.put(LivePrice(symbol, price, ts, kind, self._address.delayed))

    def _status(self, event: JsonObject) -> None:
        status, said = str(event.get("status")), str(event.get("message"))
        if status == "success" and not self._greeted:
            self._greeted = True
            self._board.set_state(FeedState("stream", self._address.delayed))
        elif status in ("auth_failed", "max_connections"):
            self._refused = (
                self._refusal(said)
                if status == "auth_failed"
                else ProviderError(f"polygon: too many streams of this key: {self._words(said)}")
            )
        elif status != "success":
            self._subscription(said)

    def _subscription(self, said: str) -> None:
        """Take a refusal of one subscription; without any granted one it is the plan's."""
        if not self._greeted and "not authorized" in said.casefold():
            self._refused = self._refusal(said)
        else:
            self._board.note(f"polygon's stream says: {self._words(said)}")

    def _count_bad(self) -> None:
        self._bad += 1
        if self._bad >= _BAD_IN_A_ROW:
            self._refused = ProviderError(
                f"polygon: {_BAD_IN_A_ROW} messages in a row that cannot be believed"
            )
