"""Any mesh's looks -> another mesh of the same shape: textures where it has uv, vertex attributes where it has none."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..assets import FloatArray, Material, Mesh
from ..conventions import linear_to_srgb, to_uint8
from ..recipe import option
from ..render import Hits, Scene, smooth_normals
from ..runtime import Runtime
from . import blend, surface
from .nearest import UNLIKE, Nearest, Places
from .occlusion import TURNS, openness
from .source import Source, encoded
from .tangents import corner_tangents, to_tangent
from .texels import Texels, in_threads

#: Rays start this far behind the surface, share of the diagonal.
_BEHIND = 1e-4
#: Of the reach: how near a surface of unlike orientation is taken when no like one is along the normal.
_NEAR_UNLIKE = 0.3
#: Occlusion is worked out on every this-many-th texel along a side, and on a texture of at least this many.
_COARSE, _COARSE_SIZE = 4, 128
#: A normal map that nowhere but on this share of its texels leans by more than its cosine is left out: it is flat.
_FLAT_SHARE, _FLAT_COSINE = 0.002, 0.9995
#: Farther than this from the source (share of the diagonal) a vertex shows nothing that was seen.
_INVENTED = 0.02


@dataclass(frozen=True)
class TransferOptions:
    """What is carried over, and how finely."""

    size: int = option(2048, "side of the textures in pixels", "texture_size", 256, 4096)
    normal: bool | None = option(
        None,
        "a normal map of the detail that came; without a word where the surface is new, or has lost three quarters of "
        "many faces",
        "normal_map",
    )
    occlusion: bool | None = option(None, "an ambient occlusion map, by rays; without a word as the normal map", "ao")
    rays: int = option(32, "rays for each point of the occlusion map", "", 4, 1024)
    reach: float = option(0.03, "how far the source may lie from the new surface, as a share of the diagonal", "", 0, 1)


def transfer(mesh: Mesh, source: Mesh, options: TransferOptions, runtime: Runtime) -> Mesh:
    """``mesh`` (in the same frame) with all that ``source`` says about its surface, one material, ``seen`` and
    ``confidence`` interpolated; ``seen`` is 0 where the source is far and never more than the mesh's own.

    With uv: textures of options.size squared. Every texel looks along the smooth normal, both ways, for the source's
    nearest surface of like orientation (a face that looks the other way counts as UNLIKE of the diagonal farther),
    else for its nearest point. Base colour (alpha where the source has it), roughness, metallic and emissive get a
    texture where they vary over the source, a factor where they do not. The normal map holds the source's geometric
    detail and its own normal map in tangent space (glTF: +X along U, +Y against V; MikkTSpace's tangents of this
    mesh's uv and normals, see module ``tangents``); it is left out when flat. Occlusion is cast on the source's
    geometry, its own map kept where darker. Texels outside the charts are filled from near ones, to the borders.
    Normals are smooth ones where the mesh has none.

    Without uv: vertex colours by the nearest point of like normal, mean factors for the rest.

    metadata["transfer"]: maps made, share of texels or vertices by how they were found, distances to the source as
    shares of its diagonal. Raises InputError when either is no valid mesh.
    """
    mesh.validate()
    source.validate()
    if mesh.uv is None:
        return _on_vertices(mesh, source)
    textured = mesh if mesh.normals is not None else mesh.with_(normals=smooth_normals(mesh))
    texels = Texels.of(textured, options.size)
    seeker = _Seeker(textured, source, texels.per_unit, options.reach)
    sheets = _Sheets(textured, seeker.source, texels, options)
    in_threads(lambda part: sheets.draw(part, seeker), texels.chunks(), runtime)
    runtime.progress("transfer", 0.6)
    dark = _occlusion(textured, seeker, options, runtime) if options.occlusion is not False else None
    material = sheets.material(dark)
    facts = {
        "to": "textures",
        "size": options.size,
        "maps": sorted(material.textures),
        "texels_per_unit": round(texels.per_unit, 2),
        **seeker.facts(),
    }
    places = seeker.nearest(textured.vertices, textured.normals)
    return textured.with_(
        colors=None,
        material=material,
        materials=(),
        face_material=None,
        **_trusted(mesh, seeker.source, places),
        metadata={**mesh.metadata, "transfer": facts},
    )


class _Seeker:
    """Finds the place of the source for points of the new surface, and keeps count."""

    def __init__(self, mesh: Mesh, source: Mesh, per_unit: float, reach: float) -> None:
        self.source = Source(turned_alike(source, mesh, reach), per_unit)
        self.nearest = Nearest(self.source.mesh)
        self.reach = reach * self.source.size
        self._counts = np.zeros(3)
        self._distances: list[tuple[int, FloatArray]] = []
        self._lock = threading.Lock()

    def __call__(self, points: FloatArray, normals: FloatArray, number: int = -1) -> Places:
        """Places for points (N, 3) with unit normals (N, 3); counted as the texels from ``number`` on, if not -1."""
        places = self._along(points, normals)
        lost = np.flatnonzero(~(places.distance <= self.reach * np.where(places.like, 1, _NEAR_UNLIKE)))
        if len(lost):
            found = self.nearest(points[lost], normals[lost])
            places.face[lost], places.weight[lost] = found.face, found.weight
            places.distance[lost], places.like[lost] = found.distance, found.like
        if number >= 0:
            with self._lock:
                self._counts += len(points) - len(lost), len(lost), (~places.like).sum()
                self._distances.append((number, places.distance[::16]))
        return places

    def _along(self, points: FloatArray, normals: FloatArray) -> Places:
        """The better of what lies along the normal and against it; distance infinite where nothing does."""
        size, scene = self.source.size, self.source.scene
        start = _BEHIND * size
        out = scene.cast(points - start * normals, normals)
        back = scene.cast(points + start * normals, -normals)
        away = [np.abs(hits.distance - np.float32(start)) for hits in (out, back)]
        like = [~out.front, back.front]
        cost = [far + np.float32(UNLIKE * size) * ~same for far, same in zip(away, like, strict=True)]
        first = cost[0] < cost[1]
        pick = first[:, None]
        return Places(
            np.where(first, out.face, back.face),
            np.where(pick, out.barycentric, back.barycentric),
            np.where(first, *away),
            np.where(first, *like),
        )

    def facts(self) -> dict[str, Any]:
        """How the texels were found, and how far away."""
        along, nearest, unlike = (float(x) for x in self._counts / max(self._counts[:2].sum(), 1))
        every = np.concatenate([d for _, d in sorted(self._distances, key=lambda x: x[0])] or [np.zeros(1, np.float32)])
        return {
            "along_normal": round(along, 4),
            "by_nearest_point": round(nearest, 4),
            "of_unlike_orientation": round(unlike, 4),
            **_distances(every / self.source.size),
        }


def _distances(shares: NDArray[np.floating]) -> dict[str, float]:
    """Median and 99 % quantile of distances, rounded."""
    half, most = np.quantile(shares, [0.5, 0.99])
    return {"distance_median": round(float(half), 6), "distance_p99": round(float(most), 6)}


def turned_alike(source: Mesh, mesh: Mesh, reach: float) -> Mesh:
    """The source with those faces turned round that lie against the mesh's surface and look the other way.

    Broken meshes have such faces; the walls of a thin thing, both near, are no such case.
    """
    scene = Scene(mesh)
    centre, normals = source.vertices[source.faces].mean(1), source.face_normals()
    size = max(surface.diagonal(source.vertices), 1e-30)
    start = _BEHIND * size
    out = scene.cast(centre - start * normals, normals)
    back = scene.cast(centre + start * normals, -normals)
    like = np.minimum(_if(out, ~out.front), _if(back, back.front))
    unlike = np.minimum(_if(out, out.front), _if(back, ~back.front))
    turned = (unlike < 0.2 * reach * size) & (like > np.maximum(4 * unlike, 0.6 * reach * size))
    if not turned.any():
        return source
    return source.with_(faces=np.where(turned[:, None], source.faces[:, [0, 2, 1]], source.faces), quads=0)


def _if(hits: Hits, chosen: NDArray[np.bool_]) -> FloatArray:
    """Distances, infinite where not chosen."""
    return np.where(chosen & hits.found, hits.distance, np.float32(np.inf))


class _Sheets:
    """The textures being drawn."""

    def __init__(self, mesh: Mesh, source: Source, texels: Texels, options: TransferOptions) -> None:
        self.source, self.texels, self.size = source, texels, options.size
        self.alpha = any(m.alpha_mode != "opaque" for m in source.used)
        kinds = {"base_color": 3 + self.alpha, "normal": 3, "roughness": 1, "metallic": 1, "emissive": 3}
        made = {name: source.varies(name) for name in ("roughness", "metallic", "emissive")}
        made |= {"base_color": source.colored or self.alpha, "normal": options.normal is not False}
        self.images = {k: np.zeros((self.size**2, c), np.uint8) for k, c in kinds.items() if made[k]}
        assert mesh.normals is not None
        self._tangents = corner_tangents(mesh, mesh.normals[mesh.faces]) if "normal" in self.images else None
        self._leaning = 0

    def draw(self, part: slice, seeker: _Seeker) -> None:
        """Fill the texels of one range."""
        points, normals = self.texels.surface(part)
        places = seeker(points, normals, part.start)
        pixel = self.texels.pixel[part]
        if "base_color" in self.images:
            color = self.source.color(places)
            self.images["base_color"][pixel, :3] = encoded(color[:, :3])
            if self.alpha:
                self.images["base_color"][pixel, 3] = to_uint8(color[:, 3])
        if "emissive" in self.images:
            self.images["emissive"][pixel] = encoded(self.source.emissive(places))
        for name in ("roughness", "metallic"):
            if name in self.images:
                self.images[name][pixel, 0] = to_uint8(self.source.scalar(name, places))
        if self._tangents is not None:
            self.images["normal"][pixel] = self._leant(part, normals, places, seeker.reach)

    def _leant(self, part: slice, normals: FloatArray, places: Places, reach: float) -> NDArray[np.uint8]:
        """Bytes (n, 3) of the normal map; flat where the source is not there."""
        face, weight = self.texels.face[part], self.texels.weight[part]
        assert self._tangents is not None
        tangent = self._tangents[face, 0] * weight[:, :1]
        for i in (1, 2):
            tangent += self._tangents[face, i] * weight[:, i : i + 1]
        tangent[:, :3] /= np.maximum(np.linalg.norm(tangent[:, :3], axis=1, keepdims=True), 1e-12)
        there = to_tangent(self.source.normals(places, normals), normals, tangent)
        there[places.distance > reach] = 0, 0, 1
        there[:, 2] = np.maximum(there[:, 2], 0.02)
        self._leaning += int((there[:, 2] < _FLAT_COSINE).sum())
        return to_uint8(there * 0.5 + np.float32(0.5))

    def material(self, dark: NDArray[np.uint8] | None) -> Material:
        """The material of all maps, their gaps filled."""
        if self._leaning <= _FLAT_SHARE * max(len(self.texels.pixel), 1):
            self.images.pop("normal", None)
        flat = np.zeros(self.size**2, bool)
        flat[self.texels.pixel] = True
        known = flat.reshape(self.size, self.size)
        maps = {}
        for name, image in self.images.items():
            whole = blend.filled(image.reshape(self.size, self.size, -1), known)
            maps[f"{name}_texture"] = whole if whole.shape[2] > 1 else np.ascontiguousarray(whole[..., 0])
        return _material(self.source, maps | ({} if dark is None else {"occlusion_texture": dark}))


def _material(source: Source, maps: dict[str, NDArray[np.uint8]]) -> Material:
    """One material for the source's: factors of what has a map are 1."""
    first = source.used[0]
    modes = {m.alpha_mode for m in source.used}
    mode: Literal["opaque", "mask", "blend"] = "blend" if "blend" in modes else "mask" if "mask" in modes else "opaque"
    cutoffs = [m.alpha_cutoff for m in source.used if m.alpha_mode == "mask"]
    textures: dict[str, Any] = dict(maps)
    return Material(
        **textures,
        base_color=(1.0, 1.0, 1.0, 1.0) if "base_color_texture" in maps else (*first.base_color[:3], 1.0),
        metallic=1.0 if "metallic_texture" in maps else first.metallic,
        roughness=1.0 if "roughness_texture" in maps else first.roughness,
        emissive=(1.0, 1.0, 1.0) if "emissive_texture" in maps else first.emissive,
        double_sided=any(m.double_sided for m in source.used),
        alpha_mode=mode,
        alpha_cutoff=cutoffs[0] if len(set(cutoffs)) == 1 and "blend" not in modes else 0.5,
        name=first.name,
    )


def _occlusion(mesh: Mesh, seeker: _Seeker, options: TransferOptions, runtime: Runtime) -> NDArray[np.uint8]:
    """(size, size): worked out on a coarser grid, smoothed there, and enlarged."""
    from PIL import Image
    from scipy.ndimage import gaussian_filter

    size = max(options.size // _COARSE, _COARSE_SIZE)
    texels = Texels.of(mesh, size)
    light = np.zeros(size * size, np.float32)

    def work(part: slice) -> None:
        points, normals = texels.surface(part)
        places = seeker(points, normals)
        near = (places.distance <= seeker.reach)[:, None]
        y, x = np.divmod(texels.pixel[part], np.int32(size))
        turn = (y % 4) * 4 + x % 4
        start = np.where(near, seeker.source.points(places), points)
        free = openness(seeker.source.scene, start, normals, turn % TURNS, options.rays)
        light[texels.pixel[part]] = np.minimum(free, seeker.source.scalar("occlusion", places))

    in_threads(work, texels.chunks(), runtime)
    flat = np.zeros(size * size, np.float32)
    flat[texels.pixel] = 1
    known = flat.reshape(size, size)
    total = gaussian_filter(known, 1.0)
    smooth = gaussian_filter(light.reshape(size, size), 1.0) / np.maximum(total, 1e-6)
    whole = blend.filled(smooth[..., None], known > 0)[..., 0]
    large = Image.fromarray(whole).resize((options.size, options.size), Image.Resampling.BILINEAR)
    return to_uint8(np.asarray(large))


def _on_vertices(mesh: Mesh, source: Mesh) -> Mesh:
    """See ``transfer``: what a mesh without uv can hold."""
    length = np.linalg.norm(np.diff(mesh.vertices[mesh.faces[:, :2]], axis=1), axis=-1)
    asked = Source(turned_alike(source, mesh, TransferOptions().reach), 1 / max(float(np.median(length)), 1e-30))
    normals = smooth_normals(mesh) if mesh.normals is None else mesh.normals
    places = Nearest(asked.mesh)(mesh.vertices, normals)
    colors = linear_to_srgb(asked.color(places)[:, :3]) if asked.colored else None
    roughness, metallic = (float(asked.scalar(name, places).mean()) for name in ("roughness", "metallic"))
    red, green, blue = asked.emissive(places).mean(0).tolist()
    first = asked.used[0]
    material = Material(
        base_color=(1.0, 1.0, 1.0, 1.0) if colors is not None else first.base_color,
        roughness=roughness,
        metallic=metallic,
        emissive=(red, green, blue),
        double_sided=any(m.double_sided for m in asked.used),
        name=first.name,
    )
    facts = {"to": "vertices", "of_unlike_orientation": round(float((~places.like).mean()), 4)}
    return mesh.with_(
        colors=colors,
        material=material if source.all_materials else None,
        materials=(),
        face_material=None,
        **_trusted(mesh, asked, places),
        metadata={**mesh.metadata, "transfer": facts | _distances(places.distance / asked.size)},
    )


def _trusted(mesh: Mesh, source: Source, places: Places) -> dict[str, FloatArray | None]:
    """seen and confidence of the new vertices."""
    seen, confidence = source.mesh.seen, source.mesh.confidence
    carried = None if seen is None else source.attribute(seen, places)
    if carried is not None:
        carried = np.where(places.distance <= _INVENTED * source.size, np.clip(carried, 0, 1), np.float32(0))
        carried = carried if mesh.seen is None else np.minimum(carried, mesh.seen)
    there = mesh.confidence if confidence is None else np.clip(source.attribute(confidence, places), 0, 1)
    return {"seen": mesh.seen if carried is None else carried, "confidence": there}
