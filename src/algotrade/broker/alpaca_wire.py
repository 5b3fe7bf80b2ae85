"""One call to Alpaca by alpaca-py: once, with a deadline, and an honest word on what is known.

The library alone would send an order again after a 504 and wait for ever for an answer; its retries
are off, each socket has a timeout, and a call ends at its deadline even where bytes drip.
"""

from __future__ import annotations

import json
import queue
import threading
from typing import TYPE_CHECKING, Any

from algotrade import clock
from algotrade.broker.numbers import clean
from algotrade.errors import ProviderError, SecretError
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

TIMEOUTS = (5.0, 10.0, 20.0)  # seconds to connect, between two bytes, of a whole call
_TRIES = 3
_PAUSE = 0.5
_LONGEST_PAUSE = 5.0


class Reply(NamedTuple):
    """What came back: the status, and the JSON of the body."""

    status: int
    body: Any

    @property
    def message(self) -> str:
        """Give the broker's words on an error, fit to be shown."""
        told = self.body.get("message") if isinstance(self.body, dict) else None
        return clean(told or f"status {self.status}")

    @property
    def code(self) -> int:
        """Give the broker's own number of an error, 0 where there is none."""
        code = self.body.get("code") if isinstance(self.body, dict) else None
        return code if isinstance(code, int) else 0


class Lost(NamedTuple):
    """No answer that can be read. sent: whether the call may have reached the broker."""

    why: str
    sent: bool
    wait_s: float = 0.0


class Wire:
    """Calls of one account at one address."""

    def __init__(
        self,
        base: str,
        key_id: str,
        secret: str,
        *,
        timeouts: tuple[float, float, float] | None = None,
        sleep: Callable[[float], None] = clock.sleep,
    ) -> None:
        """Make the library's client; nothing is sent. timeouts: to connect, to read, in all."""
        connect_s, read_s, self._deadline_s = timeouts or TIMEOUTS
        self._base, self._sleep = base, sleep
        self.address = base, key_id, secret
        self._client = _client(base, key_id, secret, (connect_s, read_s))

    def once(self, method: str, path: str, data: Any = None) -> Reply | Lost:  # noqa: ANN401  JSON
        """Call once; give the reply, or why there is none."""
        box: queue.SimpleQueue[Reply | Lost | BaseException] = queue.SimpleQueue()

        def call() -> None:
            try:
                box.put(_called(self._client, method, path, data))
            except BaseException as error:  # noqa: BLE001  raised again where the caller waits
                box.put(error)

        threading.Thread(target=call, daemon=True).start()
        try:
            found = box.get(timeout=self._deadline_s)
        except queue.Empty:
            return Lost(f"no whole answer in {self._deadline_s:g} s", sent=True)
        if isinstance(found, BaseException):
            raise found
        return found

    def ask(self, method: str, path: str, data: Any = None) -> Reply:  # noqa: ANN401  JSON
        """Call, again where it may help, what may be called twice; raise where nothing comes."""
        end = clock.monotonic() + self._deadline_s
        for left in reversed(range(_TRIES)):
            found = self.once(method, path, data)
            if isinstance(found, Reply) and found.status not in (408, 429) and found.status < 500:
                return self._checked(found)
            told = f"status {found.status}" if isinstance(found, Reply) else found.why
            pause = max(_PAUSE, found.wait_s if isinstance(found, Lost) else _PAUSE)
            if isinstance(found, Reply) and found.status == 429:
                pause = _waited(found.body)
            if not left or clock.monotonic() + pause >= end:
                break
            self._sleep(pause)
        raise ProviderError(
            f"the broker at {self._base} cannot be asked: {told}", hint="try again later"
        )

    def _checked(self, reply: Reply) -> Reply:
        if reply.status in (401, 403):
            raise refused_key(reply)
        return reply


def refused_key(reply: Reply) -> SecretError:
    """Say that the broker does not take the key."""
    return SecretError(
        f"the broker refuses the key ({reply.status}: {reply.message})",
        hint="ALPACA_PAPER_KEY_ID and _SECRET for paper, ALPACA_LIVE_KEY_ID and _SECRET for live",
    )


def _waited(body: Any) -> float:  # noqa: ANN401  JSON
    """Give the seconds that the broker asks us to wait, within reason."""
    asked = body.get("retry_after") if isinstance(body, dict) else None
    return min(_LONGEST_PAUSE, asked) if isinstance(asked, float) else _PAUSE


def _client(base: str, key_id: str, secret: str, timeouts: tuple[float, float]) -> Any:  # noqa: ANN401  the library's
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of websockets, inside alpaca-py
        from alpaca.trading.client import TradingClient
    from requests.adapters import HTTPAdapter  # that alpaca-py brings

    class Timed(HTTPAdapter):
        """An adapter that waits so long and no longer, and never tries again."""

        def send(self, request: Any, **options: Any) -> Any:  # type: ignore[override] # noqa: ANN401  the library's
            return super().send(request, **{**options, "timeout": timeouts})

    client = TradingClient(
        api_key=key_id, secret_key=secret, paper=True, raw_data=True, url_override=base
    )
    client._retry, client._retry_codes = 0, []  # noqa: SLF001  its arguments cannot say none
    session = client._session  # noqa: SLF001  its own timeouts are none
    session.trust_env = False
    for scheme in ("https://", "http://"):
        session.mount(scheme, Timed(max_retries=0))
    return client


def _called(client: Any, method: str, path: str, data: Any) -> Reply | Lost:  # noqa: ANN401  the library's
    import requests
    from alpaca.common.exceptions import APIError

    try:
        return Reply(200, getattr(client, method)(path, data))
    except APIError as error:
        return _failed(error)
    except requests.exceptions.ConnectionError as error:
        return Lost(_words(error), sent=not _never_sent(error))
    except (requests.exceptions.RequestException, ValueError) as error:  # ValueError: bad JSON
        return Lost(_words(error), sent=True)


def _failed(error: Any) -> Reply:  # noqa: ANN401  the library's
    try:
        body = json.loads(str(error))
    except ValueError:
        body = {}
    body = body if isinstance(body, dict) else {}
    response = error.response
    after = response.headers.get("Retry-After", "") if response is not None else ""
    if after.isdecimal():
        body["retry_after"] = float(after)
    return Reply(int(error.status_code), body)


def _never_sent(error: Exception) -> bool:
    """Tell whether there was no connection at all to send over."""
    import requests
    from urllib3 import exceptions

    if isinstance(error, requests.exceptions.ConnectTimeout | requests.exceptions.SSLError):
        return True
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return isinstance(reason, exceptions.NewConnectionError | exceptions.ConnectTimeoutError)


def _words(error: Exception) -> str:
    import requests

    if isinstance(error, requests.exceptions.SSLError):
        return "no secure connection"
    if isinstance(error, requests.exceptions.Timeout):
        return "silence"
    if isinstance(error, requests.exceptions.ConnectionError):
        return "cannot connect" if _never_sent(error) else "the connection broke"
    return "an answer that cannot be read"
