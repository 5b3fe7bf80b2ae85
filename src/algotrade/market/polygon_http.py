"""One GET from Polygon: paced, retried, timed, capped, strict JSON, or an error that says why.

The connection pool is the official client's; its paging, retries, missing timeouts and logging to
standard output are not used. The key travels in the Authorization header and nowhere else.

what comes                                     what `PolygonHttp.get` does
200 with status OK or DELAYED                  returns the JSON object
404, or status NOT_FOUND                       returns None
401, or 400 or ERROR with words on an API key  SecretError (12)
403, or status NOT_AUTHORIZED                  PlanError (12)
429                                            waits as told, else till the minute is over; at the
                                               deadline ProviderError (7)
408, 5xx, no connection, a broken one, silence three more tries, then ProviderError (7)
status ERROR; any other 3xx, 4xx               ProviderError (7)
more than 32 MiB, or slower than the deadline  ProviderError (7)
200 with anything else                         DataError (5)
"""

from __future__ import annotations

import json
import math
import re
import weakref
import zlib
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlencode

from algotrade import clock
from algotrade.errors import DataError, PlanError, ProviderError, SecretError, SettingsError, shown
from algotrade.market.polygon_pacing import ACCOUNTS, HIGHEST_RATE, Account
from algotrade.market.polygon_wire import Fuse, broken, fused_pool, make_client
from algotrade.market.polygon_words import clean, told
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from algotrade.errors import AlgotradeError

JsonObject = dict[str, Any]
DEFAULT_BASE = "https://api.polygon.io"
DEFAULT_RATE = 5  # calls a minute, the free plan's

_BACK_OFF = (0.5, 1.0, 2.0)
_LONGEST_WAIT = 120.0
_SHORT_WAIT = 1.0
_BODY_LIMIT = 32 * 1024 * 1024  # bytes, after decompression
_CHUNK = 64 * 1024
_BASE = re.compile(r"(https?)://([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?/?")
_LOOPBACK = re.compile(r"localhost|127(\.[0-9]{1,3}){3}|\[::1\]")
_KEY = re.compile(r"[\x21-\x7e]{1,256}")
_KEY_HINT = "put a key of your account into MASSIVE_API_KEY or POLYGON_API_KEY"
_SECONDS = re.compile(r"[0-9]{1,9}")
_AS_IT_COMES = dict.fromkeys(("retries", "redirect", "preload_content", "decode_content"), False)


class _Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool  # the compressed body had its end and its checksum


