"""The plain ways to choose pseudo labels that the evidence gate is held against; for ablation, not for use."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from mfas.adaptation.gate import Verdict
from mfas.models.contract import ModelOutput
from mfas.models.uncertainty import binary_entropy

Evidence = Literal["across_modalities", "fused_confidence", "everything"]
"""Which captures teach: those the gate accepts; those whose fused score is sure; all of them."""


@torch.no_grad()
def plain_verdict(kind: Evidence, output: ModelOutput, max_entropy_fraction: float) -> Verdict:
    """Label every capture by its fused score at 0.5; with ``fused_confidence`` accept up to that share of ln 2.

    Complements vote here, through the fused score, and one modality is enough: what the gate was built to avoid.
    """
    score: Tensor = torch.sigmoid(output.logit.detach())
    uncertainty = binary_entropy(score)
    accept = uncertainty <= (1.0 if kind == "everything" else max_entropy_fraction)
    return Verdict(accept, score >= 0.5, uncertainty, 1 - uncertainty, output.present)
