"""Small made-up inputs that many tests share: a tiny model, batches whose class is easy to see, a card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mfas.adaptation.guards.labelled import LabelledSet
from mfas.card import Card, Preprocess
from mfas.config import Config
from mfas.core import MISSING_PATTERNS, MODALITIES, Batch, CaptureIds, Label, Modality, Prediction
from mfas.models.contract import FasModel, LossStep, Maps, ModelOutput
from mfas.models.registry import create, model_class

SPEC = Preprocess(size=32)
TINY_BATCH_NORM = {"backbone_options": {"width": 16, "norm": "batch"}}
TINY: dict[str, Any] = {"backbone_options": {"width": 16}}
TINY_VIT = {"image_size": 32, "patch": 8, "dim": 24, "depth": 3, "heads": 2}


def tiny_architecture(name: str) -> dict[str, Any]:
    """Options that make registry entry ``name`` small, by what its architecture has: a backbone or a shared ViT."""
    keys = model_class(name).Architecture.model_fields
    return {**(TINY if "backbone_options" in keys else {}), **({"vit": TINY_VIT} if "vit" in keys else {})}


def tiny_model(name: str = "mfas_danet", seed: int = 0, norm: str = "group") -> FasModel:
    """An untrained model of registry entry ``name``, small enough for hundreds of steps; ``norm`` group or batch."""
    torch.manual_seed(seed)
    return create(name, SPEC, TINY_BATCH_NORM if norm == "batch" else tiny_architecture(name)).eval()


def card(name: str = "mfas_danet") -> Card:
    """A card with a threshold of 0.5 for every pattern."""
    thresholds = dict.fromkeys(MISSING_PATTERNS, 0.5)
    return Card(model=name, architecture=tiny_architecture(name), preprocess=SPEC, thresholds=thresholds)


def target_of(count: int) -> torch.Tensor:
    """Alternating classes: 1 = bona fide."""
    return (torch.arange(count) % 2 == 0).float()


def batch(
    count: int = 8,
    seed: int = 0,
    present: torch.Tensor | None = None,
    target: torch.Tensor | None = None,
    shift: float = 0.0,
    first: int = 0,
) -> Batch:
    """Noise images, brighter by one for bona fide captures in every modality; ``shift`` moves RGB alone."""
    generator = torch.Generator().manual_seed(seed)
    target = target_of(count) if target is None else target
    present = torch.ones(count, 3, dtype=torch.bool) if present is None else present
    images = {}
    for column, modality in enumerate(MODALITIES):
        noise = torch.randn(count, SPEC.channels(modality), SPEC.size, SPEC.size, generator=generator)
        level = (target - 0.5).view(-1, 1, 1, 1) + (shift if column == 0 else 0.0)
        images[modality] = (0.5 * noise + level) * present[:, column].view(-1, 1, 1, 1)
    names = tuple(f"c{first + i}" for i in range(count))
    ids = CaptureIds(names, names, tuple(f"s{(first + i) // 2}" for i in range(count)), names, (0.0,) * count)
    return Batch(images, present, ids)


def every_pattern() -> torch.Tensor:
    """The seven non-empty presence patterns, one per row."""
    return torch.tensor([[p >> k & 1 for k in range(3)] for p in range(1, 8)], dtype=torch.bool)


def trained(name: str = "mfas_danet", steps: int = 60, seed: int = 0, norm: str = "group") -> FasModel:
    """A tiny model that tells the toy classes apart."""
    model = tiny_model(name, seed, norm).train()
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        loss = model.training_loss(batch(16, seed=1000 + step), target_of(16), LossStep(generator))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


def restyled(count: int, seed: int = 0) -> Batch:
    """`batch` of a target where RGB shows the class otherwise: no difference in brightness, bona fide is striped."""
    some = batch(count, seed)
    genuine = target_of(count).view(-1, 1, 1, 1)
    stripes = torch.where(torch.arange(SPEC.size) // 4 % 2 == 0, 1.0, -1.0)
    rgb = some.images[Modality.RGB] - (genuine - 0.5) + genuine * stripes
    return Batch({**some.images, Modality.RGB: rgb}, some.present, some.ids)


def right_by_head(prediction: Prediction) -> dict[str, float]:
    """Share of right decisions at 0.5 on a batch with `target_of`'s classes, fused and of each head."""
    genuine = target_of(len(prediction)) > 0
    scores = {"fused": prediction.score} | dict(zip(MODALITIES, prediction.modality_scores.T, strict=True))
    return {name: float(((score >= 0.5) == genuine).float().mean()) for name, score in scores.items()}


