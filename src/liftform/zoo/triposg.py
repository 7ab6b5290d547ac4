"""TripoSG: a picture's tokens to a shape, by a rectified-flow transformer over latent sets and a decoder to a field.

References: Li et al., "TripoSG: High-Fidelity 3D Shape Synthesis using Large-Scale Rectified Flow Models"
(arXiv 2502.06608); the latent sets of Zhang et al., "3DShape2VecSet" (arXiv 2301.11445); rectified flow, Liu et al.
(arXiv 2209.03003); classifier-free guidance, Ho and Salimans (arXiv 2207.12598); long skips, Bao et al., "U-ViT"
(arXiv 2209.12152). Written anew against the published weights (VAST-AI/TripoSG, MIT): parameters carry their names, and
every size comes from the configurations in their folders. Image tokens come from ``dinov2.py``.

    image tokens (B, T, 1024) -+
    noise (B, 2048, 64) -------+-> FlowTransformer, once or twice a step -> latents (B, 2048, 64)
    latents, points (B, N, 3) ---> ShapeDecoder -> field (B, N, 1), positive inside, in the box of +-1.005

Space: +Y up, the object's front to +Z.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import WeightsError

C = TypeVar("C")

#: Half the side of the box in which the field means anything.
BOUND = 1.005
#: What the weights were published with: tokens of a shape.
TOKENS = 2048


@dataclass(frozen=True)
class FlowConfig:
    """transformer/config.json; the defaults are those of the published weights."""

    num_attention_heads: int = 16
    width: int = 2048
    in_channels: int = 64
    num_layers: int = 21
    cross_attention_dim: int = 1024


@dataclass(frozen=True)
class VaeConfig:
    """vae/config.json. in_channels: of a position; embed_frequency: octaves of its embedding."""

    in_channels: int = 3
    latent_channels: int = 64
    num_attention_heads: int = 8
    width_encoder: int = 512
    width_decoder: int = 1024
    num_layers_encoder: int = 8
    num_layers_decoder: int = 16
    embed_frequency: int = 8


@dataclass(frozen=True)
class SchedulerConfig:
    """scheduler/scheduler_config.json. shift > 1 spends more of the steps where there is much noise."""

    num_train_timesteps: int = 1000
    shift: float = 1.0


#: Keys of the published configurations that this file follows at these values only.
_FIXED: dict[str, Any] = {
    "use_cross_attention_2": False,
    "cross_attention_2_dim": None,
    "embedding_type": "frequency",
    "embed_include_pi": False,
    "use_dynamic_shifting": False,
}


def configured(kind: type[C], table: Mapping[str, Any]) -> C:
    """One of the configurations above from a published table; raises WeightsError for what this file cannot follow."""
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    for key, value in table.items():
        if key not in known and not key.startswith("_") and _FIXED.get(key, value) != value:
            raise WeightsError(f"TripoSG with {key} = {value!r} is another architecture", "use the published files")
        if key not in known and not key.startswith("_") and key not in _FIXED:
            raise WeightsError(f"TripoSG's configuration has an unknown key {key!r}", "use the published files")
    return kind(**{key: value for key, value in table.items() if key in known})


class Float32LayerNorm(nn.LayerNorm):
    """Layer norm computed in float32 whatever comes in."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D) of the same type."""
        return F.layer_norm(x.float(), self.normalized_shape, self.weight.float(), self.bias.float(), self.eps).type_as(
            x
        )


