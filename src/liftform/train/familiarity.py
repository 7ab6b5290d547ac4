"""The table of familiarity: held-out objects pictured, lifted by the real road and scored; then fitted and calibrated.

liftform train familiarity --recipe training/familiarity.toml

Every step is kept on disk: pictures once, predictions for each set of weights, codes of the training objects likewise.
Whole families are left out together wherever anything is chosen or calibrated, and nothing of split "bench" is read.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .. import recipe as recipes
from ..camera import Camera
from ..conventions import linear_to_srgb, srgb_to_linear, to_uint8
from ..errors import InputNotFoundError, LiftformError
from ..files import whole_file, write_whole
from ..recipe import option
from ..runtime import Runtime
from ..zoo import familiarity, lifter, weights
from . import backgrounds, calibrate, data, render, shards
from .corpus import read_manifest
from .export import WEIGHTS, write_row
from .object import SHARES, is_held_out, origin

CARD = "docs/models/familiarity.md"
LICENCE = "Apache-2.0 (table); data credits in the card"


@dataclass(frozen=True)
class FamiliarityRecipe:
    """One calibration: where things lie, how many pictures of each held-out object, how they are spoiled."""

    manifest: Path = option(Path("../shared/objects/manifest.jsonl"), "the corpus")  # noqa: RUF009
    shards: Path = option(Path("out/shards/objects"), "training views, written by `liftform train data object`")  # noqa: RUF009
    scorer: Path = option(Path("../shared/bench/score_objects.py"), "the bench's scorer")  # noqa: RUF009
    out: Path = option(Path("out/familiarity"), "folder of pictures, predictions and codes")  # noqa: RUF009
    views: int = option(6, "pictures of each held-out object", low=1)
    size_px: int = option(400, "side of a picture", low=64, high=2048)
    composites: float = option(0.25, "share of pictures with a background, to be masked by the network", low=0, high=1)
    cut_off: float = option(0.06, "share of pictures in which a side of the object is cut off", low=0, high=1)
    limit: int | None = option(None, "only this many pictures, evenly spread", low=1)
    centres: int = option(320, "entries of the codebook", low=2, high=4096)
    workers: int = option(2, "processes", low=1)
    level: float = option(0.8, "share of results that the interval shall hold", low=0.5, high=0.99)


def read_recipe(path: str | Path, changes: Sequence[str] = ()) -> FamiliarityRecipe:
    """The recipe file with ``changes`` (see ``recipe.changed``); raises UsageError on unknown keys."""
    return recipes.build(FamiliarityRecipe, recipes.changed(recipes.read_toml(path), changes), str(path))


def calibrate_familiarity(recipe: FamiliarityRecipe, log: Any = print) -> Path:
    """Picture, predict, fit and install the table; returns its path. Resumes wherever it was interrupted.

    Raises InputNotFoundError (corpus, shards or scorer missing), LiftformError (too few predictions).
    """
    cases = write_cases(recipe, log)
    predict(recipe, cases)
    records = _records(recipe)
    log(f"{len(records)} predictions of {len({r['family'] for r in records})} held-out families")
    book = calibrate.codebook(training_codes(recipe, log), recipe.centres, _kinds(recipe))
    table, held = calibrate.fit(records, book, recipe.out / "evidence", recipe.level)
    table["networks"] = [weights.table()[name].sha256 for name in familiarity.NETWORKS]
    path = WEIGHTS / "familiarity.npz"
    write_whole({path: familiarity.pack(book.centres, table)})
    write_row(familiarity.NAME, path, LICENCE, CARD)
    (recipe.out / "held_out.json").write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")
    log("left out by families: " + "  ".join(f"{k} {v:.3f}" for k, v in held.items()))
    return path


# -- pictures of held-out objects ------------------------------------------------------------------------------------


def write_cases(recipe: FamiliarityRecipe, log: Any = print) -> Path:
    """Pictures and truth of the held-out objects in the layout of the bench; returns the cases file. Resumes."""
    for folder in ("views", "truth"):
        (recipe.out / folder).mkdir(parents=True, exist_ok=True)
    rows = [row for row in _meshes(recipe) if is_held_out(row["family"])]
    sheet = recipe.out / "cases.jsonl"
    known = {c["id"]: c for c in map(json.loads, sheet.read_text("utf-8").splitlines())} if sheet.is_file() else {}
    painter, cases = None, []
    for row in rows:
        names = [f"{row['id']}__{k}" for k in range(recipe.views)]
        if not all(name in known for name in names):
            painter = painter or render.rasteriser()
            known |= {case["id"]: case for case in _pictured(row, recipe, painter)}
            _write_lines(sheet, known.values())
        cases += [known[name] for name in names]
    _write_lines(sheet, cases)
    log(f"{len(cases)} pictures of {len(rows)} held-out objects: {sheet}")
    return sheet


def _write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with whole_file(path) as beside:
        beside.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _pictured(row: dict[str, Any], recipe: FamiliarityRecipe, painter: render.Rasteriser) -> Iterator[dict[str, Any]]:
    """The cases of one object; its truth points are written too."""
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(row["id"].encode()).digest()[:8], "little"))
    surface, mesh = render.surface_from_glb(row["file"])
    painter.load(surface)
    truth = f"truth/{row['id']}.npz"
    np.savez(recipe.out / truth, points=outside_points(mesh, 10_000, rng))
    radius = float(np.linalg.norm(np.asarray(mesh.vertices), axis=1).max())
    for k in range(recipe.views):
        azimuth = rng.uniform(-1.4, 1.4) if rng.random() < 0.8 else rng.uniform(-np.pi, np.pi)
        elevation, fov = rng.uniform(-0.1, 0.65), rng.uniform(0.3, 0.95)
        distance = radius / np.sin(fov / 2) * rng.uniform(0.95, 1.4)
        camera = Camera.orbit(recipe.size_px, fov, azimuth, elevation, distance)
        buffer = painter.draw(camera)
        rgb = render.relight(buffer, camera, render.random_light(rng), mesh, rng, rays=8)
        picture = _spoiled(rgb, buffer.alpha, recipe, rng)
        image = f"views/{row['id']}__{k}.png"
        Image.fromarray(picture).save(recipe.out / image)
        yield {
            **{"id": f"{row['id']}__{k}", "source": row["source"], "family": row["family"], "scan": row["scan"]},
            **{"image": image, "truth": truth, "azimuth_deg": float(np.degrees(azimuth))},
        }


def _spoiled(rgb: NDArray[Any], alpha: NDArray[Any], recipe: FamiliarityRecipe, rng: Any) -> NDArray[np.uint8]:
    """The picture with its alpha, or on a background without; sometimes a side of the object is cut off."""
    picture = np.dstack([to_uint8(rgb), to_uint8(alpha)])
    if rng.random() < recipe.composites:
        scene = backgrounds.scene(rng, recipe.size_px).picture.astype(np.float32)
        behind = srgb_to_linear(np.asarray(scene / 255, np.float32))
        cover = alpha[..., None]
        picture = to_uint8(linear_to_srgb(srgb_to_linear(rgb) * cover + behind * (1 - cover)))
    if rng.random() < recipe.cut_off:
        columns = np.nonzero((alpha > 0.5).any(0))[0]
        cut = columns[0] + int(rng.uniform(0.08, 0.3) * (columns[-1] - columns[0]))
        picture = picture[:, cut:] if rng.random() < 0.5 else picture[:, : columns[-1] + columns[0] - cut]
    return np.ascontiguousarray(picture)


def outside_points(mesh: Any, count: int, rng: Any) -> NDArray[np.float32]:
    """Points (N, 3), N <= count, of a trimesh mesh's surface that have a way out on one side at least."""
    import trimesh

    points, faces = trimesh.sample.sample_surface(mesh, 3 * count, seed=rng)
    step = np.asarray(mesh.face_normals)[faces] * 1e-3
    hidden = data.sealed(mesh, points + step, rng, 32) & data.sealed(mesh, points - step, rng, 32)
    shown = points if hidden.all() else points[~hidden]
    return np.asarray(shown[:count], np.float32)


