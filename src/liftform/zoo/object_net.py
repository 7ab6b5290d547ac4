"""The object network: one cropped picture to an implicit surface with colour, depth, normals, camera and symmetry.

References
    Pixel-aligned implicit functions: Saito et al., "PIFu", ICCV 2019.
    Depth first, then shape: Huang et al., "ZeroShape", CVPR 2024.
    Signed distance by a network: Park et al., "DeepSDF", CVPR 2019; Fourier code: Tancik et al., NeurIPS 2020.
    Symmetry as a second view: Xu, Fan, Yi, "Ladybird", ECCV 2020.
    Residual blocks: He et al., 2016. Feature pyramid: Lin et al., 2017. Attention: Vaswani et al., 2017.

Frames. Points are given as ``q`` (B, N, 3): camera axes (+X right, +Y down, +Z forward), centred on the view frame's
origin (see object_frame), in view units. The field is a signed distance in units of FIELD_SCALE, negative inside,
clamped to [-1, 1] in training. Nothing here knows about files, training or the rest of the package.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: View units of signed distance in one unit of the field.
FIELD_SCALE = 0.08
#: Width of the crop in view units at the origin (object_frame.FRAME_WIDTH).
FRAME_WIDTH = 1.2


class Encoding(NamedTuple):
    """What the picture says, once; every point query reads it.

    features (B, 64, S/4, S/4); code (B, 192) of the whole picture;
    depth (B, 1, S/2, S/2) of the visible surface relative to the origin, view units; normals (B, 3, S/2, S/2) in the
    camera frame; camera (B, 2): elevation (radians) and log tan(yfov / 2); mirror (B, 4): cos and sin of twice the
    angle of the symmetry plane's normal about +Y from +X, the plane's offset along that normal, and a logit of trust.
    """

    features: Tensor
    code: Tensor
    depth: Tensor
    normals: Tensor
    camera: Tensor
    mirror: Tensor


class ObjectNet(nn.Module):
    """Convolutional encoder-decoder with a field over features read at a point and at its mirror image."""

    def __init__(self, widths: tuple[int, int, int, int] = (32, 64, 128, 192), field_width: int = 160) -> None:
        super().__init__()
        w2, w4, w8, w16 = widths
        self.stage2 = unit(4, w2, stride=2)
        self.stage4 = nn.Sequential(unit(w2, w4, stride=2), Residual(w4))
        self.stage8 = nn.Sequential(unit(w4, w8, stride=2), Residual(w8), Residual(w8))
        self.stage16 = nn.Sequential(
            unit(w8, w16, stride=2), Residual(w16), Attention(w16), Residual(w16), Attention(w16)
        )
        self.code = nn.Sequential(nn.Linear(2 * w16, w16), nn.SiLU())
        self.up8 = Merge(w16, w8, 96)
        self.up4 = Merge(96, w4, 64)
        self.up2 = Merge(64, w2, 32)
        self.surface = nn.Conv2d(32, 4, 1)
        self.pose = nn.Sequential(nn.Linear(w16, 96), nn.SiLU(), nn.Linear(96, 6))
        self.field = Field(64, w16, field_width)

    def encode(self, image: Tensor) -> Encoding:
        """image (B, 4, S, S): sRGB in [0, 1] over 0.5 grey, and alpha; S a multiple of 16."""
        x2 = self.stage2(image - 0.5)
        x4 = self.stage4(x2)
        x8 = self.stage8(x4)
        x16 = self.stage16(x8)
        code = self.code(torch.cat([x16.mean((2, 3)), x16.amax((2, 3))], 1))
        features = self.up4(self.up8(x16, x8), x4)
        surface = self.surface(self.up2(features, x2)).float()
        pose = self.pose(code).float()
        return Encoding(
            features,
            code,
            surface[:, :1],
            F.normalize(surface[:, 1:], dim=1),
            torch.cat([pose[:, :1] + 0.26, pose[:, 1:2] - 1.4], 1),
            pose[:, 2:],
        )

    def query(self, encoding: Encoding, alpha: Tensor, q: Tensor, tan_half: Tensor, elevation: Tensor) -> Tensor:
        """Field and colour at points: (B, N, 4) = signed distance (see module), red, green, blue (sRGB logits).

        alpha (B, 1, S, S) of the crop; q (B, N, 3); tan_half (B,) tangent of half the field of view; elevation (B,).
        """
        normal, offset, trust = plane_of(encoding.mirror)
        upright = upright_from_camera(q, elevation)
        reflected = mirrored(upright, normal, offset)
        both = torch.cat([q, camera_from_upright(reflected, elevation)], 1)
        seen, again = self._look(encoding, alpha, both, tan_half).chunk(2, 1)
        extra = [fourier(upright, 5), fourier((upright - reflected).norm(dim=2, keepdim=True), 2)]
        extra.append(trust[:, None, None].expand(-1, q.shape[1], 1))
        return self.field(torch.cat([seen, again, *extra], 2), encoding.code)

    def _look(self, encoding: Encoding, alpha: Tensor, q: Tensor, tan_half: Tensor) -> Tensor:
        """Pixel-aligned evidence for points: features, alpha, and where the point lies against the visible surface."""
        distance = 0.5 * FRAME_WIDTH / tan_half[:, None]
        pixel = q[..., :2] / ((q[..., 2] + distance).clamp_min(0.05) * tan_half[:, None])[..., None]
        grid = pixel[:, :, None]
        behind = q[..., 2:] - sample(encoding.depth, grid)
        near = [behind, torch.tanh(behind * 4), torch.tanh(behind * 16), sample(alpha, grid)]
        return torch.cat([sample(encoding.features, grid), *near], 2)


def sample(feature: Tensor, grid: Tensor) -> Tensor:
    """Bilinear look-up (B, C, H, W) at grid (B, N, 1, 2) in [-1, 1] -> (B, N, C); the border is repeated."""
    found = F.grid_sample(feature.float(), grid.float(), "bilinear", "border", align_corners=False)
    return found[..., 0].transpose(1, 2)


def upright_from_camera(q: Tensor, elevation: Tensor) -> Tensor:
    """Camera-aligned centred points (B, N, 3) to the view frame: gravity up, camera at azimuth 0."""
    s, c = torch.sin(elevation)[:, None], torch.cos(elevation)[:, None]
    x, y, z = q.unbind(2)
    return torch.stack([x, -c * y - s * z, s * y - c * z], 2)


def camera_from_upright(p: Tensor, elevation: Tensor) -> Tensor:
    """Inverse of ``upright_from_camera``."""
    s, c = torch.sin(elevation)[:, None], torch.cos(elevation)[:, None]
    x, y, z = p.unbind(2)
    return torch.stack([x, -c * y + s * z, -s * y - c * z], 2)


def plane_of(mirror: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Unit normal (B, 3), offset (B,) and trust in [0, 1] (B,) of the vertical symmetry plane; all detached."""
    mirror = mirror.detach()
    angle = 0.5 * torch.atan2(mirror[:, 1], mirror[:, 0])
    normal = torch.stack([torch.cos(angle), torch.zeros_like(angle), torch.sin(angle)], 1)
    return normal, mirror[:, 2], torch.sigmoid(mirror[:, 3])


