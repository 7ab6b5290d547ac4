"""DINOv2: a picture to tokens, the encoder of TripoSG, Depth Anything V2 and MoGe-2.

References: Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision" (arXiv 2304.07193); the
transformer of Dosovitskiy et al., "ViT" (arXiv 2010.11929), with LayerScale, Touvron et al. (arXiv 2103.17239).
Parameters carry the names under which transformers publishes the model (``Dinov2Model``); ``from_original`` renames
those of Meta's own files. Written anew; equality with transformers is tested where that is installed.

    pixels (B, 3, H, W) -> patches of 14 x 14 -> class token and (H / 14)(W / 14) tokens of width D, through L blocks
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import WeightsError

#: Mean and deviation of the pictures it was trained on (ImageNet's), sRGB in [0, 1].
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Dinov2Config:
    """config.json as transformers writes it; the defaults are those of DINOv2-large.

    image_size: side in pixels at which there is one position embedding a patch; others are interpolated.
    """

    hidden_size: int = 1024
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    mlp_ratio: int = 4
    image_size: int = 518
    patch_size: int = 14
    num_channels: int = 3
    layer_norm_eps: float = 1e-6
    qkv_bias: bool = True

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Dinov2Config:
        """From a published table, whose settings of training are passed over; raises WeightsError for other kinds."""
        if table.get("use_swiglu_ffn") or table.get("hidden_act", "gelu") != "gelu":
            raise WeightsError("this DINOv2 has another feed-forward (SwiGLU)", "use one up to the size large")
        return cls(**{key: table[key] for key in cls.__dataclass_fields__ if key in table})


class Embeddings(nn.Module):
    """Patches to tokens, a class token in front, a position added to each."""

    def __init__(self, config: Dinov2Config, offset: float) -> None:
        super().__init__()
        dim, side = config.hidden_size, config.image_size // config.patch_size
        self.offset = offset
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.position_embeddings = nn.Parameter(torch.zeros(1, 1 + side * side, dim))
        self.patch_embeddings = nn.ModuleDict(
            {"projection": nn.Conv2d(config.num_channels, dim, config.patch_size, config.patch_size)}
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W), H and W multiples of the patch -> (B, 1 + h w, D)."""
        patches = self.patch_embeddings["projection"](pixels)  # (B, D, h, w)
        h, w = patches.shape[-2:]
        tokens = torch.cat([self.cls_token.expand(len(pixels), -1, -1), patches.flatten(2).transpose(1, 2)], 1)
        return tokens + self._positions(h, w)

    def _positions(self, h: int, w: int) -> Tensor:
        """(1, 1 + h w, D), resized bicubic, in float32, from the square they were learned on."""
        first, rest = self.position_embeddings[:, :1], self.position_embeddings[:, 1:]
        side = round(rest.shape[1] ** 0.5)
        if (h, w) == (side, side):
            return self.position_embeddings
        square = rest.unflatten(1, (side, side)).permute(0, 3, 1, 2).float()
        if self.offset:  # Meta's own code steps by the inverse of this factor, not by the ratio of the sizes
            factors = ((h + self.offset) / side, (w + self.offset) / side)
            grid = F.interpolate(square, scale_factor=factors, mode="bicubic", recompute_scale_factor=False)
        else:
            grid = F.interpolate(square, size=(h, w), mode="bicubic")
        return torch.cat([first, grid.flatten(2).transpose(1, 2).to(first.dtype)], 1)


class SelfAttention(nn.Module):
    """Multi-head attention; ``attention`` holds the projections in, ``output`` the one out, as published."""

    def __init__(self, dim: int, heads: int, bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.attention = nn.ModuleDict({name: nn.Linear(dim, dim, bias=bias) for name in ("query", "key", "value")})
        self.output = nn.ModuleDict({"dense": nn.Linear(dim, dim)})

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        q, k, v = (
            self.attention[name](x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, N, D / heads)
            for name in ("query", "key", "value")
        )
        out: Tensor = self.output["dense"](F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return out


class LayerScale(nn.Module):
    """A factor per channel."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.lambda1 = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        return x * self.lambda1


class Layer(nn.Module):
    """Pre-norm block: self-attention, then D -> ratio D -> D with an exact GELU, each scaled per channel."""

    def __init__(self, config: Dinov2Config) -> None:
        super().__init__()
        dim, eps = config.hidden_size, config.layer_norm_eps
        inner = int(dim * config.mlp_ratio)
        self.norm1 = nn.LayerNorm(dim, eps)
        self.attention = SelfAttention(dim, config.num_attention_heads, config.qkv_bias)
        self.layer_scale1 = LayerScale(dim)
        self.norm2 = nn.LayerNorm(dim, eps)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(dim, inner), "fc2": nn.Linear(inner, dim)})
        self.layer_scale2 = LayerScale(dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        x = x + self.layer_scale1(self.attention(self.norm1(x)))
        hidden = F.gelu(self.mlp["fc1"](self.norm2(x)))
        return x + self.layer_scale2(self.mlp["fc2"](hidden))


class Dinov2(nn.Module):
    """The encoder. offset: 0.1 for networks trained on Meta's own code, which resizes positions a little differently;
    0 for those trained on transformers'."""

    def __init__(self, config: Dinov2Config, offset: float = 0.0) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config, offset)
        layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.encoder = nn.ModuleDict({"layer": layers})
        self.layernorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised pixels (B, 3, H, W) -> tokens (B, 1 + h w, D), the class token first."""
        return self.stages(pixels, [self.config.num_hidden_layers])[0]

    def stages(self, pixels: Tensor, after: Sequence[int]) -> list[Tensor]:
        """Tokens (B, 1 + h w, D) after each of the given numbers of blocks, all through the last norm."""
        found, x = {}, self.embeddings(pixels)
        layers: nn.ModuleList = self.encoder["layer"]  # type: ignore[assignment]
        for i, layer in enumerate(layers, 1):
            x = layer(x)
            if i in after:
                found[i] = self.layernorm(x)
        return [found[i] for i in after]


def without_training(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A published state without the token that stood for masked patches in training."""
    return {name: value for name, value in state.items() if not name.endswith("mask_token")}


#: Meta's names -> transformers'.
_RENAMED = (
    (r"^cls_token$", "embeddings.cls_token"),
    (r"^pos_embed$", "embeddings.position_embeddings"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
    (r"^norm\.", "layernorm."),
    (r"^blocks\.", "encoder.layer."),
    (r"\.attn\.proj\.", ".attention.output.dense."),
    (r"\.ls([12])\.gamma$", r".layer_scale\1.lambda1"),
)


def from_original(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names of Meta's own files to those used here; query, key and value, one matrix there, are parted."""
    renamed: dict[str, Tensor] = {}
    for given, value in without_training(state).items():
        name = given
        for pattern, new in _RENAMED:
            name = re.sub(pattern, new, name)
        if ".attn.qkv." in name:
            for part, rows in zip(("query", "key", "value"), value.chunk(3), strict=True):
                renamed[name.replace(".attn.qkv.", f".attention.attention.{part}.")] = rows
        else:
            renamed[name] = value
    return renamed
