"""What a key and the process may take: requests a second, requests at one time, bytes held at one time."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

from mfas.errors import MfasError

Clock = Callable[[], float]
MOST_KEYS = 10_000
"""Buckets kept; the one unused for longest goes first."""


class BusyError(MfasError):
    """Not now: ``retry_after`` whole seconds from now it is worth trying again."""

    def __init__(self, sentence: str, retry_after: float) -> None:
        super().__init__(sentence)
        self.retry_after = max(1, math.ceil(retry_after))


class RateError(BusyError):
    """One key asks too often."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class RateLimiter:
    """Token bucket per key: ``burst`` at once, ``per_second`` in the long run. Safe between threads."""

    def __init__(self, per_second: float, burst: int, clock: Clock = time.monotonic) -> None:
        self._rate, self._burst, self._clock = per_second, float(burst), clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._lock = Lock()

    def take(self, key: str) -> None:
        """Use up one request of ``key``; `RateError` when it has none left."""
        with self._lock:
            now = self._clock()
            bucket = self._buckets.pop(key, None) or _Bucket(self._burst, now)
            self._buckets[key] = bucket
            if len(self._buckets) > MOST_KEYS:
                self._buckets.popitem(last=False)
            bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.at) * self._rate)
            bucket.at = now
            if bucket.tokens < 1:
                wait = (1 - bucket.tokens) / self._rate
                raise RateError(f"expected at most {self._rate:g} requests a second, got more", wait)
            bucket.tokens -= 1


class Ceiling:
    """At most ``most`` of something at one time, such as requests or bytes. Safe between threads."""

    def __init__(self, most: int, sentence: str) -> None:
        self._most, self._sentence = most, sentence
        self._held = 0
        self._lock = Lock()

    @property
    def held(self) -> int:
        """How much is taken now."""
        return self._held

    def take(self, amount: int = 1) -> None:
        """Take ``amount``; `BusyError` when that is more than there is left."""
        with self._lock:
            if self._held + amount > self._most:
                raise BusyError(self._sentence, 1)
            self._held += amount

    def give(self, amount: int = 1) -> None:
        """Give back what was taken."""
        with self._lock:
            self._held -= amount

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold one while in the block."""
        self.take()
        try:
            yield
        finally:
            self.give()
