"""What the shared transformer learns on source captures before models with adapters freeze it. Not a model by name.

Labels alone would leave a trunk that keeps what told the source classes apart and forgets the rest, which is all that
an adapter could have used elsewhere. So its patch tokens also have to tell, by one linear layer for each ordered pair,
what the *other* sensors saw at the same place: local relief and reflectance stay in the tokens, without further labels.
Class token and mean token are both classified, since models read either.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import smooth_l1_loss, unfold

from mfas.card import Preprocess
from mfas.config import Config
from mfas.core import MODALITIES, Batch, Modality
from mfas.models.contract import FasModel, LossStep, Maps, ModelOutput, run_on_rows
from mfas.models.trunks import cross_entropy, head_loss
from mfas.models.vit_shared import SharedVit, VitOptions

PAIRS = tuple((m, n) for m in MODALITIES for n in MODALITIES if m is not n)


class VitPretrainingArchitecture(Config):
    """The transformer, and the weight of what the other sensors saw."""

    vit: VitOptions = VitOptions(frozen=False)
    weight_cross: float = Field(0.5, ge=0)


class VitPretraining(FasModel):
    """`SharedVit` with heads on its class token and its mean token, and linear maps from tokens to other patches."""

    Architecture = VitPretrainingArchitecture
    architecture: VitPretrainingArchitecture

    def __init__(self, spec: Preprocess, architecture: VitPretrainingArchitecture) -> None:
        super().__init__(spec, architecture)
        self.vit = SharedVit(spec, architecture.vit.model_copy(update={"frozen": False}))
        dim, pixels = self.vit.dim, self.vit.patch**2
        self.class_heads = nn.ModuleDict({m.value: nn.Linear(dim, 1) for m in MODALITIES})
        self.mean_heads = nn.ModuleDict({m.value: nn.Linear(dim, 1) for m in MODALITIES})
        self.cross = nn.ModuleDict(
            {f"{m.value}_to_{n.value}": nn.Linear(dim, spec.channels(n) * pixels) for m, n in PAIRS}
        )

    def lower(self, batch: Batch) -> Maps:
        """Tokens of each modality as ``[B, D, 1, 1 + N]``, class token first."""
        out: dict[Modality, Tensor] = {}
        for column, modality in enumerate(MODALITIES):
            rows = batch.present[:, column]
            if bool(rows.any()):
                tokens = run_on_rows(_Encode(self.vit, modality), batch.images[modality], rows, "tokens")
                out[modality] = tokens.transpose(1, 2).unsqueeze(2)
        return out

    def upper(self, maps: Maps, present: Tensor) -> ModelOutput:
        """The fused logit is the mean over observed modalities of both heads' logits."""
        features, by_class, by_mean = self._judge(maps, present)
        return ModelOutput(
            logit=(by_class + by_mean).sum(dim=1) / (2 * present.sum(dim=1)),
            modality_logits=by_class,
            features=features,
            complements={},
            present=present,
            substituted=torch.zeros_like(present),
            enhanced=torch.zeros(present.shape, device=present.device),
        )

    def heads(self, features: Mapping[Modality, Tensor], present: Tensor) -> Tensor:
        """See `FasModel.heads`."""
        return _logits(self.class_heads, features, present)

    def upper_modules(self, modality: Modality) -> list[nn.Module]:
        """The heads: nothing of this is ever adapted."""
        return [self.class_heads[modality.value], self.mean_heads[modality.value]]

    def training_loss(self, batch: Batch, target: Tensor, step: LossStep) -> Tensor:
        """Cross-entropy of every head and of their mean, and the distance to what the other sensors saw."""
        maps = self.lower(batch)
        _, by_class, by_mean = self._judge(maps, batch.present)
        fused = (by_class + by_mean).sum(dim=1) / (2 * batch.present.sum(dim=1))
        loss = cross_entropy(fused, target, step)
        for logits in (by_class, by_mean):
            loss = loss + head_loss(logits, batch.present, target, step)
        return loss + self.architecture.weight_cross * self._cross_loss(batch, maps, step)

    def _judge(self, maps: Maps, present: Tensor) -> tuple[dict[Modality, Tensor], Tensor, Tensor]:
        """Class tokens by modality, and the logits ``[B, 3]`` of class token and mean token."""
        zero = self.vit.position.new_zeros(present.shape[0], self.vit.dim)
        first = {m: maps[m][:, :, 0, 0] if m in maps else zero for m in MODALITIES}
        mean = {m: maps[m][:, :, 0, 1:].mean(dim=2) if m in maps else zero for m in MODALITIES}
        return first, self.heads(first, present), _logits(self.mean_heads, mean, present)

    def _cross_loss(self, batch: Batch, maps: Maps, step: LossStep) -> Tensor:
        """Mean over pairs of the smooth distance between predicted and seen patches, where both sensors answered."""
        total = batch.present.new_zeros((), dtype=torch.float32)
        for m, n in PAIRS:
            both = batch.present[:, MODALITIES.index(m)] & batch.present[:, MODALITIES.index(n)]
            share = step.share(both.sum())
            if bool(both.any()):
                tokens = maps[m].squeeze(2).transpose(1, 2)[both, 1:]
                seen = unfold(self.vit.shrink(batch.images[n][both]), self.vit.patch, stride=self.vit.patch)
                told = self.cross[f"{m.value}_to_{n.value}"](tokens)
                total = total + share * smooth_l1_loss(told, seen.transpose(1, 2)) / len(PAIRS)
        return total


class _Encode(nn.Module):
    """The trunk for one modality, as `run_on_rows` calls it."""

    def __init__(self, vit: SharedVit, modality: Modality) -> None:
        super().__init__()
        self.vit, self.modality = vit, modality

    def tokens(self, images: Tensor) -> Tensor:
        """``[B, C, H, W]`` to normed tokens."""
        out: Tensor = self.vit(images, self.modality)
        return out


def _logits(heads: nn.ModuleDict, features: Mapping[Modality, Tensor], present: Tensor) -> Tensor:
    columns = [heads[m.value](features[m]).squeeze(1) for m in MODALITIES]
    return torch.stack(columns, dim=1).masked_fill(~present, 0.0)
