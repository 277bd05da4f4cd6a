"""Scores of many captures with onnxruntime: one shard of a manifest to one score table."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import astuple, dataclass
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mfas._files import json_line, sha256
from mfas.card import CARD_FILE
from mfas.core import MODALITIES, Modality, Outcome, format_modalities, parse_modalities
from mfas.data.capture import NoFace, load_capture
from mfas.data.manifest import Manifest, Row
from mfas.data.preprocess import Planes, preprocess
from mfas.data.quality import quality_flags
from mfas.data.scores import ScoreTable
from mfas.errors import ImageError
from mfas.export.predictor import OnnxPrediction, OnnxPredictor, Precision, stack
from mfas.export.record import DecisionRecord, as_json, decision_record, no_decision

METHOD = "source"
_FROM_MANIFEST = ("capture_id", "presentation_id", "subject", "site", "label", "species")


@dataclass(frozen=True, slots=True)
class Scoring:
    """How captures are scored. ``batch`` captures go through the network at once; ``missing`` are taken away.

    ``decoders`` threads decode ahead of the network, 0 = none. With ``records`` every capture gets its decision record
    too. Paths are absolute where processes share them.
    """

    model: Path
    missing: str = ""
    precision: Precision = "fp32"
    batch: int = 32
    yunet: Path | None = None
    decoders: int = 1
    records: bool = False


@dataclass(frozen=True, slots=True)
class Stages:
    """Seconds spent in each stage, by the clock of the thread that did it; stages may run beside each other.

    ``decode``: reading, decoding and, without a box, the search for the face. ``preprocess``: cropping and scaling.
    ``network``: stacking and the graph.
    """

    decode: float = 0.0
    preprocess: float = 0.0
    network: float = 0.0

    def __add__(self, other: Stages) -> Stages:
        return Stages(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True, slots=True)
class Scored:
    """The rows of a shard, in its order, and what they cost; ``records`` is a line of JSON per row, if asked for."""

    scores: ScoreTable
    stages: Stages
    records: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Loaded:
    index: int
    given: tuple[Modality, ...]
    planes: Planes | NoFace
    stages: Stages


class Scorer:
    """One session of onnxruntime with one thread, used for shard after shard.

    Raises `ModelDirError` for a directory without a graph of that precision.
    """

    def __init__(self, settings: Scoring) -> None:
        self.settings = settings
        self.predictor = OnnxPredictor(settings.model, threads=1, precision=settings.precision)
        self._model_id = sha256(settings.model / CARD_FILE)
        unknown = self.predictor.card.unknown_modalities()
        self._drop = frozenset({*parse_modalities(settings.missing), *unknown})

    def score(self, part: Manifest) -> Scored:
        """Scores of every capture of ``part``; one without a face (or without images left) is a non-response.

        Batches are of ``settings.batch`` answerable captures in order, whatever the number of threads. Raises
        `ImageError` that names the capture whose image is missing or unreadable.
        """
        score = np.full(len(part), np.nan)
        present = np.zeros((len(part), len(MODALITIES)), np.bool_)
        stages = Stages()
        held: list[tuple[int, Planes]] = []
        records: dict[int, DecisionRecord] = {}
        for item in self._loaded(part):
            stages += item.stages
            if not isinstance(item.planes, NoFace):
                held.append((item.index, item.planes))
            elif self.settings.records:
                lost = tuple(m for m in MODALITIES if m not in item.given)
                records[item.index] = no_decision(item.given, lost, item.planes.reason)
            if held and (len(held) == self.settings.batch or item.index == len(part) - 1):
                start = perf_counter()
                at = [index for index, _ in held]
                found = self.predictor.predict(*stack([planes for _, planes in held]))
                score[at], present[at] = found.score, found.present
                if self.settings.records:
                    records |= {i: self._record(found, planes, k) for k, (i, planes) in enumerate(held)}
                stages += Stages(network=perf_counter() - start)
                held = []
        names = part.table.column("capture_id").to_pylist()
        lines = (json_line({"capture_id": names[i], **as_json(records[i])}) for i in sorted(records))
        return Scored(self._table(part, score, present), stages, tuple(lines))

    def _record(self, found: OnnxPrediction, planes: Planes, row: int) -> DecisionRecord:
        card = self.predictor.card
        missing = format_modalities(m for k, m in enumerate(MODALITIES) if not found.present[row, k])
        if missing not in card.thresholds:
            used = tuple(m for m in MODALITIES if m in planes)
            lost = tuple(m for m in MODALITIES if m not in planes)
            return no_decision(used, lost, f"the model has no threshold for captures without {missing}")
        flags = quality_flags(planes, card.preprocess)
        return decision_record(found, card, missing, model_id=self._model_id, flags=flags, row=row)

    def _loaded(self, part: Manifest) -> Iterator[_Loaded]:
        """Every capture in order, decoded a little ahead."""
        before = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            if not self.settings.decoders:
                yield from (self._load(row, part.root) for row in part)
                return
            with ThreadPoolExecutor(self.settings.decoders) as pool:
                futures = (pool.submit(self._load, row, part.root) for row in part)
                yield from _ahead(futures, 2 * self.settings.batch)
        finally:
            cv2.setNumThreads(before)

    def _load(self, row: Row, root: Path) -> _Loaded:
        start = perf_counter()
        try:
            capture = load_capture(row, root, yunet=self.settings.yunet, drop=self._drop)
            decoded = perf_counter()
            planes = capture if isinstance(capture, NoFace) else preprocess(capture, self.predictor.card.preprocess)
        except ImageError as reason:
            named = f"capture {row.capture_id}: "
            raise ImageError(f"{named}{str(reason).removeprefix(named)}") from None
        given = tuple(m for m in row.modalities if m not in self._drop)
        return _Loaded(row.index, given, planes, Stages(decoded - start, perf_counter() - decoded))

    def _table(self, part: Manifest, score: NDArray[np.float64], present: NDArray[np.bool_]) -> ScoreTable:
        count = len(part)
        used = [format_modalities(m for m, there in zip(MODALITIES, row, strict=True) if there) for row in present]
        answered = np.where(present.any(axis=1), Outcome.SCORED.value, Outcome.NON_RESPONSE.value)
        columns = {name: part.table.column(name) for name in _FROM_MANIFEST}
        constant = {"missing": self.settings.missing, "model": self.predictor.card.model, "method": METHOD}
        columns |= {name: pa.array([text] * count, pa.string()) for name, text in constant.items()}
        columns |= {"present": pa.array(used, pa.string()), "outcome": pa.array(answered.tolist(), pa.string())}
        return ScoreTable.from_table(pa.table({**columns, "score": pa.array(score)}))


def _ahead(futures: Iterable[Future[_Loaded]], limit: int) -> Iterator[_Loaded]:
    """Results in order, at most ``limit`` begun and not taken."""
    waiting: deque[Future[_Loaded]] = deque()
    try:
        for future in futures:
            waiting.append(future)
            if len(waiting) >= limit:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
