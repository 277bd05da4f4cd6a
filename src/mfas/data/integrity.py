"""Faults of a data set that no statistic of one capture shows: leaks, swapped labels, duplicated sensors, odd depth."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from mfas.core import Label, Modality
from mfas.data.images import METRIC, read_depth, read_rgb
from mfas.data.manifest import Manifest, Row
from mfas.data.statistics import border, middle
from mfas.errors import ImageError

DECODED = 2000
"""Captures, evenly spaced, whose pixels are looked at; hashes are taken of all files."""
CHROMA = 0.01
"""Mean difference between the channels, as a share of the range, below which an image has no colour."""
_SHARE = 0.1
_LEAST = 10
_SWAPPED = 0.3
"""AUC of living faces having more relief than flat attacks below which something is the wrong way round."""
_NEAR_M, _FAR_M = 0.15, 3.0
_FLAT = ("print_flat", "replay_lcd", "replay_oled")
_LIVE_WORDS = re.compile(r"(?<![a-z])(real|live|genuine|bona_?fide|bonafide)(?![a-z])", re.IGNORECASE)
_ATTACK_WORDS = re.compile(r"(?<![a-z])(fake|spoof|attack|imposter)(?![a-z])", re.IGNORECASE)
_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of fault: how many captures of how many that were looked at, said in a sentence, with examples."""

    check: str
    count: int
    of: int
    sentence: str
    examples: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"examples": list(self.examples)}


@dataclass(frozen=True, slots=True)
class _Looked:
    """What one capture's files show; NaN where it was not looked at."""

    digests: dict[str, str]
    chroma: float = float("nan")
    relief: float = float("nan")
    middle: float = float("nan")
    border: float = float("nan")