class RmsNorm(nn.Module):
    """x / rms(x) with a weight per channel (arXiv 1910.07467), the mean in float32."""

    def __init__(self, dim: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D) of the same type."""
        rms = torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + self.eps)
        return (x.float() * rms).type_as(x) * self.weight


class Attention(nn.Module):
    """Multi-head attention in which each head finds its query, key and value side by side.

    The outputs of to_q, to_k and to_v, concatenated, are read as (heads, 3, dim); those of to_k and to_v as
    (heads, 2, dim) where the keys come from elsewhere. So head h does not see the h-th slice of to_q's output.
    """

    def __init__(self, dim: int, heads: int, source_dim: int | None, qk_norm: bool, norm_source: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_k = nn.Linear(source_dim or dim, dim, bias=False)
        self.to_v = nn.Linear(source_dim or dim, dim, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(dim, dim)])
        self.norm_q = RmsNorm(dim // heads) if qk_norm else nn.Identity()
        self.norm_k = RmsNorm(dim // heads) if qk_norm else nn.Identity()
        if norm_source:
            self.norm_cross = nn.LayerNorm(source_dim or dim)

    def forward(self, x: Tensor) -> Tensor:
        """Self-attention, (B, N, D) -> (B, N, D)."""
        joined = torch.cat([self.to_q(x), self.to_k(x), self.to_v(x)], -1)  # (B, N, 3 D)
        q, k, v = self._heads(joined, 3)
        return self._attend(self.norm_q(q), self.norm_k(k), v)

    def memory(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, heads, M, dim) of a source (B, M, S), to be attended to any number of times."""
        if hasattr(self, "norm_cross"):
            source = self.norm_cross(source)
        k, v = self._heads(torch.cat([self.to_k(source), self.to_v(source)], -1), 2)
        return self.norm_k(k), v

    def across(self, x: Tensor, memory: tuple[Tensor, Tensor]) -> Tensor:
        """Cross-attention of x (B, N, D) to a memory -> (B, N, D)."""
        (q,) = self._heads(self.to_q(x), 1)
        return self._attend(self.norm_q(q), *memory)

    def _heads(self, joined: Tensor, parts: int) -> tuple[Tensor, ...]:
        """(B, N, parts D) read as (B, N, heads, parts, dim) -> parts tensors (B, heads, N, dim)."""
        split = joined.unflatten(-1, (self.heads, parts, -1)).permute(3, 0, 2, 1, 4)
        return tuple(split.unbind(0))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(B, heads, N, dim) and twice (B, heads, M, dim) -> (B, N, D)."""
        mixed = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.to_out[0](mixed.transpose(1, 2).flatten(2))
        return out


class _Gelu(nn.Module):
    def __init__(self, dim: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(dim, inner)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.proj(x))


class FeedForward(nn.Module):
    """D -> 4 D -> D with an exact GELU between; net.1 is where training drops out."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.net = nn.Sequential(_Gelu(dim, 4 * dim), nn.Identity(), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        out: Tensor = self.net(x)
        return out


class Block(nn.Module):
    """Pre-norm transformer block: long skip, self-attention, cross-attention, feed-forward; each but the last optional.

    source_dim: width of what is cross-attended to, 0 for no cross-attention.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        own: bool = True,
        source_dim: int = 0,
        qk_norm: bool = False,
        norm_source: bool = False,
        skip: bool = False,
    ) -> None:
        super().__init__()
        self.own, self.crossing, self.skipping = own, bool(source_dim), skip
        if own:
            self.norm1 = Float32LayerNorm(dim)
            self.attn1 = Attention(dim, heads, None, qk_norm)
        if source_dim:
            self.norm2 = Float32LayerNorm(dim)
            self.attn2 = Attention(dim, heads, source_dim, qk_norm, norm_source)
        self.norm3 = Float32LayerNorm(dim)
        self.ff = FeedForward(dim)
        if skip:
            self.skip_linear = nn.Linear(2 * dim, dim)
            self.skip_norm = Float32LayerNorm(dim)

    def forward(self, x: Tensor, memory: tuple[Tensor, Tensor] | None = None, skip: Tensor | None = None) -> Tensor:
        """x, skip (B, N, D) -> (B, N, D).

        Without memory, cross-attention adds its bias alone: what it gives for a source of zeros, whose values are 0.
        """
        if self.skipping:
            assert skip is not None
            x = self.skip_norm(self.skip_linear(torch.cat([skip, x], -1)))
        if self.own:
            x = x + self.attn1(self.norm1(x))
        if self.crossing:
            bias: Tensor = self.attn2.to_out[0].bias  # type: ignore[assignment]
            x = x + (self.attn2.across(self.norm2(x), memory) if memory else bias)
        return x + self.ff(self.norm3(x))


class TimeMlp(nn.Module):
    """A sinusoid of the time step to one token."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(dim, 4 * dim)
        self.linear_2 = nn.Linear(4 * dim, dim)

    def forward(self, t: Tensor) -> Tensor:
        """Time steps (B,) in [0, 1000] -> (B, D)."""
        half = self.linear_1.in_features // 2
        rates = torch.exp(-math.log(10000) / half * torch.arange(half, dtype=torch.float32, device=t.device))
        angles = t.float()[:, None] * rates
        wave = torch.cat([angles.sin(), angles.cos()], -1).to(self.linear_1.weight.dtype)
        out: Tensor = self.linear_2(F.gelu(self.linear_1(wave)))
        return out