# -- predictions and codes -------------------------------------------------------------------------------------------


def predict(recipe: FamiliarityRecipe, cases: Path) -> None:
    """Lift and score the cases by the real road, in a process of its own: `liftform evaluate trust --collect`."""
    command = [sys.executable, "-m", "liftform", "evaluate", "trust", "--collect", "--cases", str(cases)]
    command += ["--out", str(recipe.out), "--scorer", str(recipe.scorer), "--workers", str(recipe.workers)]
    command += ["--limit", str(recipe.limit)] if recipe.limit else []
    if subprocess.run(command, check=False).returncode:
        raise LiftformError("the held-out predictions could not be made", f"run by hand: {' '.join(command)}")


def _records(recipe: FamiliarityRecipe) -> list[dict[str, Any]]:
    """Scored records, each with the weight by which it counts: origins by SHARES, families alike within them."""
    lines = (recipe.out / "results.jsonl").read_text(encoding="utf-8").splitlines()
    records = [r for r in map(json.loads, lines) if "f@0.1" in r and "error" not in r]
    if len({r["family"] for r in records}) < 5:
        raise LiftformError(f"{recipe.out}: predictions of fewer than five families", "raise limit in the recipe")
    sizes = Counter(r["family"] for r in records)
    raw = {r["id"]: sizes[r["family"]] ** -0.5 for r in records}
    for name, share in SHARES.items():
        group = [r["id"] for r in records if origin(r["source"]) == name]
        total = sum(raw[i] for i in group)
        raw |= {i: raw[i] * share / total for i in group}
    whole = sum(raw.values())
    return [{**r, "weight": raw[r["id"]] * len(records) / whole} for r in records]


