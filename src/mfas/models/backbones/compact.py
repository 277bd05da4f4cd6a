"""Our own small convolutional network for 112 x 112: seven convolutions, GroupNorm (or BatchNorm), 0.3 M parameters."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from mfas.errors import ConfigError
from mfas.models.backbones.contract import Backbone

Norm = Literal["group", "batch"]


class ConvBlock(nn.Module):
    """Convolution, normalisation, ReLU; with ``residual`` the input is added back."""

    def __init__(
        self, cin: int, cout: int, norm: Norm, *, kernel: int = 3, stride: int = 1, residual: bool = False
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(cout) if norm == "batch" else nn.GroupNorm(max(1, cout // 16), cout)
        self.act = nn.ReLU(inplace=True)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        """``[B, cin, H, W]`` to ``[B, cout, H / stride, W / stride]``."""
        y: Tensor = self.act(self.norm(self.conv(x)))
        return x + y if self.residual else y


class CompactBackbone(Backbone):
    """Stem and two stages below, one stage above; ``width`` scales all channels (16 is the default model).

    ``norm`` after the convolutions: ``group``, or ``batch`` for methods that are built on BatchNorm. The norm of the
    pooled feature is a LayerNorm in either case. Raises `ConfigError` for any other ``norm``.
    """

    def __init__(self, in_channels: int, width: int = 16, norm: Norm = "group") -> None:
        super().__init__(in_channels)
        if norm not in ("group", "batch"):
            raise ConfigError(f"backbone_options: expected norm as group or batch, got '{norm}'")
        w = width
        self.lower_channels = 4 * w
        self.feature_dim = 8 * w
        self.low = nn.Sequential(
            ConvBlock(in_channels, w, norm, kernel=5, stride=2),
            ConvBlock(w, 2 * w, norm, stride=2),
            ConvBlock(2 * w, 2 * w, norm, residual=True),
            ConvBlock(2 * w, 4 * w, norm, stride=2),
            ConvBlock(4 * w, 4 * w, norm, residual=True),
        )
        self.high = nn.Sequential(ConvBlock(4 * w, 8 * w, norm, stride=2), ConvBlock(8 * w, 8 * w, norm, residual=True))
        self.norm = nn.LayerNorm(8 * w)

    def lower(self, x: Tensor) -> Tensor:
        """``[B, C, 112, 112]`` to ``[B, 4w, 14, 14]``."""
        out: Tensor = self.low(x)
        return out

    def upper(self, h: Tensor) -> Tensor:
        """``[B, 4w, 14, 14]`` to ``[B, 8w]``."""
        out: Tensor = self.norm(self.high(h).mean(dim=(2, 3)))
        return out

    def tokens(self, h: Tensor) -> Tensor:
        """See `Backbone.tokens`."""
        out: Tensor = self.norm(self.high(h).flatten(2).transpose(1, 2))
        return out

    def upper_modules(self) -> list[nn.Module]:
        """Last stage and final norm."""
        return [self.high, self.norm]