def find_integrity(
    manifest: Manifest, *, workers: int = 1, progress: Callable[[int, int], None] | None = None
) -> list[Finding]:
    """Every kind of fault that was found, in the order of the checks; files that cannot be read are left out here."""
    step = max(1, -(-len(manifest) // DECODED))
    looked: list[_Looked] = []
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for one in pool.map(lambda row: _look(row, manifest, decode=row.index % step == 0), manifest):
            looked.append(one)
            if progress is not None:
                progress(len(looked), len(manifest))
    found = [
        _subjects(manifest),
        _leaked_files(manifest, looked),
        _twins(manifest, looked),
        _colourless(manifest, looked),
        _names(manifest),
        _flat_attacks(manifest, looked),
        _depth(manifest, looked),
    ]
    return [finding for finding in found if finding is not None]


def _look(row: Row, manifest: Manifest, *, decode: bool) -> _Looked:
    digests: dict[str, str] = {}
    values: dict[str, float] = {}
    for modality in row.modalities:
        path = manifest.resolve(row.path(modality))
        try:
            data = path.read_bytes()
            if decode and modality is Modality.RGB:
                values["chroma"] = float(np.ptp(read_rgb(data).astype(np.float32), axis=2).mean()) / 255
            elif decode and modality is Modality.DEPTH:
                values |= _depth_values(read_depth(data, row.depth_scale_m, row.depth_kind))
        except (OSError, ImageError):
            continue
        digests[modality.value] = hashlib.blake2b(data, digest_size=16).hexdigest()
    return _Looked(digests, **values)


def _depth_values(depth: NDArray[np.float32]) -> dict[str, float]:
    inner, outer = middle(depth), border(depth)
    inner, outer = inner[~np.isnan(inner)], outer[~np.isnan(outer)]
    if not inner.size:
        return {}
    low, centre, high = (float(v) for v in np.percentile(inner, [5, 50, 95]))
    return {
        "relief": high - low,
        "middle": centre,
        "border": float(np.median(outer)) if outer.size else float("nan"),
    }


def _native(manifest: Manifest) -> list[str]:
    """What a reader knows a capture by: its native name, else its id."""
    name = "x_native" if "x_native" in manifest.table.column_names else "capture_id"
    return [str(cell) for cell in manifest.column(name)]


def _subjects(manifest: Manifest) -> Finding | None:
    """The manifest's own ``subject`` cannot cross splits; an import keeps the native name in ``x_subject``."""
    if "x_subject" not in manifest.table.column_names:
        return None
    places: dict[tuple[str, str], set[str]] = defaultdict(set)
    owners = manifest.column("x_imported") if "x_imported" in manifest.table.column_names else manifest.column("site")
    keys = [(str(owner), str(cell or "")) for owner, cell in zip(owners, manifest.column("x_subject"), strict=True)]
    for key, split in zip(keys, manifest.column("split"), strict=True):
        places[key].add(str(split))
    crossing = sorted(key for key, splits in places.items() if key[1] and len(splits) > 1)
    if not crossing:
        return None
    sentence = f"{len(crossing)} people are in more than one split under their native names."
    return Finding(
        "subject_in_two_splits", len(crossing), len(places), sentence, _some(f"{a}: {b}" for a, b in crossing)
    )


def _leaked_files(manifest: Manifest, looked: list[_Looked]) -> Finding | None:
    splits = manifest.column("split")
    places: dict[str, set[str]] = defaultdict(set)
    for one, split in zip(looked, splits, strict=True):
        for digest in one.digests.values():
            places[digest].add(str(split))
    bad = [any(len(places[d]) > 1 for d in one.digests.values()) for one in looked]
    sentence = "captures have an image that stands, byte for byte, in another split too."
    return _counted("file_in_two_splits", bad, manifest, sentence)


def _twins(manifest: Manifest, looked: list[_Looked]) -> Finding | None:
    bad = [any(a == b for a, b in combinations(one.digests.values(), 2)) for one in looked]
    return _counted("same_file_for_two_sensors", bad, manifest, "captures have one and the same file for two sensors.")


def _colourless(manifest: Manifest, looked: list[_Looked]) -> Finding | None:
    chroma = np.array([one.chroma for one in looked])
    known = ~np.isnan(chroma)
    bad = known & (chroma < CHROMA)
    if not known.any() or bad.sum() <= _SHARE * known.sum():
        return None
    sentence = "RGB images have no colour: another sensor's image, or a grey copy, stands in their place."
    return _counted("rgb_without_chroma", bad.tolist(), manifest, sentence, int(known.sum()))


def _names(manifest: Manifest) -> Finding | None:
    labels = manifest.column("label")
    bad = []
    for name, label in zip(_native(manifest), labels, strict=True):
        live, attack = bool(_LIVE_WORDS.search(name)), bool(_ATTACK_WORDS.search(name))
        bad.append(live != attack and (label == Label.ATTACK.value if live else label == Label.BONA_FIDE.value))
    return _counted("label_against_name", bad, manifest, "captures have a label that their native name contradicts.")


def _flat_attacks(manifest: Manifest, looked: list[_Looked]) -> Finding | None:
    """Prints and screens are flat: where they have the greater relief, labels (or depth) are the wrong way round."""
    relief = np.array([one.relief for one in looked])
    live = (manifest.column("label") == Label.BONA_FIDE.value) & ~np.isnan(relief)
    flat = np.isin(manifest.column("species").astype(str), _FLAT) & ~np.isnan(relief)
    if live.sum() < _LEAST or flat.sum() < _LEAST:
        return None
    chosen = live | flat
    auc = float(roc_auc_score(live[chosen], relief[chosen]))
    if auc >= _SWAPPED:
        return None
    sentence = f"Prints and screens have more relief than living faces (AUC {auc:.2f}): labels or depth may be swapped."
    return Finding("label_polarity", int(flat.sum()), int(chosen.sum()), sentence)


def _depth(manifest: Manifest, looked: list[_Looked]) -> Finding | None:
    """Metric: faces between 15 cm and 3 m. Without a unit: a face is nearer than what is around it."""
    inner, outer = np.array([one.middle for one in looked]), np.array([one.border for one in looked])
    metric = manifest.column("depth_kind") == METRIC
    far = metric & ~np.isnan(inner) & ((inner < _NEAR_M) | (inner > _FAR_M))
    known = metric & ~np.isnan(inner)
    if known.any() and far.sum() > _SHARE * known.sum():
        sentence = f"faces lie outside {_NEAR_M:g} to {_FAR_M:g} m: check depth_scale_m."
        return _counted("depth_unit", far.tolist(), manifest, sentence, int(known.sum()))
    live = ~metric & (manifest.column("label") == Label.BONA_FIDE.value) & ~np.isnan(inner) & ~np.isnan(outer)
    inverted = live & (inner > outer)
    if live.sum() >= _LEAST and inverted.sum() > 0.5 * live.sum():
        sentence = "living faces are farther than what is around them: depth_kind may be the other polarity."
        return _counted("depth_polarity", inverted.tolist(), manifest, sentence, int(live.sum()))
    return None


def _counted(
    check: str, bad: Iterable[bool], manifest: Manifest, sentence: str, of: int | None = None
) -> Finding | None:
    rows = [i for i, wrong in enumerate(bad) if wrong]
    if not rows:
        return None
    names = _native(manifest)
    total = len(manifest) if of is None else of
    return Finding(check, len(rows), total, f"{len(rows)} of {total} {sentence}", _some(names[i] for i in rows))


def _some(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name, _ in zip(names, range(_EXAMPLES), strict=False))
