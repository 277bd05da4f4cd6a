"""Frames out of videos: which are taken is a stated rule, the face is found and cropped here, once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mfas.config import Config
from mfas.core import Modality
from mfas.data.box import Box
from mfas.data.crops import crop_square
from mfas.data.faces import find_face
from mfas.data.importers._frames import FrameRule, pick_frames
from mfas.data.importers._stored import BrokenError
from mfas.data.importers.contract import Frame, Importer, Item

VIDEOS = (".mov", ".mp4", ".avi")


class VideoOptions(Config):
    """Options of a set of videos. ``scale``: side of the crop over the longer side of the face box."""

    frames: FrameRule = FrameRule()
    scale: float = Field(1.3, ge=1.0, le=4.0)
    yunet: Path | None = None


class VideoImporter(Importer):
    """A set of RGB videos, one item each; ``payload`` is the file."""

    modalities: ClassVar[tuple[Modality, ...]] = (Modality.RGB,)

    class Options(VideoOptions):
        """As `VideoOptions`."""

    def read(self, item: Item) -> Iterable[Frame]:
        """Face crops of the chosen frames."""
        options: VideoOptions = self.options
        frames = list(video_frames(item.payload, options.frames))
        boxes = find_faces([image for _, image in frames], options.yunet)
        if boxes is None:
            raise BrokenError("no_face", f"{item.payload}: no face found in {len(frames)} frames")
        for (number, image), box in zip(frames, boxes, strict=True):
            yield Frame({Modality.RGB: crop_square(image, box, options.scale, None)}, number)


def find_faces(images: Sequence[NDArray[Any]], yunet: Path | None) -> list[Box] | None:
    """A box for every frame of one clip: its own, else that of the nearest frame with a face; None = none has."""
    found = [find_face(image, yunet) for image in images]
    known = [i for i, box in enumerate(found) if box is not None]
    if not known:
        return None
    nearest = [min(known, key=lambda k: abs(k - i)) for i in range(len(found))]
    return [box for i in nearest if (box := found[i]) is not None]


def video_frames(path: Path, rule: FrameRule) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Chosen frames, RGB uint8 ``[H, W, 3]``, by their number; decoded in order, for seeking is not exact.

    Raises `BrokenError` for a file that is no video or ends before a chosen frame.
    """
    video = cv2.VideoCapture(str(path))
    try:
        total = int(video.get(cv2.CAP_PROP_FRAME_COUNT)) if video.isOpened() else 0
        if total < 1:
            raise BrokenError("damaged", f"{path}: not a readable video")
        wanted = pick_frames(total, rule)
        at = -1
        for number in wanted:
            while at < number:
                if not video.grab():
                    raise BrokenError("damaged", f"{path}: expected {total} frames, the video ends after {at + 1}")
                at += 1
            done, image = video.retrieve()
            if not done:
                raise BrokenError("damaged", f"{path}: frame {number} cannot be decoded")
            yield number, np.ascontiguousarray(image[..., ::-1])
    finally:
        video.release()
