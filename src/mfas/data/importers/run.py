"""`mfas data import`: a native folder to a manifest, a table of what was skipped, and a summary of both."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from pydantic import Field

from mfas._extras import needs
from mfas.config import Config, parse
from mfas.core import UNKNOWN_SPECIES, Label, Modality
from mfas.data._columns import write_table
from mfas.data.importers._journal import Journal
from mfas.data.importers._stored import BrokenError, write_png
from mfas.data.importers._subjects import separate_subjects
from mfas.data.importers.contract import Frame, Importer, Item, Skip, Where
from mfas.data.importers.registry import importer_class
from mfas.data.manifest import SPLITS, write_manifest
from mfas.data.species import SPECIES
from mfas.errors import ConfigError, InputError, ManifestError

Progress = Callable[[int, int], None]
_AHEAD = 8
"""Items in work per thread: results come in order without holding a whole set in memory."""


class ImportConfig(Config):
    """Configuration of `mfas data import`."""

    name: str
    root: Path
    out: Path
    options: dict[str, Any] = Field(default_factory=dict, description="settings of the data set's importer")
    species: dict[str, str] = Field(default_factory=dict, description="native species to ours, over the set's table")
    unknown_species: Literal["refuse", "keep"] = "refuse"
    subject_overlap: Literal["drop", "keep"] = Field("drop", description="of a person found in two splits")
    max_broken: float = Field(0.02, ge=0.0, le=1.0, description="share of entries that may be skipped")
    site: str = Field("", description="value of the column site; empty = name of the set")
    images: Path | None = Field(None, description="folder for converted images; None = NAME.images beside the manifest")
    workers: int = Field(0, ge=0, le=256, description="threads; 0 = one per core")

    @property
    def image_folder(self) -> Path:
        """Where images go that the manifest cannot point to as they are."""
        return self.images or self.out.with_name(f"{self.out.stem}.images")

    @property
    def skip_table(self) -> Path:
        """Where the table of skipped entries goes."""
        return self.out.with_name(f"{self.out.stem}.skipped.csv")


def import_set(config: ImportConfig, progress: Progress | None = None) -> dict[str, Any]:
    """Import a data set; writes the manifest, ``NAME.skipped.csv`` when anything was skipped, and converted images.

    Native images are pointed to, not copied. An interrupted import goes on where it stopped when it is called again
    with the same configuration. Returns a JSON-safe summary. Raises `InputError` when the folder is not that of the
    set, a species is unknown, or more than ``max_broken`` of the entries cannot be used (the table is written first).
    """
    importer = _open(config)
    with needs(f"importing {config.name}"):
        listed = list(importer.scan())
        items, skips = _once(entry for entry in listed if isinstance(entry, Item))
        skips += [entry for entry in listed if isinstance(entry, Skip)]
        table = _species_table(importer, items, config)
        _check_share(config, skips, len(listed))
        rows, faults = _read_all(importer, items, table, config, progress)
    skips += faults
    rows, overlap = separate_subjects(rows, keep=config.subject_overlap == "keep")
    skips += overlap
    _check_share(config, skips, len(listed))
    if not rows:
        raise InputError(f"{config.root}: expected captures of {importer.title}, found none")
    rows.sort(key=lambda row: (row["presentation_id"], row["frame"]))
    for row in rows:
        del row["where"]
    manifest = write_manifest(rows, config.out)
    _write_skips(config, skips)
    Journal.remove(config.out)
    return {
        "manifest": str(config.out),
        "captures": len(manifest),
        "presentations": len(manifest.counts("presentation_id")),
        "subjects": len(manifest.subjects()),
        "counts": {
            "split": manifest.counts("split"),
            "label": {label or "not known": count for label, count in manifest.counts("label").items()},
            "species": {species: count for species, count in manifest.counts("species").items() if species},
            "modality": manifest.modality_counts(),
        },
        "images": str(config.image_folder) if config.image_folder.is_dir() else None,
        "skipped": len(skips),
        "skipped_by_kind": dict(sorted(Counter(skip.kind for skip in skips).items())),
        "skipped_table": str(config.skip_table) if skips else None,
        "notes": importer.notes(),
    }


def _open(config: ImportConfig) -> Importer:
    cls = importer_class(config.name)
    for native, ours in config.species.items():
        if ours not in SPECIES:
            raise ConfigError(f"species.{native}: expected one of {', '.join(SPECIES)}, got '{ours}'")
    if not config.root.exists():
        raise InputError(f"data set not found: {config.root}")
    options = parse(cls.Options, config.options, f"options of {config.name}")
    return cls(config.root, options)


def _species_table(importer: Importer, items: list[Item], config: ImportConfig) -> dict[str, str]:
    """Native names to ours; unknown ones are refused by name, all at once, or become `UNKNOWN_SPECIES`."""
    table = {**importer.species, **config.species}
    attacks = [item for item in items if item.label is Label.ATTACK]
    unknown = {item.species: item.where for item in reversed(attacks) if item.species not in table}
    if unknown and config.unknown_species == "refuse":
        listed = ", ".join(f"'{name}'" for name in sorted(unknown))
        first = unknown[min(unknown)]
        raise InputError(
            f"{config.root}: expected species that are known of {importer.title}, got {listed} ({_place(first)}); name "
            f"them under 'species', or import them as '{UNKNOWN_SPECIES}' with --unknown-species keep"
        )
    return table | dict.fromkeys(unknown, UNKNOWN_SPECIES)


def _check_share(config: ImportConfig, skips: list[Skip], total: int) -> None:
    """More faults than the stated share mean that the layout is not the documented one."""
    if not total or len(skips) <= config.max_broken * total:
        return
    _write_skips(config, skips)
    first = skips[0]
    kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(skip.kind for skip in skips).most_common())
    raise InputError(
        f"{config.root}: expected at most {config.max_broken:.1%} of the entries to be unusable (max_broken), got "
        f"{len(skips)} of {total} ({kinds}); the first: {_place(first.where)}: {first.reason}; all are in "
        f"{config.skip_table}"
    )


def _once(items: Iterable[Item]) -> tuple[list[Item], list[Skip]]:
    """Every capture once: one that stands in two splits belongs to the later of train, validation, test."""
    kept: dict[str, Item] = {}
    skips: list[Skip] = []
    for item in items:
        before = kept.get(item.key)
        if before is None:
            kept[item.key] = item
            continue
        stays, goes = (before, item) if SPLITS.index(before.split) >= SPLITS.index(item.split) else (item, before)
        kept[item.key] = stays
        skips.append(Skip(goes.where, "duplicate", f"'{item.key}' stands in {_place(stays.where)} too"))
    return list(kept.values()), skips


def _read_all(
    importer: Importer, items: list[Item], table: dict[str, str], config: ImportConfig, progress: Progress | None
) -> tuple[list[dict[str, Any]], list[Skip]]:
    """Rows and faults of all items, in their order, over all cores; finished ones come from the journal."""
    identity = config.model_dump(mode="json", exclude={"workers", "max_broken", "subject_overlap"})
    journal = Journal(config.out, identity)
    rows: list[dict[str, Any]] = []
    faults: list[Skip] = []
    workers = config.workers or os.cpu_count() or 1

    def work(item: Item) -> tuple[Item, list[dict[str, Any]], list[str] | None]:
        known = journal.done.get(item.key)
        if known is not None:
            return item, known["rows"], known["fault"]
        return item, *_read_item(importer, item, table, config)

    try:
        with ThreadPoolExecutor(workers) as pool:
            for count, (item, found, fault) in enumerate(_ordered(pool, work, items, workers * _AHEAD), start=1):
                if item.key not in journal.done:
                    journal.add(item.key, found, fault)
                rows += found
                if fault is not None:
                    faults.append(Skip(item.where, *fault))
                if progress is not None:
                    progress(count, len(items))
    finally:
        journal.close()
    return rows, faults


def _ordered(pool: ThreadPoolExecutor, work: Callable[[Item], Any], items: list[Item], ahead: int) -> Iterator[Any]:
    """Results in the order of ``items``, at most ``ahead`` of them in work."""
    waiting = iter(items)
    running = [pool.submit(work, item) for item in islice(waiting, ahead)]
    try:
        while running:
            yield running.pop(0).result()
            running += [pool.submit(work, item) for item in islice(waiting, 1)]
    finally:
        for future in running:
            future.cancel()


def _read_item(
    importer: Importer, item: Item, table: dict[str, str], config: ImportConfig
) -> tuple[list[dict[str, Any]], list[str] | None]:
    """The rows of an item; those read before something went wrong are kept, and the fault is told."""
    rows: list[dict[str, Any]] = []
    try:
        rows.extend(_row(importer, item, frame, table, config) for frame in importer.read(item))
    except BrokenError as broken:
        return rows, [broken.kind, str(broken)]
    return rows, None


def _row(importer: Importer, item: Item, frame: Frame, table: dict[str, str], config: ImportConfig) -> dict[str, Any]:
    capture = _hashed("c", importer.name, f"{item.key}\n{frame.number}")
    attack = item.label is Label.ATTACK
    folder = config.out.parent.resolve()
    cells = {m.value: _cell(image, config, capture, m, folder) for m, image in frame.images.items()}
    return {
        "where": [item.where.file, item.where.line],
        "capture_id": capture,
        "presentation_id": _hashed("p", importer.name, item.presentation or item.key),
        "subject": f"{importer.name}-{item.subject}" if item.subject else "",
        "presenter": f"{importer.name}-{item.presenter}" if item.presenter else "",
        "session": item.session,
        "site": config.site or item.site or importer.site,
        "split": item.split,
        "label": item.label.value if item.label else "",
        "species": table[item.species] if attack else "",
        **{m.value: cells.get(m.value, "") for m in Modality},
        "box": frame.box,
        "frame": frame.number,
        "depth_kind": importer.depth_kind,
        "x_imported": importer.name,
        "x_native": item.key,
        "x_species": item.species if attack else "",
        "x_subject": item.subject,
    }


def _cell(image: Any, config: ImportConfig, capture: str, modality: Modality, folder: Path) -> str:
    if not isinstance(image, Path):
        path = config.image_folder / capture[1:3] / f"{capture}_{modality.value}.png"
        write_png(path, image)
        image = path
    return Path(os.path.relpath(image.resolve(), folder)).as_posix()


def _hashed(prefix: str, *parts: str) -> str:
    return prefix + hashlib.blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()


def _write_skips(config: ImportConfig, skips: list[Skip]) -> None:
    config.skip_table.unlink(missing_ok=True)
    if not skips:
        return
    columns = {
        "file": [skip.where.file for skip in skips],
        "line": [skip.where.line for skip in skips],
        "kind": [skip.kind for skip in skips],
        "reason": [skip.reason for skip in skips],
    }
    write_table(pa.table(columns), config.skip_table, "table", ManifestError)


def _place(where: Where) -> str:
    return f"{where.file}, line {where.line}" if where.line else where.file
