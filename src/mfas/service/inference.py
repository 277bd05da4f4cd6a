"""One budget for all the work of the process, and the models that do it.

Captures are not gathered into batches across requests: on a processor a capture of a batch costs as much as one alone
(`docs/service.md`, "Speed"), so that gathering would only make the first of them wait.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from mfas._files import sha256
from mfas.card import CARD_FILE, Card
from mfas.core import MODALITIES
from mfas.data.preprocess import Planes
from mfas.errors import MfasError
from mfas.export.predictor import OnnxPrediction, OnnxPredictor, stack
from mfas.service.limits import Ceiling

if TYPE_CHECKING:
    from mfas.core import Prediction

T = TypeVar("T")
SOURCE = "source"


class DeadlineError(MfasError):
    """The answer did not come in time."""


class Scorer(Protocol):
    """The model in force at a site. ``model_id``: SHA-256 of its card; ``state_id``: ``source`` or a state's hash."""

    @property
    def card(self) -> Card:
        """Thresholds and preprocessing."""

    @property
    def model_id(self) -> str:
        """SHA-256 of the card."""

    @property
    def state_id(self) -> str:
        """The adapted state in force, or ``source``."""

    def predict(self, planes: Sequence[Planes]) -> Prediction | OnnxPrediction:
        """One network batch; safe to be called by many threads at one time."""


class OnnxScorer:
    """The source model, run by onnxruntime."""

    def __init__(self, directory: Path, threads: int = 1) -> None:
        self._predictor = OnnxPredictor(directory, threads=threads)
        self.card = self._predictor.card
        self.model_id = sha256(directory / CARD_FILE)
        self.state_id = SOURCE

    def predict(self, planes: Sequence[Planes]) -> OnnxPrediction:
        """See `Scorer`."""
        return self._predictor.predict(*stack(planes))

    def warm(self) -> None:
        """One prediction of nothing, so that the first capture is not slower than the next."""
        spec = self.card.preprocess
        blank = {m: np.zeros((spec.channels(m), spec.size, spec.size), np.float32) for m in MODALITIES}
        self.predict([{m: plane for m, plane in blank.items() if m in self.card.modalities}])


class Budget:
    """``workers`` threads and a queue of at most ``queue`` captures that wait for one. Never more, whoever asks."""

    def __init__(self, workers: int, queue: int, clock: Callable[[], float] = time.monotonic) -> None:
        count = workers or os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="mfas-inference")
        self._places = Ceiling(queue + count, "expected a free place in the queue, got a full one")
        self._clock = clock

    @property
    def depth(self) -> int:
        """Captures that are worked on or wait."""
        return self._places.held

    async def run(self, jobs: Sequence[Callable[[], T]], seconds: float) -> list[T]:
        """Run all ``jobs`` and give their results in order.

        Raises `BusyError` when the queue has no room for them, `DeadlineError` when they are not done in ``seconds``
        (those that have not begun by then never will), and what a job raises.
        """
        until = self._clock() + seconds
        self._places.take(len(jobs))
        futures = [self._pool.submit(self._begin, job, until) for job in jobs]
        for future in futures:
            future.add_done_callback(lambda _: self._places.give())
        try:
            waited = asyncio.gather(*(asyncio.wrap_future(future) for future in futures))
            return await asyncio.wait_for(waited, seconds)
        except TimeoutError:
            raise DeadlineError(f"expected an answer within {seconds:g} s, got none") from None

    def close(self) -> None:
        """Let what runs end, and drop what waits."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _begin(self, job: Callable[[], T], until: float) -> T:
        if self._clock() > until:
            raise TimeoutError
        return job()
