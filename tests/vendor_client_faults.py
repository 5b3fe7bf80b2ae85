"""What each client makes of 500 bars in two pages when the second page goes wrong, as a table.

    python tests/vendor_client_faults.py [WORD ...]

The vendor's own client (RESTClient.list_aggs, its default settings) and ours are asked in turn for
the same bars of the same loopback server; words choose the faults that hold one of them. It takes
about three minutes, most of it waiting for what hangs.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from algotrade.domain.money import MICROS
from algotrade.errors import AlgotradeError
from algotrade.market import polygon_pacing
from algotrade.market.calendar import exchange_calendar
from algotrade.market.polygon import PolygonSource
from algotrade.market.polygon_http import PolygonHttp
from algotrade.market.source import Span
from polygon_faults import Fault
from polygon_server import KEY, PolygonServer, Row, plausible_bars

if TYPE_CHECKING:
    from collections.abc import Callable, Container

FIRST, LAST = date(2024, 11, 1), date(2026, 11, 20)
TRUTH = plausible_bars(500)
PAGE = 250
WATCHDOG_S = 20.0
DEADLINE_S = 6.0  # ours, of 180 a call, so that the table does not take an hour
READ_TIMEOUT_S = 2.0  # ours, of 30
MOST_ROWS = 5_000
SILENCE = "no exception"

PAGE_2: Container[int] = range(2, 1_000_000)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A fault and its name in the table; `lasts` ends it some seconds after its first call."""

    name: str
    kind: str = ""
    value: str = ""
    calls: Container[int] = PAGE_2
    lasts: float = 0.0
    another: bool = False  # what comes on page 2 is not what was asked for
    deadline_s: float = DEADLINE_S


CASES = (
    Case(name="none"),
    Case(name="body cut, its length consistent", kind="truncate"),
    Case(name="HTML with 200", kind="html"),
    Case(name="empty body", kind="empty"),
    Case(name="a JSON list", kind="list"),
    Case(name="200, `status` ERROR", kind="error_body"),
    Case(name="200, NOT_AUTHORIZED", kind="error_body", value="NOT_AUTHORIZED"),
    Case(name="`results` missing", kind="no_results"),
    Case(name="`results` null", kind="null_results"),
    Case(name="one row fewer than counted", kind="short_count"),
    Case(name="another ticker", kind="wrong_ticker", another=True),
    Case(name="adjusted bars", kind="adjusted", another=True),
    Case(name="NaN as a price", kind="nan"),
    Case(name="text as a price", kind="text_price"),
    Case(name="a row without its close", kind="missing_field"),
    Case(name="endless `next_url`, same page", kind="endless_next"),
    Case(name="endless `next_url`, new address", kind="fresh_next"),
    Case(name="foreign `next_url`", kind="foreign_next", calls={1}, value="http://127.0.0.1:9"),
    Case(name="gzip cut in half", kind="half_gzip"),
    Case(name="gzip without its checksum", kind="cut_gzip"),
    Case(name="gzip bomb", kind="gzip_bomb"),
    Case(name="reset", kind="reset"),
    Case(name="closed without answer", kind="close"),
    Case(name="headers cut", kind="cut_headers"),
    Case(name="body shorter than its length", kind="short"),
    Case(name="chunked body unfinished", kind="cut_chunks"),
    Case(name="reset, twice", kind="reset", calls={2, 3}),
    Case(name="nothing comes", kind="hang"),
    Case(name="body in a slow drip", kind="slow_drip"),
    Case(name="headers in a slow drip", kind="slow_headers"),
    Case(name="500, twice", kind="500", calls={2, 3}),
    Case(name="500", kind="500"),
    Case(name="408", kind="408"),
    Case(name="520", kind="520"),
    Case(name="429 once, Retry-After 2 s", kind="429", calls={2}, value="2"),
    Case(name="429, Retry-After 2 s", kind="429", value="2"),
    Case(name="429 for 10 s, no Retry-After", kind="429", lasts=10.0, deadline_s=180.0),
    Case(name="302", kind="302"),
    Case(name="400", kind="400"),
    Case(name="401", kind="401"),
    Case(name="403", kind="403"),
    Case(name="404", kind="404"),
)


@dataclass
class Outcome:
    """Rows handed over: as served, and otherwise or again; how it ended, and when."""

    right: int = 0
    wrong: int = 0
    ended: str = ""
    seconds: float = 0.0
    seen: set[int] = field(default_factory=set)

    def take(self, t: int, prices: tuple[float | None, ...], *, another: bool) -> None:
        row = _BY_T.get(t)
        served = tuple(row[name] for name in "ohlcv") if row else None
        asked_for = not (another and t >= TRUTH[PAGE]["t"])
        if prices == served and asked_for and t not in self.seen:
            self.right += 1
        else:
            self.wrong += 1
        self.seen.add(t)


