"""One masked picture of an object to a dense coloured mesh, by TripoSR's triplane (public weights, see zoo.triposr)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..assets import Mesh
from ..camera import Camera
from ..capture import Capture, Mask
from ..errors import ReconstructionError, UsageError, WeightsError
from ..recipe import option
from ..runtime import Runtime, need
from ..zoo import checkpoint, triposr, weights
from ..zoo.device import torch_device, torch_dtype, torch_threads, within_memory
from ..zoo.object_frame import CROP_PADDING, FRAME_WIDTH, bounding_box, resample, virtual_camera
from .placing import placed
from .surface import Grid, refined, surface_of

FloatArray = NDArray[np.float32]

#: The object's longer side over the side of the picture that the network is given.
FOREGROUND = 0.85
#: Doublings from the lattice that is evaluated everywhere to the fine one, evaluated near the surface.
LEVELS = 2
#: The network's axes that are the view frame's x (right), y (up), z (towards the camera): +Y, +Z, +X.
VIEW_AXES = [1, 2, 0]
#: How wide, in the network's units, the picture is at the object (the views it learned from: 40 degrees at 1.9).
FRAME = 2 * 1.9 * float(np.tan(np.deg2rad(20)))


@dataclass(frozen=True)
class TriplaneOptions:
    """How finely, and where, the surface is cut out of the density."""

    resolution: int = option(256, "nodes along the side of the box that holds the object", "resolution", 32, 512)
    level: float = option(triposr.ISO, "density at the surface: less is fuller, more is leaner", "", 0.01, 10_000)


def triplane(options: TriplaneOptions, runtime: Runtime) -> Callable[[Capture], Mesh]:
    """Reconstructor: Capture whose photo has mask and camera -> dense coloured Mesh in the view frame.

    metadata["silhouette"]: overlap in [0, 1] of what the photo's camera sees of the mesh, and the mask.
    Raises UsageError without mask or camera, WeightsError, ReconstructionError when the density makes no surface.
    """

    def reconstruct(capture: Capture) -> Mesh:
        photo = capture.photo
        if photo.mask is None or photo.camera is None:
            raise UsageError("reconstruction needs a mask and a camera", "run the mask and camera stages first")
        with within_memory("TripoSR", "try --precision bfloat16, a lower --resolution, or --device cpu"):
            network = opened(runtime)
            image = framed(photo.mask, photo.camera, network.config.image_size)
            vertices, faces, colors = lifted(network, image, options, runtime)
        spot = placed(in_view(vertices), faces, photo.mask.alpha, photo.camera)
        notes = {"model": "triposr", "dense_faces": len(faces), "silhouette": spot.overlap}
        return Mesh(spot.vertices, faces, colors=colors, metadata=notes)

    return reconstruct


def framed(mask: Mask, camera: Camera, size: int) -> FloatArray:
    """The picture that the network wants: (size, size, 3) sRGB, the object in the middle on grey, as large as trained.

    It is taken by a camera turned to the object's middle, which the network's own views were too.
    """
    near = virtual_camera(camera, bounding_box(mask.alpha), size)
    focal = near.fx * FOREGROUND * CROP_PADDING
    wide = Camera(size, size, focal, focal, size / 2, size / 2, near.world_from_camera)
    color, cover = resample(mask.foreground, mask.alpha, camera, wide)
    return (color * cover[..., None] + 0.5 * (1 - cover[..., None])).astype(np.float32)


def lifted(
    network: triposr.TripoSR, image: FloatArray, options: TriplaneOptions, runtime: Runtime
) -> tuple[FloatArray, NDArray[np.int32], FloatArray]:
    """Picture (S, S, 3) to vertices (V, 3) in the network's frame, outward faces (F, 3) and sRGB (V, 3)."""
    device = network.tokenizer["embeddings"].device
    with torch.inference_mode(), torch_threads(runtime):
        picture = torch.from_numpy(image).to(device)[None]
        planes = network(picture, lambda share: runtime.progress("object", 0.05 + 0.65 * share))
        field = network.field(planes[0])
        vertices, faces = extracted(field, options.resolution, options.level)
        runtime.progress("object", 0.9)
        colors = field.color(torch.from_numpy(vertices).to(device)).float().cpu().numpy()
    return vertices, faces, colors


