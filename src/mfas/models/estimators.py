"""Three ways to estimate what the heads of observed modalities say, and how sure they are.

``entropy`` reads the heads once. ``mc_dropout`` reads them several times with parts of their features left out (Gal and
Ghahramani, ICML 2016). ``augmentation`` reads weak views of the capture (Ayhan and Berens, MIDL 2018). All three are
functions of the capture alone: the same masks and the same views serve every capture, so neither its batch nor the
moment changes a result. Equations and cost: `docs/methods/mfas_danet.md`, "Uncertainty".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

import torch
from pydantic import Field
from torch import Tensor

from mfas.config import Config
from mfas.core import Batch, Modality
from mfas.models.contract import Maps, ModelOutput
from mfas.models.uncertainty import Assessment, assess, binary_entropy
from mfas.models.views import MOST_VIEWS, weak_views


class EntropyEstimator(Config):
    """One reading of the heads."""

    kind: Literal["entropy"] = "entropy"


class DropoutEstimator(Config):
    """``passes`` readings, each with its own mask that drops a feature with chance ``rate``; ``seed`` draws the masks.

    Costs ``passes`` linear heads per modality: next to nothing.
    """

    kind: Literal["mc_dropout"] = "mc_dropout"
    passes: int = Field(16, ge=2, le=256)
    rate: float = Field(0.2, gt=0, lt=1)
    seed: int = Field(0, ge=0)


class AugmentationEstimator(Config):
    """``views`` of the capture, the original among them; ``shift`` in fractions of the side, ``degrees`` of a turn.

    Costs ``views - 1`` further passes of both parts of the model, and the batch must be at hand.
    """

    kind: Literal["augmentation"] = "augmentation"
    views: int = Field(4, ge=2, le=MOST_VIEWS)
    shift: float = Field(0.04, ge=0, le=0.25)
    degrees: float = Field(4.0, ge=0, le=20)


Estimator = Annotated[EntropyEstimator | DropoutEstimator | AugmentationEstimator, Field(discriminator="kind")]


class TwoParts(Protocol):
    """What an estimator needs of a model: `FasModel` has it, and so has a model with its source values put back."""

    def lower(self, batch: Batch) -> Maps:
        """See `FasModel.lower`."""

    def upper(self, maps: Maps, present: Tensor) -> ModelOutput:
        """See `FasModel.upper`."""

    def heads(self, features: Mapping[Modality, Tensor], present: Tensor) -> Tensor:
        """See `FasModel.heads`."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the observed heads say of each capture; detached.

    - ``scores`` ``[B, 3]`` in [0, 1]: mean probability of bona fide; means nothing where not observed.
    - ``spread`` ``[B, 3]``: standard deviation of that probability over the readings.
    - ``epistemic`` ``[B]`` in [0, 1]: what the readings disagree about, over ln 2, mean over observed heads (BALD,
      Houlsby et al. 2011): entropy of the mean minus mean of the entropies. 0 with one reading.
    - ``assessment``: of ``scores`` across modalities.
    """

    scores: Tensor
    spread: Tensor
    epistemic: Tensor
    assessment: Assessment


@torch.no_grad()
def estimate(
    settings: EntropyEstimator | DropoutEstimator | AugmentationEstimator,
    output: ModelOutput,
    centre: Tensor,
    model: TwoParts | None = None,
    batch: Batch | None = None,
) -> Estimate:
    """Estimate from ``output``, what ``model`` made of ``batch``; ``centre`` ``[3]`` is taken from the heads' logits.

    ``entropy`` needs the output alone, ``mc_dropout`` the model too, ``augmentation`` the batch as well; ValueError
    when one is not given.
    """
    if isinstance(settings, EntropyEstimator):
        return _summarise([output.modality_logits], output, centre)
    if model is None:
        raise ValueError(f"expected the model for estimator {settings.kind}, got none")
    if isinstance(settings, DropoutEstimator):
        return _summarise(_dropped(settings, output, model), output, centre)
    if batch is None:
        raise ValueError(f"expected the batch for estimator {settings.kind}, got none")
    views = weak_views(batch, settings.views - 1, settings.shift, settings.degrees)
    seen = [model.upper(model.lower(view), output.present).modality_logits for view in views]
    return _summarise([output.modality_logits, *seen], output, centre)


def _dropped(settings: DropoutEstimator, output: ModelOutput, model: TwoParts) -> list[Tensor]:
    generator = torch.Generator().manual_seed(settings.seed)
    kept = 1 - settings.rate
    readings = []
    for _ in range(settings.passes):
        thinned = {}
        for modality, feature in output.features.items():
            mask = torch.rand(feature.shape[1], generator=generator) < kept
            thinned[modality] = feature * (mask.to(feature) / kept)
        readings.append(model.heads(thinned, output.present))
    return readings


def _summarise(logits: list[Tensor], output: ModelOutput, centre: Tensor) -> Estimate:
    present = output.present
    readings = [torch.sigmoid(each.detach() - centre.to(output.logit)) for each in logits]
    if len(readings) == 1:
        scores, spread = readings[0], torch.zeros_like(readings[0])
        epistemic = torch.zeros_like(output.logit)
    else:
        stacked = torch.stack(readings)
        scores, spread = stacked.mean(dim=0), stacked.std(dim=0, unbiased=False)
        shared = (binary_entropy(scores) - binary_entropy(stacked).mean(dim=0)).clamp(0.0, 1.0)
        epistemic = (shared * present).sum(dim=1) / present.sum(dim=1).clamp_min(1)
    return Estimate(scores, spread, epistemic, assess(scores, present))
