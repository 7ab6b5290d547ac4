"""Depth Anything V2: a picture to inverse depth, up to a factor and a shift.

References: Yang et al., "Depth Anything V2" (arXiv 2406.09414); the head of Ranftl et al., "Vision Transformers for
Dense Prediction" (DPT, arXiv 2103.13413), on DINOv2 (``dinov2.py``). Parameters carry the names under which
transformers publishes it (depth-anything/Depth-Anything-V2-Small-hf, Apache-2.0). Written anew; equality with
transformers is tested where that is installed.

    pixels (B, 3, H, W) -> tokens after 4 of the encoder's blocks -> maps at 4, 2, 1 and 1/2 times the patches' grid
        -> fused from coarse to fine, doubling each time -> inverse depth (B, H, W), >= 0
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import WeightsError
from .dinov2 import Dinov2, Dinov2Config


@dataclass(frozen=True)
class DepthAnythingConfig:
    """config.json as transformers writes it; the defaults are those of the small network.

    out_indices: number of blocks after which tokens are taken; reassemble_factors: by how much each is enlarged.
    """

    backbone: Dinov2Config = field(
        default_factory=lambda: Dinov2Config(hidden_size=384, num_hidden_layers=12, num_attention_heads=6)
    )
    out_indices: tuple[int, ...] = (3, 6, 9, 12)
    neck_hidden_sizes: tuple[int, ...] = (48, 96, 192, 384)
    reassemble_factors: tuple[float, ...] = (4, 2, 1, 0.5)
    fusion_hidden_size: int = 64
    head_hidden_size: int = 32

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> DepthAnythingConfig:
        """From a published table; raises WeightsError for metric variants and other encoders."""
        inner = table.get("backbone_config", {})
        if table.get("depth_estimation_type", "relative") != "relative":
            raise WeightsError("this Depth Anything gives metres, another architecture", "use a relative one")
        if inner.get("model_type", "dinov2") != "dinov2":
            raise WeightsError(f"Depth Anything on {inner['model_type']!r} is another architecture", "use a V2 network")
        own: dict[str, Any] = {key: table[key] for key in ("fusion_hidden_size", "head_hidden_size") if key in table}
        own |= {key: tuple(table[key]) for key in ("neck_hidden_sizes", "reassemble_factors") if key in table}
        if inner.get("out_indices"):
            own["out_indices"] = tuple(inner["out_indices"])
        return cls(Dinov2Config.of(inner), **own)


class Reassemble(nn.Module):
    """Tokens of one stage as a map, projected, then enlarged or shrunk by its factor."""

    def __init__(self, dim: int, channels: int, factor: float) -> None:
        super().__init__()
        self.projection = nn.Conv2d(dim, channels, 1)
        self.resize: nn.Module = nn.Identity()
        if factor > 1:
            self.resize = nn.ConvTranspose2d(channels, channels, int(factor), int(factor))
        elif factor < 1:
            self.resize = nn.Conv2d(channels, channels, 3, int(1 / factor), padding=1)

    def forward(self, tokens: Tensor, h: int, w: int) -> Tensor:
        """(B, 1 + h w, D) -> (B, C, factor h, factor w)."""
        square = tokens[:, 1:].transpose(1, 2).unflatten(2, (h, w))
        out: Tensor = self.resize(self.projection(square))
        return out


class Residual(nn.Module):
    """Two 3 x 3 convolutions, each after a ReLU, added to what came in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.convolution2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same."""
        out: Tensor = self.convolution2(F.relu(self.convolution1(F.relu(x))))
        return out + x


class Fusion(nn.Module):
    """A finer stage added to what the coarser ones gave, then enlarged."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(channels, channels, 1)
        self.residual_layer1 = Residual(channels)
        self.residual_layer2 = Residual(channels)

    def forward(self, x: Tensor, finer: Tensor | None, size: tuple[int, int]) -> Tensor:
        """(B, C, h, w), and a finer stage of that size -> (B, C, *size)."""
        if finer is not None:
            x = x + self.residual_layer1(finer)
        large = F.interpolate(self.residual_layer2(x), size=size, mode="bilinear", align_corners=True)
        out: Tensor = self.projection(large)
        return out


class Neck(nn.Module):
    """Four stages of tokens to one map at eight times the patches' grid."""

    def __init__(self, config: DepthAnythingConfig) -> None:
        super().__init__()
        dim, wide = config.backbone.hidden_size, config.fusion_hidden_size
        sizes = list(zip(config.neck_hidden_sizes, config.reassemble_factors, strict=True))
        self.reassemble_stage = nn.ModuleDict({"layers": nn.ModuleList(Reassemble(dim, c, f) for c, f in sizes)})
        self.convs = nn.ModuleList(nn.Conv2d(c, wide, 3, padding=1, bias=False) for c, _ in sizes)
        self.fusion_stage = nn.ModuleDict({"layers": nn.ModuleList(Fusion(wide) for _ in sizes)})

    def forward(self, stages: list[Tensor], h: int, w: int) -> Tensor:
        """Tokens (B, 1 + h w, D) of each stage, fine first -> (B, C, H', W')."""
        layers: nn.ModuleList = self.reassemble_stage["layers"]  # type: ignore[assignment]
        maps = [conv(layer(x, h, w)) for conv, layer, x in zip(self.convs, layers, stages, strict=True)]
        maps.reverse()
        fusions: nn.ModuleList = self.fusion_stage["layers"]  # type: ignore[assignment]
        x = maps[0]
        for i, fuse in enumerate(fusions):
            last = i == len(maps) - 1
            size = (2 * x.shape[2], 2 * x.shape[3]) if last else maps[i + 1].shape[2:]
            x = fuse(x, maps[i] if i else None, size)
        return x


class Head(nn.Module):
    """A map to inverse depth at the picture's size."""

    def __init__(self, config: DepthAnythingConfig) -> None:
        super().__init__()
        wide, narrow = config.fusion_hidden_size, config.head_hidden_size
        self.conv1 = nn.Conv2d(wide, wide // 2, 3, padding=1)
        self.conv2 = nn.Conv2d(wide // 2, narrow, 3, padding=1)
        self.conv3 = nn.Conv2d(narrow, 1, 1)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, C, H', W') -> (B, *size), >= 0."""
        large = F.interpolate(self.conv1(x), size=size, mode="bilinear", align_corners=True)
        return F.relu(self.conv3(F.relu(self.conv2(large)))).squeeze(1)


class DepthAnything(nn.Module):
    """The whole network."""

    def __init__(self, config: DepthAnythingConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = Dinov2(config.backbone)
        self.neck = Neck(config)
        self.head = Head(config)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised pixels (B, 3, H, W), sides multiples of the patch -> inverse depth (B, H, W), >= 0, affine."""
        patch = self.config.backbone.patch_size
        h, w = pixels.shape[2] // patch, pixels.shape[3] // patch
        stages = self.backbone.stages(pixels, self.config.out_indices)
        out: Tensor = self.head(self.neck(stages, h, w), (h * patch, w * patch))
        return out


def built(table: Mapping[str, Any]) -> DepthAnything:
    """The network of a published configuration on the meta device, to take its weights."""
    with torch.device("meta"):
        return DepthAnything(DepthAnythingConfig.of(table))
