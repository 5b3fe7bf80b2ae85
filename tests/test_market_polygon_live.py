"""Current prices from Polygon: the stream, asking, and what happens when either is refused."""

from __future__ import annotations

import threading
import time
from array import array
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from algotrade.domain.live import LivePrice
from algotrade.errors import (
    AlgotradeError,
    DataError,
    PlanError,
    ProviderError,
    SecretError,
    SettingsError,
)
from algotrade.market import polygon_pacing
from algotrade.market.calendar import Calendar
from algotrade.market.live import Board, FeedState
from algotrade.market.polygon_http import PolygonHttp
from algotrade.market.polygon_live import PolygonLive
from algotrade.market.polygon_poll import PolygonPoll, read_snapshots
from algotrade.market.polygon_ws import Address, Stream, addresses, read_address
from live_server import NO_PLAN, LiveServer, aggregate, now_ms, snapshot
from polygon_faults import Fault
from polygon_server import KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

EMPTY = Calendar(day=array("q"), opens=array("q"), closes=array("q"))
REFUSED = "403"


@pytest.fixture(autouse=True)
def _fresh_accounts() -> None:
    polygon_pacing.ACCOUNTS.clear()  # ports come again


def until(board: Board, symbol: str, price: int, seconds: float = 10.0) -> LivePrice:
    """Wait until a symbol has a price."""
    deadline, version = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        found = board.prices().get(symbol)
        if found is not None and found.price == price:
            return found
        version = board.wait(version, 0.5)
    raise AssertionError(f"no {price} of {symbol}: {board.prices()} {board.state}")


def reached(board: Board, how: str, seconds: float = 10.0) -> FeedState:
    deadline, version = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        if board.state.how == how:
            return board.state
        version = board.wait(version, 0.5)
    raise AssertionError(f"not {how}: {board.state}")


@contextmanager
def feed(
    server: LiveServer, *symbols: str, streams: int = 1, key: str = KEY, greeting_s: float = 5.0
) -> Iterator[PolygonLive]:
    def http(note: Any) -> PolygonHttp:  # noqa: ANN401
        return PolygonHttp(
            base=server.base, key=key, rate_per_minute=0, deadline_s=5, announce=note
        )

    live = PolygonLive(
        http,
        EMPTY,
        symbols,
        key=key,
        streams=[Address(f"127.0.0.1:{server.port}", secure=False, delayed=False)] * streams,
        every_s=lambda: 0.05,
        greeting_s=greeting_s,
    )
    live.start()
    try:
        yield live
    finally:
        live.close()
        live._thread.join(5)
        assert not live._thread.is_alive()


def test_second_and_minute_aggregates_arrive_by_the_stream() -> None:
    ms = now_ms()
    with LiveServer() as server, feed(server, "AAPL", "MSFT") as live:
        assert server.subscribed("LULD.MSFT")
        assert set(server.topics) == {
            f"{k}.{s}" for k in ("A", "AM", "LULD") for s in ("AAPL", "MSFT")
        }
        server.send([aggregate("AAPL", 101.25, ms), aggregate("MSFT", 20, ms, "AM")])
        assert until(live.board, "AAPL", 101_250_000).kind == "second"
        assert until(live.board, "MSFT", 20_000_000) == LivePrice(
            "MSFT", 20_000_000, ms * 1000, "minute"
        )
        assert live.board.state == FeedState("stream")


def test_the_price_there_is_comes_before_the_first_print_of_the_stream() -> None:
    with LiveServer() as server:
        server.snapshots["AAPL"] = snapshot("AAPL", 99.5, now_ms())
        with feed(server, "AAPL") as live:
            found = until(live.board, "AAPL", 99_500_000)
    assert (found.kind, found.bid, found.ask) == ("snapshot", 99_490_000, 99_510_000)


def test_a_price_band_goes_with_the_price() -> None:
    with LiveServer() as server, feed(server, "AAPL") as live:
        assert server.subscribed("LULD.AAPL")
        server.send([{"ev": "LULD", "T": "AAPL", "h": 110.0, "l": 90.0, "i": [1]}])
        server.send([aggregate("AAPL", 110.0, now_ms())])
        found = until(live.board, "AAPL", 110_000_000)
    assert (found.low_band, found.high_band) == (90_000_000, 110_000_000)


@pytest.mark.parametrize(
    "garbage",
    [
        "no json",
        "{}",
        "[1, null]",
        '[{"ev":"A","sym":"AAPL","c":NaN,"e":1}]',
        '[{"ev":"A","sym":"AAPL","c":-5,"e":1}]',
        '[{"ev":"A","sym":"AAPL","c":"5","e":1}]',
        '[{"ev":"A","sym":"AAPL","c":5}]',
        '[{"ev":"A","sym":"EVIL","c":5,"e":1}]',
        "[" * 5000,
    ],
)
def test_what_cannot_be_believed_is_left_out(garbage: str) -> None:
    with LiveServer() as server, feed(server, "AAPL") as live:
        assert server.subscribed("LULD.AAPL")
        server.send(garbage)
        server.send([aggregate("AAPL", 7.5, now_ms())])
        until(live.board, "AAPL", 7_500_000)
        assert set(live.board.prices()) == {"AAPL"}


def test_an_older_price_does_not_take_the_place_of_a_newer_one() -> None:
    board = Board()
    board.put(LivePrice("AAPL", 2, 20, "second"))
    board.put(LivePrice("AAPL", 1, 10, "minute"))
    assert board.prices()["AAPL"].price == 2


