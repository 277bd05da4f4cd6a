"""Configuration of `mfas audit attack`."""

from __future__ import annotations

from pydantic import Field, field_validator

from mfas.audit.kinds import KINDS, PerturbSettings, kind_of
from mfas.audit.patch import PatchSettings
from mfas.benchmark.audit_captures import AuditConfig
from mfas.config import Config
from mfas.core import MISSING_PATTERNS, Modality, format_modalities, parse_modalities


class StreamPart(Config):
    """Streams that a learning model meets: ``captures`` of half of the people; 0 = no streams.

    Of their attacks a ``share`` is perturbed in the way ``kind``. Probe and canary are captures of the other people.
    """

    captures: int = Field(200, ge=0)
    share: float = Field(0.5, gt=0, le=1)
    kind: str = "pseudo_label"
    probe: int = Field(120, ge=2)
    canary: int = Field(40, ge=0)
    batch_size: int = Field(10, ge=1)

    @field_validator("kind")
    @classmethod
    def _known(cls, value: str) -> str:
        kind_of(value)
        return value


class AttackConfig(AuditConfig):
    """What is attacked, how, and against what; see `docs/audit_attack.md`."""

    captures: int = Field(200, ge=1, description="attack captures that are perturbed")
    live: int = Field(64, ge=1, description="bona fide captures of the live prototype and of the residual")
    species: tuple[str, ...] = Field((), description="none = all")
    kinds: tuple[str, ...] = Field(tuple(KINDS), min_length=1)
    missing: tuple[str, ...] = Field(MISSING_PATTERNS, min_length=1)
    every_pattern: bool = Field(True, description="search anew for each pattern, not once with all sensors")
    perturb: PerturbSettings = PerturbSettings()
    strength: int = Field(16, ge=0, description="captures of the check that more effort finds more; 0 = no check")
    patch: PatchSettings = PatchSettings()
    stream: StreamPart = StreamPart()
    batch_size: int = Field(32, ge=1)

    @field_validator("kinds")
    @classmethod
    def _kinds_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            kind_of(name)
        return value

    @field_validator("missing")
    @classmethod
    def _patterns_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        patterns = tuple(dict.fromkeys(format_modalities(parse_modalities(text)) for text in value))
        if any(len(parse_modalities(text)) == len(Modality) for text in patterns):
            raise ValueError("expected at least one modality to be left")
        return patterns
