"""Our own small convolutional network for 112 x 112: seven convolutions, GroupNorm, 0.3 M parameters."""

from __future__ import annotations

from torch import Tensor, nn

from mfas.models.backbones.contract import Backbone


class ConvBlock(nn.Module):
    """Convolution, GroupNorm, ReLU; with ``residual`` the input is added back."""

    def __init__(self, cin: int, cout: int, *, kernel: int = 3, stride: int = 1, residual: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.GroupNorm(max(1, cout // 16), cout)
        self.act = nn.ReLU(inplace=True)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        """``[B, cin, H, W]`` to ``[B, cout, H / stride, W / stride]``."""
        y: Tensor = self.act(self.norm(self.conv(x)))
        return x + y if self.residual else y


class CompactBackbone(Backbone):
    """Stem and two stages below, one stage above; ``width`` scales all channels (16 is the default model)."""

    def __init__(self, in_channels: int, width: int = 16) -> None:
        super().__init__(in_channels)
        w = width
        self.lower_channels = 4 * w
        self.feature_dim = 8 * w
        self.low = nn.Sequential(
            ConvBlock(in_channels, w, kernel=5, stride=2),
            ConvBlock(w, 2 * w, stride=2),
            ConvBlock(2 * w, 2 * w, residual=True),
            ConvBlock(2 * w, 4 * w, stride=2),
            ConvBlock(4 * w, 4 * w, residual=True),
        )
        self.high = nn.Sequential(ConvBlock(4 * w, 8 * w, stride=2), ConvBlock(8 * w, 8 * w, residual=True))
        self.norm = nn.LayerNorm(8 * w)

    def lower(self, x: Tensor) -> Tensor:
        """``[B, C, 112, 112]`` to ``[B, 4w, 14, 14]``."""
        out: Tensor = self.low(x)
        return out

    def upper(self, h: Tensor) -> Tensor:
        """``[B, 4w, 14, 14]`` to ``[B, 8w]``."""
        out: Tensor = self.norm(self.high(h).mean(dim=(2, 3)))
        return out

    def upper_modules(self) -> list[nn.Module]:
        """Last stage and final norm."""
        return [self.high, self.norm]
