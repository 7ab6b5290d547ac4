"""The foreground network: a small U-shaped network that says, for each pixel, how much of it belongs to the subject.

References
    U-Net: Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", 2015.
    Residual blocks: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", 2016.
    Top-down path and deep supervision: Lin et al., "Feature Pyramid Networks", 2017; Qin et al., "U^2-Net", 2020.
    Global context by attention over the coarsest cells: Vaswani et al., "Attention Is All You Need", 2017.

The picture (B, 3, S, S) is sRGB in [0, 1], S a multiple of 32; the answer is a logit per pixel (B, 1, S, S) of the
soft alpha. Nothing here knows about files, training or the rest of the package.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Channels at strides 2, 4, 8, 16 and 32.
WIDTHS = (24, 40, 72, 104, 136)


class MaskNet(nn.Module):
    """1.4 M parameters; 0.45 G multiply-adds at 224 px."""

    mean: Tensor
    std: Tensor

    def __init__(self, widths: tuple[int, int, int, int, int] = WIDTHS) -> None:
        super().__init__()
        w2, w4, w8, w16, w32 = widths
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1), persistent=False)
        self.stage2 = unit(3, w2, stride=2)
        self.stage4 = nn.Sequential(unit(w2, w4, stride=2), Residual(w4))
        self.stage8 = nn.Sequential(unit(w4, w8, stride=2), Residual(w8), Residual(w8))
        self.stage16 = nn.Sequential(unit(w8, w16, stride=2), Residual(w16), Residual(w16, dilation=2))
        self.stage32 = nn.Sequential(unit(w16, w32, stride=2), Attention(w32), Residual(w32), Attention(w32))
        self.up16 = Merge(w32, w16, 64)
        self.up8 = Merge(64, w8, 56)
        self.up4 = Merge(56, w4, 32)
        self.up2 = Merge(32, w2, 12)
        self.heads = nn.ModuleList(nn.Conv2d(c, 1, 1) for c in (64, 56, 32, 12))

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, 1, S, S) of an image (B, 3, S, S), sRGB in [0, 1]."""
        return self.scales(image)[-1]

    def scales(self, image: Tensor) -> list[Tensor]:
        """Logits at strides 16, 8, 4 and 1, for deep supervision; the last is the answer."""
        x2 = self.stage2((image - self.mean) / self.std)
        x4 = self.stage4(x2)
        x8 = self.stage8(x4)
        x16 = self.stage16(x8)
        y16 = self.up16(self.stage32(x16), x16)
        y8 = self.up8(y16, x8)
        y4 = self.up4(y8, x4)
        y2 = self.up2(y4, x2)
        logits = [head(y) for head, y in zip(self.heads, (y16, y8, y4, y2), strict=True)]
        return [*logits[:-1], F.interpolate(logits[-1], scale_factor=2.0, mode="bilinear", align_corners=False)]


def unit(inside: int, outside: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """3x3 convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride, dilation, dilation, bias=False), nn.BatchNorm2d(outside), nn.ReLU(True)
    )


class Residual(nn.Module):
    """Two 3x3 convolutions around a skip; the second starts at zero, so that the block starts as identity."""

    def __init__(self, width: int, dilation: int = 1) -> None:
        super().__init__()
        self.first = unit(width, width, dilation=dilation)
        self.second = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation, bias=False)
        self.norm = nn.BatchNorm2d(width)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same."""
        return F.relu(x + self.norm(self.second(self.first(x))))


class Attention(nn.Module):
    """Every cell looks at every other, so that what stands out from the whole picture can be told.

    Positions enter through a depthwise convolution, which lets any picture size pass.
    """

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.count = heads
        self.place = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm = nn.GroupNorm(1, width)
        self.query_key_value = nn.Conv2d(width, 3 * width, 1)
        self.out = nn.Conv2d(width, width, 1)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same."""
        batch, width, height, across = x.shape
        x = x + self.place(x)
        parts = self.query_key_value(self.norm(x)).reshape(batch, 3, self.count, width // self.count, height * across)
        query, key, value = parts[:, 0], parts[:, 1], parts[:, 2]
        weights = (query.transpose(-1, -2) @ key * (width // self.count) ** -0.5).softmax(-1)
        mixed = value @ weights.transpose(-1, -2)
        out: Tensor = x + self.out(mixed.reshape(batch, width, height, across))
        return out


class Merge(nn.Module):
    """Coarse features, doubled in size, meet the encoder's fine ones."""

    def __init__(self, coarse: int, fine: int, width: int) -> None:
        super().__init__()
        self.coarse = nn.Conv2d(coarse, width, 1)
        self.fine = nn.Conv2d(fine, width, 1)
        self.mix = unit(width, width)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(B, coarse, H, W) and (B, fine, 2H, 2W) -> (B, width, 2H, 2W)."""
        up = F.interpolate(self.coarse(coarse), scale_factor=2.0, mode="bilinear", align_corners=False)
        mixed: Tensor = self.mix(F.relu(up + self.fine(fine)))
        return mixed
