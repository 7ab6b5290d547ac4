"""MoGe-2: a picture to a map of points, their normals, what is infinitely far, and how many metres a unit is.

References: Wang et al., "MoGe: Unlocking Accurate Monocular Geometry Estimation" (arXiv 2410.19115) and "MoGe-2"
(arXiv 2507.02546). Written anew against the published weights (Ruicheng/moge-2-vits-normal, MIT): parameters carry
their names but for the encoder's, which ``renamed`` gives those of ``dinov2.py``. The file holds its own configuration.

    image (B, 3, H, W) in [0, 1] -> DINOv2 on h x w patches -> maps at 1, 2, 4, 8 and 16 times that grid, each given the
        direction of its pixels -> neck -> heads for points, normals and mask; the class token gives the metric scale

Points: camera frame, OpenCV axes, known up to a shift in z (``focal_and_shift`` finds it) and, before the metric scale,
a factor.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import WeightsError
from .dinov2 import MEAN, STD, Dinov2, Dinov2Config, from_original

#: Maps that the neck works on, each twice the size of the one before.
LEVELS = 5
#: Number of tokens within which it was trained, unless the file says otherwise.
TOKENS = (1200, 3600)
#: Meta's names of the encoders -> width, blocks, heads.
_ENCODERS = {"dinov2_vits14": (384, 12, 6), "dinov2_vitb14": (768, 12, 12), "dinov2_vitl14": (1024, 24, 16)}
#: Where the encoder's positions were interpolated, Meta's code added this to each side.
_OFFSET = 0.1


def directions(height: int, width: int, aspect: float) -> Tensor:
    """(2, H, W): right and down, in halves of the picture's diagonal, of pixel centres of a picture width / height =
    ``aspect``."""
    across, down = aspect / (1 + aspect**2) ** 0.5, 1 / (1 + aspect**2) ** 0.5
    u = torch.linspace(-across * (width - 1) / width, across * (width - 1) / width, width)
    v = torch.linspace(-down * (height - 1) / height, down * (height - 1) / height, height)
    return torch.stack(torch.meshgrid(u, v, indexing="xy"))


def _conv(into: int, out: int, side: int = 3) -> nn.Conv2d:
    return nn.Conv2d(into, out, side, padding=side // 2, padding_mode="replicate")


def _norm(kind: str, channels: int) -> nn.Module:
    """By the names of the published configuration."""
    groups = {"layer_norm": 1, "group_norm": max(1, channels // 32)}
    if kind == "none":
        return nn.Identity()
    if kind == "instance_norm":
        return nn.InstanceNorm2d(channels)
    if kind not in groups:
        raise WeightsError(f"MoGe with the norm {kind!r} is another architecture", "use the published files")
    return nn.GroupNorm(groups[kind], channels)


_ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.2),
    "silu": nn.SiLU,
    "elu": nn.ELU,
}


class Residual(nn.Module):
    """Norm, activation, convolution, twice, added to what came in."""

    def __init__(self, channels: int, hidden: int, first: str, second: str, activation: str) -> None:
        super().__init__()
        act = _ACTIVATIONS[activation]
        self.layers = nn.Sequential(
            *(_norm(first, channels), act(), _conv(channels, hidden)),
            *(_norm(second, hidden), act(), _conv(hidden, channels)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same."""
        return x + self.layers(x)


def resampler(kind: str, into: int, out: int) -> nn.Sequential:
    """Doubles a map: (B, into, H, W) -> (B, out, 2 H, 2 W)."""
    if kind == "pixel_shuffle":
        return nn.Sequential(_conv(into, 4 * out), nn.PixelShuffle(2), _conv(out, out))
    if kind == "conv_transpose":
        return nn.Sequential(nn.ConvTranspose2d(into, out, 2, 2), _conv(out, out))
    if kind in ("nearest", "bilinear"):
        smooth = False if kind == "bilinear" else None
        return nn.Sequential(nn.Upsample(scale_factor=2, mode=kind, align_corners=smooth), _conv(into, out))
    raise WeightsError(f"MoGe with the resampler {kind!r} is another architecture", "use the published files")


