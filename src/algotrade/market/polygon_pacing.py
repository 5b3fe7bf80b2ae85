"""What the process knows of one account: when it called, and what the plan refused it."""

from __future__ import annotations

import threading
from collections import deque

MINUTE = 60.0
HIGHEST_RATE = 6000


class Account:
    """The times of calls to one base, past and reserved, and what its plan does not include."""

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self._lock = threading.Lock()
        self._calls: deque[float] = deque(maxlen=HIGHEST_RATE)

    def reserve(self, now: float, rate: int) -> float:
        """Reserve the next call and give the seconds until it; any 60 s hold `rate` calls."""
        with self._lock:
            at = now
            if rate and len(self._calls) >= rate:
                at = max(now, self._calls[-rate] + MINUTE)
            self._calls.append(at)
            return at - now

    def minute_left(self, now: float) -> float:
        """Give the seconds until the oldest call of the last minute is a minute old."""
        with self._lock:
            recent = [at for at in self._calls if at > now - MINUTE]
            return min(recent, default=now) + MINUTE - now

    def eta(self, now: float, rate: int, calls_left: int) -> float:
        """Give the seconds until the last of that many further calls may begin."""
        if not rate or calls_left < 1:
            return 0.0
        rounds, place = divmod(calls_left - 1, rate)  # each call is a minute after the rate-th back
        with self._lock:
            before = len(self._calls) - rate + place
            first = self._calls[before] + MINUTE if 0 <= before < len(self._calls) else now
        return max(first - now, 0.0) + rounds * MINUTE


ACCOUNTS: dict[str, Account] = {}  # by base: the limit is the account's, whoever asks for it
