"""Cameras and points from matches: COLMAP's incremental and global mapping, or points alone where cameras are known."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...lens import Lens
from ...runtime import Runtime
from .matching import Matched, colmap, describe, lens_of

#: Thresholds of a second, patient try: degrees between the first two views, matches of those, and of a further one.
_PATIENT = (3.0, 40, 15)
#: Sets up to so many pictures keep points that only two of them show.
_FEW = 8


@dataclass(frozen=True)
class Model:
    """Pictures (by index) that are in one frame, in COLMAP's axes and unit, and points.

    poses: world_from_camera 4x4. points (N, 3), errors (N,) px; sightings: photo, point (M,), pixels (M, 2).
    """

    poses: Mapping[int, NDArray[np.float64]]
    lenses: Mapping[int, Lens]
    points: NDArray[np.float64]
    errors: NDArray[np.float64]
    photo: NDArray[np.int32]
    point: NDArray[np.int32]
    pixels: NDArray[np.float64]

    @property
    def sightings(self) -> dict[int, int]:
        """How many points each picture shows."""
        return {i: int((self.photo == i).sum()) for i in self.poses}


def mapped(matched: Matched, method: str, runtime: Runtime, patient: bool = False) -> list[Model]:
    """All models that were found, the one of most pictures first. method: "incremental" or "global"."""
    pycolmap = colmap()
    pycolmap.set_random_seed(runtime.seed)
    out = Path(tempfile.mkdtemp(dir=matched.room))
    if method == "global":
        wanted = pycolmap.GlobalPipelineOptions()
        wanted.num_threads, wanted.random_seed = runtime.threads or -1, runtime.seed
        if all(matched.given):
            for name in ("refine_focal_length", "refine_extra_params", "refine_principal_point"):
                setattr(wanted.mapper.bundle_adjustment, name, False)
        found = pycolmap.global_mapping(matched.database, matched.room / "images", out, wanted)
    else:
        wanted = _incremental(pycolmap, matched, runtime, patient)
        found = pycolmap.incremental_mapping(matched.database, matched.room / "images", out, wanted)
    models = [read(found[key], matched) for key in sorted(found)]
    return sorted(models, key=lambda model: (-len(model.poses), -len(model.points)))


def forget(matched: Matched, pairs: Iterable[tuple[int, int]]) -> None:
    """Take the matches of pairs of pictures out of the database."""
    with colmap().Database.open(matched.database) as opened:
        for a, b in pairs:
            opened.delete_two_view_geometry(matched.ids[a], matched.ids[b])


def _incremental(pycolmap: Any, matched: Matched, runtime: Runtime, patient: bool = False) -> Any:
    wanted = pycolmap.IncrementalPipelineOptions(min_model_size=2, extract_colors=False)
    wanted.num_threads, wanted.random_seed = runtime.threads or -1, runtime.seed
    if all(matched.given):
        wanted.ba_refine_focal_length = wanted.ba_refine_extra_params = False
        wanted.mapper.abs_pose_refine_focal_length = wanted.mapper.abs_pose_refine_extra_params = False
    if patient or len(matched.ids) <= _FEW:  # few pictures have no third view of most points
        wanted.triangulation.ignore_two_view_tracks = False
    wanted.constant_cameras = {c for c, given in zip(matched.cameras, matched.given, strict=True) if given}
    if patient:
        mapper = wanted.mapper
        mapper.init_min_tri_angle, mapper.init_min_num_inliers, mapper.abs_pose_min_num_inliers = _PATIENT
    return wanted


def read(reconstruction: Any, matched: Matched) -> Model:
    """A Model of COLMAP's reconstruction."""
    index = {number: i for i, number in enumerate(matched.ids)}
    numbers = {number: row for row, number in enumerate(sorted(reconstruction.points3D))}
    poses, lenses, seen = {}, {}, []
    for image in sorted((reconstruction.images[i] for i in reconstruction.reg_image_ids()), key=lambda m: m.image_id):
        i = index[image.image_id]
        pose = np.eye(4)
        pose[:3] = image.cam_from_world().inverse().matrix()
        poses[i], lenses[i] = pose, lens_of(reconstruction.cameras[image.camera_id])
        seen += [(i, numbers[p.point3D_id], *p.xy) for p in image.get_observation_points2D()]
    rows = np.array(seen, np.float64).reshape(-1, 4)
    points = [reconstruction.points3D[number] for number in numbers]
    return Model(
        dict(sorted(poses.items())),
        lenses,
        np.array([p.xyz for p in points], np.float64).reshape(-1, 3),
        np.array([p.error for p in points], np.float64),
        rows[:, 0].astype(np.int32),
        rows[:, 1].astype(np.int32),
        rows[:, 2:],
    )


def triangulated(
    matched: Matched,
    poses: Mapping[int, NDArray[np.float64]],
    lenses: Mapping[int, Lens],
    runtime: Runtime,
    refine: bool = False,
) -> Model:
    """Points that cameras at known poses (world_from_camera) have in common; refine: adjust poses and points after."""
    pycolmap = colmap()
    pycolmap.set_random_seed(runtime.seed)
    scene = pycolmap.Reconstruction()
    with pycolmap.Database.open(matched.database) as opened:
        for number in sorted({matched.cameras[i] for i in poses}):
            camera = opened.read_camera(number)
            describe(camera, lenses[next(i for i in poses if matched.cameras[i] == number)])
            scene.add_camera_with_trivial_rig(camera)
        for i, pose in poses.items():
            image = opened.read_image(matched.ids[i])
            spots = np.asarray(opened.read_keypoints(matched.ids[i]), np.float64)[:, :2]
            placed = pycolmap.Image(
                name=image.name, keypoints=spots, camera_id=image.camera_id, image_id=image.image_id
            )
            scene.add_image_with_trivial_frame(placed, pycolmap.Rigid3d(np.linalg.inv(pose)[:3]))
    out = matched.room / "triangulated"
    out.mkdir(exist_ok=True)
    wanted = _incremental(pycolmap, matched, runtime)
    scene = pycolmap.triangulate_points(scene, matched.database, matched.room / "images", out, True, wanted)
    if refine and len(scene.points3D):
        adjusting = pycolmap.BundleAdjustmentOptions()
        adjusting.refine_focal_length = adjusting.refine_extra_params = adjusting.print_summary = False
        pycolmap.bundle_adjustment(scene, adjusting)
        scene.update_point_3d_errors()
    return read(scene, matched)


def parts(models: Sequence[Model]) -> tuple[Model | None, list[Model]]:
    """The largest model, and what others hold that it does not."""
    best = models[0] if models and len(models[0].poses) >= 2 else None
    return best, [model for model in models[1:] if best is None or set(model.poses) - set(best.poses)]