def labelled(batches: Sequence[Batch], targets: Sequence[Tensor], threshold: float = 0.5) -> LabelledSet:
    """A guard's labelled set; attacks of two species in turn."""
    genuine = torch.cat(list(targets)).tolist()
    species = ("print_flat", "replay_lcd")
    return LabelledSet(
        batches=tuple(batches),
        labels=tuple(Label.BONA_FIDE if one else Label.ATTACK for one in genuine),
        species=tuple("" if one else species[i % 4 // 2] for i, one in enumerate(genuine)),
        threshold=threshold,
        digest="toy",
    )


def toy_canary(manifest: Path) -> LabelledSet:
    """What stands in for reading ``manifest``: sixteen captures of the toy classes."""
    assert manifest == Path("canary.csv")
    return labelled([batch(8, seed=70), batch(8, seed=71)], [target_of(8)] * 2)


class Micro(FasModel):
    """A network of one LayerNorm for all modalities, for thousands of steps: the sign of the images' mean decides.

    Heads and fused score give logits of about 8 with that sign; images of mean 0 give 0, which no gate accepts. With
    ``below`` the norm stands in the lower part. Its logit and slopes in numpy: `by_hand`.
    """

    name = "micro"

    def __init__(self, *, below: bool = False) -> None:
        super().__init__(SPEC, Config())
        self.norm = nn.LayerNorm(2)
        self.below = below

    def lower(self, batch: Batch) -> Maps:
        """Mean and its negative, ``[B, 2, 1, 1]``."""
        means = {m: images.mean(dim=(1, 2, 3)) for m, images in batch.images.items()}
        pairs = {m: torch.stack([x, -x], dim=1) for m, x in means.items()}
        return {m: (self.norm(x) if self.below else x)[:, :, None, None] for m, x in pairs.items()}

    def upper(self, maps: Maps, present: Tensor) -> ModelOutput:
        """Differences of the normalised means."""
        zero = torch.zeros(present.shape[0], 2)
        stacked = torch.stack([maps[m].flatten(1) if m in maps else zero for m in MODALITIES], dim=1)
        features = stacked if self.below else self.norm(stacked)
        logits = 4 * (features[:, :, 0] - features[:, :, 1]) * present
        return ModelOutput(
            logit=logits.sum(dim=1) / present.sum(dim=1),
            modality_logits=logits,
            features=dict(zip(MODALITIES, features.unbind(1), strict=True)),
            complements={},
            present=present,
            substituted=~present,
            enhanced=torch.zeros(present.shape),
        )

    def upper_modules(self, modality: Modality) -> list[nn.Module]:
        """The same norm for every modality."""
        del modality
        return [self.norm]

    def fusion_names(self) -> tuple[str, ...]:
        """The norm sees every modality."""
        return "norm.weight", "norm.bias"

    def training_loss(self, batch: Batch, target: Tensor, step: LossStep) -> Tensor:
        """It is never trained."""
        del batch, target, step
        raise AssertionError


def micro_batch(*levels: float) -> Batch:
    """One RGB and depth capture per level; images are constant."""
    some = batch(len(levels), present=torch.tensor([[True, True, False]]).expand(len(levels), 3))
    flat = torch.tensor(levels).view(-1, 1, 1, 1)
    images = {m: flat.expand(-1, SPEC.channels(m), 2, 2).contiguous() for m in MODALITIES[:2]}
    return Batch(images, some.present, some.ids)
