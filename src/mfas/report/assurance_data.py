"""What the assurance report is drawn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class AssurancePart:
    """One measurement: ``content`` is the JSON of ``file`` (SHA-256 ``digest``), ``kind`` says how it is tabled.

    ``own`` tells whether the file names the weights of the report; ``findings`` are sentences.
    """

    kind: str
    title: str
    file: str
    digest: str
    command: str
    own: bool
    content: Mapping[str, Any]
    findings: Sequence[str] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AssuranceData:
    """Everything on the page.

    ``model`` and ``weights`` are names and values (SHA-256 of each file), ``thresholds`` go by missing pattern,
    ``limits`` are what is known of its use, ``absent`` title and command of what was not measured.
    """

    name: str
    model: Sequence[tuple[str, str]]
    weights: Sequence[tuple[str, str]]
    thresholds: Mapping[str, float]
    limits: Sequence[str]
    weaknesses: Sequence[str]
    parts: Sequence[AssurancePart]
    absent: Sequence[tuple[str, str]]
    command: str
    environment: Mapping[str, Any]
