"""Pretrained trunks through transformers: ViT, CLIP's vision tower, DINOv2, ResNet, from a hub name or a folder.

Weights are read as safetensors only. Their first layer is brought to two and one input channels; the last blocks are
the upper part, what is below them is frozen unless told otherwise. For the first layer to see the values it was
trained on, set ``preprocess.rgb_mean`` and ``rgb_std`` to those of the weights.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from mfas._extras import needs
from mfas.errors import ConfigError, ModelDirError
from mfas.models.backbones.contract import Backbone
from mfas.models.backbones.first_layer import adapt_channels

_CLASSES = {
    "vit": "ViTModel",
    "clip_vision_model": "CLIPVisionModel",
    "dinov2": "Dinov2Model",
    "resnet": "ResNetModel",
}
_ORIGIN = ("_name_or_path", "transformers_version", "architectures")
_LARGEST = 224


class HfBackbone(Backbone):
    """A trunk of transformers cut below its last ``upper_blocks`` blocks (stages of a ResNet).

    ``name``: hub name or folder that weights come from, ``revision`` of the hub. ``config``: the trunk's own
    configuration in place of a name; random weights, to be loaded (what a model directory stores). ``frozen``: the
    lower part never learns and runs without gradient. ``image_size`` in pixels: what images are resized to for a
    transformer (default: the trunk's own, at most 224; positions are interpolated). Raises `MissingExtraError`,
    `ConfigError` for a trunk of another kind, `ModelDirError` when there are no safetensors weights.

    A transformer's map has a first row more: its class token, repeated. The feature is the normed class token, that of
    a ResNet the mean over places. Stored statistics of BatchNorm are used and never updated.
    """

    def __init__(
        self,
        in_channels: int,
        name: str | None = None,
        config: dict[str, Any] | None = None,
        revision: str = "main",
        frozen: bool = True,
        upper_blocks: int = 1,
        image_size: int | None = None,
    ) -> None:
        super().__init__(in_channels)
        if (name is None) == (config is None):
            raise ConfigError("backbone hf: expected 'name' (hub name or folder) or 'config', got both or neither")
        self.frozen = frozen
        described, tensors = _from_hub(name, revision) if name is not None else (config or {}, None)
        trunk, own = _build(described, in_channels)
        if tensors is not None:
            _fill(trunk, tensors, in_channels)
        self.kept = {key: value for key, value in own.to_dict().items() if key not in _ORIGIN}
        self._lay_out(trunk, own, upper_blocks, image_size)
        self.train()

    def lower(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` to ``[B, D, 1 + h, w]`` (transformer, class token in row 0) or ``[B, D, h, w]`` (ResNet)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            if not self.image_size:
                return self._run(self.low, self.first(x))
            if x.shape[-1] != self.image_size:
                size = (self.image_size, self.image_size)
                x = interpolate(x, size=size, mode="bilinear", align_corners=False)
            tokens = self._run(self.low, self.between(self.first(x, **self._positions)))
            patches = tokens[:, 1:].transpose(1, 2).reshape(x.shape[0], -1, self.grid, self.grid)
            row = tokens[:, 0, :, None, None].expand(-1, -1, 1, self.grid)
            return torch.cat([row, patches], dim=2)

    def upper(self, h: Tensor) -> Tensor:
        """The map of `lower` to ``[B, D]``."""
        if not self.image_size:
            return self._run(self.high, h).mean(dim=(2, 3))
        return self._normed(h)[:, 0]

    def tokens(self, h: Tensor) -> Tensor:
        """See `Backbone.tokens`; without the class token."""
        if not self.image_size:
            return self._run(self.high, h).flatten(2).transpose(1, 2)
        return self._normed(h)[:, 1:]

    def _normed(self, h: Tensor) -> Tensor:
        """Class token and patches ``[B, 1 + N, D]`` of a transformer after all blocks."""
        tokens = torch.cat([h[:, :, 0, :1], h[:, :, 1:].flatten(2)], dim=2).transpose(1, 2)
        out: Tensor = self.norm(self._run(self.high, tokens))
        return out

    def upper_modules(self) -> list[nn.Module]:
        """The last blocks and the final norm."""
        return [self.high, self.norm]

    def frozen_modules(self) -> list[nn.Module]:
        """Everything below the cut, if ``frozen``."""
        return [self.first, self.between, self.low] if self.frozen else []

    def stored_options(self, options: dict[str, Any]) -> dict[str, Any]:
        """The trunk's configuration in place of where it came from."""
        kept = {key: value for key, value in options.items() if key not in ("name", "revision")}
        return {**kept, "config": self.kept}

    def train(self, mode: bool = True) -> Self:
        """As for any module, but BatchNorm keeps its statistics: a score must not depend on its batch."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        for module in self.frozen_modules():
            module.eval().requires_grad_(False)
        return self

    def _lay_out(self, trunk: Any, own: Any, upper_blocks: int, image_size: int | None) -> None:
        residual = own.model_type == "resnet"
        blocks = trunk.encoder.stages if residual else _blocks(trunk, own.num_hidden_layers)
        if not 1 <= upper_blocks < len(blocks):
            raise ConfigError(f"backbone hf: expected upper_blocks in [1, {len(blocks) - 1}], got {upper_blocks}")
        cut = len(blocks) - upper_blocks
        self.low, self.high = nn.ModuleList(blocks[:cut]), nn.ModuleList(blocks[cut:])
        self.first = trunk.embedder if residual else trunk.embeddings
        self.between = getattr(trunk, "pre_layrnorm", nn.Identity())
        self.norm = nn.Identity()
        self.image_size, self.grid, self._positions = 0, 0, dict[str, bool]()
        if residual:
            self.lower_channels, self.feature_dim = own.hidden_sizes[cut - 1], own.hidden_sizes[-1]
            return
        self.norm = trunk.post_layernorm if hasattr(trunk, "post_layernorm") else trunk.layernorm
        self.lower_channels = self.feature_dim = own.hidden_size
        self.image_size = image_size or min(own.image_size, _LARGEST)
        self.grid = self.image_size // own.patch_size
        if own.model_type != "dinov2" and self.image_size != own.image_size:  # dinov2 interpolates by itself
            self._positions = {"interpolate_pos_encoding": True}

    def _run(self, blocks: nn.ModuleList, x: Tensor) -> Tensor:
        for block in blocks:
            x = block(x, None) if self.image_size else block(x)  # no attention mask
        return x


def _transformers() -> Any:
    with needs("backbone hf"):
        import transformers
    return transformers


def _from_hub(name: str, revision: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration and weights of a trunk as it was trained, for RGB."""
    transformers = _transformers()
    try:
        own = transformers.AutoConfig.from_pretrained(name, revision=revision)
        own = getattr(own, "vision_config", own)
        cls = _class(own.model_type)
        extra = {"add_pooling_layer": False} if own.model_type == "vit" else {}
        model = cls.from_pretrained(name, revision=revision, use_safetensors=True, **extra)
    except (OSError, ValueError) as reason:
        first = str(reason).strip().splitlines()[0]
        raise ModelDirError(f"backbone hf: cannot read safetensors weights of '{name}': {first}") from None
    return own.to_dict(), model.state_dict()


def _build(described: dict[str, Any], channels: int) -> tuple[Any, Any]:
    """An untrained trunk for ``channels`` inputs, and its configuration."""
    rest = {key: value for key, value in described.items() if key not in (*_ORIGIN, "model_type", "num_channels")}
    kind = described.get("model_type", "")
    cls = _class(kind)
    own = _transformers().AutoConfig.for_model(kind, **rest, num_channels=channels)
    return (cls(own, add_pooling_layer=False) if kind == "vit" else cls(own)), own


def _class(kind: str) -> Any:
    if kind not in _CLASSES:
        raise ConfigError(f"backbone hf: expected a trunk out of {', '.join(_CLASSES)}, got '{kind}'")
    return getattr(_transformers(), _CLASSES[kind])


def _fill(trunk: nn.Module, tensors: dict[str, Tensor], channels: int) -> None:
    """Take weights, the first layer brought to the trunk's input channels."""
    own = trunk.state_dict()
    fitting = {
        name: adapt_channels(tensor, channels) if own[name].shape != tensor.shape else tensor
        for name, tensor in tensors.items()
    }
    trunk.load_state_dict(fitting)


def _blocks(trunk: nn.Module, depth: int) -> nn.ModuleList:
    return next(m for m in trunk.modules() if isinstance(m, nn.ModuleList) and len(m) == depth)
