"""The corpus in a small file for machines that take little: quantised meshes, small textures, every row's credit.

``unpack`` gives GLBs and a manifest again, from which that machine renders its own shards. Positions keep 12 bits of
the longest side (a twentieth of the shell that open sheets get), texture coordinates steps of 1/1024, vertex colours
all their bits, textures at most ``texture_px``; faces and vertices are put into an order that packs well, their
topology stays. The file is a shard (shards.py) whose samples are chunks of objects.

Indices are coded against the highest one seen so far (Chun 2012, "WebGL models: end-to-end", OpenGL Insights), all
streams split into byte planes of zigzag differences and packed with LZMA.
"""

from __future__ import annotations

import io
import json
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..assets import Mesh
from ..conventions import srgb_to_linear
from ..errors import UnreadableError
from ..files import whole_file
from . import meshes, shards
from .corpus import Report, Row, read_manifest, write_manifest

CHUNK = 128
_POSITION_STEPS, _UV_STEPS = 4095, 1024
#: What of a row travels.
_KEPT = ("id", "name", "kind", "source", "family", "category", "split", "licence", "licence_class", "credit", "bbox_m",
         "scan")  # fmt: skip
Ints = NDArray[np.int64]


def pack(manifest: Path, out: Path, texture_px: int = 192, split: str | None = "train", report: Report = print) -> int:
    """Write the corpus's ``split`` to ``out``, whole or not at all; returns how many objects went in.

    A broken object is told to ``report`` and left out. Raises OutputError when the disk refuses.
    """
    rows = read_manifest(manifest, split, report=report)
    packed = 0

    def chunks() -> Iterator[shards.Sample]:
        nonlocal packed
        for i in range(0, len(rows), CHUNK):
            sound = [item for row in rows[i : i + CHUNK] if (item := _opened(row, report)) is not None]
            packed += len(sound)
            if sound:
                yield {"key": f"chunk{i // CHUNK:05d}", **_chunk(sound, texture_px)}

    shards.write(out, chunks())
    return packed


def unpack(path: Path, folder: Path) -> Iterator[str]:
    """Write ``folder``/glb/<id>.glb for every object, then ``folder``/manifest.jsonl; yields the ids; goes on if cut.

    Raises UnreadableError for a damaged pack.
    """
    (folder / "glb").mkdir(parents=True, exist_ok=True)
    rows = []
    for sample in shards.read(path):
        try:
            things = list(_things(sample))
        except (lzma.LZMAError, ValueError, KeyError, IndexError, OSError) as error:
            raise UnreadableError(f"{path}: the pack is damaged ({error})", "copy it again") from error
        for row, mesh in things:
            row["file"] = str(folder / "glb" / f"{row['id']}.glb")
            rows.append(row)
            if not Path(row["file"]).exists():
                _write_glb(Path(row["file"]), mesh)
                yield row["id"]
    write_manifest(folder / "manifest.jsonl", rows)


def _opened(row: Row, report: Report) -> tuple[Row, Mesh] | None:
    try:
        meshes.check_textures(Path(row["file"]))
        return row, meshes.turned(meshes.open_mesh(Path(row["file"])), row.get("up", "Y"))
    except Exception as error:  # a broken mesh of a large corpus is left out aloud
        report(f"{row['id']}: {' '.join(str(error).split())[:200]}")
        return None


def _chunk(items: list[tuple[Row, Mesh]], texture_px: int) -> shards.Sample:
    """The fields of one chunk: a packed table of facts, and one packed stream for each kind of numbers."""
    facts, streams, pictures = list[dict[str, Any]](), {k: list[Ints]() for k in ("index", "xyz", "uv", "rgb")}, b""
    for row, mesh in items:
        faces, order = ordered(mesh.faces, len(mesh.vertices))
        low = mesh.vertices.min(0).astype(np.float64)
        extent = max(float(np.ptp(mesh.vertices, axis=0).max()), 1e-9)
        streams["index"].append(_highwater(faces.ravel()))
        streams["xyz"].append(_differences(np.rint((mesh.vertices[order] - low) / extent * _POSITION_STEPS)))
        about: dict[str, Any] = {"n": len(order), "f": len(faces), "low": low.tolist(), "extent": extent}
        picture = _picture(mesh, texture_px)
        if picture and mesh.uv is not None:
            streams["uv"].append(_differences(np.clip(np.rint(mesh.uv[order] * _UV_STEPS), -32000, 32000)))
            about |= {"picture": len(picture), "factor": mesh.material.base_color[:3] if mesh.material else (1, 1, 1)}
            pictures += picture
        elif mesh.colors is not None:
            streams["rgb"].append(_differences(np.rint(srgb_to_linear(mesh.colors[order]) * 255)))
        else:
            about["factor"] = mesh.material.base_color[:3] if mesh.material else (1, 1, 1)
        about["rgb"] = mesh.colors is not None and not picture
        facts.append({"row": {k: row[k] for k in _KEPT if k in row}, **about})
    packed = {k: lzma.compress(_planes(v), preset=9) for k, v in streams.items()}
    return {"facts": lzma.compress(json.dumps(facts).encode(), preset=9), **packed, "pictures": pictures}