def mirrored(p: Tensor, normal: Tensor, offset: Tensor) -> Tensor:
    """Points (B, N, 3) reflected in the planes normal . p = offset."""
    height = (p * normal[:, None]).sum(2, keepdim=True) - offset[:, None, None]
    return p - 2 * height * normal[:, None]


def fourier(x: Tensor, octaves: int) -> Tensor:
    """x and the sines and cosines of pi 2^k x, k < octaves: (..., C) -> (..., C (1 + 2 octaves))."""
    parts = [x]
    for k in range(octaves):
        parts += [torch.sin(torch.pi * 2**k * x), torch.cos(torch.pi * 2**k * x)]
    return torch.cat(parts, -1)


class Field(nn.Module):
    """Evidence of a point and the picture's code to signed distance and colour."""

    def __init__(self, features: int, code: int, width: int, depth: int = 3) -> None:
        super().__init__()
        inputs = 2 * (features + 4) + 3 * 11 + 1 * 5 + 1
        self.enter = nn.Linear(inputs, width)
        self.tune = nn.Linear(code, width * (depth + 1))
        self.blocks = nn.ModuleList(
            nn.ModuleList([nn.Linear(width, width), nn.Linear(width, width)]) for _ in range(depth)
        )
        self.leave = nn.Linear(width, 4)
        # Blocks start as identities and the code starts unheard: the field learns several times faster so.
        for start in (self.tune, *(list(block.children())[1] for block in self.blocks)):
            for parameter in start.parameters():
                nn.init.zeros_(parameter)

    def forward(self, evidence: Tensor, code: Tensor) -> Tensor:
        """evidence (B, N, E), code (B, C) -> (B, N, 4) float32."""
        bias = self.tune(code)[:, None].chunk(len(self.blocks) + 1, 2)
        x = self.enter(evidence) + bias[0]
        for block, b in zip(self.blocks, bias[1:], strict=True):
            first, second = block.children()
            x = x + second(F.relu(first(F.relu(x)) + b))
        return self.leave(F.relu(x)).float()


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
    """Pre-norm self-attention over all cells, then a gated-free MLP; positions come from the convolutions around it."""

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
