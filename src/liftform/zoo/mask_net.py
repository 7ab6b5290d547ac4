"""The foreground network: a small encoder-decoder that says, for each pixel, how much of it belongs to the subject.

References
    U-Net: Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", 2015.
    Residual blocks: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", 2016.
    Top-down path and deep supervision: Lin et al., "Feature Pyramid Networks", 2017; Qin et al., "U^2-Net", 2020.
    Attention over the cells: Vaswani et al., 2017. Sub-pixel convolution: Shi et al., "ESPCN", CVPR 2016.

The picture (B, 3, H, W) is sRGB in [0, 1], H and W multiples of 16; the answer is a logit per pixel (B, 1, H, W) of
the soft alpha. The encoder is that of the object network, so that a run can start from what that one has learned of
objects; the channels lie at strides 8 and 16, where a CPU does most for its time, and the finest step is a cheap one.
Nothing here knows about files, training or the rest of the package.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Channels at strides 2, 4, 8 and 16.
WIDTHS = (32, 64, 128, 192)


class MaskNet(nn.Module):
    """3.1 M parameters; 1.1 G multiply-adds at 224 px."""

    def __init__(self, widths: tuple[int, int, int, int] = WIDTHS) -> None:
        super().__init__()
        w2, w4, w8, w16 = widths
        up8, up4 = w8 * 3 // 4, w4
        self.stage2 = unit(3, w2, stride=2)
        self.stage4 = nn.Sequential(unit(w2, w4, stride=2), Residual(w4))
        self.stage8 = nn.Sequential(unit(w4, w8, stride=2), Residual(w8), Residual(w8))
        self.stage16 = nn.Sequential(
            unit(w8, w16, stride=2), Residual(w16), Attention(w16), Residual(w16), Attention(w16)
        )
        self.place = nn.Conv2d(5, w16, 1)
        self.up8 = Merge(w16, w8, up8)
        self.up4 = Merge(up8, w4, up4)
        self.up2 = nn.Conv2d(up4, 64, 1)
        self.skip2 = nn.Conv2d(w2, 16, 1)
        self.heads = nn.ModuleList([nn.Conv2d(w16, 1, 1), nn.Conv2d(up8, 1, 1), nn.Conv2d(up4, 1, 1)])
        self.last = nn.Conv2d(16, 1, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, 1, H, W) of an image (B, 3, H, W), sRGB in [0, 1]."""
        return self.scales(image)[-1]

    def scales(self, image: Tensor) -> list[Tensor]:
        """Logits at strides 16, 8, 4 and 1, for deep supervision; the last is the answer."""
        x2 = self.stage2(image - 0.5)
        x4 = self.stage4(x2)
        x8 = self.stage8(x4)
        x16 = self.stage16[0](x8)
        y16 = self.stage16[1:](x16 + self.place(places(x16)))
        y8 = self.up8(y16, x8)
        y4 = self.up4(y8, x4)
        y2 = F.relu(F.pixel_shuffle(self.up2(y4), 2) + self.skip2(x2))
        coarse = [head(y) for head, y in zip(self.heads, (y16, y8, y4), strict=True)]
        return [*coarse, F.interpolate(self.last(y2), scale_factor=2.0, mode="bilinear", align_corners=False)]


def places(x: Tensor) -> Tensor:
    """Where each cell lies (1, 5, h, w): column and row in [-1, 1], their squares, and one: subjects are central."""
    h, w = x.shape[-2], x.shape[-1]
    rows = (torch.arange(h, device=x.device, dtype=x.dtype) + 0.5) * (2 / h) - 1
    columns = (torch.arange(w, device=x.device, dtype=x.dtype) + 0.5) * (2 / w) - 1
    ones = torch.ones_like(rows)[:, None] * torch.ones_like(columns)[None]
    row, column = rows[:, None] * ones, columns[None] * ones
    return torch.stack([column, row, column * column, row * row, ones])[None]


def unit(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    """3 x 3 convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(inplace=True)
    )


class Residual(nn.Module):
    """Two 3 x 3 convolutions around a skip."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = unit(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same."""
        return F.relu(x + self.second(self.first(x)))


class Attention(nn.Module):
    """Every cell looks at every other, so that what stands out from the whole picture can be told; then an MLP."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same."""
        b, c, h, w = x.shape
        t = x.flatten(2).transpose(1, 2)
        q, k, v = self.qkv(self.norm(t)).reshape(b, h * w, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        # Written out: on a CPU, and for so few cells, quicker than the fused kernel.
        mixed = (q * (c // self.heads) ** -0.5 @ k.transpose(-1, -2)).softmax(-1) @ v
        t = t + self.out(mixed.transpose(1, 2).reshape(b, h * w, c))
        t = t + self.mlp(self.norm_mlp(t))
        return t.transpose(1, 2).reshape(b, c, h, w)


class Merge(nn.Module):
    """Top-down step of the pyramid: the coarse map doubled, joined with the encoder's finer one, mixed."""

    def __init__(self, coarse: int, skip: int, width: int) -> None:
        super().__init__()
        self.from_coarse = nn.Conv2d(coarse, width, 1)
        self.from_skip = nn.Conv2d(skip, width, 1)
        self.mix = unit(width, width)

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        """(B, coarse, H, W) and (B, skip, 2H, 2W) -> (B, width, 2H, 2W)."""
        up = F.interpolate(self.from_coarse(coarse), scale_factor=2.0, mode="nearest")
        mixed: Tensor = self.mix(up + self.from_skip(skip))
        return mixed
