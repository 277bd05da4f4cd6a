"""Parts of a grid: each restricts some axes, and the bench runs what lies in any of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from pydantic import field_validator

from mfas.config import Config
from mfas.core import format_modalities, parse_modalities

BASELINE = "source"
"""The method that every other is held against; no part is without it."""


class PartPlan(Config):
    """One part of the grid. An axis that is left empty is taken whole."""

    targets: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()

    @field_validator("missing")
    @classmethod
    def _canonical(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(format_modalities(parse_modalities(text)) for text in value)

    def holds(self, place: Mapping[str, str | int]) -> bool:
        """Whether a cell, given as axis to value, lies in this part. The baseline is in every part."""
        return all(
            value in allowed or (axis == "methods" and value == BASELINE)
            for axis, value in place.items()
            if (allowed := getattr(self, axis))
        )


def unknown_entry(parts: Sequence[PartPlan], axes: Mapping[str, Collection[str | int]]) -> str:
    """A sentence about the first entry of a part that its axis does not have; empty if there is none."""
    for number, part in enumerate(parts):
        for axis, known in axes.items():
            for value in getattr(part, axis):
                if value not in known:
                    return f"expected parts.{number}.{axis} out of {', '.join(map(repr, known))}, got {value!r}"
    return ""
