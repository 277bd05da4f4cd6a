"""Which faults befall a capture: a function of site, seed, index and time, blind to label and species."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from mfas.core import Modality
from mfas.simulation.faults import Blob, Dirt, DropOut, Faults, LensDirt, Move, blob_mask
from mfas.simulation.heads.base import generator


@dataclass(frozen=True, slots=True)
class Drawn:
    """The faults of one capture. ``residual`` = share of the emitter's light in infrared, None = as always."""

    dropped: frozenset[Modality] = frozenset()
    residual: float | None = None
    holes: tuple[Blob, ...] = ()
    moves: Mapping[Modality, Move] = field(default_factory=dict)
    jumps: Mapping[Modality, float] = field(default_factory=dict)
    dirt: Mapping[Modality, Dirt] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """What befell the capture; nothing is told of an image that is missing anyway."""
        seen = [m for m in Modality if m not in self.dropped]
        out = [f"dropout_{m.value}" for m in Modality if m in self.dropped]
        out += ["dark_ir"] if self.residual is not None and Modality.IR in seen else []
        out += ["depth_holes"] if self.holes and Modality.DEPTH in seen else []
        for fault, struck in (("misregistration", self.moves), ("exposure", self.jumps), ("lens_dirt", self.dirt)):
            out += [f"{fault}_{m.value}" for m in seen if m in struck]
        return tuple(out)


NOTHING = Drawn()


def draw_faults(faults: Faults, site: str, seed: int, number: int, frame: int, *, timestamp: float, size: int) -> Drawn:
    """The faults of ``frame`` of presentation ``number``; ``timestamp`` in seconds, image ``size`` in pixels."""
    if faults == _OFF:
        return NOTHING
    return Drawn(
        dropped=dropped(faults.dropout, site, seed, timestamp),
        residual=faults.dark_ir.residual
        if _strikes(faults.dark_ir.probability, _rng("dark", site, seed, number, frame))
        else None,
        holes=_holes(faults, _rng("holes", site, seed, number, frame), size),
        moves=_moves(faults, _rng("moves", site, seed, number)),
        jumps=_jumps(faults, _rng("jumps", site, seed, number, frame)),
        dirt=_dirt(faults.lens_dirt, site, seed, size),
    )


_OFF = Faults()


def _rng(fault: str, *names: object) -> np.random.Generator:
    return generator("fault", fault, *names)


def _strikes(probability: float, rng: np.random.Generator) -> bool:
    return bool(rng.random() < probability)


def dropped(spec: DropOut, site: str, seed: int, seconds: float) -> frozenset[Modality]:
    """What is missing at ``seconds`` of the stream. When all three would be, colour stays."""
    gone = frozenset(m for m in Modality if _in_spell(spec, site, seed, m, seconds))
    return gone - {Modality.RGB} if len(gone) == len(Modality) else gone


def _in_spell(spec: DropOut, site: str, seed: int, modality: Modality, seconds: float) -> bool:
    """Time is cut into slots of ``spell_s`` that each modality spends with or without its sensor."""
    share: float = getattr(spec, modality.value)
    if share == 0:
        return False
    slot = _slot(spec, site, seed, modality, seconds)
    return _strikes(share, _rng("spell", site, seed, modality.value, slot))


def _slot(spec: DropOut, site: str, seed: int, modality: Modality, seconds: float) -> int:
    """Slot k ends at the k-th tick of a clock plus a jitter that keeps every length within ``spell_s``."""
    low, high = spec.spell_s
    period, play = (low + high) / 2, (high - low) / 4

    def begin(slot: int) -> float:
        return float(slot * period + _rng("slot", site, seed, modality.value, slot).uniform(-play, play))

    slot = int(np.floor(seconds / period))
    return slot - 1 if seconds < begin(slot) else slot + 1 if seconds >= begin(slot + 1) else slot


def _holes(faults: Faults, rng: np.random.Generator, size: int) -> tuple[Blob, ...]:
    spec = faults.depth_holes
    return _blobs(rng, spec.blobs, spec.size_px, size) if _strikes(spec.probability, rng) else ()


def _blobs(
    rng: np.random.Generator, count: tuple[int, int], diameter: tuple[float, float], size: int
) -> tuple[Blob, ...]:
    return tuple(
        Blob(float(rng.uniform(0, size)), float(rng.uniform(0, size)), float(rng.uniform(*diameter)),
             float(rng.uniform(0, 2 * np.pi)))
        for _ in range(int(rng.integers(count[0], count[1] + 1)))
    )  # fmt: skip


def _moves(faults: Faults, rng: np.random.Generator) -> dict[Modality, Move]:
    spec = faults.misregistration
    if not _strikes(spec.probability, rng):
        return {}
    out = {}
    for modality in (Modality.DEPTH, Modality.IR):
        length, turn = rng.uniform(*spec.shift_px), rng.uniform(0, 2 * np.pi)
        scale = 1 + rng.choice([-1, 1]) * rng.uniform(*spec.scale_percent) / 100
        out[modality] = Move(float(length * np.cos(turn)), float(length * np.sin(turn)), float(scale))
    return out


def _jumps(faults: Faults, rng: np.random.Generator) -> dict[Modality, float]:
    spec = faults.exposure
    out = {}
    for modality, probability in ((Modality.RGB, spec.rgb), (Modality.IR, spec.ir)):
        struck, factor, up = _strikes(probability, rng), float(rng.uniform(*spec.factor)), rng.random() < 0.5
        if struck:
            out[modality] = factor if up else 1 / factor
    return out


@lru_cache(maxsize=8)
def _dirt(spec: LensDirt, site: str, seed: int, size: int) -> dict[Modality, Dirt]:
    out = {}
    for modality in Modality:
        rng = _rng("dirt", site, seed, modality.value)
        if not _strikes(getattr(spec, modality.value), rng):
            continue
        low, high = spec.size
        spots = _blobs(rng, spec.blobs, (low * size, high * size), size)
        mask = np.clip(2 * blob_mask(size, spots), 0, 1)
        out[modality] = Dirt(mask, float(rng.uniform(*spec.loss)), float(rng.uniform(*spec.blur_px)))
    return out
