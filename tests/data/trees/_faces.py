"""Simulated captures as public sets would store them, and what a tree of them should become."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mfas.core import Label, Modality
from mfas.data.capture import Capture, load_raw
from mfas.data.crops import crop_square, register
from mfas.data.manifest import read_manifest

SIDE = 96
MARK = slice(SIDE // 2 - 6, SIDE // 2 + 6)
Image = NDArray[Any]


@dataclass(frozen=True)
class Face:
    """Crops of one capture: RGB ``[S, S, 3]``, depth in millimetres (0 = hole) and infrared of 8 bit ``[S, S]``.

    All three carry a square of one grey level, so that a test can see that they belong together.
    """

    rgb: Image
    depth_mm: Image
    ir: Image
    level: int

    @property
    def near_bright(self) -> Image:
        """Depth of 8 bit as CASIA-SURF has it."""
        return self._marked(_stretch(self.depth_mm, near=230, far=20))

    @property
    def far_bright(self) -> Image:
        """Depth of 8 bit as WMCA has it."""
        return self._marked(_stretch(self.depth_mm, near=20, far=230))

    def _marked(self, image: Image) -> Image:
        image[MARK, MARK] = self.level
        return image


class Faces:
    """Crops of a simulated site, live and attack, as many as asked for."""

    def __init__(self, site: Path) -> None:
        manifest = read_manifest(site / "manifest.parquet")
        self._pools: dict[Label, list[dict[Modality, Image]]] = {label: [] for label in Label}
        for row in manifest:
            capture = load_raw(row, manifest.root)
            if row.label is None or len(row.modalities) < 3 or not isinstance(capture, Capture):
                continue
            if len(self._pools[row.label]) < 8:
                self._pools[row.label].append({m: _crop(capture, m) for m in Modality})

    def face(self, number: int, label: Label) -> Face:
        """A capture of its own grey level."""
        pool = self._pools[label]
        images = pool[number % len(pool)]
        level = 30 + (number * 37) % 200
        rgb, ir = images[Modality.RGB].copy(), _eight(images[Modality.IR])
        rgb[MARK, MARK] = level
        ir[MARK, MARK] = level
        return Face(rgb, images[Modality.DEPTH], ir, level)

    def live(self, number: int) -> Face:
        """A live face."""
        return self.face(number, Label.BONA_FIDE)

    def attack(self, number: int) -> Face:
        """An attack."""
        return self.face(number, Label.ATTACK)


@dataclass
class Tree:
    """A native folder, and what its import must give."""

    root: Path
    options: dict[str, Any] = field(default_factory=dict)
    rows: list[tuple[str, str, str, str]] = field(default_factory=list)
    """Split, label, native species, our species of every capture."""
    modalities: tuple[str, ...] = ("rgb", "depth", "ir")
    breaks: list[Break] = field(default_factory=list)
    marked: bool = True
    """Whether the images carry the mark of `Face`."""

    def add(self, split: str, native: str = "", ours: str = "") -> None:
        """One more capture is expected."""
        self.rows.append((split, "attack" if native else "bona_fide", native, ours))

    def counts(self, column: int) -> dict[str, int]:
        """Captures by split (0), label (1) or our species (3)."""
        return dict(Counter(row[column] for row in self.rows))


@dataclass(frozen=True)
class Break:
    """Damage: ``do`` does it; ``kind``, ``file`` and ``line`` are how it must be told, ``lost`` captures are gone."""

    kind: str
    file: str
    line: int
    lost: int
    do: Callable[[], object]


def save(path: Path, image: Image) -> None:
    """Write an image, RGB in, by the format of its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    assert cv2.imwrite(str(path), stored, [cv2.IMWRITE_JPEG_QUALITY, 95])


def grey3(image: Image) -> Image:
    """Grey copied into three planes."""
    return np.repeat(image[..., None], 3, axis=2)


def truncate(path: Path) -> None:
    """Keep the first half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def edit_line(path: Path, line: int, change: Callable[[str], str]) -> None:
    """Change one line (1-based) of a text file, line ends kept."""
    text = path.read_bytes().decode()
    lines = text.splitlines(keepends=True)
    lines[line - 1] = change(lines[line - 1].rstrip("\r\n")) + lines[line - 1][len(lines[line - 1].rstrip("\r\n")) :]
    path.write_bytes("".join(lines).encode())


def _crop(capture: Capture, modality: Modality) -> Image:
    image = capture.images[modality]
    box = register(capture.box, capture.reference, (image.shape[0], image.shape[1]))
    return crop_square(image, box, 1.3, SIDE, nearest=modality is Modality.DEPTH)


def _eight(image: Image) -> Image:
    top = max(float(np.percentile(image, 99)), 1.0)
    return np.clip(image * (220.0 / top), 0, 255).astype(np.uint8)


def _stretch(depth: Image, near: int, far: int) -> Image:
    valid = depth > 0
    low, high = np.percentile(depth[valid], [2, 90]) if valid.any() else (0.0, 1.0)
    scaled = np.interp(depth.astype(float), [low, max(high, low + 1)], [near, far])
    return np.where(valid, scaled, 0).astype(np.uint8)
