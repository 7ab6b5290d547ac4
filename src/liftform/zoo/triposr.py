"""TripoSR: one picture of an object to a triplane, and the triplane to density and colour anywhere in a box.

References: Tochilkin et al., "TripoSR: Fast 3D Object Reconstruction from a Single Image" (arXiv 2403.02151), after
Hong et al., "LRM" (arXiv 2311.04400); image tokens by DINO, Caron et al. (arXiv 2104.14294); triplanes, Chan et al.
(arXiv 2112.07945); gated feed-forward, Shazeer (arXiv 2002.05202). Written anew against the published weights
(stabilityai/TripoSR, MIT): parameters carry their names, and every size comes from their config.yaml.

    image (B, S, S, 3) -> ImageTokenizer -> image tokens (B, T, 768)
    learned triplane (3, 1024, 32, 32) as tokens (B, 3072, 1024) -> Backbone, looking at the image tokens
        -> planes (B, 3, 1024, 32, 32) -> upsampled (B, 3, 40, 64, 64)
    Field: points (N, 3) -> 3 x 40 features off the planes -> MLP -> density and colour

Space: right-handed, +Z up, a box of half-side ``radius``; the picture was taken from +X (azimuth 0), where right is +Y.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import WeightsError

#: ImageNet's mean and standard deviation, which the image tokenizer was trained with.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: Level of the activated density at which the published pipeline cuts the surface.
ISO = 25.0
#: Points per call of the field's MLP on a CPU: what it writes stays in a core's cache.
CHUNK = 2048
#: The two coordinates that each plane spans: column, row.
_SPANS = ([0, 0, 1], [1, 2, 2])

_ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "exp": torch.exp,
    "sigmoid": torch.sigmoid,
    "softplus": F.softplus,
}
#: What gives a level of the activated density.
_INVERSES: Mapping[str, Callable[[float], float]] = {
    "exp": math.log,
    "softplus": lambda y: math.log(math.expm1(y)),
}


@dataclass(frozen=True)
class VitConfig:
    """config.json of the image tokenizer; the defaults are those of facebook/dino-vitb16."""

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    image_size: int = 224
    patch_size: int = 16
    layer_norm_eps: float = 1e-12
    qkv_bias: bool = True


@dataclass(frozen=True)
class Config:
    """Sizes of the whole network; the defaults are those of the published config.yaml. Names in it: see ``_NAMES``."""

    image_size: int = 512
    plane_size: int = 32
    width: int = 1024
    heads: int = 16
    head_size: int = 64
    layers: int = 16
    image_width: int = 768
    groups: int = 32
    attention_bias: bool = False
    features: int = 40
    neurons: int = 64
    hidden_layers: int = 9
    mlp_bias: bool = True
    activation: str = "silu"
    radius: float = 0.87
    reduction: str = "concat"
    density_activation: str = "exp"
    density_bias: float = -1.0
    color_activation: str = "sigmoid"
    samples: int = 128
    vit: VitConfig = VitConfig()

    @classmethod
    def from_tables(cls, tables: Mapping[str, Any], vit: Mapping[str, Any] | None = None) -> Config:
        """From config.yaml as nested tables, and the image tokenizer's config.json (default: the published one).

        Raises WeightsError for a layout that this network does not have.
        """
        values: dict[str, Any] = {}
        for section, table in _resolved(tables).items():
            for key, value in table.items() if isinstance(table, Mapping) else [("", table)]:
                path = f"{section}.{key}".rstrip(".")
                if path in _NAMES:
                    values[_NAMES[path]] = value
                elif value != _FIXED.get(path, value):
                    raise WeightsError(f"this configuration is not of TripoSR: {path} is {value!r}", "check the file")
        values["vit"] = VitConfig(**{f.name: vit[f.name] for f in fields(VitConfig) if vit and f.name in vit})
        config = cls(**values)
        config._check()
        return config

    def _check(self) -> None:
        """Raise WeightsError for what this network does not know, or sizes that do not fit each other."""
        faults = {
            f"feature_reduction {self.reduction!r}": self.reduction not in ("concat", "mean"),
            f"activation {self.activation!r}": self.activation not in ("silu", "relu"),
            f"density_activation {self.density_activation!r}": self.density_activation not in _INVERSES,
            f"color_activation {self.color_activation!r}": self.color_activation not in _ACTIVATIONS,
            "cross_attention_dim is not the image tokenizer's width": self.image_width != self.vit.hidden_size,
            "in_channels cannot be split into groups": self.width % self.groups != 0,
        }
        for what, fault in faults.items():
            if fault:
                raise WeightsError(f"this configuration is not of TripoSR: {what}", "check the file")


#: Path in config.yaml -> field of Config; the same number may stand under several paths.
_NAMES = {
    "cond_image_size": "image_size",
    "tokenizer.plane_size": "plane_size",
    "tokenizer.num_channels": "width",
    "backbone.in_channels": "width",
    "backbone.num_attention_heads": "heads",
    "backbone.attention_head_dim": "head_size",
    "backbone.num_layers": "layers",
    "backbone.cross_attention_dim": "image_width",
    "backbone.norm_num_groups": "groups",
    "backbone.attention_bias": "attention_bias",
    "post_processor.in_channels": "width",
    "post_processor.out_channels": "features",
    "decoder.n_neurons": "neurons",
    "decoder.n_hidden_layers": "hidden_layers",
    "decoder.bias": "mlp_bias",
    "decoder.activation": "activation",
    "renderer.radius": "radius",
    "renderer.feature_reduction": "reduction",
    "renderer.density_activation": "density_activation",
    "renderer.density_bias": "density_bias",
    "renderer.color_activation": "color_activation",
    "renderer.num_samples_per_ray": "samples",
}
#: What the original can be told to do, and no published weights do.
_FIXED = {
    "backbone_cls": "tsr.models.transformer.transformer_1d.Transformer1D",
    "backbone.activation_fn": "geglu",
    "backbone.only_cross_attention": False,
    "backbone.double_self_attention": False,
}


def _resolved(tables: Mapping[str, Any]) -> dict[str, Any]:
    """The tables with values such as ``${tokenizer.num_channels}`` replaced by what they point at."""

    def value(found: Any) -> Any:
        path = re.fullmatch(r"\$\{([\w.]+)\}", found) if isinstance(found, str) else None
        if path:
            found = tables
            for word in path[1].split("."):
                if not isinstance(found, Mapping) or word not in found:
                    raise WeightsError(f"this configuration is not of TripoSR: nothing at {path[1]}", "check the file")
                found = found[word]
        return {key: value(v) for key, v in found.items()} if isinstance(found, Mapping) else found

    return {key: value(v) for key, v in tables.items()}


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict with the image tokenizer's parameters as TripoSR published them; transformers 5 calls them anew."""
    return {_published(name): value for name, value in state.items()}


