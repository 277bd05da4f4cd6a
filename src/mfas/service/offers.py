"""A capture that may teach, on its way into an adapter and out of it again."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from mfas.core import CaptureIds
from mfas.data.preprocess import Planes
from mfas.service.store.types import Step

if TYPE_CHECKING:
    from mfas.adaptation.contract import StepReport


@dataclass(frozen=True, slots=True, eq=False)
class Offer:
    """A capture that was answered and may teach: network input, and keyed hashes of who it was."""

    planes: Planes
    request_id: str
    decision: str
    subject: str | None = None
    device: str | None = None
    session: str | None = None

    @property
    def identity(self) -> str | None:
        """The subject, else the device."""
        return self.subject or self.device


def ids_of(offers: list[Offer]) -> CaptureIds:
    """What an adapter's quotas go by: keyed hashes."""
    return CaptureIds(
        capture_id=tuple(offer.request_id for offer in offers),
        presentation_id=tuple(offer.session or offer.request_id for offer in offers),
        subject=tuple(offer.identity or "" for offer in offers),
        session=tuple(offer.session or "" for offer in offers),
        timestamp=(0.0,) * len(offers),
    )


def step_of(offer: Offer, report: StepReport, parent: str, model_id: str) -> Step:
    """A method without a gate names no captures: its update was learnt from all of the batch."""
    labels = dict(zip(report.accepted_ids, report.pseudo_labels, strict=True))
    return Step(
        request_id=offer.request_id,
        subject=offer.subject,
        device=offer.device,
        session=offer.session,
        accepted=offer.request_id in labels if labels else report.updated,
        pseudo_label=labels.get(offer.request_id),
        updated=report.updated,
        reason=report.skipped_reason,
        loss=report.loss,
        loss_weight=report.loss_weight,
        drift=report.drift,
        parent=parent,
        model_id=model_id,
        signals={name: float(value) for name, value in report.signals.items() if isfinite(value)},
    )
