"""Pages that follow one another by `next_url`, from our own host only, and that must end."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from algotrade.errors import DataError
from algotrade.market.polygon_words import clean, told
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from algotrade.market.polygon_http import JsonObject, PolygonHttp

_ADDRESS = re.compile(r"[\x21-\x7e]{1,4000}")


class Request(NamedTuple):
    """What to ask the pinned host for."""

    path: str
    query: tuple[tuple[str, str], ...]

    @property
    def target(self) -> str:
        """Path and query as they are sent; the key is in neither."""
        return f"{self.path}?{urlencode(self.query)}"


def pages(
    http: PolygonHttp, request: Request, first: JsonObject, *, cap: int
) -> Iterator[JsonObject]:
    """Give the first answer, which `request` brought, and all that follow it by `next_url`."""
    seen, answer = {request}, first
    while True:
        yield answer
        next_url = answer.get("next_url")
        if next_url in (None, ""):
            return
        request = next_request(next_url)
        if request in seen or len(seen) >= cap:
            raise DataError(f"polygon: the pages do not end ({clean(request.path)})")
        seen.add(request)
        following = http.get(*request)
        if following is None:
            raise DataError(f"polygon: page {len(seen)} is missing ({clean(request.path)})")
        answer = following


def next_request(next_url: object) -> Request:
    """Read a `next_url` by its path and query only, so that it cannot lead to another host."""
    if isinstance(next_url, str) and _ADDRESS.fullmatch(next_url):
        with suppress(ValueError):  # a bracketed host that is none
            parts = urlsplit(next_url)
            pairs = parse_qsl(parts.query, keep_blank_values=True)
            if parts.path.startswith("/"):
                return Request(parts.path, tuple(p for p in pairs if p[0].casefold() != "apikey"))
    raise DataError(f"polygon: next_url {told(next_url)} is not an address")


def results_of(answer: JsonObject, what: str) -> list[Any]:
    """Give the results: absent and null are none; a count that differs is an answer cut short."""
    rows = answer.get("results")
    if rows is None:
        rows = []
    if not isinstance(rows, list):
        raise DataError(f"polygon: the results for {what} are not a list")
    for name in ("resultsCount", "count"):
        count = answer.get(name, len(rows))
        if count != len(rows):
            raise DataError(
                f"polygon: {name} for {what} is {told(count)}, but {len(rows)} rows came"
            )
    return rows
