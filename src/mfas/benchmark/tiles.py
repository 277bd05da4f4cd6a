"""Captures worth a place on a report's contact sheet."""

from __future__ import annotations

import numpy as np

from mfas.core import Modality, Outcome
from mfas.data.manifest import Manifest
from mfas.data.scores import ScoreTable
from mfas.report.data import Tile


def pick_tiles(scores: ScoreTable, manifest: Manifest, threshold: float, per_group: int = 6) -> list[Tile]:
    """``per_group`` captures of bona fide and of each species, evenly spaced by score: errors show as they fall.

    Faces of imported data sets (a manifest with ``x_imported``) are blurred.
    """
    columns = manifest.table.column_names
    imported = manifest.column("x_imported") if "x_imported" in columns else np.full(len(manifest), "")
    row_of = {name: i for i, name in enumerate(manifest.column("capture_id").tolist())}
    score, species = scores.column("score"), scores.column("species")
    names, missing = scores.column("capture_id"), str(scores.column("missing")[0])
    answered = scores.column("outcome") == Outcome.SCORED.value
    tiles: list[Tile] = []
    for group in sorted(set(species.tolist())):
        rows = np.flatnonzero((species == group) & answered)
        rows = rows[np.argsort(score[rows], kind="stable")]
        places = np.unique(np.linspace(0, len(rows) - 1, min(per_group, len(rows))).round().astype(int))
        for row in rows[places]:
            capture = manifest.row(row_of[names[row]])
            value = float(score[row])
            tiles.append(
                Tile(
                    images={m: manifest.resolve(capture.path(m)) for m in capture.modalities if m in Modality},
                    label=str(capture.label.value if capture.label else ""),
                    species=capture.species,
                    score=value,
                    decision="bona_fide" if value >= threshold else "attack",
                    missing=missing,
                    threshold=threshold,
                    blurred=bool(imported[capture.index]),
                )
            )
    return tiles
