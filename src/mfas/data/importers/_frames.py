"""Which frames of a clip are taken: the same stated rule for videos, HDF5 recordings and folders of frames."""

from __future__ import annotations

from pydantic import Field

from mfas.config import Config


class FrameRule(Config):
    """``spacing`` 0: ``count`` frames spread evenly, each in the middle of its share of the clip (0 = all frames).

    Otherwise every ``spacing``-th frame from the first on, at most ``count`` of them (0 = to the end).
    """

    count: int = Field(3, ge=0)
    spacing: int = Field(0, ge=0)


def pick_frames(total: int, rule: FrameRule) -> list[int]:
    """Numbers of the frames taken out of ``total``, from 0.

    >>> pick_frames(50, FrameRule(count=3))
    [8, 25, 41]
    >>> pick_frames(50, FrameRule(count=3, spacing=10))
    [0, 10, 20]
    """
    if rule.spacing:
        found = list(range(0, total, rule.spacing))
        return found[: rule.count] if rule.count else found
    if not rule.count or rule.count >= total:
        return list(range(total))
    return [int((i + 0.5) * total / rule.count) for i in range(rule.count)]
