"""Connecting to Ray, for every verb that can spread its work over a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mfas.errors import ConfigError

LOCAL = "local"
RETRIES = 3
"""Times that a task is tried again after the worker that ran it has died."""


@contextmanager
def connected(ray: Any, address: str, workers: int) -> Iterator[None]:
    """Connect unless that is done already, and part again at the end.

    ``local`` starts Ray on this machine with ``workers`` workers; any other address is that of a running cluster
    (``auto`` = the one of this machine). Raises `ConfigError` where there is none.
    """
    owned = not ray.is_initialized()
    if owned:
        _connect(ray, address, workers)
    try:
        yield
    finally:
        if owned:
            ray.shutdown()


def _connect(ray: Any, address: str, workers: int) -> None:
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == LOCAL:
        ray.init(num_cpus=workers, include_dashboard=False, **quiet)
        return
    try:
        ray.init(address=address, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as reason:
        raise ConfigError(f"expected a running Ray cluster at '{address}', got none ({reason})") from None
