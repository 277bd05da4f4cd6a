"""Attack-family heads: what kind of attack a capture would be, read off the fused features of a model.

They stand beside the model, in a file of their own, and change none of its scores. One head per family with weights of
its own, after the decoupled reward heads of UniMod (arXiv 2602.02536); what is ours: `docs/decision_record.md`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mfas._files import atomic_path, sha256
from mfas.card import FAMILIES_FILE, Card, FamilyCard
from mfas.core import MODALITIES, Batch, CaptureIds, Family, Prediction
from mfas.errors import ModelDirError
from mfas.models.contract import FasModel, ModelOutput, to_prediction


class FamilyHeads(nn.Module):
    """A perceptron of one hidden layer per family: independent scores, no softmax, since an attack may be of two."""

    def __init__(self, inputs: int, names: Sequence[Family], hidden: int = 16) -> None:
        super().__init__()
        self.names, self.hidden = tuple(names), hidden
        self.norm = nn.LayerNorm(inputs, elementwise_affine=False)
        self.heads = nn.ModuleDict(
            {
                name.value: nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, 1))
                for name in self.names
            }
        )

    def forward(self, features: Tensor) -> Tensor:
        """`fused_features` ``[B, F]`` to logits ``[B, K]`` in the order of ``names``."""
        even = self.norm(features)
        return torch.cat([self.heads[name.value](even) for name in self.names], dim=1)


def fused_features(output: ModelOutput) -> Tensor:
    """What reaches a fused head, ``[B, F]``: each modality's feature, enhanced or substituted as the model did it."""
    parts = []
    for column, modality in enumerate(MODALITIES):
        seen, stood_in, share = (
            x[:, column : column + 1] for x in (output.present, output.substituted, output.enhanced)
        )
        own = output.features[modality]
        complement = output.complements.get(modality, torch.zeros_like(own))
        mixed = (1 - share) * own + share * complement
        parts.append(seen.to(own) * mixed + stood_in.to(own) * complement)
    return torch.cat(parts, dim=1)


@torch.no_grad()
def fused_width(model: FasModel) -> int:
    """F of `fused_features`, found by showing the model one blank capture; it must be in eval mode."""
    size = model.spec.size
    images = {m: torch.zeros(1, model.spec.channels(m), size, size) for m in MODALITIES}
    batch = Batch(images, torch.ones(1, len(MODALITIES), dtype=torch.bool), CaptureIds.anonymous(1))
    return int(fused_features(model(batch)).shape[1])


def family_prediction(output: ModelOutput, heads: FamilyHeads | None) -> Prediction:
    """`mfas.models.contract.to_prediction`; where there are heads, ``extras["families"]`` holds their scores.

    Float ``[B, K]`` in [0, 1], in the order of the heads' names.
    """
    prediction = to_prediction(output)
    if heads is None:
        return prediction
    scores = torch.sigmoid(heads(fused_features(output)).detach())
    return replace(prediction, extras={**prediction.extras, "families": scores})


@torch.no_grad()
def predict_with_families(model: FasModel, heads: FamilyHeads | None, batch: Batch) -> Prediction:
    """`FasModel.predict` with the heads' scores; scores of the model are those it gives alone, bit for bit."""
    return family_prediction(model(batch), heads)


def save_families(heads: FamilyHeads, card: Card, told: FamilyCard, directory: Path) -> Card:
    """Write ``DIR/families.safetensors``, then the card with its SHA-256 and ``told``; returns the card as written."""
    with atomic_path(directory / FAMILIES_FILE) as temporary:
        save_file({name: x.detach().cpu().contiguous() for name, x in heads.state_dict().items()}, temporary)
    files = {**card.files, FAMILIES_FILE: sha256(directory / FAMILIES_FILE)}
    written = card.model_copy(update={"families": told, "files": files})
    written.write(directory)
    return written


def load_families(model: FasModel, card: Card, directory: Path) -> FamilyHeads | None:
    """The heads of a model directory whose card was read and verified; None where it holds none.

    Raises `ModelDirError` for a file that is not one of such heads on such a model.
    """
    if card.families is None or FAMILIES_FILE not in card.files:
        return None
    heads = FamilyHeads(fused_width(model), card.families.names, card.families.hidden)
    path = directory / FAMILIES_FILE
    try:
        heads.load_state_dict(load_file(path))
    except SafetensorError as reason:
        raise ModelDirError(f"{path} is not a safetensors file: {reason}") from None
    except RuntimeError:
        width = sum(1 for _ in heads.state_dict())
        raise ModelDirError(
            f"{path}: expected {width} tensors of family heads that fit the model, got others"
        ) from None
    return heads.eval().requires_grad_(False)
