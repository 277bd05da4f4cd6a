"""One vision transformer for all modalities (Dosovitskiy et al., ICLR 2021): own patch projections, shared blocks.

What models with adapters stand on: the trunk is pre-trained on source captures (`benchmarks/pretrain_vit.py`) and
frozen, and small modules beside its blocks learn. `VitBlock.attend` and `VitBlock.feed` give the two branches apart.
"""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import Field, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from mfas._files import sha256
from mfas.card import Preprocess
from mfas.config import Config
from mfas.core import MODALITIES, Modality
from mfas.errors import ModelDirError
from mfas.models.backbones.first_layer import adapt_channels


class VitOptions(Config):
    """Size of the shared transformer, in pixels of its own input and in tokens.

    ``weights`` is a safetensors file of `SharedVit` (None = random, for tests), ``sha256`` its digest, checked when
    given. ``frozen``: the trunk does not learn.
    """

    image_size: int = Field(64, ge=8)
    patch: int = Field(8, ge=2)
    dim: int = Field(192, ge=8)
    depth: int = Field(6, ge=1)
    heads: int = Field(3, ge=1)
    weights: Path | None = None
    sha256: str | None = None
    frozen: bool = True

    @model_validator(mode="after")
    def _divides(self) -> VitOptions:
        if self.image_size % self.patch:
            raise ValueError(f"expected image_size as a multiple of patch {self.patch}, got {self.image_size}")
        if self.dim % self.heads:
            raise ValueError(f"expected dim as a multiple of heads {self.heads}, got {self.dim}")
        if self.image_size < 2 * self.patch:
            raise ValueError(f"expected an image of at least two patches of {self.patch}, got {self.image_size} pixels")
        return self


class VitAttention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """``[B, N, D]`` to ``[B, N, D]``."""
        count, length, dim = tokens.shape
        qkv = self.qkv(tokens).reshape(count, length, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        mixed = scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(count, length, dim))
        return out


class VitBlock(nn.Module):
    """Pre-norm block: ``x + attend(x)``, then ``x + feed(x)``."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = VitAttention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def attend(self, tokens: Tensor) -> Tensor:
        """The attention branch ``[B, N, D]`` without the addition."""
        out: Tensor = self.attention(self.norm1(tokens))
        return out

    def feed(self, tokens: Tensor) -> Tensor:
        """The perceptron branch ``[B, N, D]`` without the addition."""
        out: Tensor = self.mlp(self.norm2(tokens))
        return out

    def forward(self, tokens: Tensor) -> Tensor:
        """``[B, N, D]`` to ``[B, N, D]``."""
        tokens = tokens + self.attend(tokens)
        return tokens + self.feed(tokens)


class SharedVit(nn.Module):
    """Patch projections and positions below, `blocks` and a final norm above; ``tokens`` patches and one class token.

    The class token and the positions are shared by the modalities; what a modality is, its projection's bias tells.
    """

    def __init__(self, spec: Preprocess, options: VitOptions) -> None:
        super().__init__()
        self.options = options
        self.dim, self.depth, self.patch = options.dim, options.depth, options.patch
        self.grid = options.image_size // options.patch
        self.tokens = self.grid**2
        self.project = nn.ModuleDict(
            {m.value: nn.Conv2d(spec.channels(m), options.dim, options.patch, options.patch) for m in MODALITIES}
        )
        self.class_token = nn.Parameter(torch.zeros(1, 1, options.dim))
        self.position = nn.Parameter(torch.zeros(1, 1 + self.tokens, options.dim))
        nn.init.trunc_normal_(self.class_token, std=0.02)
        nn.init.trunc_normal_(self.position, std=0.02)
        self.blocks = nn.ModuleList(VitBlock(options.dim, options.heads) for _ in range(options.depth))
        self.norm = nn.LayerNorm(options.dim)
        self.register_buffer("resize", area_matrix(spec.size, options.image_size), persistent=False)
        if options.weights is not None:
            self._load(options.weights, options.sha256)
        if options.frozen:
            self.requires_grad_(False)

    def embed(self, images: Tensor, modality: Modality) -> Tensor:
        """Images ``[B, C, H, W]`` of one modality to tokens ``[B, 1 + N, D]``: class token first, positions added."""
        patches = self.project[modality.value](self.shrink(images)).flatten(2).transpose(1, 2)
        first = self.class_token.expand(images.shape[0], -1, -1)
        return torch.cat([first, patches], dim=1) + self.position

    def shrink(self, images: Tensor) -> Tensor:
        """Images ``[B, C, H, W]`` at the size that `embed` cuts into patches, by means over areas."""
        matrix = self.resize
        assert isinstance(matrix, Tensor)
        return matrix @ images @ matrix.T

    def finish(self, tokens: Tensor) -> Tensor:
        """The final LayerNorm."""
        out: Tensor = self.norm(tokens)
        return out

    def forward(self, images: Tensor, modality: Modality) -> Tensor:
        """Images of one modality to normed tokens ``[B, 1 + N, D]``."""
        tokens = self.embed(images, modality)
        for block in self.blocks:
            tokens = block(tokens)
        return self.finish(tokens)

    def _load(self, file: Path, digest: str | None) -> None:
        if not file.is_file():
            raise ModelDirError(f"expected weights of the shared transformer, found none at {file}")
        if digest is not None and sha256(file) != digest:
            raise ModelDirError(f"{file}: expected SHA-256 {digest[:12]}…, got {sha256(file)[:12]}…")
        try:
            tensors = load_file(file)
        except SafetensorError as reason:
            raise ModelDirError(f"{file} is not a safetensors file: {reason}") from None
        for name, own in self.state_dict().items():
            if name not in tensors:
                raise ModelDirError(f"{file}: expected tensor '{name}', found none")
            if name.startswith("project.") and tensors[name].dim() == 4:
                tensors[name] = adapt_channels(tensors[name], own.shape[1])
            if tensors[name].shape != own.shape:
                raise ModelDirError(
                    f"{file}: expected '{name}' as {tuple(own.shape)}, got {tuple(tensors[name].shape)}"
                )
        self.load_state_dict({name: tensors[name] for name in self.state_dict()})


def area_matrix(size: int, smaller: int) -> Tensor:
    """``[smaller, size]``: each output pixel is the mean of the input it covers, split pixels by their share.

    A product with a constant matrix gives the same everywhere, an exported graph included.
    """
    edge = torch.arange(smaller + 1, dtype=torch.float64) * (size / smaller)
    low, high = edge[:-1, None], edge[1:, None]
    pixel = torch.arange(size, dtype=torch.float64)[None, :]
    overlap = (torch.minimum(high, pixel + 1) - torch.maximum(low, pixel)).clamp_min(0)
    return (overlap / overlap.sum(dim=1, keepdim=True)).float()
