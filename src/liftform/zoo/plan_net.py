"""The floor-plan network: a small U-Net that says what each pixel of a drawing is, and how large a metre is drawn.

References
    U-Net: Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", 2015.
    Residual blocks: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", 2016.
    Dilation: Yu & Koltun, "Multi-Scale Context Aggregation by Dilated Convolutions", 2016.
    Sub-pixel convolution: Shi et al., "ESPCN", CVPR 2016.

The drawing (B, 1, H, W) is lightness with the paper at 1, H and W multiples of 16, a metre drawn about PX_PER_M pixels
long. The answer (B, 1 + len(CLASSES), H, W): a logit per class, then log2(pixels a metre / PX_PER_M), which holds on
walls and openings. Nothing here knows about files, training or the rest of the package.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

#: What a pixel can be. Openings are the strips where the wall is missing; "swing" is what a door leaf sweeps.
CLASSES = (
    "outside",
    "room",
    "wall",
    "window",
    "door",
    "opening",
    "railing",
    "swing",
    "stairs",
    "fixture",
    "text",
)
#: Pixels that a metre of building is best drawn with.
PX_PER_M = 40.0
#: Channels at strides 2, 4, 8 and 16.
WIDTHS = (24, 40, 64, 72)


class PlanNet(nn.Module):
    """0.6 M parameters; about 12,000 multiply-adds a pixel."""

    def __init__(self, widths: tuple[int, int, int, int] = WIDTHS) -> None:
        super().__init__()
        w2, w4, w8, w16 = widths
        self.stage2 = nn.Sequential(nn.PixelUnshuffle(2), unit(4, w2), unit(w2, w2))
        self.stage4 = nn.Sequential(unit(w2, w4, stride=2), Residual(w4), Residual(w4))
        self.stage8 = nn.Sequential(unit(w4, w8, stride=2), Residual(w8), Residual(w8))
        self.stage16 = nn.Sequential(unit(w8, w16, stride=2), *(Residual(w16, reach) for reach in (1, 2, 4)))
        self.up8, self.up4 = Merge(w16, w8, w8), Merge(w8, w4, w4)
        self.up2 = Merge(w4, w2, w2)
        self.last = nn.Conv2d(w2, 4 * (len(CLASSES) + 1), 1)

    def forward(self, drawing: Tensor) -> Tensor:
        """Logits and scale (B, 1 + len(CLASSES), H, W) of a drawing (B, 1, H, W), paper 1, ink 0."""
        x2 = self.stage2(1 - drawing)
        x4 = self.stage4(x2)
        x8 = self.stage8(x4)
        y8 = self.up8(self.stage16(x8), x8)
        y2 = self.up2(self.up4(y8, x4), x2)
        return F.pixel_shuffle(self.last(y2), 2)


def unit(inside: int, outside: int, stride: int = 1, reach: int = 1) -> nn.Sequential:
    """3 x 3 convolution, batch norm, ReLU; ``reach``: dilation."""
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride, reach, reach, bias=False), nn.BatchNorm2d(outside), nn.ReLU(inplace=True)
    )


class Residual(nn.Module):
    """Two 3 x 3 convolutions around a skip."""

    def __init__(self, width: int, reach: int = 1) -> None:
        super().__init__()
        self.first = unit(width, width, reach=reach)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, 1, reach, reach, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same."""
        return F.relu(x + self.second(self.first(x)))


class Merge(nn.Module):
    """The coarse map doubled, joined with the encoder's finer one, mixed."""

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
