"""Feature extractors for one modality, each split into a lower part (frozen while adapting) and an upper part."""

from __future__ import annotations

from inspect import signature
from typing import Any

from mfas.errors import ConfigError
from mfas.models.backbones.compact import CompactBackbone
from mfas.models.backbones.contract import Backbone
from mfas.models.backbones.hf import HfBackbone
from mfas.models.backbones.resnet import ResNet18Backbone
from mfas.models.backbones.vit import VitBackbone

BACKBONES: dict[str, type[Backbone]] = {
    "compact": CompactBackbone,
    "resnet18": ResNet18Backbone,
    "vit": VitBackbone,
    "hf": HfBackbone,
}


def create_backbone(name: str, in_channels: int, /, **options: Any) -> Backbone:
    """Build a backbone by registry name; `ConfigError` names an unknown backbone or option."""
    try:
        cls = BACKBONES[name]
    except KeyError:
        raise ConfigError(f"expected a backbone out of {', '.join(BACKBONES)}, got '{name}'") from None
    known = [key for key in signature(cls).parameters if key != "in_channels"]
    for key in options:
        if key not in known:
            raise ConfigError(f"backbone_options: expected keys of {name} out of {', '.join(known)}, got '{key}'")
    return cls(in_channels, **options)


__all__ = ["BACKBONES", "Backbone", "create_backbone"]
