"""A third-party package of quick stand-in backends: what the road does between them can be tested without networks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from liftform.assets import Material, Mesh
from liftform.camera import Camera
from liftform.capture import Capture, Decision, Mask
from liftform.errors import NothingFoundError
from liftform.recipe import option
from liftform.runtime import Runtime
from liftform.zoo.registry import Backend


@dataclass(frozen=True)
class Options:
    """amount: a number that the stand-ins use where they need one."""

    amount: float = option(1.0, "a number", keyword="", low=0, high=100)


@dataclass(frozen=True)
class ObjectOptions:
    """size: half the edge of the cube."""

    size: float = option(0.4, "half the edge of the cube", keyword="cube_size", low=0.1, high=0.5)


def mask(options: Options, runtime: Runtime) -> Callable[[Capture], Capture]:
    """Everything that is not white is foreground."""

    def find(capture: Capture) -> Capture:
        photo = capture.photo
        alpha = photo.alpha if photo.alpha is not None else (photo.image.min(2) < 0.9).astype(np.float32)
        if not alpha.any():
            raise NothingFoundError(f"{photo.source}: no foreground", "use another picture")
        found = Mask(alpha, photo.image, 1.0)
        return capture.learned(replace(photo, mask=found), Decision("mask", "not white", "estimated"))

    return find


def camera(options: Options, runtime: Runtime) -> Callable[[Capture], Capture]:
    """Always the same camera."""

    def find(capture: Capture) -> Capture:
        photo = capture.photo
        seen_from = replace(Camera.orbit(photo.size[1], 0.7, 0.0, 0.3, 2.5), width=photo.size[0])
        return capture.learned(replace(photo, camera=seen_from), Decision("camera", 0.3, "guessed"))

    return find


def object_(options: ObjectOptions, runtime: Runtime) -> Callable[[Capture], Mesh]:
    """A cube whose front is the picture's mean colour."""

    def cube(capture: Capture) -> Mesh:
        corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32) * options.size
        quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
        faces = [t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))]
        colors = np.tile(capture.photo.image.mean((0, 1)), (8, 1)).astype(np.float32)
        return Mesh(corners, np.array(faces, np.int32), colors=colors)

    return cube


def slow(options: Options, runtime: Runtime) -> Callable[[Capture], Mesh]:
    """Long enough to be interrupted; gives a sign when it has begun."""

    def wait(capture: Capture) -> Mesh:
        Path(os.environ["LIFTFORM_FAKE_SIGN"]).touch()
        time.sleep(60)
        raise AssertionError("nobody interrupted this")

    return wait


def broken(options: Options, runtime: Runtime) -> Callable[[Capture], Mesh]:
    """A fault that liftform did not foresee."""

    def fail(capture: Capture) -> Mesh:
        raise ZeroDivisionError("a fault\nover two lines")

    return fail


def same(options: Options, runtime: Runtime) -> Callable[[Mesh], Mesh]:
    """A refiner that changes nothing."""
    return lambda mesh: mesh


def unwrap(options: Options, runtime: Runtime) -> Callable[[Mesh], Mesh]:
    """Planar coordinates, seen from the front."""
    return lambda mesh: mesh.with_(uv=np.clip(mesh.vertices[:, :2] + 0.5, 0, 1).astype(np.float32))


def bake(mesh: Mesh, dense: Mesh, capture: Capture, options: Options, runtime: Runtime) -> Mesh:
    """A texture of one colour."""
    assert dense.colors is not None
    texture = np.tile((dense.colors[0] * 255).astype(np.uint8), (4, 4, 1))
    return mesh.with_(material=Material(texture), seen=np.ones(len(mesh.vertices), np.float32))


def scale(options: Options, runtime: Runtime) -> Callable[[Mesh], Mesh]:
    """On the floor."""

    def lift(mesh: Mesh) -> Mesh:
        up = np.array([0, -mesh.bounds[0, 1], 0], np.float32)
        return mesh.with_(vertices=mesh.vertices + up, metadata={"unit": "unknown"})

    return lift


def _row(factory: Any, options: type[Any] = Options) -> Backend:
    return Backend(f"{__name__}:{factory.__name__}", f"{__name__}:{options.__name__}")


MASK, CAMERA, OBJECT = _row(mask), _row(camera), _row(object_, ObjectOptions)
CLEAN = SIMPLIFY = _row(same)
UNWRAP, BAKE, SCALE = _row(unwrap), _row(bake), _row(scale)
SLOW, BROKEN = _row(slow), _row(broken)
ABSENT = Backend("liftform_fakes_absent:mask", "liftform_fakes_absent:Options", extra="fields")
NONSENSE = "not a row"
