"""The complement residual as a detector of noise in one modality: whether what the others say of it still fits.

A model with complements predicts the feature of a modality from the others. Noise in that modality alone moves the
feature and not the prediction (section "Complements" of `docs/methods/mfas_danet.md`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from mfas import metrics
from mfas.audit.victim import Victim
from mfas.core import MODALITIES, Batch, Modality


@torch.no_grad()
def residuals(victim: Victim, batches: Sequence[Batch], modality: Modality) -> Tensor | None:
    """1 - cosine of feature and complement, in [0, 2], of captures that have ``modality`` and one more.

    None for a model without complements, and where no capture has both.
    """
    column = MODALITIES.index(modality)
    found = []
    for batch in batches:
        output = victim.output(batch)
        if modality not in output.complements:
            return None
        rows = batch.present[:, column] & (batch.present.sum(dim=1) > 1)
        near = cosine_similarity(output.features[modality], output.complements[modality], dim=1)
        found.append((1 - near)[rows])
    joined = torch.cat(found) if found else torch.zeros(0)
    return joined if len(joined) else None


def detector_auc(noisy: Tensor, clean: Tensor) -> float:
    """Chance that the residual of a perturbed capture exceeds that of a clean one, ties counted half."""
    return metrics.auc((noisy / 2).clamp(0, 1).tolist(), {"clean": (clean / 2).clamp(0, 1).tolist()})
