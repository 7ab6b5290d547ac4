"""The depth network: one picture of a scene or an object to depth, normals, sky and field of view.

References
    Depth from one picture: Eigen et al., NeurIPS 2014; mixed data and scale invariance: Ranftl et al., "MiDaS", 2020.
    Field of view beside depth: Wang et al., "MoGe", CVPR 2025; error as a Laplace width: Kendall & Gal, NeurIPS 2017.
    Residual blocks: He et al., 2016. Feature pyramid: Lin et al., 2017. Attention: Vaswani et al., 2017.

The picture (B, 3, H, W) is sRGB in [0, 1], H and W multiples of 16. Nothing here knows about files, training or the
rest of the package. The encoder has the shapes of the object network's, so that it can start from its weights.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Depth in metres where the network says nothing: the mean of log depth over furnished rooms.
USUAL_LOG_DEPTH = 0.9


class Scene(NamedTuple):
    """What the network says, at half the picture's size, float32.

    log_depth (B, 1, h, w): log of z-distance in metres, whose absolute scale is a guess; normals (B, 3, h, w): unit,
    camera frame (+X right, +Y down, +Z forward); sky (B, 1, h, w): logit that nothing is there; log_spread
    (B, 1, h, w): log of the expected absolute error of log_depth; log_tan (B,): log of the tangent of half the field
    of view along the picture's longer side.
    """

    log_depth: Tensor
    normals: Tensor
    sky: Tensor
    log_spread: Tensor
    log_tan: Tensor


class DepthNet(nn.Module):
    """Convolutional encoder-decoder, with attention over the cells of 16 pixels, which are told where they lie."""

    def __init__(self, widths: tuple[int, int, int, int] = (32, 64, 128, 192), context: int = 2) -> None:
        super().__init__()
        w2, w4, w8, w16 = widths
        self.stage2 = unit(3, w2, stride=2)
        self.stage4 = nn.Sequential(unit(w2, w4, stride=2), Residual(w4))
        self.stage8 = nn.Sequential(unit(w4, w8, stride=2), Residual(w8), Residual(w8))
        self.stage16 = nn.Sequential(
            unit(w8, w16, stride=2), Residual(w16), Attention(w16), Residual(w16), Attention(w16)
        )
        self.place = nn.Conv2d(6, w16, 1)
        self.context = nn.Sequential(*(nn.Sequential(Residual(w16), Attention(w16)) for _ in range(context)))
        self.up8 = Merge(w16, w8, 96)
        self.up4 = Merge(96, w4, 64)
        self.up2 = Merge(64, w2, 32)
        self.coarse = nn.Conv2d(w16, 6, 1)
        self.fine = nn.Conv2d(32, 6, 1)
        self.lens = nn.Sequential(nn.Linear(2 * w16, 96), nn.SiLU(), nn.Linear(96, 2))

    def forward(self, image: Tensor) -> Scene:
        """image (B, 3, H, W), sRGB in [0, 1]; H and W multiples of 16."""
        x2 = self.stage2(image - 0.5)
        x4 = self.stage4(x2)
        x8 = self.stage8(x4)
        x16 = self.stage16(x8)
        x16 = self.context(x16 + self.place(places(x16)))
        fine = self.fine(self.up2(self.up4(self.up8(x16, x8), x4), x2)).float()
        # The coarse head carries the layout, the fine one what the pyramid adds to it.
        out = fine + F.interpolate(self.coarse(x16).float(), scale_factor=8.0, mode="bilinear", align_corners=False)
        scale, log_tan = self.lens(torch.cat([x16.mean((2, 3)), x16.amax((2, 3))], 1)).float().unbind(1)
        return Scene(
            out[:, :1] + USUAL_LOG_DEPTH + scale[:, None, None, None],
            F.normalize(out[:, 1:4], dim=1),
            out[:, 4:5],
            out[:, 5:6] - 1.5,
            log_tan - 0.5,
        )


def places(x: Tensor) -> Tensor:
    """Where each cell lies (1, 6, h, w): column and row in [-1, 1], their squares, and the picture's shape."""
    h, w = x.shape[-2], x.shape[-1]
    row = (torch.arange(h, device=x.device, dtype=x.dtype) + 0.5) * (2 / h) - 1
    column = (torch.arange(w, device=x.device, dtype=x.dtype) + 0.5) * (2 / w) - 1
    one = torch.ones_like(row)[:, None] * torch.ones_like(column)[None]
    y, x_ = row[:, None] * one, column[None] * one
    wide = one * (w / (h + w) - 0.5)
    return torch.stack([x_, y, x_ * x_, y * y, wide, y * wide])[None]


def unit(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """3 x 3 convolution, batch normalisation, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class Residual(nn.Module):
    """Two 3 x 3 convolutions around a skip."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = unit(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        return F.relu(x + self.second(self.first(x)))


class Attention(nn.Module):
    """Pre-norm self-attention over all cells, then an MLP."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        b, c, h, w = x.shape
        t = x.flatten(2).transpose(1, 2)
        q, k, v = self.qkv(self.norm(t)).reshape(b, h * w, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        # Written out: with so few cells the fused kernel's backward pass is five times slower on a CPU.
        share = ((q * q.shape[-1] ** -0.5) @ k.transpose(2, 3)).softmax(3)
        a = (share @ v).transpose(1, 2).reshape(b, h * w, c)
        t = t + self.out(a)
        t = t + self.mlp(self.norm_mlp(t))
        return t.transpose(1, 2).reshape(b, c, h, w)


class Merge(nn.Module):
    """Top-down step of the pyramid: the coarse map doubled, joined with the skip, mixed."""

    def __init__(self, coarse: int, skip: int, outputs: int) -> None:
        super().__init__()
        self.from_coarse = nn.Conv2d(coarse, outputs, 1)
        self.from_skip = nn.Conv2d(skip, outputs, 1)
        self.mix = unit(outputs, outputs)

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        """(B, C, H, W) and (B, K, 2H, 2W) -> (B, outputs, 2H, 2W)."""
        up = F.interpolate(self.from_coarse(coarse), scale_factor=2.0, mode="nearest")
        return self.mix(up + self.from_skip(skip))
