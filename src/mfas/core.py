"""The nouns everything else speaks in: `Modality`, `Label`, `Batch`, `Prediction`.

Torch is named in annotations only, so that this module (and all that needs no network) imports without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import combinations
from typing import TYPE_CHECKING

from mfas.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor


class Modality(StrEnum):
    """What a sensor measures. Iteration order is the canonical order."""

    RGB = "rgb"
    DEPTH = "depth"
    IR = "ir"


MODALITIES: tuple[Modality, ...] = tuple(Modality)
"""Canonical order: RGB, depth, IR. Columns of every ``[B, 3]`` tensor follow it."""


class Label(StrEnum):
    """The truth about a presentation."""

    BONA_FIDE = "bona_fide"
    ATTACK = "attack"


class Outcome(StrEnum):
    """What became of a capture: a score, or no answer."""

    SCORED = "scored"
    NON_RESPONSE = "non_response"


UNKNOWN_SPECIES = "unknown"


class Family(StrEnum):
    """What attacks are made of, in a few kinds; `mfas.data.species` says which species is of which. Canonical order."""

    PRINT = "print"
    REPLAY = "replay"
    RIGID_MASK = "rigid_mask"
    FLEXIBLE_MASK = "flexible_mask"
    PARTIAL = "partial"
    UNKNOWN = "unknown"


FAMILIES: tuple[Family, ...] = tuple(family for family in Family if family is not Family.UNKNOWN)
"""Families that a head can learn, in canonical order: all but `Family.UNKNOWN`."""


def parse_modalities(text: str) -> tuple[Modality, ...]:
    """Read a comma-joined list such as ``"ir,depth"`` into canonical order.

    >>> parse_modalities("ir,depth")
    (<Modality.DEPTH: 'depth'>, <Modality.IR: 'ir'>)
    >>> parse_modalities("")
    ()
    """
    names = [part.strip() for part in text.split(",") if part.strip()]
    known = {m.value for m in MODALITIES}
    for name in names:
        if name not in known:
            raise InputError(f"expected modalities out of rgb, depth, ir, got '{name}'")
    return tuple(m for m in MODALITIES if m.value in names)


def format_modalities(modalities: Iterable[Modality]) -> str:
    """Comma-joined canonical text, the form of the ``missing`` and ``present`` columns.

    >>> format_modalities([Modality.IR, Modality.RGB])
    'rgb,ir'
    """
    chosen = set(modalities)
    return ",".join(m.value for m in MODALITIES if m in chosen)


MISSING_PATTERNS: tuple[str, ...] = tuple(
    format_modalities(dropped) for size in range(len(MODALITIES)) for dropped in combinations(MODALITIES, size)
)
"""The seven imposed patterns that leave at least one modality, as ``missing`` text; ``""`` is none."""


@dataclass(frozen=True, slots=True)
class CaptureIds:
    """Who and when, one entry per capture of a batch. Holds nothing that determines the label."""

    capture_id: tuple[str, ...]
    presentation_id: tuple[str, ...]
    subject: tuple[str, ...]
    session: tuple[str, ...]
    timestamp: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.capture_id)

    def select(self, index: Iterable[int]) -> CaptureIds:
        """The entries at ``index``, in that order."""
        rows = list(index)
        return CaptureIds(
            capture_id=tuple(self.capture_id[i] for i in rows),
            presentation_id=tuple(self.presentation_id[i] for i in rows),
            subject=tuple(self.subject[i] for i in rows),
            session=tuple(self.session[i] for i in rows),
            timestamp=tuple(self.timestamp[i] for i in rows),
        )

    @staticmethod
    def anonymous(count: int) -> CaptureIds:
        """Identities for captures that have none: each its own presentation, no subject."""
        names = tuple(f"capture-{i:06d}" for i in range(count))
        return CaptureIds(names, names, ("",) * count, ("",) * count, tuple(float(i) for i in range(count)))


@dataclass(frozen=True, slots=True)
class Batch:
    """Captures on their way into a network.

    ``images[m]`` is float32 ``[B, C_m, H, W]`` as `mfas.data.preprocess` makes it; rows of absent captures are zero and
    must not be read. ``present`` is bool ``[B, 3]`` in canonical order with at least one true entry per row. A
    modality that no capture of the batch has may be left out of ``images``.
    """

    images: Mapping[Modality, Tensor]
    present: Tensor
    ids: CaptureIds

    def __len__(self) -> int:
        return int(self.present.shape[0])

    def select(self, index: Tensor) -> Batch:
        """The captures at ``index`` (long ``[N]``)."""
        return Batch(
            images={m: x[index] for m, x in self.images.items()},
            present=self.present[index],
            ids=self.ids.select(int(i) for i in index),
        )

    def impose(self, missing: Iterable[Modality]) -> Batch:
        """The same captures with ``missing`` taken away; rows may be left with nothing."""
        keep = self.present.clone()
        for modality in missing:
            keep[:, MODALITIES.index(modality)] = False
        return replace(self, present=keep)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says of a batch; every tensor is detached and on the batch's device.

    - ``score`` float ``[B]`` in [0, 1], higher = more bona fide.
    - ``modality_scores`` float ``[B, 3]`` from each modality's own head; NaN where that modality was not observed.
    - ``uncertainty`` float ``[B]`` in [0, 1]: entropy of the weighted mean of observed heads over ln 2.
    - ``reliability`` float ``[B]`` in [0, 1], higher = the decision can be relied on more.
    - ``present`` bool ``[B, 3]``: observed and used. ``substituted`` bool ``[B, 3]``: a complementary feature stood in.
    - ``enhanced`` float ``[B, 3]`` in [0, 1]: share of the complementary feature mixed into an observed one.
    """

    score: Tensor
    modality_scores: Tensor
    uncertainty: Tensor
    reliability: Tensor
    present: Tensor
    substituted: Tensor
    enhanced: Tensor
    extras: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.score.shape[0])
