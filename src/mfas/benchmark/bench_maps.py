"""Lower maps of a frozen model, computed once and served in place of `FasModel.lower`; and the scores they give.

They are kept in float16, so that a method sees its maps rounded as its own memory would round them; the unadapted model
is scored from the same maps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mfas.benchmark.bench_captures import Captures
from mfas.core import MODALITIES, Batch, Modality, Prediction
from mfas.models.contract import FasModel, Maps, to_prediction

SCORE_BATCH = 10
"""Captures scored at once where no stream says otherwise: the batch size of most streams, so that rounding agrees."""


class StoredMaps:
    """Maps ``[N, C, h, w]`` of every capture that `Captures.tensors` holds."""

    def __init__(self, model: FasModel, captures: Captures) -> None:
        tensors = captures.tensors
        kept: dict[Modality, list[Tensor]] = {m: [] for m in MODALITIES}
        with torch.no_grad():
            for start in range(0, len(tensors), 64):
                batch = tensors.batch(range(start, min(start + 64, len(tensors))))
                maps = model.lower(batch)
                shape = next(iter(maps.values())).shape
                for m in MODALITIES:
                    kept[m].append(maps[m].half().contiguous() if m in maps else torch.zeros(shape).half())
        self._maps = {m: torch.cat(parts) for m, parts in kept.items()}

    def take(self, at: Sequence[int], present: Tensor) -> dict[Modality, Tensor]:
        """Maps at places ``at`` of `Captures.tensors`, zero where ``present`` bool ``[B, 3]`` says so."""
        index = torch.as_tensor(at, dtype=torch.long)
        out = {}
        for column, m in enumerate(MODALITIES):
            if bool(present[:, column].any()):
                out[m] = self._maps[m][index].float() * present[:, column].view(-1, 1, 1, 1)
        return out


class Served:
    """Answers ``model.lower`` from stored maps for the one batch that was offered last, recognised by its images.

    A method that changes, selects or augments images is answered by the model itself.
    """

    def __init__(self, model: FasModel) -> None:
        self._lower = model.lower
        self._images: object = None
        self._maps: Maps = {}
        model.lower = self  # type: ignore[method-assign]  # this very instance only

    def offer(self, batch: Batch, maps: Maps) -> None:
        """The maps of ``batch``, valid until the next offer."""
        self._images, self._maps = batch.images, maps

    @torch.no_grad()
    def computed(self, batch: Batch, maps: Maps, rows: NDArray[np.bool_]) -> Maps:
        """``maps`` with those of ``rows`` computed from the batch's images, which were edited."""
        index = torch.from_numpy(np.flatnonzero(rows))
        fresh = self._lower(batch.select(index))
        out = {m: x.clone() for m, x in maps.items()}
        for m, x in fresh.items():
            out[m][index] = x.half().float()
        return out

    def __call__(self, batch: Batch) -> Maps:
        """See `FasModel.lower`."""
        if batch.images is not self._images:
            return self._lower(batch)
        columns = {m: batch.present[:, i].view(-1, 1, 1, 1) for i, m in enumerate(MODALITIES)}
        return {m: x * columns[m] for m, x in self._maps.items() if bool(columns[m].any())}


def moves_lower(model: FasModel, names: Iterable[str], batch: Batch) -> bool:
    """Whether the lower maps depend on any of the named parameters: they are shifted in a copy, and compared."""
    changed = deepcopy(model)
    with torch.no_grad():
        before = changed.lower(batch)
        for name, value in changed.state_dict().items():
            if name in set(names) and value.is_floating_point():
                value.add_(0.5)
        after = changed.lower(batch)
    return any(not torch.equal(before[m], after[m]) for m in before)


def source_predictions(
    model: FasModel, captures: Captures, maps: StoredMaps, missing: Sequence[Modality]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores ``[N]`` of the unadapted model per row of the manifest (NaN = no answer), and presence ``[N, 3]``."""
    rows = np.arange(len(captures.manifest))
    present = captures.native & (captures.at >= 0)[:, None]
    for modality in missing:
        present[:, MODALITIES.index(modality)] = False
    score = np.full(len(rows), np.nan)
    answerable = rows[present.any(axis=1)]
    with torch.no_grad():
        for start in range(0, len(answerable), SCORE_BATCH):
            chosen = answerable[start : start + SCORE_BATCH]
            here = torch.from_numpy(present[chosen])
            found: Prediction = to_prediction(model.upper(maps.take(captures.at[chosen].tolist(), here), here))
            score[chosen] = found.score.double().numpy()
    return score, present