_BY_T: dict[int, Row] = {row["t"]: row for row in TRUTH}


def server_for(case: Case) -> PolygonServer:
    began: list[float] = []

    def lasting(_target: str) -> bool:
        if case.lasts:
            began.append(time.monotonic())
        return not case.lasts or began[-1] - began[0] < case.lasts

    fault = Fault(kind=case.kind, calls=case.calls, value=case.value, where=lasting)
    faults = [fault] if case.kind else []
    return PolygonServer({"AAPL": TRUTH}, page_size=PAGE, faults=faults)


class _Counting(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines = 0

    def emit(self, _record: logging.LogRecord) -> None:
        self.lines += 1


def vendor(case: Case) -> Outcome:
    """Ask with the vendor's client, under a watchdog."""
    from polygon import RESTClient

    logger, counting = logging.getLogger("RESTClient"), _Counting()
    logger.handlers[:] = [counting]  # its own writes to standard output
    outcome = Outcome()

    def ask(client: Any) -> None:  # noqa: ANN401 -- the client ships no types we use
        try:
            for bar in client.list_aggs(
                "AAPL", 1, "day", FIRST, LAST, adjusted=False, limit=50_000
            ):
                prices = (bar.open, bar.high, bar.low, bar.close, bar.volume)
                outcome.take(bar.timestamp, prices, another=case.another)
                if outcome.right + outcome.wrong >= MOST_ROWS:
                    outcome.ended = f"goes on for ever (stopped at {MOST_ROWS:,} rows)"
                    return
        except Exception as error:  # noqa: BLE001 -- whatever it is, it goes into the table
            outcome.ended = f"{type(error).__name__}"
        else:
            outcome.ended = SILENCE if outcome.right < len(TRUTH) or outcome.wrong else "well"

    with server_for(case) as server:
        client = RESTClient(api_key=KEY, base=server.base)
        asking = threading.Thread(target=ask, args=(client,), daemon=True)
        began = time.monotonic()
        asking.start()
        asking.join(WATCHDOG_S)
        outcome.seconds = time.monotonic() - began
        taken = Outcome(outcome.right, outcome.wrong, outcome.ended, outcome.seconds)
        if asking.is_alive():
            taken.ended = "hangs"
    asking.join()
    if taken.ended == SILENCE and counting.lines:
        taken.ended = f"{SILENCE} (a line on standard output)"
    return taken


def ours(case: Case) -> Outcome:
    """Ask with ours, and keep nothing of what does not end well, as `fetch` does."""
    polygon_pacing.ACCOUNTS.clear()
    outcome = Outcome()
    calendar = exchange_calendar(date(2024, 10, 1), date(2026, 12, 31))
    with server_for(case) as server:
        http = PolygonHttp(
            base=server.base,
            key=KEY,
            rate_per_minute=0,
            deadline_s=case.deadline_s,
            read_timeout_s=READ_TIMEOUT_S,
            announce=lambda _: None,
        )
        source = PolygonSource(http, calendar, today=LAST, now=2**62, announce=lambda _: None)
        began = time.monotonic()
        try:
            pages = list(source.bars("AAPL", "1d", Span(start=FIRST, end=date(2026, 11, 21))))
        except AlgotradeError as error:
            outcome.ended = f"{type(error).__name__}, exit {error.exit_code}"
        else:
            aside = sum(len(page.rejected) for page in pages)
            outcome.ended = f"well, {aside} row set aside" if aside else "well"
            for bars in (page.bars for page in pages):
                columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
                for ts, *values in zip(bars.ts_open, *columns, strict=True):
                    t = ts // 1_000 - 34_200_000  # from 9:30 back to midnight
                    prices = tuple(value / MICROS for value in values)
                    outcome.take(t, prices, another=case.another)
        outcome.seconds = time.monotonic() - began
        http.close()
    return outcome


def line(case: Case, ask: Callable[[Case], Outcome]) -> str:
    outcome = ask(case)
    rows = f"{outcome.right}" + (f" + {outcome.wrong} wrong" if outcome.wrong else "")
    return f"{rows} | {outcome.ended} | {outcome.seconds:.1f}"


def main() -> None:
    """Print the table, a line as each fault has been tried."""
    chosen = [
        case for case in CASES if not sys.argv[1:] or any(w in case.name for w in sys.argv[1:])
    ]
    write = sys.stdout.write
    write("| page 2 of 2 | vendor's client: rows | its end | s | ours: rows | its end | s |\n")
    write("| --- | --- | --- | ---: | --- | --- | ---: |\n")
    for case in chosen:
        write(f"| {case.name} | {line(case, vendor)} | {line(case, ours)} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
