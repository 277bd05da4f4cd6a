"""Is a manifest fit for use? Everything wrong with it at once, and what it holds."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mfas.core import Modality
from mfas.data._columns import read_table
from mfas.data._header import Header
from mfas.data._manifest_rules import Fault, Rules
from mfas.data.images import METRIC, read_depth, read_header, read_ir, read_rgb
from mfas.data.manifest import Manifest, check_table
from mfas.errors import ImageError, ManifestError

_MOST_FILE_FAULTS = 100


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a manifest holds and what is wrong with it.

    ``counts`` maps ``split``, ``site``, ``label``, ``species``, ``modality`` to captures by value; ``sizes`` maps each
    modality to captures by ``WIDTHxHEIGHT``. At most 20 faults of a kind and 100 unreadable files are listed.
    """

    path: str
    captures: int
    presentations: int
    subjects: int
    captures_without_subject: int
    counts: dict[str, dict[str, int]]
    sizes: dict[str, dict[str, int]]
    faults: tuple[Fault, ...]

    @property
    def ok(self) -> bool:
        """Nothing is wrong."""
        return not self.faults

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"ok": self.ok, "faults": [asdict(fault) for fault in self.faults]}


def check_manifest(path: Path, *, require_labels: bool = False, decode: bool = False, workers: int = 1) -> CheckReport:
    """Check a manifest's rows and the header, completeness and kind of every image; ``decode`` reads all pixels too.

    Faults come back in the report; `ManifestError` is raised only when the file is no table at all.
    """
    path = Path(path)
    table = read_table(path, "manifest", ManifestError)
    fixed, faults = check_table(table, Rules(require_labels=require_labels))
    if not table.num_rows:
        faults.append(Fault(0, "manifest", "expected at least one capture, got none"))
    if any(fault.row == 0 for fault in faults) or fixed.column_names[:1] != ["capture_id"]:
        return CheckReport(str(path), table.num_rows, 0, 0, 0, {}, {}, tuple(faults))
    manifest = Manifest(fixed, path.parent)
    sizes: dict[str, dict[str, int]] = {m.value: {} for m in Modality}
    unreadable = 0
    for found in _inspect_all(manifest, decode, workers):
        if isinstance(found, Fault):
            unreadable += 1
            if unreadable <= _MOST_FILE_FAULTS:
                faults.append(found)
            continue
        modality, header = found
        key = f"{header.width}x{header.height}"
        sizes[modality.value][key] = sizes[modality.value].get(key, 0) + 1
    return _report(path, manifest, sizes, faults)


def _report(path: Path, manifest: Manifest, sizes: dict[str, dict[str, int]], faults: list[Fault]) -> CheckReport:
    counts = {name: manifest.counts(name) for name in ("split", "site", "label", "species")}
    counts["modality"] = manifest.modality_counts()
    return CheckReport(
        path=str(path),
        captures=len(manifest),
        presentations=len(manifest.counts("presentation_id")),
        subjects=len(manifest.subjects()),
        captures_without_subject=int((manifest.column("subject") == "").sum()),
        counts=counts,
        sizes={name: dict(sorted(found.items())) for name, found in sizes.items()},
        faults=tuple(sorted(faults, key=lambda fault: fault.row)),
    )


def _inspect_all(manifest: Manifest, decode: bool, workers: int) -> Iterator[Fault | tuple[Modality, Header]]:
    """Over cells, not rows: a row whose label or numbers are wrong can still have its images looked at."""
    scales, kinds = manifest.column("depth_scale_m"), manifest.column("depth_kind")
    jobs = (
        (index, modality, manifest.root / cell, float(scales[index]), str(kinds[index]))
        for modality in Modality
        for index, cell in enumerate(manifest.column(modality.value))
        if cell
    )
    if workers <= 1:
        for job in jobs:
            yield _inspect(*job, decode=decode)
        return
    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(lambda job: _inspect(*job, decode=decode), jobs)


def _inspect(
    index: int, modality: Modality, path: Path, scale_m: float, kind: str, *, decode: bool
) -> Fault | tuple[Modality, Header]:
    try:
        header = read_header(path, whole=True)
        if modality is Modality.DEPTH and (decode or kind == METRIC):
            read_depth(path, scale_m, kind)
        elif decode:
            read = read_rgb if modality is Modality.RGB else read_ir
            read(path)
    except ImageError as reason:
        return Fault(index + 1, modality.value, str(reason))
    return modality, header
