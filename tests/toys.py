"""Small made-up inputs that many tests share: a tiny model, batches whose class is easy to see, a card."""

from __future__ import annotations

import torch

from mfas.card import Card, Preprocess
from mfas.core import MISSING_PATTERNS, MODALITIES, Batch, CaptureIds
from mfas.models.contract import FasModel
from mfas.models.registry import create

SPEC = Preprocess(size=32)
TINY = {"backbone_options": {"width": 16}}


def tiny_model(name: str = "mfas_danet", seed: int = 0) -> FasModel:
    """An untrained model of registry entry ``name``, small enough for hundreds of steps."""
    torch.manual_seed(seed)
    return create(name, SPEC, TINY).eval()


def card(name: str = "mfas_danet") -> Card:
    """A card with a threshold of 0.5 for every pattern."""
    return Card(model=name, architecture=TINY, preprocess=SPEC, thresholds=dict.fromkeys(MISSING_PATTERNS, 0.5))


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


def trained(name: str = "mfas_danet", steps: int = 60, seed: int = 0) -> FasModel:
    """A tiny model that tells the toy classes apart."""
    from mfas.models.contract import LossStep

    model = tiny_model(name, seed).train()
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        loss = model.training_loss(batch(16, seed=1000 + step), target_of(16), LossStep(generator))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()