@dataclass(frozen=True)
class StackConfig:
    """One ConvStack as in the published configuration; dim_in and dim_out: channels at each level, None for as they
    are; resamplers: a kind for all, or one for each step."""

    dim_in: Sequence[int | None] | int | None
    dim_res_blocks: Sequence[int]
    dim_out: Sequence[int | None] | int | None
    resamplers: Sequence[str] | str
    dim_times_res_block_hidden: int = 1
    num_res_blocks: Sequence[int] | int = 1
    res_block_in_norm: str = "layer_norm"
    res_block_hidden_norm: str = "group_norm"
    activation: str = "relu"


class ConvStack(nn.Module):
    """Maps from coarse to fine: each level adds its input, runs residual blocks, gives an output, and is doubled."""

    def __init__(self, config: StackConfig) -> None:
        super().__init__()
        dims, count = config.dim_res_blocks, len(config.dim_res_blocks)
        into, out = _each(config.dim_in, count), _each(config.dim_out, count)
        blocks, kinds = _each(config.num_res_blocks, count), _each(config.resamplers, count - 1)
        self.input_blocks = nn.ModuleList(
            nn.Identity() if i is None else nn.Conv2d(i, d, 1) for i, d in zip(into, dims, strict=True)
        )
        steps = zip(kinds, dims[:-1], dims[1:], strict=True)
        self.resamplers = nn.ModuleList(resampler(kind, a, b) for kind, a, b in steps)
        norms = (config.res_block_in_norm, config.res_block_hidden_norm, config.activation)
        self.res_blocks = nn.ModuleList(
            nn.Sequential(*(Residual(d, config.dim_times_res_block_hidden * d, *norms) for _ in range(n)))
            for d, n in zip(dims, blocks, strict=True)
        )
        self.output_blocks = nn.ModuleList(
            nn.Identity() if o is None else nn.Conv2d(d, o, 1) for o, d in zip(out, dims, strict=True)
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """A map (B, C, 2^i h, 2^i w) for each level i -> an output of that size each."""
        found: list[Tensor] = []
        x = None
        for i, blocks in enumerate(self.res_blocks):
            given = self.input_blocks[i](maps[i])
            x = blocks(given if x is None else x + given)
            found.append(self.output_blocks[i](x))
            if i < len(self.resamplers):
                x = self.resamplers[i](x)
        return found


def _each(value: Any, count: int) -> list[Any]:
    """A list as it is, anything else ``count`` times."""
    return list(value)[:count] if isinstance(value, list | tuple) else [value] * count


class Encoder(nn.Module):
    """DINOv2, several stages projected and added."""

    def __init__(self, backbone: str, intermediate_layers: int | Sequence[int], dim_out: int) -> None:
        super().__init__()
        if backbone not in _ENCODERS:
            raise WeightsError(f"MoGe on {backbone!r} is another architecture", f"known: {', '.join(_ENCODERS)}")
        dim, blocks, heads = _ENCODERS[backbone]
        self.backbone = Dinov2(Dinov2Config(dim, blocks, heads), _OFFSET)
        # a number: that many of the last blocks; a list: their indices
        last = isinstance(intermediate_layers, int)
        after = range(blocks - intermediate_layers, blocks) if last else intermediate_layers  # type: ignore[operator]
        self.after = [i + 1 for i in after]  # type: ignore[union-attr]
        self.output_projections = nn.ModuleList(nn.Conv2d(dim, dim_out, 1) for _ in self.after)
        self.image_mean: Tensor
        self.image_std: Tensor
        self.register_buffer("image_mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("image_std", torch.tensor(STD).view(1, 3, 1, 1))

    def forward(self, image: Tensor, rows: int, columns: int) -> tuple[Tensor, Tensor]:
        """Image (B, 3, H, W) in [0, 1] -> map (B, C, rows, columns) and class token (B, D)."""
        patch = self.backbone.config.patch_size
        size = (rows * patch, columns * patch)
        small = F.interpolate(image, size, mode="bilinear", align_corners=False, antialias=True)
        stages = self.backbone.stages((small - self.image_mean) / self.image_std, self.after)
        maps = [
            project(tokens[:, 1:].transpose(1, 2).unflatten(2, (rows, columns)))
            for project, tokens in zip(self.output_projections, stages, strict=True)
        ]
        return torch.stack(maps, 1).sum(1), stages[-1][:, 0]


@dataclass(frozen=True)
class Geometry:
    """points (B, H, W, 3) before shift and scale; normals (B, H, W, 3) unit, camera frame, or None; mask (B, H, W):
    probability that something is there; metres (B,): of one unit, or None."""

    points: Tensor
    normals: Tensor | None
    mask: Tensor | None
    metres: Tensor | None


class MoGe(nn.Module):
    """The whole network, from the "model_config" of its file."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        encoder = config["encoder"]
        self.encoder = Encoder(encoder["backbone"], encoder["intermediate_layers"], encoder["dim_out"])
        self.neck = ConvStack(StackConfig(**config["neck"]))
        for head in ("points_head", "mask_head", "normal_head"):
            if config.get(head):
                setattr(self, head, ConvStack(StackConfig(**config[head])))
        if config.get("scale_head"):
            dims = config["scale_head"]["dims"]
            layers: list[nn.Module] = []
            for a, b in itertools.pairwise(dims):
                layers += [nn.Linear(a, b), nn.ReLU()]
            self.scale_head = nn.Sequential(*layers[:-1])
        self.remap = config.get("remap_output", "linear")
        self.tokens = tuple(config.get("num_tokens_range", TOKENS))

    def forward(self, image: Tensor, tokens: int) -> Geometry:
        """Image (B, 3, H, W) in [0, 1], read as about ``tokens`` patches."""
        height, width = image.shape[-2:]
        aspect = width / height
        rows, columns = round((tokens / aspect) ** 0.5), round((tokens * aspect) ** 0.5)
        features, summary = self.encoder(image, rows, columns)
        maps = []
        for level in range(LEVELS):
            where = (
                directions(rows * 2**level, columns * 2**level, aspect).to(image)[None].expand(len(image), -1, -1, -1)
            )
            maps.append(torch.cat([features, where], 1) if level == 0 else where)
        shared = self.neck(maps)
        points, normals, mask = (
            F.interpolate(getattr(self, head)(shared)[-1], (height, width), mode="bilinear", align_corners=False)
            if hasattr(self, head)
            else None
            for head in ("points_head", "normal_head", "mask_head")
        )
        if points is None:
            raise WeightsError("this MoGe gives no points", "use the published files")
        return Geometry(
            remapped(points.permute(0, 2, 3, 1), self.remap),
            None if normals is None else F.normalize(normals.permute(0, 2, 3, 1), dim=-1),
            None if mask is None else mask.squeeze(1).sigmoid(),
            self.scale_head(summary).squeeze(1).exp() if hasattr(self, "scale_head") else None,
        )


def remapped(points: Tensor, kind: str) -> Tensor:
    """What the head says (..., 3) as points."""
    xy, z = points.split([2, 1], -1)
    if kind == "linear":
        return points
    if kind == "sinh":
        return points.sinh()
    if kind == "exp":
        return torch.cat([xy * z.exp(), z.exp()], -1)
    if kind == "sinh_exp":
        return torch.cat([xy.sinh(), z.exp()], -1)
    raise WeightsError(f"MoGe with the output {kind!r} is another architecture", "use the published files")


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A published state with the encoder's parameters under the names used here."""
    inner = "encoder.backbone."
    own = {name: value for name, value in state.items() if not name.startswith(inner)}
    encoder = from_original({name[len(inner) :]: value for name, value in state.items() if name.startswith(inner)})
    return own | {inner + name: value for name, value in encoder.items()}


def focal_and_shift(
    points: NDArray[np.floating], known: NDArray[np.bool_], focal: float | None = None
) -> tuple[float, float]:
    """Focal length, in halves of the picture's diagonal, and shift in z by which points (H, W, 3) lie on the rays of
    their pixels: min |f xy / (z + shift) - uv| over those that are ``known`` (H, W); 64 x 64 of them. A given focal
    length stays."""
    from scipy.optimize import least_squares

    height, width = known.shape
    rows, columns = (np.arange(64) * n // 64 for n in (height, width))
    grid = np.ix_(rows, columns)
    uv = directions(height, width, width / height).numpy().transpose(1, 2, 0)[grid][known[grid]]
    at = points[grid][known[grid]]
    if len(uv) < 2:
        return focal or 1.0, 0.0

    def flat(shift: Any) -> tuple[NDArray[np.floating], float]:
        xy = at[:, :2] / (at[:, 2:] + shift)
        return xy, focal or float((xy * uv).sum() / np.square(xy).sum())

    def error(shift: NDArray[np.floating]) -> NDArray[np.floating]:
        xy, f = flat(shift)
        return (f * xy - uv).ravel()

    shift = float(least_squares(error, x0=0.0, ftol=1e-3, method="lm").x[0])
    return flat(shift)[1], shift
