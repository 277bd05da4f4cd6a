"""Numbers and names as a reader sees them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mfas.core import MODALITIES, Modality, parse_modalities

DASH = "–"
MODALITY_NAMES = {Modality.RGB: "RGB", Modality.DEPTH: "depth", Modality.IR: "IR"}


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction as per cent, with a no-break space; a dash for None."""
    return DASH if value is None else f"{100 * value:.{digits}f}\u202f%"


def points(value: float | None, digits: int = 1) -> str:
    """A difference of fractions in percentage points, signed with a real minus."""
    if value is None:
        return DASH
    text = f"{abs(100 * value):.{digits}f}"
    sign = "±" if float(text) == 0 else ("+" if value > 0 else "−")
    return f"{sign}{text}"


def decimal(value: float | None, digits: int = 3) -> str:
    """A plain number; a dash for None."""
    return DASH if value is None else f"{value:.{digits}f}"


def span(interval: Mapping[str, Any] | None, digits: int = 1, *, rate: bool = True) -> str:
    """``low – high`` of an interval: in per cent without the sign, or as plain numbers."""
    if not interval:
        return ""
    low, high = float(interval["low"]), float(interval["high"])
    if rate:
        return f"{100 * low:.{digits}f}{DASH}{100 * high:.{digits}f}"
    return f"{low:.3f}{DASH}{high:.3f}"


def used(missing: str) -> str:
    """The sensors that a missing pattern leaves.

    >>> used("depth")
    'RGB + IR'
    """
    gone = parse_modalities(missing)
    return " + ".join(name for modality, name in MODALITY_NAMES.items() if modality not in gone) or "none"


def pattern(missing: str) -> str:
    """As `used`, but says "only" and "all three" where it helps.

    >>> pattern(""), pattern("rgb,depth")
    ('all three', 'IR only')
    """
    left = len(MODALITIES) - len(parse_modalities(missing))
    return {3: "all three", 1: f"{used(missing)} only"}.get(left, used(missing))


def lacking(missing: str) -> str:
    """What a missing pattern takes away.

    >>> lacking("depth,ir"), lacking("")
    ('depth, IR missing', 'nothing missing')
    """
    gone = parse_modalities(missing)
    return ", ".join(MODALITY_NAMES[modality] for modality in gone) + " missing" if gone else "nothing missing"


def plain(name: str) -> str:
    """A snake-case name for reading.

    >>> plain("print_flat")
    'print flat'
    """
    return name.replace("_", " ")


def listing(items: list[str]) -> str:
    """Items joined as in a sentence.

    >>> listing(["a", "b", "c"])
    'a, b and c'
    """
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""
