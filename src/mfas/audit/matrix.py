"""Accept rates of perturbed attacks: what was attacked, against which modalities decide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mfas.audit.kinds import PerturbSettings, kind_of, perturb
from mfas.audit.victim import Prototypes, Victim, absent, accepted, decide
from mfas.core import MODALITIES, Batch, parse_modalities

CLEAN = "clean"
"""The row of captures as they are."""
WHITE_BOX = (*(m.value for m in MODALITIES), "all")
"""Kinds that are searched anew for every pattern."""


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """Perturbed captures of one kind against one missing pattern.

    ``accepted`` and ``taught`` bool ``[N]``: accepted at the card's threshold; taken by the evidence gate for a living
    face. ``gain`` is the mean rise of the objective; None for clean captures and where nothing could change.
    """

    kind: str
    missing: str
    accepted: Tensor
    taught: Tensor
    gain: float | None


@dataclass(frozen=True, slots=True)
class Matrix:
    """Cells of one victim, and the captures perturbed with every sensor at work, by kind."""

    victim: str
    cells: tuple[MatrixCell, ...]
    perturbed: dict[str, tuple[Batch, ...]]


def measure_matrix(
    victim: Victim,
    batches: Sequence[Batch],
    kinds: Sequence[str],
    patterns: Sequence[str],
    settings: PerturbSettings,
    *,
    live: Prototypes | None = None,
    every_pattern: bool = True,
    seed: int = 0,
    progress: Callable[[], None] | None = None,
) -> Matrix:
    """Perturb ``batches`` (attack captures) in every kind and let ``victim`` decide under every pattern.

    With ``every_pattern`` the kinds of `WHITE_BOX` are searched anew for each pattern; otherwise, and for all other
    kinds, what was found with every sensor at work is shown to fewer.
    """
    cells = [_cell(victim, CLEAN, missing, batches, None) for missing in patterns]
    kept: dict[str, tuple[Batch, ...]] = {}
    for name in kinds:
        full, gain = _perturbed(victim, batches, name, settings, live, seed)
        kept[name] = full
        anew = every_pattern and name in WHITE_BOX
        for missing in patterns:
            if missing and anew and _touched(batches, name, missing):
                shown = [some for some in (_answerable(batch, missing) for batch in batches) if len(some)]
                own, own_gain = _perturbed(victim, shown, name, settings, live, seed)
                cells.append(_cell(victim, name, missing, own, own_gain))
            else:
                known = gain if not missing else None
                cells.append(_cell(victim, name, missing, full, known))
        if progress is not None:
            progress()
    return Matrix(victim.name, tuple(cells), kept)


def transfer(victim: Victim, perturbed: Sequence[Batch], missing: str = "") -> Tensor:
    """Bool ``[N]``: what another model makes of captures that were perturbed against some model."""
    return torch.cat([accepted(victim, batch, missing) for batch in perturbed])


def _perturbed(
    victim: Victim,
    batches: Sequence[Batch],
    name: str,
    settings: PerturbSettings,
    live: Prototypes | None,
    seed: int,
) -> tuple[tuple[Batch, ...], float]:
    found = [perturb(victim, batch, name, settings, live, seed + 7919 * i) for i, batch in enumerate(batches)]
    gain = torch.cat([one.value - one.clean for one in found])
    return tuple(one.batch for one in found), float(gain.mean())


def _touched(batches: Sequence[Batch], name: str, missing: str) -> bool:
    """Whether any capture still has a modality that the kind changes once ``missing`` is taken away."""
    gone = parse_modalities(missing)
    return any(not absent(batch.impose(gone), kind_of(name).shares) for batch in batches)


def _cell(victim: Victim, name: str, missing: str, batches: Sequence[Batch], gain: float | None) -> MatrixCell:
    shown = [_answerable(batch, missing) for batch in batches]
    shown = [batch for batch in shown if len(batch)]
    empty = torch.zeros(0, dtype=torch.bool)
    decided = [decide(victim, batch, missing) for batch in shown] or [(empty, empty)]
    let_in, taught = (torch.cat(part) for part in zip(*decided, strict=True))
    return MatrixCell(kind=name, missing=missing, accepted=let_in, taught=taught, gain=gain)


def _answerable(batch: Batch, missing: str) -> Batch:
    imposed = batch.impose(parse_modalities(missing))
    return imposed.select(imposed.present.any(dim=1).nonzero().flatten())
