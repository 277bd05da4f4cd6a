"""Configuration of `mfas audit steal`."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from mfas.adaptation.query_stream import DetectorSettings
from mfas.audit.kinds import PerturbSettings
from mfas.audit.oracle import AnswerKind
from mfas.audit.queries import Strategy
from mfas.audit.stealing import StealSettings
from mfas.benchmark.audit_captures import AuditConfig


class StealConfig(AuditConfig):
    """Who is robbed, with how many queries, and what stands in the way; see `docs/audit_steal.md`."""

    queries: tuple[int, ...] = Field((100, 1000), min_length=1)
    strategies: tuple[Strategy, ...] = Field(("uncertain", "diverse", "both"), min_length=1)
    answers: tuple[AnswerKind, ...] = Field(("score", "rounded", "label"), min_length=1)
    pool: int = Field(60, ge=2, description="captures in the thief's hand, without labels")
    test: int = Field(200, ge=2, description="captures of other people that clone and model are compared on")
    traffic: int = Field(300, ge=50, description="benign captures of others still that the detector learns from")
    transfer: int = Field(50, ge=0, description="attack captures perturbed on the clone; 0 = none")
    rate_limit: int = Field(100, ge=1, description="queries that a rate limit lets through in the thief's time")
    adapting: bool = Field(True, description="rob a model that learns from the queries, too")
    clone: str = "late_fusion"
    clone_architecture: dict[str, Any] = Field({"backbone_options": {"width": 8}})
    steal: StealSettings = StealSettings()
    perturb: PerturbSettings = PerturbSettings(restarts=1)
    detector: DetectorSettings = DetectorSettings()

    @field_validator("queries")
    @classmethod
    def _some(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if min(value) < 1:
            raise ValueError("expected at least one query")
        return tuple(sorted(set(value)))
