"""A service over HTTP for tests: real routes, a real database file, the default weights, and small crops to send."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from starlette.testclient import TestClient

from mfas.service.api.app import create_app
from mfas.service.keys import Key, Scope
from mfas.service.running import Service
from mfas.service.settings import ServeConfig
from mfas.service.signing import Secret
from mfas.service.store import Store
from mfas.service.store.types import utc_now

SITE = "default"
HOST = "http://127.0.0.1"
SIZE = 96


def png(image: NDArray[Any]) -> bytes:
    """An array as PNG, colours in RGB order."""
    done, data = cv2.imencode(".png", image[..., ::-1] if image.ndim == 3 else image)
    assert done
    return bytes(data)


def crop(seed: int = 0) -> dict[str, bytes]:
    """RGB, depth and infrared of a made-up face crop."""
    rng = np.random.default_rng(seed)
    grain = cv2.GaussianBlur(rng.normal(0, 1, (SIZE, SIZE, 3)).astype(np.float32), (0, 0), 6)
    rgb = np.clip(128 + 400 * grain, 0, 255).astype(np.uint8)
    depth = np.clip(600 + 150 * grain[..., 0], 1, None).astype(np.uint16)
    infrared = np.clip(120 + 300 * grain[..., 1], 0, 255).astype(np.uint8)
    return {"rgb": png(rgb), "depth": png(depth), "ir": png(infrared)}


@dataclass(frozen=True)
class Served:
    """A running service and its keys by scope."""

    http: TestClient
    service: Service
    keys: dict[str, str]
    records: dict[str, Key]

    @property
    def store(self) -> Store:
        return self.service.store

    def headers(self, scope: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.keys[scope]}"}

    def decide(self, images: dict[str, bytes], *, site: str = SITE, scope: str = "score", **fields: str) -> Any:
        """POST one capture of crops; returns the response."""
        data = {"box": "full", **fields}
        address = f"/v1/sites/{site}/decisions"
        return self.http.post(address, files=images, data=data, headers=self.headers(scope))


@contextmanager
def served(
    folder: Path, *, keys: bool = True, clock: Callable[[], datetime] = utc_now, **config: Any
) -> Iterator[Served]:
    """Start a service on a database in ``folder``, or on ``database``; no limit of rate unless told."""
    limits = {"rate_per_second": 1e6, "burst": 1_000_000, **config.pop("limits", {})}
    url = config.pop("database", f"sqlite:///{folder / 'service.db'}")
    resolved = ServeConfig.model_validate({"database": url, "workers": 2, "limits": limits, **config})
    store = Store(url, power_safe=False, clock=clock)
    store.migrate()
    if not store.sites():
        store.add_site(SITE)
    made: dict[str, str] = {}
    records: dict[str, Key] = {}
    if keys:
        for scope in Scope:
            records[scope.value], made[scope.value] = store.add_key(scope.value, [scope])
    service = Service(resolved, store, Secret(bytes(32)))
    with TestClient(create_app(service), base_url=HOST, raise_server_exceptions=False) as http:
        yield Served(http, service, made, records)
