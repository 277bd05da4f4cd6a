"""How sites learn, and what a learner tells of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from mfas.config import Config
from mfas.service.quotas import QuotaConfig


class LearningConfig(Config):
    """How sites learn.

    ``method`` is a registered online method with its ``settings``. A candidate is made after ``updates_per_candidate``
    updates. ``queue`` captures wait at most, ``batch`` are learnt from at a time, or fewer once one has waited
    ``wait_seconds``. ``source_canary`` is a manifest for every site, ``site_canaries`` one by site name.
    """

    method: str = "mfas_danet"
    settings: dict[str, Any] = Field(default_factory=dict)
    seed: int = Field(0, ge=0)
    updates_per_candidate: int = Field(8, ge=1)
    queue: int = Field(64, ge=1)
    batch: int = Field(8, ge=1)
    wait_seconds: float = Field(2.0, ge=0)
    quotas: QuotaConfig = QuotaConfig()
    source_canary: Path | None = None
    site_canaries: dict[str, Path] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _room(self) -> LearningConfig:
        if self.queue < self.batch:
            raise ValueError(f"expected a queue of at least one batch of {self.batch}, got {self.queue}")
        return self


@dataclass(frozen=True, slots=True)
class LearnerStatus:
    """What a learner does: whether it leads, why it does not learn (None if it does), and what it has counted."""

    site: str
    leading: bool
    resting: str | None
    queued: int
    updates: int
    since_candidate: int
    drift: float
    canaries: tuple[str, ...]
    counts: Mapping[str, int]