class PolygonHttp:
    """One host, one key, one connection; for one thread. Pacing is shared by the whole process."""

    def __init__(
        self,
        *,
        base: str = DEFAULT_BASE,
        key: str,
        rate_per_minute: int = DEFAULT_RATE,
        deadline_s: float = 180.0,
        connect_timeout_s: float = 10.0,
        read_timeout_s: float = 30.0,
        announce: Callable[[str], None],
        on_wait: Callable[[float, str], None] | None = None,
        sleep: Callable[[float], None] = clock.sleep,
        monotonic: Callable[[], float] = clock.monotonic,
    ) -> None:
        """Check base, key and rate; nothing is sent yet.

        deadline_s: for one call with its retries and waits, from its first byte on; the wait for
        our own pacing before it does not count. rate_per_minute: 0 is no pacing.
        on_wait: told the seconds and the reason before each wait of over a second; without it,
        waits of over two seconds are announced as a line.
        """
        self._base = _checked_base(base)
        if not _KEY.fullmatch(key):
            what = "is missing" if not key.strip() else "has blanks or characters no key has"
            raise SecretError(f"the Polygon API key {what}", hint=_KEY_HINT)
        if not 0 <= rate_per_minute <= HIGHEST_RATE:
            raise SettingsError(
                f"rate {rate_per_minute} is not between 0 and {HIGHEST_RATE} calls a minute",
                hint="5 for the free plan, 0 for no limit",
            )
        self._rate = rate_per_minute
        self._deadline_s = deadline_s
        self._timeouts = (connect_timeout_s, read_timeout_s)
        self._announce, self._on_wait = announce, on_wait
        self._sleep, self._monotonic = sleep, monotonic
        self.calls_made = 0
        self._account = ACCOUNTS.setdefault(self._base, Account())
        self._fuse = Fuse()
        self._client = make_client(self._base, key)
        self._pool = fused_pool(self._client, self._base, self._fuse)
        weakref.finalize(self, self._fuse.drop)

    def close(self) -> None:
        """Close the connection; a later call opens another."""
        self._pool.close()
        self._fuse.drop()

    @property
    def refused(self) -> set[str]:
        """What the plan of this account refused so far, in words of whoever asks; shared."""
        return self._account.refused

    def eta(self, calls_left: int) -> float:
        """Give the seconds that pacing alone makes that many further calls wait."""
        return self._account.eta(self._monotonic(), self._rate, calls_left)

    def get(self, path: str, query: Iterable[tuple[str, str]] = ()) -> JsonObject | None:
        """Ask for one JSON object; None where the provider says there is no such thing."""
        answer = self._ask(path, tuple(query))
        return None if answer.status == 404 else self._checked(path, answer)

    def get_bare(self, path: str) -> object:
        """Ask for JSON that bears no status when all is well, such as a list; None as above."""
        answer = self._ask(path, ())
        if answer.status == 404:
            return None
        content = self._parsed(path, answer)
        said = content.get("status") if isinstance(content, dict) else None
        return content if said is None else self._checked(path, answer)

    def _ask(self, path: str, pairs: tuple[tuple[str, str], ...]) -> _Answer:
        """Call until an answer comes that no further try would better: 200 or 404."""
        target = f"{path}?{urlencode(pairs)}" if pairs else path
        self._pace(math.inf)
        deadline = self._monotonic() + self._deadline_s
        pauses = iter(_BACK_OFF)
        while True:
            answer = self._attempt(target, deadline)
            if isinstance(answer, _Answer) and not _passing(answer.status):
                if answer.status in (200, 404):
                    return answer
                raise self._refusal(path, str(answer.status), self._words(answer.body))
            if isinstance(answer, str):
                why, pause = answer, next(pauses, None)
            elif answer.status == 429:
                why, pause = "too many requests (429)", self._asked_wait(answer)
            else:
                why, pause = f"status {answer.status}", next(pauses, None)
            if pause is None:
                raise ProviderError(f"polygon: {why}, {len(_BACK_OFF) + 1} times ({clean(path)})")
            self._wait(pause, deadline, why)
            self._pace(deadline)

    def _pace(self, deadline: float) -> None:
        wait = self._account.reserve(self._monotonic(), self._rate)
        if wait > 0:
            self._wait(wait, deadline, f"{self._rate} calls a minute")

    def _wait(self, seconds: float, deadline: float, why: str) -> None:
        if self._monotonic() + seconds >= deadline:
            self._too_late(why)
        if self._on_wait is not None:
            if seconds > _SHORT_WAIT:
                self._on_wait(seconds, why)
        elif seconds > _BACK_OFF[-1]:
            self._announce(f"polygon: waiting {seconds:.0f} s: {why}")
        self._sleep(seconds)

    def _too_late(self, why: str) -> NoReturn:
        raise ProviderError(f"polygon: no answer within {self._deadline_s:g} s: {why}")

    def _asked_wait(self, answer: _Answer) -> float:
        told = _retry_after(answer.headers)
        wait = self._account.minute_left(self._monotonic()) if told is None else told
        return min(max(wait, 1.0), _LONGEST_WAIT)

    def _attempt(self, target: str, deadline: float) -> _Answer | str:
        """Try once; a string says why no answer came."""
        from urllib3 import Timeout
        from urllib3.exceptions import HTTPError

        left = max(deadline - self._monotonic(), 0.001)
        connect, read = (min(limit, left) for limit in self._timeouts)
        self.calls_made += 1
        with self._fuse.burning(left):
            try:
                response = self._pool.urlopen(
                    "GET",
                    target,
                    headers=self._client.headers,
                    timeout=Timeout(connect=connect, read=read),
                    **_AS_IT_COMES,
                )
                try:
                    answer: _Answer | str = self._receive(response, deadline)
                finally:
                    response.close()
            except (HTTPError, OSError) as error:
                answer = broken(error)
        if self._fuse.blown:
            self._too_late("the answer came too slowly")
        return answer

    def _receive(self, response: Any, deadline: float) -> _Answer:  # noqa: ANN401 -- urllib3's
        packed = response.headers.get("Content-Encoding", "identity").strip().lower() == "gzip"
        inflate = zlib.decompressobj(wbits=31) if packed else None
        body = bytearray()
        whole = True
        for chunk in response.stream(_CHUNK, decode_content=False):
            try:
                body += inflate.decompress(chunk, _BODY_LIMIT + 1 - len(body)) if inflate else chunk
            except zlib.error:
                whole = False
                break
            if len(body) > _BODY_LIMIT:
                raise ProviderError(f"polygon: an answer of over {_BODY_LIMIT >> 20} MiB, cut off")
            if self._monotonic() > deadline:
                self._too_late("the answer came too slowly")
        framed = {"content-length", "transfer-encoding"} & {
            name.lower() for name in response.headers
        }
        if not body and not framed and response.status == 200:
            raise ConnectionError("the headers were cut")
        whole = whole and (inflate is None or inflate.eof)
        return _Answer(response.status, response.headers, bytes(body), whole)

    def _checked(self, path: str, answer: _Answer) -> JsonObject | None:
        content = self._parsed(path, answer)
        if not isinstance(content, dict):
            raise self._no_json(path, answer, "it is " + told(content))
        status = content.get("status")
        if status in ("OK", "DELAYED"):
            return content
        if status == "NOT_FOUND":
            return None
        if status in ("ERROR", "NOT_AUTHORIZED"):
            raise self._refusal(path, status, self._words(answer.body))
        raise DataError(f"polygon: an answer with status {told(status)} ({clean(path)})")

    def _refusal(self, path: str, status: str, said: str) -> AlgotradeError:
        about_key = status in ("400", "ERROR") and "api key" in said.casefold()
        if status == "401" or about_key:
            return SecretError(f"polygon: the key was refused ({status}): {said}", hint=_KEY_HINT)
        if status in ("403", "NOT_AUTHORIZED"):
            return PlanError(f"polygon: refused by the plan ({clean(path)}): {said}")
        return ProviderError(f"polygon: answered {status} ({clean(path)}): {said}")

    def _parsed(self, path: str, answer: _Answer) -> object:
        if not answer.whole:
            raise DataError(f"polygon: a compressed answer is cut or damaged ({clean(path)})")
        try:
            content = strict_json(answer.body, self._client.API_KEY)
        except (ValueError, RecursionError) as error:  # bad UTF-8, endless digits, endless depth
            raise self._no_json(path, answer, clean(str(error), 60)) from None
        return content

    def _no_json(self, path: str, answer: _Answer, why: str) -> DataError:
        came = clean(self._words(answer.body), 60) or "nothing"
        return DataError(f"polygon: no valid JSON object ({clean(path)}; {why}): {came}")

    def _words(self, body: bytes) -> str:
        """Give what the provider says in an error, fit for a message: clean, cut, without key."""
        text = body[:10_000].decode(errors="replace")
        with suppress(ValueError, RecursionError, AttributeError):  # not JSON, or not an object
            content = json.loads(text)
            said = content.get("error") or content.get("message")
            text = said if isinstance(said, str) else text
        return clean(clean(text, 2000).replace(self._client.API_KEY, "***"))


def strict_json(body: bytes, key: str) -> object:
    """Parse UTF-8 JSON without NaN and infinities; a key that it repeats is left out."""
    text = body.decode().replace(key, "***")
    content: object = json.loads(text, parse_constant=_no_constant)
    return content


def _checked_base(base: str) -> str:
    found = _BASE.fullmatch(base)
    if not found:
        raise SettingsError(
            f"API base {shown(base)} is not an address", hint=f"for example {DEFAULT_BASE}"
        )
    if found[1] == "http" and not _LOOPBACK.fullmatch(found[2]):
        raise SettingsError(
            f"API base {shown(base)} would send the key unencrypted",
            hint="https, or plain http to this machine only (http://127.0.0.1:PORT)",
        )
    return base.rstrip("/")


def _passing(status: int) -> bool:
    """Tell whether the same call may succeed a little later."""
    return status in (408, 429) or status >= 500


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After; a date is compared with the server's own clock, not with ours."""
    text = headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    with suppress(ValueError, TypeError, OverflowError, KeyError):
        return (
            parsedate_to_datetime(text) - parsedate_to_datetime(headers["Date"])
        ).total_seconds()
    return None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
