"""One masked picture of an object to a dense closed mesh by TripoSG: shapes drawn from noise, the likeliest kept.

Li et al., "TripoSG" (arXiv 2502.06608); the networks are zoo.triposg and zoo.dinov2. Drawn anew each time, a shape may
miss the picture: with several hypotheses each is placed in the view frame and the one that agrees best with the picture
is taken. The mesh has no colours: the road's own texture stages give it the photo's.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from ..capture import Capture, Mask
from ..errors import ReconstructionError, UsageError
from ..recipe import option
from ..runtime import Runtime, need
from ..zoo import checkpoint, device, weights
from ..zoo.object_frame import bounding_box
from .surface import ScalarField, bridged, sample_field, surface_of
from .turning import Placement, View

if TYPE_CHECKING:
    import torch

FloatArray = NDArray[np.float32]

MODEL = "triposg"
#: Margin around the object, as a share of its longer side, and the shade behind it: as the network was trained.
_MARGIN, _SHADE = 0.1, 1.0
#: Cells along the box on the first grid: parts thinner than one of them may be lost.
_FIRST = {"look": 24, "final": 48}
#: Cells along the longest side at which hypotheses are compared.
_LOOK = 48
#: Points asked of the decoder at once: bounds its memory to some 0.5 GB in single precision.
_CHUNK = 8192
#: Points by which the steepness of a field is told.
_PROBES = 2048
#: Shares of the progress bar: encoder, flow, extraction.
_READ, _DRAWN = 0.03, 0.9


@dataclass(frozen=True)
class DiffusionOptions:
    """How shapes are drawn, how many of them, and how finely the surface is sought."""

    steps: int = option(50, "steps from noise to shape", "steps", 1, 500)
    guidance: float = option(7.0, "how strictly the picture is followed; 1 halves the work", "guidance", 0, 30)
    hypotheses: int = option(1, "shapes drawn, of which the one that agrees best is kept", "hypotheses", 1, 64)
    tokens: int = option(
        2048, "size of the set of latents that is a shape; fewer are quicker and coarser", "", 64, 8192
    )
    resolution: int = option(192, "cells along the longest side of the object", "resolution", 32, 1024)


def diffusion(options: DiffusionOptions, runtime: Runtime) -> Callable[[Capture], Mesh]:
    """Reconstructor: Capture whose photo has mask and camera -> dense Mesh in the view frame, without colours.

    Noise comes from ``runtime.seed`` (plus the hypothesis' number), drawn on the CPU, so that every device starts from
    the same. metadata["hypotheses"]: seed, turn (degrees) and agreement of each, the one taken first.
    Raises UsageError without mask or camera, WeightsError, MissingExtraError without torch, ReconstructionError when no
    shape has a surface or memory runs out.
    """

    def reconstruct(capture: Capture) -> Mesh:
        photo = capture.photo
        if photo.mask is None or photo.camera is None:
            raise UsageError("reconstruction needs a mask and a camera", "run the mask and camera stages first")
        torch = need("torch", "torch")
        model = _Model.of(weights.files(MODEL, runtime), runtime)
        view = View.of(photo, runtime)
        remedy = "try --precision bfloat16, fewer tokens, or another device"
        with device.within_memory("TripoSG", remedy), device.torch_threads(runtime), torch.inference_mode():
            drawn = model.drawn(model.tokens(mask_picture(photo.mask)), options)
            fields = [model.field(latents) for latents in drawn]
            return _likeliest(fields, view, options, runtime)

    return reconstruct


def _likeliest(fields: list[ScalarField], view: View, options: DiffusionOptions, runtime: Runtime) -> Mesh:
    """Every field placed in the picture; the one that agrees best as a dense mesh."""
    looks: list[tuple[int, Placement]] = []
    failure: ReconstructionError | None = None
    for i, field in enumerate(fields):
        try:
            look = _surface(field, _LOOK, _FIRST["look"])
        except ReconstructionError as error:
            failure = error
            continue
        looks.append((i, view.placed(look)))
        runtime.progress("object", _DRAWN + 0.05 * (i + 1) / len(fields))
    if failure and not looks:
        raise failure
    ranked = sorted(looks, key=lambda entry: -entry[1].agreement.whole)
    best, placement = ranked[0]
    dense = _surface(fields[best], options.resolution, _FIRST["final"])
    notes = {
        "model": MODEL,
        "dense_faces": len(dense.faces),
        "struts": dense.metadata["struts"],
        "turned_deg": round(float(np.degrees(placement.turn)), 1),
        "hypotheses": [_noted(placed, runtime.seed + i) for i, placed in ranked],
    }
    runtime.progress("object", 1.0)
    return dense.with_(vertices=placement.to_view(dense.vertices), metadata=notes)


def _noted(placement: Placement, seed: int) -> dict[str, float]:
    """One hypothesis for the report."""
    agreement = placement.agreement
    found = {**dataclasses.asdict(agreement), "whole": agreement.whole, "turn_deg": float(np.degrees(placement.turn))}
    return {"seed": seed, **{name: round(value, 3) for name, value in found.items()}}


def _surface(field: ScalarField, resolution: int, first: int) -> Mesh:
    """The closed surface of a field (negative inside, about a distance) in its own frame."""
    from ..zoo.triposg import BOUND

    corner = np.full(3, BOUND)
    grid, struts = bridged(sample_field(field, -corner, corner, resolution, coarse=first))
    vertices, faces = surface_of(grid)
    return Mesh(vertices, faces, metadata={"struts": struts})


def mask_picture(mask: Mask) -> NDArray[np.uint8]:
    """The object (S, S, 3), 8 bit sRGB, on white, centred, with a margin: what the network was trained to see.

    Blended sRGB-encoded, not in linear light, for the same reason.
    """
    alpha = mask.alpha[..., None]
    left, top, right, bottom = (int(side) for side in bounding_box(mask.alpha))
    whole = mask.foreground * alpha + _SHADE * (1 - alpha)
    shown = whole[top:bottom, left:right]
    height, width = shown.shape[:2]
    side = round(max(height, width) * (1 + 2 * _MARGIN))
    canvas = np.full((side, side, 3), _SHADE, np.float32)
    y, x = (side - height) // 2, (side - width) // 2
    canvas[y : y + height, x : x + width] = shown
    return np.asarray(np.rint(np.clip(canvas, 0, 1) * 255), np.uint8)


@dataclass(frozen=True)
class _Model:
    """TripoSG's parts, each loaded when it is needed; on the CPU let go again, on other devices kept."""

    files: Mapping[str, Path]
    runtime: Runtime
    device: torch.device
    dtype: torch.dtype

    @classmethod
    def of(cls, files: Mapping[str, Path], runtime: Runtime) -> _Model:
        return cls(files, runtime, device.torch_device(runtime), device.torch_dtype(runtime))

    def part(self, role: str) -> Any:
        """The network of a role, ready to run."""
        load = _loaded if self.device.type == "cpu" else _kept
        return load(role, self.files[role], self.files[f"{role}_config"], str(self.device), self.dtype)

    def tokens(self, picture: NDArray[np.uint8]) -> torch.Tensor:
        """Image tokens (1, T, D) of a square picture (S, S, 3)."""
        import torch

        pixels = torch.from_numpy(pixels_of(picture, self._settings("preprocessor"))).to(self.device, self.dtype)
        tokens: torch.Tensor = self.part("encoder")(pixels[None])
        self.runtime.progress("object", _READ)
        return tokens

    def drawn(self, image: torch.Tensor, options: DiffusionOptions) -> list[torch.Tensor]:
        """Latents (1, N, C) of every hypothesis; progress after each step, where it can be interrupted as well."""
        import torch

        from ..zoo import triposg

        transformer = self.part("transformer")
        schedule = triposg.configured(triposg.SchedulerConfig, self._settings("scheduler_config"))
        total, found = options.hypotheses * options.steps, []
        for i in range(options.hypotheses):
            chance = torch.Generator().manual_seed(self.runtime.seed + i)
            noise = torch.randn(1, options.tokens, transformer.config.in_channels, generator=chance).to(self.device)

            def tell(done: int, before: int = i * options.steps) -> None:
                self.runtime.progress("object", _READ + (_DRAWN - _READ) * (before + done) / total)

            drawn = triposg.sample(transformer, image, noise, options.steps, options.guidance, schedule, tell)
            if not bool(torch.isfinite(drawn).all()):
                raise ReconstructionError("TripoSG gave numbers that are not finite", "try --precision float32")
            found.append(drawn)
        return found

    def field(self, latents: torch.Tensor) -> ScalarField:
        """Points (N, 3) of the shape's own frame -> (N,), about a distance, negative inside."""
        import torch

        vae = self.part("vae")
        memory = vae.memory(latents)

        def raw(points: FloatArray) -> FloatArray:
            asked = torch.from_numpy(np.ascontiguousarray(points, np.float32)).to(self.device)
            parts = [part.cpu() for part in vae.chunks(asked, memory, _CHUNK)]
            return -torch.cat(parts).numpy() if parts else np.zeros(0, np.float32)

        steep = _steepness(raw)
        return lambda points: raw(points) / steep

    def _settings(self, role: str) -> dict[str, Any]:
        """A part's published settings; {} where there is no such file."""
        return checkpoint.settings(self.files[role]) if role in self.files else {}


def _loaded(role: str, file: Path, config: Path, where: str, dtype: torch.dtype) -> Any:
    """A part in evaluation mode on its device; raises WeightsError for files of another architecture."""
    import torch

    from ..zoo import dinov2, triposg

    table = checkpoint.settings(config)
    state = checkpoint.read(file)
    with torch.device("meta"):
        if role == "encoder":
            network: torch.nn.Module = dinov2.Dinov2(dinov2.Dinov2Config.of(table))
            state = dinov2.without_training(state)
        elif role == "transformer":
            network = triposg.FlowTransformer(triposg.configured(triposg.FlowConfig, table))
        else:
            network = triposg.ShapeVae(triposg.configured(triposg.VaeConfig, table))
    checkpoint.load(network, state, f"TripoSG ({role})")
    return network.to(where, dtype).eval()


_kept = functools.lru_cache(maxsize=3)(_loaded)


def pixels_of(picture: NDArray[np.uint8], table: Mapping[str, Any]) -> FloatArray:
    """(3, C, C) normalised from a square picture (S, S, 3), as the published preprocessor does it: shortest side to
    ``size``, bicubic, then the middle ``crop_size``."""
    from PIL import Image

    from ..zoo.dinov2 import MEAN, STD

    side = int(table.get("size", {}).get("shortest_edge", 256))
    crop = int(table.get("crop_size", {}).get("height", 224))
    small = np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC), np.float32) / 255
    start = (side - crop) // 2
    middle = small[start : start + crop, start : start + crop]
    mean, std = (np.array(table.get(key, own), np.float32) for key, own in (("image_mean", MEAN), ("image_std", STD)))
    return np.ascontiguousarray(((middle - mean) / std).transpose(2, 0, 1), np.float32)


def _steepness(raw: ScalarField) -> float:
    """By how much a field changes over one unit of length near its zero: what makes its values distances there."""
    from ..zoo.triposg import BOUND

    points = np.random.default_rng(0).uniform(-BOUND, BOUND, (_PROBES, 3)).astype(np.float32)
    values, step = raw(points), np.float32(1e-3)
    near = points[np.argsort(np.abs(values), kind="stable")[: _PROBES // 8]]
    moved = np.concatenate([near, *(near + step * axis for axis in np.eye(3, dtype=np.float32))])
    here, *there = raw(moved).reshape(4, -1)
    slopes = np.linalg.norm([(value - here) / step for value in there], axis=0)
    steep = float(np.median(slopes))
    return steep if np.isfinite(steep) and steep > 1e-6 else 1.0