def _things(sample: shards.Sample) -> Iterator[tuple[Row, Mesh]]:
    from ..assets import Material
    from ..conventions import linear_to_srgb

    facts = json.loads(lzma.decompress(sample["facts"]))
    streams = {k: _Stream(lzma.decompress(sample[k])) for k in ("index", "xyz", "uv", "rgb")}
    at = 0
    for one in facts:
        n, colors, uv, material = one["n"], None, None, None
        faces = _lowered(streams["index"].take(3 * one["f"])).reshape(-1, 3)
        xyz = np.cumsum(streams["xyz"].signed(n, 3), 0) / _POSITION_STEPS * one["extent"] + np.array(one["low"])
        if one.get("picture"):
            uv = (np.cumsum(streams["uv"].signed(n, 2), 0) / _UV_STEPS).astype(np.float32)
            with Image.open(io.BytesIO(sample["pictures"][at : at + one["picture"]])) as picture:
                material = Material(np.asarray(picture.convert("RGB")), (*one["factor"], 1.0))
            at += one["picture"]
        elif one["rgb"]:
            colors = linear_to_srgb((np.cumsum(streams["rgb"].signed(n, 3), 0) / 255).astype(np.float32))
        else:
            colors = np.broadcast_to(linear_to_srgb(np.array(one["factor"], np.float32)), (n, 3)).astype(np.float32)
        mesh = Mesh(xyz.astype(np.float32), faces.astype(np.int32), uv=uv, colors=colors, material=material)
        yield dict(one["row"]), mesh.validate()


def ordered(faces: NDArray[np.int32], count: int) -> tuple[Ints, Ints]:
    """Faces (F, 3) with vertices numbered by first use, neighbours near each other; and the old number of each (V,)."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    a, b = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).T
    graph = coo_matrix((np.ones(2 * len(a), np.int8), (np.r_[a, b], np.r_[b, a])), (count, count)).tocsr()
    rank = np.empty(count, np.int64)
    rank[reverse_cuthill_mckee(graph, symmetric_mode=True)] = np.arange(count)
    turned = faces[np.arange(len(faces))[:, None], (rank[faces].argmin(1)[:, None] + np.arange(3)) % 3]
    key = np.sort(rank[turned], 1)
    turned = turned[np.lexsort((key[:, 2], key[:, 1], key[:, 0]))]
    used, first, inverse = np.unique(turned.ravel(), return_index=True, return_inverse=True)
    order = np.argsort(first)
    new = np.empty(len(used), np.int64)
    new[order] = np.arange(len(used))
    return new[inverse.reshape(-1)].reshape(-1, 3), used[order].astype(np.int64)


def _highwater(index: Ints) -> Ints:
    """0 for an index never seen, else how far it lies below the first unseen one."""
    seen = np.maximum.accumulate(np.r_[-1, index[:-1]]) + 1
    return seen - index


def _lowered(codes: Ints) -> Ints:
    """The inverse of ``_highwater``."""
    fresh = codes == 0
    return np.cumsum(fresh) - fresh - codes


def _differences(values: NDArray[np.floating]) -> Ints:
    """Differences of rows (N, C) to the row before, as numbers >= 0 (zigzag), one column after the other."""
    steps = values.astype(np.int64)
    steps[1:] -= steps[:-1].copy()
    d = steps.T.ravel()
    return np.asarray((d << 1) ^ (d >> 63), np.int64)


def _planes(parts: list[Ints]) -> bytes:
    """Numbers below 65,536 as their low bytes, then their high bytes."""
    joined = np.concatenate([*parts, np.zeros(0, np.int64)])
    return (joined & 255).astype(np.uint8).tobytes() + (joined >> 8).astype(np.uint8).tobytes()


class _Stream:
    """Reads back what ``_planes`` joined."""

    def __init__(self, data: bytes) -> None:
        low, high = np.frombuffer(data, np.uint8).reshape(2, -1).astype(np.int64)
        self._numbers, self._at = low + (high << 8), 0

    def take(self, count: int) -> Ints:
        """The next ``count`` numbers."""
        self._at += count
        return self._numbers[self._at - count : self._at]

    def signed(self, rows: int, columns: int) -> Ints:
        """The next differences (rows, columns)."""
        z = self.take(rows * columns)
        return np.asarray((z >> 1) ^ -(z & 1), np.int64).reshape(columns, rows).T


def _picture(mesh: Mesh, texture_px: int) -> bytes:
    """The texture as a small WebP, or nothing."""
    if mesh.uv is None or mesh.material is None or mesh.material.base_color_texture is None:
        return b""
    picture = Image.fromarray(np.asarray(mesh.material.base_color_texture)[..., :3])
    scale = min(1.0, texture_px / max(picture.size))
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    out = io.BytesIO()
    picture.resize(size, Image.Resampling.BOX if scale < 1 else None).save(out, "WEBP", quality=72, method=6)
    return out.getvalue()


def _write_glb(path: Path, mesh: Mesh) -> None:
    """A GLB of one mesh: its texture, or linear vertex colours."""
    import trimesh
    from trimesh.visual.material import PBRMaterial

    made = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    if mesh.uv is not None and mesh.material is not None:
        image = Image.fromarray(np.asarray(mesh.material.base_color_texture))
        factor = [*mesh.material.base_color[:3], 1.0]
        material = PBRMaterial(baseColorTexture=image, baseColorFactor=factor, metallicFactor=0.0, doubleSided=True)
        upward = np.stack([mesh.uv[:, 0], 1 - mesh.uv[:, 1]], -1)  # trimesh's origin of uv is bottom-left
        made.visual = trimesh.visual.TextureVisuals(uv=upward, material=material)
    elif mesh.colors is not None:
        linear = np.rint(srgb_to_linear(mesh.colors) * 255).astype(np.uint8)
        made.visual = trimesh.visual.ColorVisuals(made, vertex_colors=linear)
    with whole_file(path) as beside:
        made.export(beside, file_type="glb")