def test_a_plan_without_a_stream_is_asked_for_prices_instead() -> None:
    with LiveServer(refusal=NO_PLAN) as server:
        server.snapshots["AAPL"] = snapshot("AAPL", 50.0, now_ms())
        with feed(server, "AAPL", streams=2) as live:
            reached(live.board, "poll")
            until(live.board, "AAPL", 50_000_000)
            notes: list[str] = []
            while len(notes) < 2:
                notes += live.board.notes()
                time.sleep(0.01)
    assert "trying the delayed one" in notes[0]
    assert "asking for prices instead" in notes[1]


def test_a_refused_key_ends_the_feed_and_is_not_repeated_in_words() -> None:
    with LiveServer() as server, feed(server, "AAPL", key="wrong-key-77") as live:
        state = reached(live.board, "none")
    assert isinstance(state.trouble, SecretError)
    assert "wrong-key-77" not in state.trouble.message


def test_prices_are_asked_for_while_the_stream_is_down_and_it_is_taken_up_again() -> None:
    with LiveServer() as server:
        server.snapshots["AAPL"] = snapshot("AAPL", 10.0, now_ms())
        with feed(server, "AAPL", greeting_s=1.0) as live:
            assert server.subscribed("LULD.AAPL")
            port = server.port
            server.hang_up()
            state = reached(live.board, "poll")
            assert isinstance(state.trouble, ProviderError)
            server.snapshots["AAPL"] = snapshot("AAPL", 11.0, now_ms())
            until(live.board, "AAPL", 11_000_000)
            server.topics.clear()
            server.listen(port)
            reached(live.board, "stream")
            server.send([aggregate("AAPL", 12.0, now_ms())])
            until(live.board, "AAPL", 12_000_000)


def stream_error(server: LiveServer, **more: Any) -> AlgotradeError:  # noqa: ANN401
    address = Address(f"127.0.0.1:{server.port}", secure=False, delayed=False)
    stream = Stream(address, more.pop("key", KEY), ["AAPL"], Board(), **more)
    with pytest.raises(AlgotradeError) as caught:
        stream.run(threading.Event())
    return caught.value


def test_every_way_to_be_refused_is_an_error_of_its_own() -> None:
    with LiveServer(refusal=NO_PLAN) as server:
        assert isinstance(stream_error(server), PlanError)
    with LiveServer(refusal="authentication failed") as server:
        assert isinstance(stream_error(server), SecretError)
    with LiveServer(silent=True) as server:
        assert isinstance(stream_error(server, greeting_s=0.3), ProviderError)
        server.hang_up()
        assert isinstance(stream_error(server, greeting_s=0.3), ProviderError)


def test_a_stream_of_nothing_but_garbage_is_given_up() -> None:
    with LiveServer() as server:
        found: list[AlgotradeError] = []
        thread = threading.Thread(target=lambda: found.append(stream_error(server)))
        thread.start()
        assert server.subscribed("LULD.AAPL")
        server.send([{"ev": "A", "sym": "AAPL", "c": 0, "e": 1}] * 100)
        thread.join(10)
    assert isinstance(found[0], ProviderError)
    assert "100 messages" in found[0].message


def test_one_call_asks_for_all_symbols_and_the_plan_is_remembered() -> None:
    with LiveServer() as server:
        for name in ("AAPL", "MSFT"):
            server.snapshots[name] = snapshot(name, 5.0, now_ms())
        http = PolygonHttp(base=server.base, key=KEY, rate_per_minute=0, announce=print)
        found = list(PolygonPoll(http, EMPTY).round(["AAPL", "MSFT"]))
        assert [one.symbol for one in found] == ["AAPL", "MSFT"]
        assert len(server.rest.calls) == 1
        server.rest.faults = [Fault(kind=REFUSED, where=lambda path: "/snapshot/" in path)]
        server.rest.trades = {"AAPL": {"T": "AAPL", "p": 6.0, "t": now_ms() * 1_000_000}}
        poll = PolygonPoll(http, EMPTY)
        for _ in range(2):
            assert [one.kind for one in poll.round(["AAPL"])] == ["trade"]
        assert sum("/snapshot/" in call.target for call in server.rest.calls) == 3
        assert not poll.is_end_of_day
        http.close()


def test_snapshots_are_read_strictly() -> None:
    ms = now_ms()
    good = snapshot("AAPL", 5.0, ms)
    answer = {"status": "DELAYED", "tickers": [good]}
    [one] = read_snapshots(answer, {"AAPL"})
    assert one.delayed
    assert one.ts == ms * 1000
    zeros = good | {"lastTrade": {"p": 0, "t": 0}, "min": {"c": 0}}
    assert list(read_snapshots({"tickers": [zeros]}, {"AAPL"})) == []
    assert list(read_snapshots({}, {"AAPL"})) == []
    wrong: tuple[dict[str, Any], ...] = (
        {"tickers": 5},
        {"tickers": [5]},
        {"tickers": [good | {"ticker": "EVIL"}]},
        {"tickers": [good | {"lastTrade": {"p": -1, "t": 1}}]},
        {"tickers": [good | {"lastTrade": [1]}]},
        {"tickers": [good | {"lastQuote": {"p": "1", "P": 2}}]},
    )
    for bad in wrong:
        with pytest.raises(DataError):
            list(read_snapshots(bad, {"AAPL"}))


def test_addresses_never_send_the_key_in_the_clear() -> None:
    assert addresses("", "https://api.polygon.io") == (
        Address("socket.polygon.io", secure=True, delayed=False),
        Address("delayed.polygon.io", secure=True, delayed=True),
    )
    assert addresses("", "http://127.0.0.1:8000") == ()
    assert read_address("ws://127.0.0.1:9") == Address("127.0.0.1:9", secure=False, delayed=False)
    for wrong in ("ws://socket.polygon.io", "http://x", "wss://a b", "wss://x/y", ""):
        with pytest.raises(SettingsError):
            read_address(wrong)
