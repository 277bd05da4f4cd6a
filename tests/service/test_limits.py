"""What a key and the process may take, over HTTP and by themselves."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from mfas.errors import ImageError
from mfas.service.api.app import create_app
from mfas.service.inference import Budget, DeadlineError
from mfas.service.limits import BusyError, Ceiling, RateError, RateLimiter
from served import HOST, SITE, Served, crop, served

ADDRESS = f"/v1/sites/{SITE}/decisions"


def test_a_bucket_fills_at_its_rate() -> None:
    now = [0.0]
    limiter = RateLimiter(10, 20, lambda: now[0])
    for _ in range(20):
        limiter.take("a")
    with pytest.raises(RateError) as refused:
        limiter.take("a")
    assert refused.value.retry_after == 1
    limiter.take("b")
    now[0] += 0.25
    limiter.take("a")
    limiter.take("a")
    with pytest.raises(RateError):
        limiter.take("a")
    now[0] += 1000
    for _ in range(20):
        limiter.take("a")
    with pytest.raises(RateError):
        limiter.take("a")


def test_a_ceiling_holds_under_threads() -> None:
    ceiling = Ceiling(10, "expected fewer")
    refused: list[int] = []

    def many(_: int) -> None:
        for _ in range(200):
            try:
                with ceiling.one():
                    assert ceiling.held <= 10
            except BusyError:
                refused.append(1)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(many, range(16)))
    assert ceiling.held == 0
    with pytest.raises(BusyError):
        ceiling.take(11)
    assert ceiling.held == 0


def test_the_budget_is_bounded_and_forgets_what_is_late() -> None:
    budget, gate, ran = Budget(2, 3), threading.Event(), []

    def job(number: int) -> Callable[[], int]:
        def work() -> int:
            ran.append(number)
            gate.wait(5)
            return number

        return work

    async def use() -> None:
        late = [asyncio.create_task(budget.run([job(k)], 0.2)) for k in range(5)]
        await asyncio.sleep(0.05)
        assert budget.depth == 5
        with pytest.raises(BusyError):
            await budget.run([job(9)], 5)
        assert all(isinstance(e, DeadlineError) for e in await asyncio.gather(*late, return_exceptions=True))
        gate.set()
        while budget.depth:
            await asyncio.sleep(0.01)
        assert sorted(ran) == [0, 1]  # the others had not begun by their deadline
        assert await budget.run([job(7), job(8)], 5) == [7, 8]

        def bad() -> None:
            raise ImageError("no image")

        with pytest.raises(ImageError):
            await budget.run([bad, bad], 5)
        while budget.depth:
            await asyncio.sleep(0.01)

    asyncio.run(use())
    budget.close()


def test_a_key_that_asks_too_often_is_told_when_to_come_again(tmp_path: Path) -> None:
    with served(tmp_path, limits={"rate_per_second": 0.5, "burst": 3}) as running:
        codes = [running.decide(crop()).status_code for _ in range(4)]
        assert codes == [200, 200, 200, 429]
        refused = running.decide(crop())
        assert refused.json()["code"] == "rate_limited"
        assert 1 <= int(refused.headers["retry-after"]) <= 2
        assert running.decide(crop(), scope="admin").status_code == 200
        guesses = [running.http.get("/v1/sites", headers={"Authorization": f"Bearer {k}"}) for k in range(5)]
        assert [g.status_code for g in guesses] == [401, 401, 401, 429, 429]


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize(("part", "count"), [(3, 1), (1, 5)])
def test_too_much_is_refused_before_it_is_read(tmp_path: Path, declared: bool, part: int, count: int) -> None:
    """Limits of 2 MiB an image and 4 MiB a request; the body is sent piece by piece."""
    piece, sent = bytes(65_536), [0]
    pieces = part * 16

    async def body() -> AsyncIterator[bytes]:
        names = iter(("rgb", "depth", "ir", "x", "y"))
        for _ in range(count):
            yield f'--cut\r\nContent-Disposition: form-data; name="{next(names)}"\r\n\r\n'.encode()
            for _ in range(pieces):
                sent[0] += len(piece)
                yield piece
            yield b"\r\n"
        yield b"--cut--\r\n"

    with served(tmp_path, limits={"image_mib": 2, "request_mib": 4}) as running:
        headers = {"Content-Type": "multipart/form-data; boundary=cut", **running.headers("score")}
        if declared:
            headers["Content-Length"] = str(count * pieces * len(piece) + 1000)
        response = asyncio.run(_streamed(running, headers, body()))
        assert response.status_code == 413, response.text
        assert response.json()["code"] == "too_large"
        assert sent[0] < count * pieces * len(piece)
        assert running.service.memory.held == 0


async def _streamed(running: Served, headers: dict[str, str], body: AsyncIterator[bytes]) -> httpx.Response:
    """The app called as a server calls it: a piece of the body each time it asks for one."""
    messages: list[Any] = []

    async def receive() -> dict[str, Any]:
        try:
            return {"type": "http.request", "body": await anext(body), "more_body": True}
        except StopAsyncIteration:
            return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        messages.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": ADDRESS,
        "raw_path": ADDRESS.encode(),
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }
    await create_app(running.service)(scope, receive, send)
    content = b"".join(m.get("body", b"") for m in messages)
    return httpx.Response(messages[0]["status"], headers=messages[0]["headers"], content=content)


def test_large_json_is_refused(tmp_path: Path) -> None:
    with served(tmp_path) as running:
        headers = {**running.headers("admin"), "Content-Type": "application/json"}
        response = running.http.put(f"/v1/sites/{SITE}", content=b" " * 70_000, headers=headers)
        assert (response.status_code, response.json()["code"]) == (413, "too_large")


def test_a_slow_body_is_given_up(tmp_path: Path) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        yield b'--cut\r\nContent-Disposition: form-data; name="rgb"\r\n\r\n'
        while True:
            await asyncio.sleep(0.02)
            yield b"x"

    with served(tmp_path, limits={"upload_seconds": 0.2}) as running:
        headers = {"Content-Type": "multipart/form-data; boundary=cut", **running.headers("score")}
        begun = time.perf_counter()
        response = asyncio.run(_streamed(running, headers, slowly()))
        assert (response.status_code, response.json()["code"]) == (408, "too_slow")
        assert time.perf_counter() - begun < 2


def test_bytes_held_by_all_are_bounded(tmp_path: Path) -> None:
    with served(tmp_path, limits={"memory_mib": 0.001}) as running:
        refused = running.decide(crop())
        assert (refused.status_code, refused.json()["code"]) == (429, "busy")
        assert running.service.memory.held == 0


def test_a_missed_deadline_is_503(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(tmp_path, limits={"deadline_seconds": 0.15}) as running:
        source, answer = running.service.source, running.service.source.predict
        monkeypatch.setattr(source, "predict", lambda planes: (time.sleep(0.5), answer(planes))[1])
        late = running.decide(crop())
        assert (late.status_code, late.json()["code"]) == (503, "deadline")
        assert int(late.headers["retry-after"]) >= 1


def test_two_hundred_callers_at_once(tmp_path: Path) -> None:
    """Every one gets an answer, none of them 5xx; the queue and the requests in work stay within their bounds."""
    deepest = [0, 0]
    limits = {"queue": 20, "concurrent_requests": 64, "deadline_seconds": 30}
    with served(tmp_path, limits=limits) as running:
        service, images = running.service, crop()
        app = create_app(service)

        async def ask(client: httpx.AsyncClient) -> httpx.Response:
            return await client.post(ADDRESS, files=images, data={"box": "full"}, headers=running.headers("score"))

        async def watch(done: asyncio.Event) -> None:
            while not done.is_set():
                deepest[:] = [max(deepest[0], service.budget.depth), max(deepest[1], service.places.held)]
                await asyncio.sleep(0.001)

        async def all_of_them() -> list[httpx.Response]:
            done = asyncio.Event()
            watching = asyncio.create_task(watch(done))
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HOST, timeout=60) as client:
                answers = await asyncio.gather(*(ask(client) for _ in range(200)))
            done.set()
            await watching
            return answers

        answers = asyncio.run(all_of_them())
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 429}
    assert statuses.count(200) >= 20
    assert all(int(a.headers["retry-after"]) >= 1 for a in answers if a.status_code == 429)
    assert deepest[0] <= 20 + 2
    assert deepest[1] <= 64
