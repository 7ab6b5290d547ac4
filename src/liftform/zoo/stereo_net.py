"""The stereo network: a picture and its neighbours, with known cameras, to depth, coarse to fine, and its error.

References
    Plane sweep through learned descriptors: Yao et al., "MVSNet", ECCV 2018; coarse to fine: Gu et al., "CasMVSNet",
    CVPR 2020. Group-wise correlation: Guo et al., CVPR 2019. Trust in each neighbour, a pixel at a time: Wang et al.,
    "PatchmatchNet", CVPR 2021. Convex upsampling: Teed & Deng, "RAFT", ECCV 2020. Error as a Laplace width: Kendall &
    Gal, NeurIPS 2017.

Volumes are kept as pictures, (B * D, C, h, w), one a hypothesis; a 3 x 3 x 3 convolution is then a plane one over a
slice and its two neighbours, which every runtime does quickly. Nothing here knows about files, training or the rest of
the package. The comparison of descriptors lies outside (``stereo_warp``): it needs cameras, and no weights.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Channels and groups of the descriptors at an eighth, a quarter and half of the picture's size.
CHANNELS, GROUPS = (32, 32, 16), (8, 8, 4)
#: Hypotheses of the second and third stage, whose spacing is a third of the stage's before.
DEPTHS, FINER = (16, 8), 3.0


class Found(NamedTuple):
    """One stage's answer: index (B, h, w), the place among the hypotheses; sure (B, h, w): the probability about it;
    logits (B, D, h, w)."""

    index: Tensor  # type: ignore[assignment]
    sure: Tensor
    logits: Tensor


class StereoNet(nn.Module):
    """All parts; ``train.stereo`` and the ONNX graphs put them together in the same order."""

    def __init__(self) -> None:
        super().__init__()
        self.features = Features()
        self.trust = Trust(GROUPS[0])
        self.coarse = Volume(GROUPS[0] + 1, CHANNELS[0], 16, levels=2)
        self.middle = Volume(GROUPS[1] + 1, CHANNELS[1], 12, levels=1)
        self.fine = Volume(GROUPS[2] + 1, CHANNELS[2], 8, levels=1)
        self.finish = Finish(CHANNELS[2])


def unit(inputs: int, outputs: int, stride: int = 1, size: int = 3) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
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


class Features(nn.Module):
    """Descriptors at an eighth, a quarter and half of the size, by a pyramid."""

    def __init__(self) -> None:
        super().__init__()
        c8, c4, c2 = CHANNELS
        self.stage2 = nn.Sequential(unit(3, 16, 2, 5), unit(16, 16))
        self.stage4 = nn.Sequential(unit(16, 32, 2), Residual(32))
        self.stage8 = nn.Sequential(unit(32, 64, 2), Residual(64))
        self.stage16 = nn.Sequential(unit(64, 80, 2), Residual(80))
        self.from16, self.from8, self.from4, self.from2 = (nn.Conv2d(i, 32, 1) for i in (80, 64, 32, 16))
        self.out8, self.out4, self.out2 = (nn.Conv2d(32, o, 3, 1, 1) for o in (c8, c4, c2))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """image (B, 3, H, W) sRGB in [0, 1], H and W multiples of 16; its own brightness and contrast are removed."""
        mean = image.mean((2, 3), keepdim=True)
        spread = (image - mean).square().mean((1, 2, 3), keepdim=True).sqrt()
        x2 = self.stage2((image - mean) / (spread + 0.05))
        x4 = self.stage4(x2)
        x8 = self.stage8(x4)
        y8 = self.from8(x8) + doubled(self.from16(self.stage16(x8)))
        y4 = self.from4(x4) + doubled(y8)
        y2 = self.from2(x2) + doubled(y4)
        return self.out8(y8), self.out4(y4), self.out2(y2)


def doubled(x: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, C, 2h, 2w), between the pixels linear."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


class Trust(nn.Module):
    """How well one neighbour sees each pixel, from its likeness alone: a good match somewhere along the line."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Conv2d(groups, 16, 1), nn.ReLU(inplace=True), nn.Conv2d(16, 1, 1))

    def forward(self, likeness: Tensor, seen: Tensor) -> Tensor:
        """likeness (N, D, G, h, w), seen (N, D, h, w) in {0, 1} -> (N, h, w) in (0, 1)."""
        n, d, g, h, w = likeness.shape
        score = self.score(likeness.reshape(n * d, g, h, w)).reshape(n, d, h, w)
        score = torch.where(seen > 0, score.float(), torch.full_like(score, -8.0, dtype=torch.float32))
        return score.amax(1).sigmoid() * 0.98 + 0.01


