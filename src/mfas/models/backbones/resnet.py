"""ResNet-18 (He et al., CVPR 2016, table 1) with GroupNorm, so that a score never depends on its batch."""

from __future__ import annotations

from torch import Tensor, nn

from mfas.models.backbones.contract import Backbone


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (figure 5 left of the paper)."""

    def __init__(self, cin: int, cout: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(cin, cout, 3, stride, 1, bias=False),
            nn.GroupNorm(cout // 16, cout),
            nn.ReLU(inplace=True),
            nn.Conv2d(cout, cout, 3, 1, 1, bias=False),
            nn.GroupNorm(cout // 16, cout),
        )
        straight = stride == 1 and cin == cout
        self.shortcut: nn.Module = nn.Identity() if straight else nn.Conv2d(cin, cout, 1, stride, bias=False)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, cin, H, W]`` to ``[B, cout, H / stride, W / stride]``."""
        out: Tensor = self.act(self.body(x) + self.shortcut(x))
        return out


class ResNet18Backbone(Backbone):
    """Stem and stages 1 to 3 below, stage 4 above (`methods` 1.4.1); ``width`` 64 is the published size."""

    def __init__(self, in_channels: int, width: int = 64) -> None:
        super().__init__(in_channels)
        w = width
        self.lower_channels = 4 * w
        self.feature_dim = 8 * w
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, w, 7, 2, 3, bias=False),
            nn.GroupNorm(w // 16, w),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
        )
        self.low = nn.Sequential(
            BasicBlock(w, w, 1),
            BasicBlock(w, w, 1),
            BasicBlock(w, 2 * w, 2),
            BasicBlock(2 * w, 2 * w, 1),
            BasicBlock(2 * w, 4 * w, 2),
            BasicBlock(4 * w, 4 * w, 1),
        )
        self.high = nn.Sequential(BasicBlock(4 * w, 8 * w, 2), BasicBlock(8 * w, 8 * w, 1))
        self.norm = nn.LayerNorm(8 * w)

    def lower(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` to ``[B, 4w, H/16, W/16]``."""
        out: Tensor = self.low(self.stem(x))
        return out

    def upper(self, h: Tensor) -> Tensor:
        """``[B, 4w, h, w]`` to ``[B, 8w]``."""
        out: Tensor = self.norm(self.high(h).mean(dim=(2, 3)))
        return out

    def tokens(self, h: Tensor) -> Tensor:
        """See `Backbone.tokens`."""
        out: Tensor = self.norm(self.high(h).flatten(2).transpose(1, 2))
        return out

    def upper_modules(self) -> list[nn.Module]:
        """Stage 4 and final norm."""
        return [self.high, self.norm]
