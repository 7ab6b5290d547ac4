"""The photo and the network's colours -> one texture: seen where the camera saw, guessed elsewhere, without a seam."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assets import FloatArray, Material, Mesh
from ..capture import Capture
from ..conventions import linear_to_srgb, to_uint8
from ..errors import InputError
from ..recipe import option
from ..runtime import Runtime
from . import blend
from .hidden import Hidden
from .observe import Observer
from .synthesis import Kind
from .texels import Blocks, Texels, in_threads


@dataclass(frozen=True)
class BakeOptions:
    """How the texture is made."""

    size: int = option(1024, "side of the texture in pixels", "texture_size", 256, 4096)
    texture: Kind = option("synthesise", "what hidden parts show: plain, mirror or synthesise", "texture")  # noqa: RUF009


def bake(mesh: Mesh, dense: Mesh, capture: Capture, options: BakeOptions, runtime: Runtime) -> Mesh:
    """Textured copy of ``mesh`` (uv, normals, in the photo's view frame), with ``seen`` per vertex.

    The photo's foreground where its camera saw the surface, faded at grazing angles and at the mask's edge; elsewhere
    the vertex colours of ``dense``, brought to the photo's light, or texture of the photo carried there (see module
    ``hidden``), joined to the seen colours by a membrane along the surface. dense.metadata["plane"] or ["mirror"] =
    (normal (3,), offset) may name a plane of symmetry, normal . p = offset. Blended in linear light.

    metadata["bake"]: seen_share of the area, texture_size, texels_per_unit, gain, hidden (see ``Hidden.facts``).
    Raises InputError when uv, normals, camera or mask are missing.
    """
    if mesh.uv is None or mesh.normals is None:
        raise InputError("this mesh has no texture coordinates", "run unwrap before bake")
    texels = Texels.of(mesh, options.size)
    observer = Observer(capture.photo, mesh, texels.per_unit)
    blocks = Blocks.of(texels)
    photo, weight = _observed(texels, blocks, observer, runtime)
    runtime.progress("bake", 0.6)
    guess = Hidden.of(blocks, dense, observer, options.texture)
    texture = _textured(texels, photo, weight, guess, runtime)
    facts = {
        "seen_share": round(texels.share(weight), 4),
        "texture_size": options.size,
        "texels_per_unit": round(texels.per_unit, 2),
        "gain": [round(float(x), 3) for x in np.exp(guess.gain)],
        "hidden": guess.facts(weight),
    }
    return mesh.with_(
        seen=observer(mesh.vertices, mesh.normals)[1],
        material=Material(base_color_texture=texture, metallic=0.0, roughness=0.9),
        metadata={**mesh.metadata, "bake": facts},
    )


def _observed(texels: Texels, blocks: Blocks, observer: Observer, runtime: Runtime) -> tuple[FloatArray, FloatArray]:
    """Linear colour (N, 3) and weight (N,) that the photo gives every texel; their means are left in the blocks."""
    photo = np.empty((len(texels.pixel), 3), np.float32)
    weight = np.empty(len(texels.pixel), np.float32)

    def look(part: slice) -> tuple[int, list[NDArray[Any]]]:
        points, normals = texels.surface(part)
        photo[part], seen = observer(points, normals)
        weight[part] = seen
        own = blocks.of_texel[part]
        low = int(own.min())
        columns = (None, *points.T, *normals.T, seen, *(photo[part] * seen[:, None]).T)
        return low, [np.bincount(own - low, column) for column in columns]

    sums = np.zeros((11, len(blocks.chart)))
    for low, parts in in_threads(look, texels.chunks(), runtime):
        sums[:, low : low + len(parts[0])] += parts
    count = np.maximum(sums[0], 1)
    blocks.points = (sums[1:4] / count).T.astype(np.float32)
    length = np.maximum(np.linalg.norm(sums[4:7], axis=0), 1e-12)
    blocks.normals = (sums[4:7] / length).T.astype(np.float32)
    blocks.known = (sums[7] / count).astype(np.float32)
    blocks.shown = (sums[8:11] / np.maximum(sums[7], 1e-9)).T.astype(np.float32)
    return photo, weight


def _textured(
    texels: Texels, photo: FloatArray, weight: FloatArray, guess: Hidden, runtime: Runtime
) -> NDArray[np.uint8]:
    """The sRGB texture (size, size, 3): photo (N, 3) and guess mixed by weight (N,) in linear light, gaps filled."""
    image = np.zeros((texels.size**2, 3), np.uint8)

    def draw(part: slice) -> None:
        unseen = part.start + np.flatnonzero(weight[part] < 1)
        mix = weight[unseen, None]
        photo[unseen] = mix * photo[unseen] + (1 - mix) * guess.at(unseen)
        image[texels.pixel[part]] = to_uint8(linear_to_srgb(photo[part]))

    in_threads(draw, texels.chunks(), runtime)
    known = np.zeros(texels.size**2, bool)
    known[texels.pixel] = True
    square = (texels.size, texels.size)
    return blend.filled(image.reshape(*square, 3), known.reshape(square))