#: What each block of the transformer attends to: keys and values, or None for the unconditional velocity.
Memory = list[tuple[Tensor, Tensor]]


class FlowTransformer(nn.Module):
    """Velocity of the flow from noise to latents; the time step is one more token in front, and layer i of the first
    half is joined to layer n - 1 - i by a long skip."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.config = config
        self.time_proj = TimeMlp(config.width)
        self.proj_in = nn.Linear(config.in_channels, config.width)
        self.blocks = nn.ModuleList(
            Block(
                config.width,
                config.num_attention_heads,
                source_dim=config.cross_attention_dim,
                qk_norm=True,
                skip=i > config.num_layers // 2,
            )
            for i in range(config.num_layers)
        )
        self.norm_out = nn.LayerNorm(config.width)
        self.proj_out = nn.Linear(config.width, config.in_channels)

    def memory(self, image: Tensor) -> Memory:
        """What the blocks need of the image tokens (B, T, S); the same at every step."""
        return [block.attn2.memory(image) for block in self.blocks]  # type: ignore[union-attr, operator]

    def forward(self, latents: Tensor, t: Tensor, memory: Memory | None) -> Tensor:
        """Velocity (B, N, C) at latents (B, N, C) and time steps t (B,); without memory, the unconditional one."""
        x = torch.cat([self.time_proj(t)[:, None], self.proj_in(latents)], 1)  # (B, 1 + N, D)
        skips: list[Tensor] = []
        middle = self.config.num_layers // 2
        for i, block in enumerate(self.blocks):
            x = block(x, memory[i] if memory else None, skips.pop() if i > middle else None)
            if i < middle:
                skips.append(x)
        out: Tensor = self.proj_out(self.norm_out(x)[:, 1:])
        return out


def sigmas(config: SchedulerConfig, steps: int) -> Tensor:
    """Share of noise (steps + 1,), float32, from 1 to 0, at which the flow is followed."""
    even = 1 - torch.arange(steps, dtype=torch.float64) / steps
    shifted = config.shift * even / (1 + (config.shift - 1) * even)
    return torch.cat([shifted, torch.zeros(1)]).float()


def sample(
    transformer: FlowTransformer,
    image: Tensor,
    noise: Tensor,
    steps: int,
    guidance: float,
    scheduler: SchedulerConfig,
    progress: Callable[[int], None] = lambda done: None,
) -> Tensor:
    """Latents (B, N, C), float32, for image tokens (B, T, S) from noise (B, N, C): ``steps`` Euler steps.

    guidance 1 or less asks the network once a step; more asks twice, and goes ``guidance`` times as far from the
    velocity without a picture as the picture says. progress receives the number of steps done and may raise.
    """
    levels = sigmas(scheduler, steps)
    memory = transformer.memory(image)
    x, dtype = noise.float(), image.dtype
    for i in range(steps):
        t = (levels[i] * scheduler.num_train_timesteps).to(x.device).expand(len(x))
        velocity = transformer(x.to(dtype), t, memory).float()
        if guidance > 1:
            plain = transformer(x.to(dtype), t, None).float()
            velocity = plain + guidance * (velocity - plain)
        x = x + (levels[i] - levels[i + 1]).to(x.device) * velocity
        progress(i + 1)
    return x


def embedded(points: Tensor, octaves: int) -> Tensor:
    """(..., 3) -> (..., 3 + 6 octaves): x, then sin(2^k x) and cos(2^k x), k running fastest within each coordinate."""
    rates = 2.0 ** torch.arange(octaves, dtype=torch.float32, device=points.device)
    angles = (points[..., None] * rates).flatten(-2)
    return torch.cat([points, angles.sin(), angles.cos()], -1)


class ShapeEncoder(nn.Module):
    """Surface points to latents: held so that the published file loads strictly; lifting a picture never runs it."""

    def __init__(self, dim: int, heads: int, layers: int, in_features: int) -> None:
        super().__init__()
        self.proj_in = nn.Linear(in_features, dim)
        first = Block(dim, heads, own=False, source_dim=dim, norm_source=True)
        self.blocks = nn.ModuleList([first, *(Block(dim, heads) for _ in range(layers))])
        self.norm_out = nn.LayerNorm(dim)


class ShapeDecoder(nn.Module):
    """Self-attention over the latents, once a shape; then cross-attention from every point asked."""

    def __init__(self, dim: int, heads: int, layers: int, in_features: int) -> None:
        super().__init__()
        last = Block(dim, heads, own=False, source_dim=dim, norm_source=True)
        self.blocks = nn.ModuleList([*(Block(dim, heads) for _ in range(layers)), last])
        self.proj_query = nn.Linear(in_features, dim)
        self.norm_out = nn.LayerNorm(dim)
        self.proj_out = nn.Linear(dim, 1)

    def memory(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of widened latents (B, M, D)."""
        for block in list(self.blocks)[:-1]:
            x = block(x)
        last: Block = self.blocks[-1]  # type: ignore[assignment]
        return last.attn2.memory(x)

    def forward(self, queries: Tensor, memory: tuple[Tensor, Tensor]) -> Tensor:
        """Embedded points (B, N, E) -> field (B, N, 1), positive inside."""
        out: Tensor = self.proj_out(self.norm_out(self.blocks[-1](self.proj_query(queries), memory)))
        return -out