def extracted(field: triposr.Field, nodes: int, level: float) -> tuple[FloatArray, NDArray[np.int32]]:
    """The surface where the activated density is ``level``, in the network's frame, closed at the box's walls.

    The lattice is the published pipeline's, ``nodes`` on each axis from wall to wall, but a coarse lattice finds where
    the surface is and only the nodes around it are evaluated (see ``surface.refined``). Vertices are placed on the
    logarithm of the density, which is far straighter between two nodes than the density is.
    Raises ReconstructionError when there is none.
    """
    step = 2 * field.config.radius / (nodes - 1)
    # A node more on either side, where nothing may be, then up to a whole number of coarse cells.
    shape = (-(-(nodes + 1) // 2**LEVELS) + 1,) * 3
    coarse = Grid(np.zeros(shape, np.float32), np.full(3, -field.config.radius - step), step * 2**LEVELS)
    below = functools.partial(_below, field, field.raw_level(level), field.config.radius + 0.5 * step)
    coarse.values[...] = below(coarse.points(np.ones(shape, bool))).reshape(shape)
    steep = _steepness(coarse)
    coarse.values[...] /= steep
    return surface_of(_cropped(refined(lambda points: below(points) / steep, coarse, LEVELS)))


def _below(field: triposr.Field, cut: float, wall: float, points: FloatArray) -> FloatArray:
    """How far the raw density at points (N, 3) stays below the cut (N,): negative inside, and never beyond the walls,
    where the planes say nothing."""
    values = (cut - field.raw_density(torch.from_numpy(points).to(field.table.device))).cpu().numpy()
    return np.where(np.abs(points).max(1) > wall, np.abs(values), values)


def _steepness(grid: Grid) -> np.float32:
    """How fast the values rise where they change sign: divided by it, they are about distances."""
    changes = [np.abs(np.diff(grid.values, axis=axis)) for axis in range(3)]
    signs = [np.diff(grid.values < 0, axis=axis) for axis in range(3)]
    steps = np.concatenate([change[sign] for change, sign in zip(changes, signs, strict=True)])
    if not len(steps):
        raise ReconstructionError("TripoSR saw no object in this picture", "check the mask (--mask, --pick)")
    # Along one axis a slope shows by its cosine: two thirds on average, as edges along it are crossed more often.
    return np.float32(1.5 * np.median(steps) / grid.step)


def _cropped(grid: Grid) -> Grid:
    """The part of the grid with something inside, and a node more on every side."""
    spans = []
    for axis in range(3):
        found = np.flatnonzero((grid.values < 0).any(tuple({0, 1, 2} - {axis})))
        spans.append((max(int(found[0]) - 1, 0), int(found[-1]) + 2))
    low = grid.low + grid.step * np.array([start for start, _ in spans])
    return Grid(np.ascontiguousarray(grid.values[tuple(slice(*span) for span in spans)]), low, grid.step)


def in_view(vertices: FloatArray) -> FloatArray:
    """Vertices (V, 3) of the network's frame in the view frame: upright, front towards the camera, roughly to scale."""
    unit = FRAME_WIDTH / (FOREGROUND * CROP_PADDING) / FRAME
    return np.ascontiguousarray(vertices[:, VIEW_AXES] * np.float32(unit))


def opened(runtime: Runtime) -> triposr.TripoSR:
    """The network with its published weights, on the runtime's device and in its precision; kept for the next picture.

    Raises UsageError (device, precision), WeightsError, MissingExtraError.
    """
    device, dtype = torch_device(runtime), torch_dtype(runtime)
    files = weights.files("triposr", runtime)
    return _opened(files["weights"], files.get("config"), device, dtype)


@functools.lru_cache(maxsize=1)
def _opened(path: Path, config: Path | None, device: torch.device, dtype: torch.dtype) -> triposr.TripoSR:
    return built(path, read_config(config) if config else {}, device, dtype)


def built(path: Path, tables: Mapping[str, Any], device: torch.device, dtype: torch.dtype) -> triposr.TripoSR:
    """The network of a configuration (none: the published one) with the weights in ``path``, ready to run.

    Raises WeightsError when they do not fit.
    """
    with torch.device("meta"):
        network = triposr.TripoSR(triposr.Config.from_tables(tables))
    checkpoint.load(network, triposr.renamed(checkpoint.read(path)), "TripoSR")
    return network.requires_grad_(False).halved(dtype).to(device).eval()


def read_config(path: Path) -> Mapping[str, Any]:
    """The tables of config.yaml; raises WeightsError when it is none."""
    yaml = need("yaml", "torch")  # comes with huggingface_hub
    try:
        tables = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(f"{path}: this configuration cannot be read ({reason})", "pull it again") from error
    if not isinstance(tables, Mapping):
        raise WeightsError(f"{path}: not a configuration", "remove it and pull it again")
    return tables
