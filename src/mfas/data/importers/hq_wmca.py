"""HQ-WMCA: the RGB, depth and near-infrared streams of its HDF5 recordings, faces found and cropped here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from mfas.config import Config
from mfas.core import Label, Modality
from mfas.data.box import Box
from mfas.data.crops import crop_square
from mfas.data.crops import register as to_other_size
from mfas.data.importers._frames import FrameRule, pick_frames
from mfas.data.importers._lists import SPLIT_OF, read_csv
from mfas.data.importers._stored import BrokenError
from mfas.data.importers._videos import find_faces
from mfas.data.importers.contract import Frame, Importer, Item, Skip, Where
from mfas.data.importers.registry import register
from mfas.errors import ImageError, InputError

_NAME = re.compile(r"(\w+?)_(\d+)_(\d+)_(\d+)_(\d+)_(\d+)_(\d+)-\w+")
_CHANNELS = {Modality.RGB: 3, Modality.DEPTH: 1, Modality.IR: 1}
_TYPES = {Modality.RGB: "u1", Modality.DEPTH: "u2", Modality.IR: "u1u2"}


@register("hq_wmca")
class HqWmca(Importer):
    """Lists ``<protocol>/{train,dev,eval}.csv`` with ``filename, client_id, attack_type`` (empty = bona fide).

    The names of the streams and the registration of one to the other are settings: see the page of the set.
    """

    title = "HQ-WMCA"
    species: ClassVar[Mapping[str, str]] = {
        "glasses": "glasses",
        "mannequin": "fake_head",
        "print": "print_flat",
        "replay": "replay_lcd",
        "rigidmask": "mask_rigid",
        "flexiblemask": "mask_silicone",
        "papermask": "mask_paper",
        "makeup": "makeup",
        "tattoo": "makeup",
    }

    class Options(Config):
        """``streams`` by modality, and ``registration`` of depth and ir to pixels of the RGB stream.

        Six numbers a to f: x' = a x + b y + c, y' = d x + e y + f. Without them a stream must show the view of the RGB
        stream (same aspect).
        """

        protocol: str = "grand_test"
        streams: dict[Modality, str] = Field(
            default_factory=lambda: {
                Modality.RGB: "BASLER_BGR",
                Modality.DEPTH: "INTEL_DEPTH",
                Modality.IR: "INTEL_NIR",
            }
        )
        registration: dict[Modality, tuple[float, float, float, float, float, float]] = Field(default_factory=dict)
        frames: FrameRule = FrameRule()
        scale: float = Field(1.3, ge=1.0, le=4.0)
        yunet: Path | None = None

        @field_validator("streams")
        @classmethod
        def _all(cls, value: dict[Modality, str]) -> dict[Modality, str]:
            if set(value) != set(Modality):
                raise ValueError("expected a stream for each of rgb, depth, ir")
            return value

    def scan(self) -> Iterator[Item | Skip]:
        """One item per recording of the protocol."""
        files = {path.stem: path for path in sorted(self.root.rglob("*.h5"))}
        if not files:
            raise InputError(f"{self.root}: expected recordings NAME-HASH.h5, found none")
        for part in ("train", "dev", "eval"):
            path = self.expect(f"{self.options.protocol}/{part}.csv", f"protocols/{self.options.protocol}/{part}.csv")
            self.seen.append(self.relative(path))
            for where, row in read_csv(path, self.relative(path), "filename", "client_id", "attack_type"):
                yield self._item(where, row, SPLIT_OF[part], files)

    def read(self, item: Item) -> Iterable[Frame]:
        """Crops of the chosen frames of the RGB stream, and of the frames of the others at the same share of time."""
        import h5py

        try:
            opened = h5py.File(item.payload, "r")
        except OSError as reason:
            text = str(reason).splitlines()[0]
            raise BrokenError("damaged", f"{item.payload}: not a readable HDF5 file ({text})") from None
        with opened:
            streams = {m: _stream(opened, self.options.streams[m], m, item.payload) for m in Modality}
            total = len(streams[Modality.RGB])
            numbers = pick_frames(total, self.options.frames)
            colours = [np.ascontiguousarray(streams[Modality.RGB][n][::-1].transpose(1, 2, 0)) for n in numbers]
            boxes = find_faces(colours, self.options.yunet)
            if boxes is None:
                raise BrokenError("no_face", f"{item.payload}: no face found in {len(numbers)} frames")
            for number, colour, box in zip(numbers, colours, boxes, strict=True):
                images = {Modality.RGB: crop_square(colour, box, self.options.scale, None)}
                for modality in (Modality.DEPTH, Modality.IR):
                    stream = streams[modality]
                    image = stream[round(number * (len(stream) - 1) / max(total - 1, 1))][0]
                    images[modality] = self._cut(image, modality, box, colour.shape[:2])
                yield Frame(images, number)

    def _cut(self, image: NDArray[Any], modality: Modality, box: Box, reference: tuple[int, int]) -> NDArray[Any]:
        numbers = self.options.registration.get(modality)
        try:
            moved = _moved(box, numbers) if numbers else to_other_size(box, reference, image.shape[:2], modality.value)
        except ImageError as reason:
            raise BrokenError("shape", f"{reason}; give options.registration.{modality}") from None
        if moved is None or not moved.meets(*image.shape[:2]):
            raise BrokenError("shape", f"expected the face inside the {modality} stream, its box there is {moved}")
        return crop_square(image, moved, self.options.scale, None, nearest=modality is Modality.DEPTH)

    def _item(self, where: Where, row: Mapping[str, str], split: str, files: Mapping[str, Path]) -> Item | Skip:
        name = Path(row["filename"]).stem
        found = _NAME.fullmatch(name)
        if found is None:
            return Skip(where, "line", f"expected SITE_SESSION_CLIENT_PRESENTER_TYPE_SUBTYPE_PAI-HASH, got '{name}'")
        attack = row["attack_type"].lower()
        if bool(attack) == (int(found[5]) == 0):
            return Skip(where, "line", f"expected an attack type in accordance with type {found[5]}, got '{attack}'")
        if name not in files:
            return Skip(where, "missing", f"recording not found: {name}.h5")
        return Item(
            where,
            name,
            Label.ATTACK if attack else Label.BONA_FIDE,
            split,
            attack,
            subject=row["client_id"],
            presenter="" if int(found[4]) == 0 else found[4],
            session=found[2],
            payload=files[name],
        )


def _stream(opened: Any, name: str, modality: Modality, path: Path) -> Any:
    """A stream's frames ``[N, C, H, W]``, read one by one; a group must hold one array."""
    if name not in opened:
        raise BrokenError(
            "shape", f"{path}: expected a stream {name} (options.streams.{modality}), it has {', '.join(opened)}"
        )
    node = opened[name]
    if not hasattr(node, "shape"):
        inner = [node[key] for key in node if hasattr(node[key], "shape")]
        if len(inner) != 1:
            raise BrokenError("shape", f"{path}: expected one array in stream {name}, got {len(inner)}")
        node = inner[0]
    channels = _CHANNELS[modality]
    if node.ndim != 4 or node.shape[1] != channels or node.dtype.str[1:] not in _TYPES[modality] or not len(node):
        raise BrokenError(
            "shape", f"{path}: expected stream {name} as [N, {channels}, H, W] unsigned, got {node.dtype} {node.shape}"
        )
    return node


def _moved(box: Box, n: tuple[float, ...]) -> Box:
    """The box around the four corners after an affine map."""
    corners = [(x, y) for x in (box.x, box.x + box.w) for y in (box.y, box.y + box.h)]
    xs = [n[0] * x + n[1] * y + n[2] for x, y in corners]
    ys = [n[3] * x + n[4] * y + n[5] for x, y in corners]
    return Box(min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))
