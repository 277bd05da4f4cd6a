"""Which captures of a site a stream may draw, and which are held out as its probe."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mfas.benchmark.stream import StreamColumns
from mfas.core import MODALITIES, Modality
from mfas.data.manifest import Manifest
from mfas.errors import ConfigError
from mfas.simulation import Site, plan

STREAM, PROBE, UNUSED = "stream", "probe", ""
_TEXT = ("presentation_id", "subject", "label", "species", "split")


@dataclass(frozen=True, slots=True)
class SiteRows:
    """What is known of a site's captures without opening an image, one entry per row of its manifest."""

    site: str
    presentation: NDArray[np.str_]
    subject: NDArray[np.str_]
    label: NDArray[np.str_]
    species: NDArray[np.str_]
    split: NDArray[np.str_]
    order: NDArray[np.float64]
    present: NDArray[np.bool_]

    @staticmethod
    def of_manifest(site: str, manifest: Manifest) -> SiteRows:
        """From a manifest."""
        presentation, subject, label, species, split = (manifest.column(name).astype(str) for name in _TEXT)
        order = manifest.column("timestamp") + 1e-6 * manifest.column("frame")
        present = np.stack([manifest.column(m.value) != "" for m in MODALITIES], axis=1)
        text = (presentation, subject, label, species, split)
        return SiteRows(site, *text, order.astype(np.float64), present.astype(np.bool_))

    @staticmethod
    def of_plan(name: str, site: Site, count: int, seed: int) -> SiteRows:
        """Of a site that is still to be simulated; its sensors are taken to work."""
        length = site.captures_per_presentation
        plans = [plan(site, seed, number) for number in range(-(-count // length))]
        fields = np.array([(p.presentation_id, p.subject, p.label.value, p.species, p.split) for p in plans])
        presentation, subject, label, species, split = np.repeat(fields, length, axis=0)[:count].T
        order = np.arange(count, dtype=np.float64)
        present = np.ones((count, len(MODALITIES)), np.bool_)
        return SiteRows(name, presentation, subject, label, species, split, order, present)

    def roles(self, target: str, sites: tuple[str, ...]) -> NDArray[np.str_]:
        """`STREAM`, `PROBE` or `UNUSED` per row, for a stream over ``sites``.

        The target's stream comes from split ``train`` and its probe from ``validation`` and ``test``: other people.
        A source site was trained on, so it streams its ``test`` split; its ``validation`` split is the probe of a
        stream that never sees the target.
        """
        own = self.site == target
        probe = ("validation", "test") if own else ("validation",)
        out = np.full(len(self.split), UNUSED, dtype="<U6")
        if self.site in sites:
            out[self.split == ("train" if own else "test")] = STREAM
        if own == (target in sites):
            out[np.isin(self.split, probe)] = PROBE
        return out


def thin_probe(presentation: NDArray[np.str_], roles: NDArray[np.str_], most: int) -> NDArray[np.str_]:
    """``roles`` with the probe cut to about ``most`` captures: whole presentations, chosen by a hash of their names."""
    names, counts = np.unique(presentation[roles == PROBE], return_counts=True)
    order = np.argsort([hashlib.sha256(str(name).encode()).hexdigest() for name in names])
    kept = names[order][np.cumsum(counts[order]) <= most]
    out = roles.copy()
    out[(roles == PROBE) & ~np.isin(presentation, kept)] = UNUSED
    return out


def stream_columns(
    parts: Iterable[SiteRows],
    sites: tuple[str, ...],
    missing: Iterable[Modality] = (),
    score: NDArray[np.float64] | None = None,
) -> StreamColumns:
    """What a recipe sees of ``parts``, which are joined in order. ``score`` per row is 0 unless given."""
    rows = list(parts)
    present = np.concatenate([part.present for part in rows])
    for modality in missing:
        present[:, MODALITIES.index(modality)] = False
    return StreamColumns(
        presentation=np.concatenate([part.presentation for part in rows]),
        subject=np.concatenate([part.subject for part in rows]),
        site=np.concatenate([np.full(len(part.label), part.site) for part in rows]),
        label=np.concatenate([part.label for part in rows]),
        species=np.concatenate([part.species for part in rows]),
        order=np.concatenate([part.order for part in rows]),
        present=present,
        score=np.zeros(len(present)) if score is None else score,
        sites=sites,
    )


def restrict(part: SiteRows, mask: NDArray[np.bool_]) -> SiteRows:
    """The rows where ``mask`` is true."""
    return SiteRows(
        part.site,
        part.presentation[mask],
        part.subject[mask],
        part.label[mask],
        part.species[mask],
        part.split[mask],
        part.order[mask],
        part.present[mask],
    )


def check_roles(parts: Iterable[SiteRows], target: str, sites: tuple[str, ...]) -> None:
    """Raise `ConfigError` where a stream or its probe would be empty."""
    probe = 0
    for part in parts:
        roles = part.roles(target, sites)
        probe += int((roles == PROBE).sum())
        if part.site in sites and not (roles == STREAM).any():
            split = "train" if part.site == target else "test"
            raise ConfigError(f"expected captures in split '{split}' of site '{part.site}', got none")
    if not probe:
        raise ConfigError(f"expected held-out captures for the probe of target '{target}', got none")
