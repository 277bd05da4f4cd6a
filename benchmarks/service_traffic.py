"""Requests to a running service, one after the other or when they are due, and what came back."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import httpx
import numpy as np
from service_bench import MULTIPART, SITE, Shot, single


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. ``at``: seconds from the start of the load to when the request was due; status 0: nothing."""

    at: float
    seconds: float
    status: int
    retry_after: str | None
    body: Mapping[str, Any]


@dataclass
class Load:
    """Requests in a thread of its own, while the block lasts.

    Closed loop: each of ``clients`` asks, once at least, again as soon as it is answered. With ``rate`` (requests a
    second) open loop: every request that is due before the end goes out, and ``seconds`` count from when it was due,
    however late the sender is.
    ``make(number)`` gives path and body; ``urls`` and ``keys`` are taken in turn.
    """

    urls: Sequence[str]
    make: Callable[[int], tuple[str, bytes]]
    clients: int = 4
    rate: float | None = None
    keys: Sequence[str] = ()
    answers: list[Answer] = field(default_factory=list)
    _number: int = 0

    def __enter__(self) -> Self:
        self._until = math.inf
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self._thread.join()

    def end(self) -> None:
        """Ask nothing new."""
        self._until = min(self._until, time.perf_counter())

    @property
    def running(self) -> bool:
        """Whether an answer is still waited for."""
        return self._thread.is_alive()

    async def _run(self) -> None:
        self._begun = time.perf_counter()
        most = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        async with httpx.AsyncClient(limits=most, timeout=60, trust_env=False, verify=False) as http:
            await (self._closed(http) if self.rate is None else self._open(http, self.rate))

    async def _closed(self, http: httpx.AsyncClient) -> None:
        async def one() -> None:
            while True:
                if (await self._ask(http, time.perf_counter(), self._next())).status == 0:
                    await asyncio.sleep(0.05)
                if time.perf_counter() >= self._until:
                    return

        await asyncio.gather(*(one() for _ in range(self.clients)))

    async def _open(self, http: httpx.AsyncClient, rate: float) -> None:
        async with asyncio.TaskGroup() as tasks:
            while (due := self._begun + self._number / rate) < self._until:
                await asyncio.sleep(max(0.0, min(due - time.perf_counter(), 0.1)))
                if time.perf_counter() >= due:
                    tasks.create_task(self._ask(http, due, self._next()))

    def _next(self) -> int:
        number, self._number = self._number, self._number + 1
        return number

    async def _ask(self, http: httpx.AsyncClient, due: float, number: int) -> Answer:
        path, body = self.make(number)
        headers = {"Content-Type": MULTIPART}
        if self.keys:
            headers["Authorization"] = f"Bearer {self.keys[number % len(self.keys)]}"
        status, wait, told = 0, None, {}
        try:
            response = await http.post(self.urls[number % len(self.urls)] + path, content=body, headers=headers)
            status, wait, told = response.status_code, response.headers.get("retry-after"), response.json()
        except (httpx.TransportError, ValueError) as reason:
            told = {"code": type(reason).__name__}
        answer = Answer(due - self._begun, time.perf_counter() - due, status, wait, told)
        self.answers.append(answer)
        return answer


def decisions(site: str = SITE) -> str:
    """The path of single captures."""
    return f"/v1/sites/{site}/decisions"


def by_strangers(given: Sequence[Shot]) -> Callable[[int], tuple[str, bytes]]:
    """Captures in turn, each of somebody who has never come before, so that each may teach."""
    return lambda number: (decisions(), single(given[number % len(given)], subject=f"stranger {time.time_ns()}"))


def for_seconds(load: Load, seconds: float) -> list[Answer]:
    """Run it so long; gives the answers."""
    with load:
        time.sleep(seconds)
    return load.answers


def statuses(answers: Sequence[Answer]) -> dict[str, int]:
    """How many came back with each status and code of error."""
    return dict(sorted(Counter(f"{a.status} {a.body.get('code', '')}".strip() for a in answers).items()))


def milliseconds(answers: Sequence[Answer]) -> dict[str, float]:
    """p50 and p99 of those that were answered with a decision."""
    seconds = [a.seconds for a in answers if a.status == 200]
    if not seconds:
        return {}
    return {f"p{q}_ms": round(1000 * float(np.quantile(seconds, q / 100)), 1) for q in (50, 99)}


def answered(answers: Sequence[Answer]) -> list[Mapping[str, Any]]:
    """The bodies of those that were answered."""
    return [a.body for a in answers if a.status == 200]