def _published(name: str) -> str:
    match = re.fullmatch(r"(image_tokenizer\.model\.)(?:encoder\.)?layers?\.(\d+)\.(.*)\.(weight|bias)", name)
    if not match:
        return name
    return f"{match[1]}encoder.layer.{match[2]}.{_NEWER.get(match[3], match[3])}.{match[4]}"


_NEWER = {
    "attention.q_proj": "attention.attention.query",
    "attention.k_proj": "attention.attention.key",
    "attention.v_proj": "attention.attention.value",
    "attention.o_proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}


def _through(layer: nn.Module, x: Tensor) -> Tensor:
    """A linear layer in its own precision; what runs between layers, sums and norms, stays in float32."""
    return layer(x.to(layer.weight.dtype))  # type: ignore[arg-type]


def _attend(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Attention of q (B, N, H*D) over k and v (B, M, H*D), head by head -> (B, N, H*D)."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    plain = q.dtype == torch.bfloat16 and q.device.type == "cpu"
    return (_written_out(q, k, v) if plain else F.scaled_dot_product_attention(q, k, v)).transpose(1, 2).flatten(2)


def _written_out(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of q (B, H, N, D) over k and v (B, H, M, D), scores and all, some rows of a head at a time.

    On a CPU torch's fused kernel turns bfloat16 into float32; two plain products take about 0.6 of its time.
    """
    k, out = (k * q.shape[-1] ** -0.5).mT, torch.empty_like(q)
    for i, j, row in itertools.product(range(q.shape[0]), range(q.shape[1]), range(0, q.shape[2], 256)):
        rows = i, j, slice(row, row + 256)
        out[rows] = torch.softmax(q[rows] @ k[i, j], -1) @ v[i, j]
    return out


class VitLayer(nn.Module):
    """One layer of the image tokenizer: (B, T, C) -> (B, T, C)."""

    def __init__(self, c: VitConfig) -> None:
        super().__init__()
        wide, bias = c.hidden_size, c.qkv_bias
        inner = nn.ModuleDict({name: nn.Linear(wide, wide, bias) for name in ("query", "key", "value")})
        self.attention = nn.ModuleDict({"attention": inner, "output": _dense(wide, wide)})
        self.intermediate = _dense(wide, c.intermediate_size)
        self.output = _dense(c.intermediate_size, wide)
        self.layernorm_before = nn.LayerNorm(wide, c.layer_norm_eps)
        self.layernorm_after = nn.LayerNorm(wide, c.layer_norm_eps)
        self.heads = c.num_attention_heads

    def forward(self, x: Tensor) -> Tensor:
        """Attention, then MLP, each on the normed input and added to it."""
        normed = self.layernorm_before(x)
        q, k, v = (_through(self.attention["attention"][name], normed) for name in ("query", "key", "value"))  # type: ignore[index]
        x = x + _through(self.attention["output"]["dense"], _attend(q, k, v, self.heads))  # type: ignore[index]
        inner = F.gelu(_through(self.intermediate["dense"], self.layernorm_after(x)))
        return x + _through(self.output["dense"], inner)


def _dense(inward: int, outward: int) -> nn.ModuleDict:
    """A linear layer under the name that transformers 4 gave it."""
    return nn.ModuleDict({"dense": nn.Linear(inward, outward)})


class Embeddings(nn.Module):
    """Patches of an image (B, 3, S, S) -> tokens (B, 1 + (S/P)^2, C), a class token first, with their positions."""

    def __init__(self, c: VitConfig) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.empty(1, 1, c.hidden_size))
        self.position_embeddings = nn.Parameter(torch.empty(1, 1 + (c.image_size // c.patch_size) ** 2, c.hidden_size))
        patches = nn.Conv2d(3, c.hidden_size, c.patch_size, c.patch_size)
        self.patch_embeddings = nn.ModuleDict({"projection": patches})

    def forward(self, image: Tensor) -> Tensor:
        """Tokens row by row."""
        grid = self.patch_embeddings["projection"](image)
        tokens = torch.cat([self.cls_token.expand(len(image), -1, -1), grid.flatten(2).mT], 1)
        return tokens + self._positions(grid.shape[-1])

    def _positions(self, side: int) -> Tensor:
        """Position embeddings (1, 1 + side^2, C), bicubic.

        The scale is (side + 0.1) / n, as transformers before version 5 computed it, so samples lie a little off those
        of a plain resize; the published weights were trained that way.
        """
        known = self.position_embeddings[:, 1:]
        n = math.isqrt(known.shape[1])
        if side == n:
            return self.position_embeddings
        square = known.unflatten(1, (n, n)).permute(0, 3, 1, 2)
        resized = F.interpolate(square, scale_factor=((side + 0.1) / n,) * 2, mode="bicubic", align_corners=False)
        return torch.cat([self.position_embeddings[:, :1], resized.flatten(2).mT], 1)


class Vit(nn.Module):
    """Vision transformer: image (B, 3, S, S), normalised -> all tokens (B, 1 + (S/P)^2, C)."""

    def __init__(self, c: VitConfig) -> None:
        super().__init__()
        self.embeddings = Embeddings(c)
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(VitLayer(c) for _ in range(c.num_hidden_layers))})
        self.layernorm = nn.LayerNorm(c.hidden_size, c.layer_norm_eps)
        self.pooler = _dense(c.hidden_size, c.hidden_size)  # in the checkpoint, and never used

    def forward(self, image: Tensor) -> Tensor:
        """Tokens after the last norm."""
        x = self.embeddings(image)
        for layer in self.encoder["layer"]:  # type: ignore[attr-defined]
            x = layer(x)
        return self.layernorm(x)


class ImageTokenizer(nn.Module):
    """Image (B, S, S, 3), sRGB in [0, 1] -> tokens (B, T, C)."""

    def __init__(self, c: VitConfig) -> None:
        super().__init__()
        self.model = Vit(c)

    def forward(self, image: Tensor) -> Tensor:
        """The class token too."""
        return self.model(((image - image.new_tensor(MEAN)) / image.new_tensor(STD)).permute(0, 3, 1, 2))


class Attention(nn.Module):
    """x (B, N, C) looks at context (B, M, D) -> (B, N, C)."""

    def __init__(self, width: int, context_width: int, c: Config) -> None:
        super().__init__()
        inner = c.heads * c.head_size
        self.to_q = nn.Linear(width, inner, c.attention_bias)
        self.to_k = nn.Linear(context_width, inner, c.attention_bias)
        self.to_v = nn.Linear(context_width, inner, c.attention_bias)
        self.to_out = nn.ModuleList([nn.Linear(inner, width)])
        self.heads = c.heads

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Scaled dot-product attention over all heads."""
        q, k, v = _through(self.to_q, x), _through(self.to_k, context), _through(self.to_v, context)
        return _through(self.to_out[0], _attend(q, k, v, self.heads))


class FeedForward(nn.Module):
    """Gated feed-forward (GEGLU): (B, N, C) -> (B, N, C)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        gate = nn.ModuleDict({"proj": nn.Linear(width, 8 * width)})
        self.net = nn.ModuleList([gate, nn.Identity(), nn.Linear(4 * width, width)])

    def forward(self, x: Tensor) -> Tensor:
        """Half of the first layer's outputs, times the GELU of the other half; on a CPU some tokens at a time."""
        parts = x.split(512 if x.device.type == "cpu" else x.shape[1], 1)
        halves = (_through(self.net[0]["proj"], part).chunk(2, -1) for part in parts)  # type: ignore[index]
        return torch.cat([self.net[2](value * F.gelu(gate)) for value, gate in halves], 1)


class Block(nn.Module):
    """Self-attention, a look at the image tokens, feed-forward; each on the normed input and added to it."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        width = c.heads * c.head_size
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn1 = Attention(width, width, c)
        self.attn2 = Attention(width, c.image_width, c)
        self.ff = FeedForward(width)

    def forward(self, x: Tensor, image_tokens: Tensor) -> Tensor:
        """x (B, N, C), image_tokens (B, T, D) -> (B, N, C)."""
        normed = self.norm1(x)
        x = x + self.attn1(normed, normed)
        x = x + self.attn2(self.norm2(x), image_tokens)
        return x + self.ff(self.norm3(x))


class Backbone(nn.Module):
    """The triplane's tokens (B, C, N), refined by what the image tokens (B, T, D) say -> (B, C, N)."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        inner = c.heads * c.head_size
        self.norm = nn.GroupNorm(c.groups, c.width, eps=1e-6)
        self.proj_in = nn.Linear(c.width, inner)
        self.transformer_blocks = nn.ModuleList(Block(c) for _ in range(c.layers))
        self.proj_out = nn.Linear(inner, c.width)

    def forward(self, tokens: Tensor, image_tokens: Tensor, progress: Callable[[float], None]) -> Tensor:
        """A residual around all of it; progress receives the share of blocks done."""
        x = self.proj_in(self.norm(tokens).mT)
        for i, block in enumerate(self.transformer_blocks):
            x = block(x, image_tokens)
            progress((i + 1) / len(self.transformer_blocks))
        return tokens + self.proj_out(x).mT


class TripoSR(nn.Module):
    """The whole network. ``forward`` gives planes; ``field`` reads them."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = c = config
        self.image_tokenizer = ImageTokenizer(c.vit)
        start = torch.empty(3, c.width, c.plane_size, c.plane_size)  # the learned triplane of which objects are made
        self.tokenizer = nn.ParameterDict({"embeddings": start})
        self.backbone = Backbone(c)
        self.post_processor = nn.ModuleDict({"upsample": nn.ConvTranspose2d(c.width, c.features, 2, 2)})
        sizes = [c.features * (3 if c.reduction == "concat" else 1), *[c.neurons] * c.hidden_layers, 4]
        layers = [m for i, o in itertools.pairwise(sizes) for m in (nn.Linear(i, o, c.mlp_bias), nn.Identity())]
        self.decoder = nn.ModuleDict({"layers": nn.Sequential(*layers[:-1])})  # activations have a number there too

    def forward(self, image: Tensor, progress: Callable[[float], None] = lambda share: None) -> Tensor:
        """image (B, S, S, 3), sRGB in [0, 1] on 0.5 grey, of ``config.image_size`` -> planes (B, 3, F, 2P, 2P)."""
        return self.planes(self.image_tokenizer(image), progress)

    def planes(self, image_tokens: Tensor, progress: Callable[[float], None] = lambda share: None) -> Tensor:
        """image_tokens (B, T, D) -> planes (B, 3, F, 2P, 2P), float32."""
        start = self.tokenizer["embeddings"]
        tokens = start.transpose(0, 1).flatten(1).expand(len(image_tokens), -1, -1)
        tokens = self.backbone(tokens, image_tokens, progress)
        batch = tokens.unflatten(2, (3, *start.shape[2:])).transpose(1, 2)
        return self.post_processor["upsample"](batch.flatten(0, 1)).unflatten(0, (-1, 3))

    def halved(self, dtype: torch.dtype) -> TripoSR:
        """The same network, the linear layers inside its transformers computed in ``dtype``.

        Norms, sums, what leads in and out of the backbone, and the field stay in float32: they take little time, and
        the planes' largest error falls to half.
        """
        for part in (self.image_tokenizer.model.encoder, self.backbone.transformer_blocks):
            for module in part.modules():
                if isinstance(module, nn.Linear):
                    module.to(dtype)
        return self

    def field(self, planes: Tensor) -> Field:
        """What planes (3, F, H, W) say of space."""
        return Field(self.config, list(self.decoder["layers"])[::2], planes)  # type: ignore[call-overload]


class Field:
    """Density and colour at points, read off one triplane.

    A feature read off a plane is a weighted sum of its four nearest cells, and the MLP's first layer is linear: so it
    is applied to the cells once, and a point's first hidden layer is one weighted sum of twelve rows of that table.
    """

    def __init__(self, config: Config, layers: list[nn.Linear], planes: Tensor) -> None:
        self.config = config
        self.side = planes.shape[-1]
        first = layers[0].weight
        share = first.unflatten(1, (3, -1)) if config.reduction == "concat" else first[:, None].expand(-1, 3, -1) / 3
        cells = torch.einsum("pfhw,npf->phwn", planes.float(), share)
        self.table = cells.reshape(3 * self.side**2, -1).contiguous()
        self.start = layers[0].bias
        self.rest = [(layer.weight, layer.bias) for layer in layers[1:]]
        self.activate = functools.partial({"silu": F.silu, "relu": F.relu}[config.activation], inplace=True)

    def __call__(self, points: Tensor) -> Tensor:
        """Points (N, 3) of the box -> (N, 4) before activation: density without its bias, and colour."""
        return self._read(points, 4)

    def raw_density(self, points: Tensor) -> Tensor:
        """Points (N, 3) -> what the density's activation is given (N,)."""
        return self._read(points, 1)[:, 0] + self.config.density_bias

    def density(self, points: Tensor) -> Tensor:
        """Points (N, 3) -> activated density (N,)."""
        return _ACTIVATIONS[self.config.density_activation](self.raw_density(points))

    def raw_level(self, density: float) -> float:
        """The value of ``raw_density`` where the activated density is ``density``."""
        return _INVERSES[self.config.density_activation](density)

    def color(self, points: Tensor) -> Tensor:
        """Points (N, 3) -> sRGB (N, 3) in [0, 1]."""
        return _ACTIVATIONS[self.config.color_activation](self(points)[:, 1:])

    def _read(self, points: Tensor, outputs: int) -> Tensor:
        """The first ``outputs`` outputs (N, outputs) of the MLP; rows of the last layer that nobody needs are left."""
        weight, bias = self.rest[-1]
        last = weight[:outputs], None if bias is None else bias[:outputs]
        parts = points.split(CHUNK if points.device.type == "cpu" else 64 * CHUNK)
        return torch.cat([F.linear(self._hidden(part), *last) for part in parts])

    def _hidden(self, points: Tensor) -> Tensor:
        """The last hidden layer (N, neurons), activated."""
        rows, weights = self._cells(points)
        x = F.embedding_bag(rows, self.table, per_sample_weights=weights, mode="sum")
        x = self.activate(x if self.start is None else x.add_(self.start))
        for weight, bias in self.rest[:-1]:
            x = self.activate(F.linear(x, weight, bias))
        return x

    def _cells(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Rows (N, 12) of the table around points (N, 3), and their bilinear weights; beyond the rim weights are 0."""
        at = points.T * (0.5 * self.side / self.config.radius) + (0.5 * self.side - 0.5)
        low = at.floor()
        both = torch.stack([low, low + 1], 1)  # (3, 2, N)
        part = torch.stack([low + 1 - at, at - low], 1) * ((both >= 0) & (both < self.side))
        cell = both.clamp_(0, self.side - 1).to(torch.int32)
        columns, rows = _SPANS
        plane = torch.arange(3, device=points.device, dtype=torch.int32)[:, None, None, None] * self.side**2
        index = plane + cell[rows,][:, :, None] * self.side + cell[columns,][:, None]  # (3, 2, 2, N)
        weight = part[rows,][:, :, None] * part[columns,][:, None]
        return index.flatten(0, 2).T.contiguous(), weight.flatten(0, 2).T.contiguous()


def preprocessed(image: Tensor, size: int) -> Tensor:
    """Image (H, W, 3), sRGB in [0, 1], as the network wants it: (1, size, size, 3), bilinear, averaged where shrunk."""
    planar = image.permute(2, 0, 1)[None]
    return F.interpolate(planar, (size, size), mode="bilinear", align_corners=False, antialias=True).permute(0, 2, 3, 1)
