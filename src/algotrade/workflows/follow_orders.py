"""Follow orders: book what the broker does as it tells it, by its stream and by asking besides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade import clock
from algotrade.record import NamedTuple
from algotrade.workflows.brokers import open_broker
from algotrade.workflows.context import account_lock, account_record
from algotrade.workflows.send import catch_up

if TYPE_CHECKING:
    from collections.abc import Iterator

    from algotrade.broker.protocol import BrokerClient
    from algotrade.domain.orders import Fill
    from algotrade.workflows.context import Workspace

_ASK_SECONDS = 15.0  # between two questions while the stream is silent
_AGAIN_SECONDS = 0.5  # an update may be quicker than the list of executions


class Told(NamedTuple):
    """An update as the stream told it, or `asked`; and the fills that were new."""

    event: str
    fills: tuple[Fill, ...]


def follow_orders(
    ws: Workspace, max_seconds: float = 0.0, client: BrokerClient | None = None
) -> Iterator[Told]:
    """Wait for updates and book fills, each once; ends after `max_seconds`, 0 for never.

    The account is locked only while something is booked, so that other commands go on.
    """
    account_record(ws)
    client = client or open_broker(ws)
    stream = client.listen()
    end = clock.monotonic() + max_seconds if max_seconds else None
    wait = 0.0  # what happened before the stream was there is asked for at once
    try:
        while end is None or clock.monotonic() < end:
            left = wait if end is None else min(wait, max(0.0, end - clock.monotonic()))
            event = stream.wait(left) if left else "asked"
            wait = _AGAIN_SECONDS if event not in (None, "asked") else _ASK_SECONDS
            with account_lock(ws) as held:
                fills = catch_up(held, client).fills
            if fills or event not in (None, "asked"):
                yield Told(event or "asked", fills)
    finally:
        stream.close()
