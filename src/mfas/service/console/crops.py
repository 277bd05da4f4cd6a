"""What the network saw, back as pictures: for the eyes of who has just sent the images, and kept nowhere."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mfas.card import Preprocess
from mfas.core import MODALITIES, Modality
from mfas.data.preprocess import Planes


def pictures(planes: Planes, spec: Preprocess) -> dict[str, str]:
    """PNGs as ``data:`` addresses by modality; near is bright, what was not measured black."""
    return {m.value: _address(_levels(m, planes[m], spec)) for m in MODALITIES if m in planes}


def _levels(modality: Modality, plane: NDArray[np.float32], spec: Preprocess) -> NDArray[np.uint8]:
    """Network input ``[C, S, S]`` as uint8 ``[S, S]`` or ``[S, S, 3]``."""
    if modality is Modality.RGB:
        mean, std = (np.array(values)[:, None, None] for values in (spec.rgb_mean, spec.rgb_std))
        shown: NDArray[Any] = (plane * std + mean).transpose(1, 2, 0)
    elif modality is Modality.DEPTH:
        shown = np.where(plane[1] > 0, 0.55 - 0.45 * plane[0], 0.0)
    else:
        shown = (plane[0] * spec.ir_std + spec.ir_mean) / spec.ir_clip
    levels: NDArray[np.uint8] = np.clip(np.rint(255 * shown), 0, 255).astype(np.uint8)
    return levels


def _address(image: NDArray[np.uint8]) -> str:
    done, data = cv2.imencode(".png", image[..., ::-1] if image.ndim == 3 else image)
    assert done
    return "data:image/png;base64," + b64encode(data.tobytes()).decode("ascii")
