"""Losses of the object network; every one a mean over the batch, in view units or pure numbers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..zoo.object_net import FIELD_SCALE, Encoding


def field_loss(field: Tensor, distance: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """(L1 of the clamped signed distance, cross-entropy of the sign); field, distance, weight (B, N).

    ``distance`` in view units, negative inside. The L1 term places the surface, the sign term decides what is hidden.
    """
    target = (distance / FIELD_SCALE).clamp(-1, 1)
    l1 = (weight * (field.clamp(-1.2, 1.2) - target).abs()).mean()
    sign = (weight * F.binary_cross_entropy_with_logits(-5 * field, (distance < 0).float(), reduction="none")).mean()
    return l1, sign


def surface_losses(encoding: Encoding, depth: Tensor, normals: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
    """(L1 of visible depth, 1 - cosine of normals) where the object is.

    depth (B, 1, T, T) with NaN where unknown, normals (B, 3, T, T), alpha (B, 1, S, S) of the picture.
    """
    size = depth.shape[-2:]
    inside = (F.interpolate(alpha, size, mode="bilinear") > 0.5) & depth.isfinite()
    count = inside.sum().clamp_min(1)
    guess = F.interpolate(encoding.depth, size, mode="bilinear")
    facing = F.normalize(F.interpolate(encoding.normals, size, mode="bilinear"), dim=1)
    error = torch.where(inside, (guess - torch.nan_to_num(depth)).abs(), 0.0).sum() / count
    cosine = torch.where(inside, 1 - (facing * normals).sum(1, keepdim=True), 0.0).sum() / count
    return error, cosine


def camera_losses(encoding: Encoding, elevation: Tensor, tan_half: Tensor) -> tuple[Tensor, Tensor]:
    """(L1 of elevation in radians, L1 of log tan(yfov / 2)); elevation, tan_half (B,)."""
    return (encoding.camera[:, 0] - elevation).abs().mean(), (encoding.camera[:, 1] - tan_half.log()).abs().mean()


def mirror_losses(encoding: Encoding, normal: Tensor, offset: Tensor, symmetric: Tensor) -> tuple[Tensor, Tensor]:
    """(error of the plane where there is one, cross-entropy of trust); normal (B, 2) as (x, z), others (B,)."""
    x, z = normal.unbind(1)
    double = torch.stack([x * x - z * z, 2 * x * z], 1)
    plane = (encoding.mirror[:, :2] - double).abs().sum(1) + 4 * (encoding.mirror[:, 2] - offset).abs()
    trust = F.binary_cross_entropy_with_logits(encoding.mirror[:, 3], symmetric)
    return (plane * symmetric).sum() / symmetric.sum().clamp_min(1), trust
