"""The oracle alarm: queries that look like someone feeling for the boundary with small changes of one capture.

A perceptual hash of the crop is kept in memory for some minutes and nowhere else; it cannot be turned into a face.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from mfas.core import Modality
from mfas.service.settings import Probing

MOST_SOURCES = 1_000
_CELLS = 16


class _Query(NamedTuple):
    at: float
    look: int
    score: float


def look_of(planes: Mapping[Modality, NDArray[np.float32]]) -> int:
    """A 512-bit difference hash of a capture's crop: where brightness rises to the right, and where it rises downwards.

    ``planes`` as `mfas.data.preprocess` makes them; RGB is looked at, else infrared, else depth. Small changes of the
    pixels change few bits.
    """
    for modality in (Modality.RGB, Modality.IR, Modality.DEPTH):
        if modality in planes:
            plane = planes[modality]
            grey = plane[0] if modality is Modality.DEPTH else plane.mean(axis=0)
            small: NDArray[Any] = cv2.resize(grey, (_CELLS + 1, _CELLS + 1), interpolation=cv2.INTER_AREA)
            corner = small[:-1, :-1]
            bits = np.stack([small[:-1, 1:] > corner, small[1:, :-1] > corner])
            return int.from_bytes(np.packbits(bits).tobytes(), "big")
    return 0


class ProbeWatch:
    """Latest queries of each key; tells when too many of them are all but the same. Safe between threads."""

    def __init__(self, config: Probing, clock: Callable[[], float] = time.monotonic) -> None:
        self._config, self._clock = config, clock
        self._queries: OrderedDict[str, deque[_Query]] = OrderedDict()
        self._told: dict[str, float] = {}
        self._lock = Lock()

    def see(self, source: str, look: int, score: float) -> str | None:
        """Note one scored query of ``source``; the reason in one sentence when this raises the alarm, else None.

        A source is told of once in ``seconds``.
        """
        if not self._config.enabled:
            return None
        with self._lock:
            now = self._clock()
            queries = self._of(source)
            queries.append(_Query(now, look, score))
            while queries[0].at < now - self._config.seconds:
                queries.popleft()
            reason = self._reason(queries)
            if reason is None or now - self._told.get(source, -float("inf")) < self._config.seconds:
                return None
            self._told[source] = now
            return reason

    def _of(self, source: str) -> deque[_Query]:
        queries = self._queries.pop(source, None)
        if queries is None:
            queries = deque(maxlen=self._config.memory)
        self._queries[source] = queries
        if len(self._queries) > MOST_SOURCES:
            gone, _ = self._queries.popitem(last=False)
            self._told.pop(gone, None)
        return queries

    def _reason(self, queries: deque[_Query]) -> str | None:
        config, latest = self._config, queries[-1]
        if len(queries) < config.repeats:
            return None
        alike = sum((q.look ^ latest.look).bit_count() <= config.distance for q in queries)
        if alike >= config.repeats:
            return f"{alike} captures that look all but the same within {config.seconds:g} s"
        if config.clear <= latest.score <= 1 - config.clear:
            close = sum(abs(q.score - latest.score) <= config.hair for q in queries)
            if close >= config.repeats:
                return f"{close} scores within {config.hair:g} of {latest.score:.3f} within {config.seconds:g} s"
        return None