def training_codes(recipe: FamiliarityRecipe, log: Any = print) -> calibrate.Codes:
    """The encoder's codes of two views of every object that was trained on; kept for each set of weights."""
    made_by = weights.table()["object_encoder"].sha256[:16]
    path = recipe.out / f"codes-{made_by}.npz"
    if not path.is_file():
        codes, families, objects = [], [], []
        for key, family, views in _training_views(recipe.shards):
            for rgb, alpha in views:
                codes.append(lifter.read(_crop(rgb, alpha), Runtime(threads=1)).maps["code"][0])
                families.append(family)
                objects.append(key)
        with whole_file(path) as beside:
            np.savez(beside, codes=np.array(codes, np.float32), families=families, objects=objects)
        log(f"{len(codes)} codes of training objects: {path}")
    with np.load(path) as file:
        return calibrate.Codes(file["codes"], [str(f) for f in file["families"]], [str(o) for o in file["objects"]])


def _training_views(folder: Path) -> Iterator[tuple[str, str, list[tuple[NDArray[Any], NDArray[Any]]]]]:
    """(key, family, two views) of each training object in the shards."""
    paths = sorted(folder.glob("[!.]*.tar"))
    if not paths:
        raise InputNotFoundError(f"{folder}: no shards", "run `liftform train data object` first")
    for path in paths:
        shard = shards.Shard(path)
        for number, key in enumerate(shard.keys):
            family = shard.value(number, "meta")["family"]
            if not is_held_out(family):
                sample = shard.sample(number)
                yield key, family, [(sample["rgb"][k], sample["alpha"][k]) for k in (0, len(sample["rgb"]) // 2)]


def _crop(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A stored view as the encoder's input (1, 4, S, S)."""
    side = lifter.input_size()
    cover = alpha[..., None].astype(np.float32) / 255
    image = np.concatenate([rgb.astype(np.float32) / 255 * cover + 0.5 * (1 - cover), cover], 2)
    planes = [np.asarray(Image.fromarray(image[..., c]).resize((side, side), Image.Resampling.BOX)) for c in range(4)]
    return np.stack(planes)[None].astype(np.float32)


def _kinds(recipe: FamiliarityRecipe) -> dict[str, str]:
    """family -> what its objects are called, in plain words."""
    return {row["family"]: kind_of(row["family"], row["name"]) for row in _meshes(recipe)}


def _meshes(recipe: FamiliarityRecipe) -> list[dict[str, Any]]:
    """The corpus's rows that are single textured meshes."""
    return [row for row in read_manifest(recipe.manifest) if row["file"].lower().endswith(".glb")]


def kind_of(family: str, name: str) -> str:
    """A noun for a family: the word after its colon, without numbers; else the object's name."""
    noun = re.sub(r"[\d_]+", " ", family.partition(":")[2] or name).strip().lower()
    return noun or name.lower()
