"""What Prometheus reads. Nothing here is kept, and no label holds anything a stranger can choose."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

NO_SITE = "-"
"""Label of what belongs to no site, or to one that is not there."""
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Counters of one service, in a registry of its own."""

    def __init__(self, depth: Callable[[], float]) -> None:
        self.registry = CollectorRegistry()
        own = self.registry
        self.requests = Counter("mfas_requests_total", "Requests answered", ["route", "status", "site"], registry=own)
        self.latency = Histogram(
            "mfas_request_seconds", "From first byte to answer", ["route"], buckets=_SECONDS, registry=own
        )
        self.outcomes = Counter(
            "mfas_outcomes_total", "Captures by outcome", ["site", "outcome", "decision"], registry=own
        )
        self.rejections = Counter("mfas_rejections_total", "Requests refused, by cause", ["code", "site"], registry=own)
        self.alarms = Counter("mfas_probing_alarms_total", "Alarms of the watch for probing", ["site"], registry=own)
        queue = Gauge("mfas_queue_depth", "Captures that are worked on or wait", registry=own)
        queue.set_function(depth)

    def text(self) -> bytes:
        """The text format, version 0.0.4."""
        return generate_latest(self.registry)
