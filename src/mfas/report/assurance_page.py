"""The assurance report: what was measured of a model, what was not, and room for who answers for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mfas._files import write_text
from mfas.errors import InputError
from mfas.report import _text, tables
from mfas.report._render import render
from mfas.report.assurance_data import AssuranceData, AssurancePart
from mfas.report.assurance_tables import tables_of

_HIDDEN = {"baseline", "delta", "dev", "manifest", "manifests", "model", "out", "plugins", "ray", "scores", "yunet"}
"""Paths of the machine that made a part do not belong on the page."""


def write_assurance(data: AssuranceData, path: Path) -> None:
    """Write the page atomically."""
    write_text(path, build_assurance(data))


def build_assurance(data: AssuranceData) -> str:
    """The page as text; the same data give the same bytes, and no date: who signs writes it.

    Raises `InputError` for a part that lacks what its kind has.
    """
    return render(
        "assurance.html.j2",
        data=data,
        thresholds=[(_text.pattern(missing), _text.decimal(value, 4)) for missing, value in data.thresholds.items()],
        sections=[_section(part) for part in data.parts],
        environment=tables.settings(data.environment),
    )


def _section(part: AssurancePart) -> dict[str, Any]:
    try:
        found = tables_of(part.kind, part.content)
    except (AttributeError, KeyError, TypeError, ValueError) as fault:
        raise InputError(f"{part.file} is not a whole part of kind '{part.kind}' ({fault!r})") from None
    return {
        "part": part,
        "tables": found,
        "config": tables.settings({k: v for k, v in part.config.items() if k not in _HIDDEN}),
        "environment": tables.settings(part.environment),
    }