class ShapeVae(nn.Module):
    """The autoencoder of shapes; only its decoder is run."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        self.config = config
        features = config.in_channels * (1 + 2 * config.embed_frequency)
        heads, latent = config.num_attention_heads, config.latent_channels
        # the encoder is fed each point's normal as well
        self.encoder = ShapeEncoder(config.width_encoder, heads, config.num_layers_encoder, features + 3)
        self.decoder = ShapeDecoder(config.width_decoder, heads, config.num_layers_decoder, features)
        self.quant = nn.Linear(config.width_encoder, 2 * latent)
        self.post_quant = nn.Linear(latent, config.width_decoder)

    def memory(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """What every point of one shape needs of its latents (B, M, C)."""
        return self.decoder.memory(self.post_quant(latents.to(self.post_quant.weight.dtype)))

    def field(self, points: Tensor, memory: tuple[Tensor, Tensor]) -> Tensor:
        """Points (B, N, 3) in +-BOUND, float32 -> field (B, N, 1), float32, positive inside."""
        queries = embedded(points.float(), self.config.embed_frequency)
        return self.decoder(queries.to(memory[0].dtype), memory).float()

    def chunks(self, points: Tensor, memory: tuple[Tensor, Tensor], chunk: int) -> Iterator[Tensor]:
        """The field at points (N, 3), ``chunk`` of them at a time, each (n,): memory stays bounded."""
        for part in points.split(chunk):
            yield self.field(part[None], memory)[0, :, 0]
