"""What long stages found of a set, kept in a folder as it is found, so that work that was broken off goes on."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..camera import Camera
from ..capture import Capture, Decision, Depth, Photo, Sparse
from ..errors import OutputError
from ..files import write_whole
from ..lens import Lens

Arrays = dict[str, NDArray[Any]]


def kept(folder: str, stage: str, capture: Capture, said: Mapping[str, Any], find: Callable[[], Capture]) -> Capture:
    """What ``find`` gives; from ``folder``, where the same stage kept it of the same pictures and options.

    folder: "" keeps nothing. said: plain options that decide the result. A file that is damaged is found anew. Raises
    OutputError where the folder cannot be written.
    """
    if not folder:
        return find()
    path = Path(folder).expanduser() / f"{stage}-{_key(capture, said)}.npz"
    try:
        return restored(capture, path.read_bytes())
    except (OSError, ValueError, KeyError):  # none, or cut short
        found = find()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path.parent}: cannot create this folder ({error.strerror})", "choose another") from error
    write_whole({path: packed(found)})
    return found


def packed(capture: Capture) -> bytes:
    """Cameras, lenses, exposures, depths, points and decisions of a capture, without its pictures (.npz)."""
    arrays: dict[str, Any] = {}
    rows = []
    for i, photo in enumerate(capture.photos):
        row: dict[str, Any] = {"exposure": photo.exposure, "posed": photo.posed}
        if photo.lens is not None:
            row["lens"] = asdict(photo.lens)
        if photo.camera is not None:
            row["camera"] = {k: getattr(photo.camera, k) for k in ("width", "height", "fx", "fy", "cx", "cy")}
            arrays[f"pose_{i}"] = photo.camera.world_from_camera
        if photo.depth is not None:
            row["depth"] = {"scale": photo.depth.scale, "source": photo.depth.source, "tan_half": photo.depth.tan_half}
            maps = {name: getattr(photo.depth, name) for name in ("z", "normals", "sky", "spread")}
            arrays |= {f"{name}_{i}": value for name, value in maps.items() if value is not None}
        rows.append(row)
    if capture.sparse is not None:
        arrays |= {f"sparse_{name}": value for name, value in vars(capture.sparse).items()}
    facts = {"photos": rows, "metric": capture.metric, "decisions": [vars(d) for d in capture.decisions]}
    text = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    out = io.BytesIO()
    np.savez(out, facts=text, **arrays)
    return out.getvalue()


def restored(capture: Capture, data: bytes) -> Capture:
    """The capture's pictures with what ``packed`` wrote of them; ValueError or KeyError of damaged bytes."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except Exception as error:  # zipfile and numpy raise many kinds on damaged files
        raise ValueError("damaged") from error
    facts = json.loads(arrays["facts"].tobytes())
    both = zip(capture.photos, facts["photos"], strict=True)
    photos = tuple(_photo(photo, row, i, arrays) for i, (photo, row) in enumerate(both))
    names = ("points", "colors", "errors", "photo", "point", "pixels")
    sparse = Sparse(*(arrays[f"sparse_{name}"] for name in names)) if "sparse_points" in arrays else None
    return Capture(photos, tuple(Decision(**d) for d in facts["decisions"]), sparse, bool(facts["metric"]))


def _photo(photo: Photo, row: Mapping[str, Any], i: int, arrays: Arrays) -> Photo:
    lens = row.get("lens")
    camera, depth = None, photo.depth
    if "camera" in row:
        camera = Camera(**row["camera"], world_from_camera=arrays[f"pose_{i}"])
    if "depth" in row:
        maps: dict[str, Any] = {name: arrays.get(f"{name}_{i}") for name in ("normals", "sky", "spread")}
        depth = Depth(arrays[f"z_{i}"], **row["depth"], **maps)
    found = None
    if lens is not None:
        found = Lens(**{**lens, "distortion": tuple(lens["distortion"])})
    return replace(photo, lens=found, camera=camera, depth=depth, exposure=row["exposure"], posed=bool(row["posed"]))


def _key(capture: Capture, said: Mapping[str, Any]) -> str:
    """16 hexadecimal digits that change with the pictures, their masks and cameras, and the options."""
    found = hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode())
    for photo in capture.photos:
        found.update(f"{photo.source} {photo.size} {photo.lens}".encode())
        found.update(photo.image.tobytes())
        if photo.mask is not None:
            found.update(photo.mask.alpha.tobytes())
        if photo.camera is not None:
            found.update(photo.camera.world_from_camera.tobytes())
    return found.hexdigest()[:16]
