"""Random simulated sites to train and validate on, and what a small model does there: for scripts of this folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from mfas._files import make_folder
from mfas.benchmark.sources import read_sources
from mfas.benchmark.training_run import chunks
from mfas.card import Card
from mfas.core import MISSING_PATTERNS
from mfas.data.dataset import CachedTensors
from mfas.data.manifest import Manifest, read_manifest, rebase, write_manifest
from mfas.metrics import auc
from mfas.models.contract import FasModel
from mfas.simulation import load_site, simulate
from mfas.training.validation import score_patterns

FIRST_VALIDATION_SEED = 100_000
CHOICES = ("dev_a", "dev_b")


def folder_of(out: Path, name: str) -> Path:
    """Where the captures of a site lie."""
    return out / "sites" / name.replace(":", "_")


def simulated(name: str, out: Path, count: int, subjects: int, workers: int = 1) -> None:
    """Captures of a site, one a presentation at random sites; nothing where they are already there."""
    folder = folder_of(out, name)
    if (folder / "simulation.json").exists():  # the last file that is written
        return
    site = load_site(name).model_copy(update={"subjects": subjects})
    frames = 1 if name.startswith("random:") else None
    simulate(site, count=count, seed=0, out=folder, workers=workers, captures_per_presentation=frames)


def by_site(out: Path, learn: Sequence[str], held_out: Sequence[str], path: Path) -> None:
    """One manifest in which all captures of a site learn, or all of them validate."""
    make_folder(out)
    tables = []
    for split, names in (("train", learn), ("validation", held_out)):
        joined = read_sources([folder_of(out, name) / "manifest.parquet" for name in names], require_labels=True)
        table = rebase(joined, out).table
        column = pa.array([split] * len(joined), pa.string())
        tables.append(table.set_column(table.column_names.index("split"), "split", column))
    write_manifest(Manifest.from_table(pa.concat_tables(tables).combine_chunks(), out, require_labels=True), path)


def prepared(out: Path, sites: int, validation_sites: int, count: int, check: int, workers: int = 1) -> Path:
    """The manifest of ``random:0`` and on to learn from, ``random:100000`` and on to validate; `CHOICES` beside it.

    ``count`` captures of 24 people at each random site, ``check`` of 60 people at each of `CHOICES`.
    """
    learn = [f"random:{seed}" for seed in range(sites)]
    held_out = [f"random:{FIRST_VALIDATION_SEED + seed}" for seed in range(validation_sites)]
    for names, captures, subjects in ((learn, count, 24), (held_out, count, 24), (CHOICES, check, 60)):
        for name in names:
            simulated(name, out, captures, subjects, workers)
    by_site(out, learn, held_out, out / "train.parquet")
    return out / "train.parquet"


def measured_on(source: Path, out: Path) -> dict[str, Manifest]:
    """What choices may be made by: validation of the sources, and `CHOICES`."""
    dev = {name: read_manifest(folder_of(out, name) / "manifest.parquet") for name in CHOICES}
    return {"validation": read_manifest(source).filter(split="validation"), **dev}


def errors(model: FasModel, card: Card, data: CachedTensors) -> dict[str, float]:
    """HTER and AUC over presentations, nothing missing and the mean over all patterns, in per cent."""
    part = data.manifest.take(data.rows)
    names, species = part.column("presentation_id").astype(str), part.column("species").astype(str)
    hter, area = [], []
    for missing, pattern in score_patterns(model, chunks(data)).items():
        _, first, group = np.unique(names[pattern.rows], return_index=True, return_inverse=True)
        score, live = np.bincount(group, pattern.score) / np.bincount(group), species[pattern.rows][first] == ""
        accepted = score >= card.threshold(missing)
        hter.append(50 * float((~accepted[live]).mean() + accepted[~live].mean()))
        area.append(100 * auc(score[live], {"attack": score[~live]}))
    whole = MISSING_PATTERNS.index("")
    figures = {"hter": hter[whole], "auc": area[whole], "hter_mean": np.mean(hter), "auc_mean": np.mean(area)}
    return {key: round(float(value), 2) for key, value in figures.items()}
