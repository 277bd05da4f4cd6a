"""The process itself: how it starts, when it refuses to, and how it stops."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from commands import mfas, refusal
from mfas.service import serving
from mfas.service.keys import Scope
from mfas.service.serving import Server, build
from mfas.service.settings import ServeConfig, is_loopback
from mfas.service.store import Store
from served import crop, png, served

DECISIONS = "/v1/sites/default/decisions"


@dataclass
class Process:
    """A server in a process of its own."""

    url: str
    handle: subprocess.Popen[str]
    seconds: float

    def stop(self) -> int:
        """SIGTERM; gives the exit code."""
        self.handle.send_signal(signal.SIGTERM)
        return self.handle.wait(180)


@contextmanager
def process(folder: Path, *argv: object) -> Iterator[Process]:
    """``mfas serve`` on a free port, ready."""
    given = [str(part) for part in ("--port", 0, "--database", f"sqlite:///{folder / 's.db'}", *argv)]
    begun = time.perf_counter()
    log = folder / "log"
    with log.open("w") as out:
        handle = subprocess.Popen(
            [sys.executable, "-m", "mfas", "serve", *given], stderr=out, text=True, env={**os.environ}
        )
    try:
        url = ""
        while not url:
            assert handle.poll() is None, log.read_text()
            assert time.perf_counter() - begun < 180
            time.sleep(0.02)
            found = [line for line in log.read_text().splitlines() if "listening on " in line]
            url = found[0].rpartition(" ")[2] if found else ""
        while True:
            try:
                if httpx.get(f"{url}/v1/ready", trust_env=False).status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.02)
        yield Process(url, handle, time.perf_counter() - begun)
    finally:
        handle.kill()
        handle.wait()


def ask(url: str, **more: Any) -> httpx.Response:
    return httpx.post(f"{url}{DECISIONS}", files=crop(), data={"box": "full"}, trust_env=False, timeout=30, **more)


def test_it_serves_with_nothing_configured_and_stops_in_order(tmp_path: Path) -> None:
    with process(tmp_path) as running:
        assert ask(running.url).json()["outcome"] == "scored"
        _bad_requests(running.url)
        assert running.stop() == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{running.url}/v1/health", trust_env=False)
    log = (tmp_path / "log").read_text()
    assert "callers of this machine may score without one" in log
    assert "Traceback" not in log
    assert (tmp_path / "mfas-service.secret").stat().st_mode & 0o777 == 0o600
    assert Store(f"sqlite:///{tmp_path / 's.db'}").site("default").decisions == 1


def _bad_requests(url: str) -> None:
    """Bytes that are no HTTP, and headers without end, get an error of the one shape."""
    host, port = url.removeprefix("http://").split(":")
    for sent in (b"GARBAGE\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"y" * 40_000):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(sent)
            answer = b""
            while piece := connection.recv(4096):
                answer += piece
        assert answer.startswith(b"HTTP/1.1 400")
        body = httpx.Response(400, content=answer.partition(b"\r\n\r\n")[2]).json()
        assert set(body) == {"code", "message", "request_id"}


def test_requests_in_flight_are_finished_when_it_stops(tmp_path: Path) -> None:
    """Four captures whose faces are looked for, one worker; the signal comes when all of them are in work or wait."""
    scene = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    answers: list[httpx.Response] = []

    def one(url: str) -> None:
        files = {"rgb": png(scene)}
        answers.append(httpx.post(f"{url}{DECISIONS}", files=files, trust_env=False, timeout=180))

    with process(tmp_path, "--set", "workers=1", "--set", "limits.deadline_seconds=170") as running:
        threads = [threading.Thread(target=one, args=(running.url,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        while _figure(running.url, "mfas_queue_depth ") + _figure(running.url, "mfas_outcomes_total{") < 4:
            time.sleep(0.01)
        waiting = _figure(running.url, "mfas_queue_depth ")
        assert running.stop() == 0
        for thread in threads:
            thread.join()
    assert waiting > 0
    assert [answer.status_code for answer in answers] == [200] * 4
    assert Store(f"sqlite:///{tmp_path / 's.db'}").site("default").decisions == 4


def _figure(url: str, name: str) -> float:
    lines = httpx.get(f"{url}/metrics", trust_env=False, timeout=180).text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_others_are_not_let_in_without_a_key(tmp_path: Path, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = ServeConfig(host=host, database=f"sqlite:///{tmp_path / 's.db'}")
    with pytest.raises(Exception, match="expected an API key before listening"):
        build(config)
    store = Store(config.database)
    key, _ = store.add_key("gone", [Scope.ADMIN])
    store.revoke_key(key.id)
    with pytest.raises(Exception, match="expected an API key before listening"):
        build(config)
    store.add_key("there", [Scope.SCORE])
    build(config).stop()


def test_refusals_are_one_sentence(tmp_path: Path) -> None:
    database = ("--database", f"sqlite:///{tmp_path / 's.db'}")
    assert "expected an API key before listening" in refusal("serve", "--host", "0.0.0.0", "--port", 0, *database)
    assert "cannot" in refusal("serve", "--host", "192.0.2.1", *database)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "in use" in refusal("serve", "--port", taken.getsockname()[1], *database)
    assert "model directory" in refusal("serve", "--port", 0, "--model", tmp_path / "none", *database)
    assert "unknown key 'limits.x'" in refusal("serve", "--set", "limits.x=1", *database)
    assert "expected an sqlite or postgresql database" in refusal("serve", "--port", 0, "--database", "mysql://a/b")


def test_what_is_this_machine() -> None:
    assert all(is_loopback(name) for name in ("127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"))
    assert not any(is_loopback(name) for name in ("0.0.0.0", "::", "10.0.0.1", "localhost.example", "", "example"))


def test_it_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys, mfas.service.serving, mfas.service.client\n"
        "assert not {'torch', 'kornia', 'safetensors', 'numba'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_help() -> None:
    for verb in ("serve", "client"):
        assert mfas(verb, "--help").code == 0


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[str]:
    """The server as `mfas serve` sets it up, in a thread; four connections at most. Gives its address."""
    with served(tmp_path, limits={"concurrent_requests": 2}) as running, socket.create_server(("127.0.0.1", 0)) as door:
        server = Server(running.service)
        server.config.lifespan = "off"
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"127.0.0.1:{door.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def connected(address: str) -> socket.socket:
    host, port = address.split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def test_too_many_connections_are_told_in_the_one_shape(listening: str) -> None:
    with httpx.Client(base_url=f"http://{listening}", trust_env=False) as http:
        assert http.get("/v1/health").status_code == 200
        idle = [connected(listening) for _ in range(4)]
        time.sleep(0.2)
        refused = http.get("/v1/health")
        assert (refused.status_code, refused.json()["code"]) == (503, "too_many_connections")
        assert refused.headers["retry-after"] == "1"
        for one in idle:
            one.close()
        time.sleep(0.2)
        assert http.get("/v1/health").status_code == 200


def test_who_says_nothing_or_trickles_headers_is_shown_out(listening: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "_HEADER_SECONDS", 0.5)
    begun = time.perf_counter()
    with connected(listening) as silent, connected(listening) as slow:
        slow.sendall(b"GET /v1/health HTTP/1.1\r\nX: ")
        assert silent.recv(100) == b""
        while True:
            try:
                slow.sendall(b"y")
                slow.settimeout(0.05)
                if slow.recv(100) == b"":
                    break
            except TimeoutError:
                assert time.perf_counter() - begun < 10
            except OSError:
                break
    assert time.perf_counter() - begun >= 0.5