class Slab(nn.Module):
    """A 3 x 3 x 3 convolution of volumes (B * D, C, h, w), with normalisation and ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.mix = unit(3 * inputs, outputs)

    def forward(self, x: Tensor, depths: int) -> Tensor:
        """-> (B * D, outputs, h, w)."""
        return self.mix(with_neighbours(x, depths))


def with_neighbours(x: Tensor, depths: int) -> Tensor:
    """Every slice with the one before and behind it: (B * D, C, h, w) -> (B * D, 3 C, h, w), zero beyond the ends."""
    n, c, h, w = x.shape
    v = x.reshape(-1, depths, c, h, w)
    none = torch.zeros_like(v[:, :1])
    before, behind = torch.cat([none, v[:, :-1]], 1), torch.cat([v[:, 1:], none], 1)
    return torch.cat([before, v, behind], 2).reshape(n, 3 * c, h, w)


class Volume(nn.Module):
    """Regularises one stage's likeness: a small U-net over pixels and hypotheses that also sees the picture."""

    def __init__(self, inputs: int, picture: int, width: int, levels: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3 * inputs, width, 3, 1, 1, bias=False)
        self.context = nn.Conv2d(picture, width, 3, 1, 1, bias=False)  # alike for all slices: added to them
        self.start = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        wide = [width * 2, width * 3][:levels]
        before = [width, *wide[:-1]]
        self.down = nn.ModuleList(unit(2 * i, o, 2) for i, o in zip(before, wide, strict=True))
        self.deep = nn.ModuleList(Slab(o, o) for o in wide)
        self.up = nn.ModuleList(nn.Conv2d(o, i, 1) for i, o in zip(before, wide, strict=True))
        self.join = nn.ModuleList(Slab(i, i) for i in before)
        self.leave = nn.Conv2d(width, 3, 3, 1, 1)

    def forward(self, likeness: Tensor, picture: Tensor, depths: int) -> Found:
        """likeness (B * D, G + 1, h, w), picture (B, C, h, w): the view's own descriptors; D a multiple of 2 per level,
        h and w too."""
        context = self.context(picture)[:, None]
        x = self.enter(with_neighbours(likeness, depths))
        x = self.start((x.reshape(-1, depths, *x.shape[1:]) + context).flatten(0, 1))
        skips, count = [], depths
        for down, deep in zip(self.down, self.deep, strict=True):
            skips.append(x)
            count //= 2
            n, c, h, w = x.shape
            x = deep(down(x.reshape(n // 2, 2 * c, h, w)), count)
        for k in range(len(skips) - 1, -1, -1):
            x = self.up[k](x)[:, None].expand(-1, 2, -1, -1, -1).flatten(0, 1)
            count *= 2
            x = self.join[k](skips[k] + doubled(x), count)
        return peak(self._scores(x, depths))

    def _scores(self, x: Tensor, depths: int) -> Tensor:
        """(B, D, h, w): what every slice, the one before and the one behind it say of a hypothesis."""
        said = self.leave(x).float()
        said = said.reshape(-1, depths, *said.shape[1:])
        none = torch.zeros_like(said[:, :1, 0])
        before, behind = torch.cat([none, said[:, :-1, 0]], 1), torch.cat([said[:, 1:, 2], none], 1)
        return before + said[:, :, 1] + behind


def peak(logits: Tensor, reach: int = 2) -> Found:
    """The best hypothesis, between its neighbours: the mean over ``reach`` on each side. logits (B, D, h, w)."""
    share = logits.softmax(1)
    best = share.argmax(1, keepdim=True)
    places = torch.arange(logits.shape[1], device=logits.device, dtype=share.dtype)[None, :, None, None]
    near = share * ((places - best.to(share.dtype)).abs() <= reach + 0.5).to(share.dtype)
    sure = near.sum(1)
    return Found((near * places).sum(1) / sure.clamp_min(1e-6), sure, logits)


class Finish(nn.Module):
    """A last look at the fine stage's answer beside the picture: a correction, its error, how to double it."""

    def __init__(self, picture: int, width: int = 24) -> None:
        super().__init__()
        self.mix = nn.Sequential(unit(picture + 4, width), Residual(width))
        self.out = nn.Conv2d(width, 2, 3, 1, 1)
        self.blend = nn.Conv2d(width, 36, 1)

    def forward(self, picture: Tensor, place: Tensor, sure: Tensor, coarse_sure: Tensor) -> tuple[Tensor, Tensor]:
        """picture (B, C, h, w); place (B, 1, h, w): inverse depth in steps of the fine stage, from any zero;
        sure, coarse_sure (B, 1, h, w). Returns place (B, 1, 2h, 2w), corrected and doubled, and log of its expected
        absolute error, in steps, the same shape."""
        smooth = F.avg_pool2d(F.pad(place, (3, 3, 3, 3), mode="replicate"), 7, 1)
        relief = (place - smooth) / 4
        features = torch.cat([picture, relief.clamp(-4, 4), relief.abs().clamp(0, 4), sure, coarse_sure], 1)
        x = self.mix(features)
        correction, log_error = self.out(x).float().split(1, 1)
        return self._doubled(place + correction, x), doubled(log_error)

    def _doubled(self, place: Tensor, x: Tensor) -> Tensor:
        """Every pixel in four, each a mean of the 3 x 3 about it."""
        b, _, h, w = place.shape
        share = self.blend(x).float().reshape(b, 9, 4, h, w).softmax(1)
        padded = F.pad(place, (1, 1, 1, 1), mode="replicate")
        around = torch.stack([padded[:, 0, i : i + h, j : j + w] for i in range(3) for j in range(3)], 1)
        return F.pixel_shuffle((share * around[:, :, None]).sum(1), 2)
