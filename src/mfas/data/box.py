"""Face boxes: ``x,y,w,h`` in RGB pixels, or the word ``full``."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mfas.errors import InputError

FULL = "full"
"""Box text of an image that already is a crop of the face."""

BOX_PATTERN = r"^\s*-?\d+(\.\d+)?(\s*,\s*-?\d+(\.\d+)?){3}\s*$"
"""Regular expression of four numbers; widths and heights are checked after parsing."""


@dataclass(frozen=True, slots=True)
class Box:
    """A face box in pixels: left, top, width, height; from the hairline to the chin, cheek to cheek."""

    x: float
    y: float
    w: float
    h: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(v) for v in (self.x, self.y, self.w, self.h)) or self.w <= 0 or self.h <= 0:
            raise InputError(f"expected a box x,y,w,h of positive width and height, got {self}")

    def __str__(self) -> str:
        return ",".join(f"{v:g}" for v in (round(self.x, 2), round(self.y, 2), round(self.w, 2), round(self.h, 2)))

    @property
    def centre(self) -> tuple[float, float]:
        """Middle of the box, x and y."""
        return self.x + self.w / 2, self.y + self.h / 2

    @property
    def area(self) -> float:
        """Square pixels."""
        return self.w * self.h

    def meets(self, height: int, width: int) -> bool:
        """Whether any of it lies inside an image of that many pixels."""
        return self.x < width and self.y < height and self.x + self.w > 0 and self.y + self.h > 0

    def scaled(self, sx: float, sy: float) -> Box:
        """The same box in an image ``sx`` times as wide and ``sy`` times as high."""
        return Box(self.x * sx, self.y * sy, self.w * sx, self.h * sy)


def parse_box(text: str) -> Box | str | None:
    """Read a manifest's ``box`` cell: None for an empty one, `FULL`, or a `Box`.

    >>> parse_box("10,20,30,40")
    Box(x=10.0, y=20.0, w=30.0, h=40.0)
    >>> parse_box("")
    >>> parse_box("full")
    'full'
    """
    text = text.strip()
    if not text:
        return None
    if text == FULL:
        return FULL
    try:
        x, y, w, h = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"expected a box as x,y,w,h in pixels or '{FULL}', got '{text}'") from None
    return Box(x, y, w, h)
