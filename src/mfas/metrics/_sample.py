"""A checked set of presentations laid out for resampling: one row each, sorted by score."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mfas.errors import ScoreError
from mfas.metrics import _check
from mfas.metrics._check import Array, IntArray

_CHUNK = 4_000_000
"""Weights held at once (draws x presentations), so that memory stays bounded on large sets."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows ordered by score.

    ``score`` ``[N]`` ascending; ``stratum`` ``[N]``: 0 = bona fide, i >= 1 = ``species[i - 1]``; ``subject`` ``[N]``:
    codes below ``subjects``. Without subjects there is one code and ``unit`` names what is resampled instead.
    """

    score: Array
    stratum: IntArray
    subject: IntArray
    species: tuple[str, ...]
    subjects: int
    unit: str
    order: IntArray

    @property
    def by_subject(self) -> bool:
        """Whether subjects are resampled (two or more are known)."""
        return self.unit == "subject"


def build(
    bona_fide: ArrayLike,
    attacks: Mapping[str, ArrayLike],
    bona_fide_subjects: Sequence[str] | None = None,
    attack_subjects: Mapping[str, Sequence[str]] | None = None,
    unit: str = "presentation",
) -> Sample:
    """Lay out scores; subjects count only if every row names one and there are at least two."""
    genuine = _check.scores(bona_fide, "bona fide")
    groups = _check.species_scores(attacks)
    parts = [genuine, *groups.values()]
    score = np.concatenate(parts)
    stratum = np.repeat(np.arange(len(parts)), [part.size for part in parts])
    named = subject_names(genuine.size, groups, bona_fide_subjects, attack_subjects)
    usable = bool(named) and all(named) and len(set(named)) > 1
    codes = np.unique(named, return_inverse=True)[1] if usable else np.zeros(score.size, dtype=np.int64)
    order = np.argsort(score, kind="stable")
    return Sample(
        score=score[order],
        stratum=stratum[order],
        subject=codes[order].astype(np.int64),
        species=tuple(groups),
        subjects=int(codes.max()) + 1 if usable else 1,
        unit="subject" if usable else unit,
        order=order,
    )


def subject_names(
    genuine: int,
    groups: Mapping[str, Array],
    bona_fide_subjects: Sequence[str] | None,
    attack_subjects: Mapping[str, Sequence[str]] | None,
) -> list[str]:
    """Subjects in row order (bona fide, then species in name order); ``""`` where unknown."""
    if bona_fide_subjects is None and attack_subjects is None:
        return [""] * (genuine + sum(group.size for group in groups.values()))
    named = _check.names(bona_fide_subjects if bona_fide_subjects is not None else [""] * genuine, genuine, "bona fide")
    for species, group in groups.items():
        given = (attack_subjects or {}).get(species)
        if given is None:
            given = [""] * group.size
        named += _check.names(given, group.size, f"species '{species}'")
    return named


def resample(sample: Sample, draws: int, seed: int) -> Iterator[IntArray]:
    """Yield how often each row is drawn, ``[d, N]`` chunk by chunk, ``draws`` rows in all.

    Subjects are drawn with replacement; inside each drawn subject, its presentations of each stratum are drawn with
    replacement, as many as it has. Bona fide and attacks of one subject thus stay together.
    """
    if draws < 1:
        raise ScoreError(f"expected at least one bootstrap draw, got {draws}")
    rng = np.random.default_rng(seed)
    rows = np.lexsort((sample.stratum, sample.subject))
    cell = sample.subject[rows] * (len(sample.species) + 1) + sample.stratum[rows]
    _, start, size = np.unique(cell, return_index=True, return_counts=True)
    owner = sample.subject[rows][start]
    step = max(1, _CHUNK // max(1, sample.score.size))
    for first in range(0, draws, step):
        count = min(step, draws - first)
        yield _draw(rng, count, sample.subjects, rows, start, size, owner)


def _draw(
    rng: np.random.Generator,
    count: int,
    subjects: int,
    rows: IntArray,
    start: IntArray,
    size: IntArray,
    owner: IntArray,
) -> IntArray:
    picked = rng.integers(subjects, size=(count, subjects)) + subjects * np.arange(count)[:, None]
    times = np.bincount(picked.ravel(), minlength=count * subjects).reshape(count, subjects)
    taken = (times[:, owner] * size).ravel()
    place = np.repeat(np.arange(taken.size), taken)
    draw, cell = np.divmod(place, size.size)
    # floor(u * size) < size holds for every double u < 1 while size stays far below 2**52.
    inside = (rng.random(place.size) * size[cell]).astype(np.int64)
    row = rows[start[cell] + inside]
    return np.bincount(draw * rows.size + row, minlength=count * rows.size).reshape(count, rows.size)
