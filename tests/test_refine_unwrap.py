"""Unwrapping: nothing overlaps or is turned over, seams keep their positions, the texture is well used."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from scipy import ndimage
from synthetic import ball, both, brick, marched, ring, without
from test_refine_clean import holes_and_parts

from liftform.assets import Mesh
from liftform.errors import ReconstructionError
from liftform.refine import surface
from liftform.refine.clean import CleanOptions, clean
from liftform.refine.polygons import paired, subdivided
from liftform.refine.raster import rasterize
from liftform.refine.simplify import SimplifyOptions, simplify
from liftform.refine.unwrap import UnwrapOptions, unwrap
from liftform.report.layout import layout
from liftform.runtime import Runtime
from liftform.topology import health

SIZE = 1024

SHAPES = {
    "ball": ball(0.4),
    "brick": brick((0.4, 0.2, 0.3)),
    "ring": ring(0.3, 0.12),
    "jug": both(
        without(without(ball(0.3), ball(0.22)), brick((0.4, 0.1, 0.4), (0, 0.3, 0))), ring(0.15, 0.04, (0.33, 0, 0))
    ),
    "table": both(brick((0.45, 0.03, 0.45)), *(brick((0.03, 0.2, 0.03), (x, -0.2, 0.35)) for x in (-0.35, 0.35))),
}


def solid(shape, cells=48, faces=4000, error=0.0008) -> Mesh:
    dense = clean(CleanOptions(), Runtime())(marched(shape, cells))
    return simplify(SimplifyOptions(faces, error), Runtime())(dense)


def unwrapped(mesh: Mesh, **options) -> Mesh:
    return unwrap(UnwrapOptions(**options), Runtime())(mesh)


def signed_areas(mesh: Mesh) -> np.ndarray:
    """Area of every face on the texture, positive where it is seen from outside (v points down)."""
    a, b, c = (mesh.uv[mesh.faces[:, i]].astype(float) for i in range(3))
    return -((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2


def chart_image(mesh: Mesh, shared: int = 0) -> np.ndarray:
    """(SIZE, SIZE): chart at every texel, 0 where there is none; fails where two faces meet on more than ``shared``."""
    face, pixel, _ = rasterize(mesh.uv[mesh.faces].astype(float) * SIZE, SIZE, SIZE)
    assert len(pixel) - len(np.unique(pixel)) <= shared, "two faces on one texel"
    image = np.zeros(SIZE * SIZE, int)
    image[pixel] = 1 + surface.components(mesh.faces, len(mesh.vertices))[1][mesh.faces[face, 0]]
    return image.reshape(SIZE, SIZE)


def assert_well_unwrapped(before: Mesh, after: Mesh, shared: int = 0) -> None:
    after.validate()
    assert after.uv.min() > 0
    assert after.uv.max() < 1
    assert np.array_equal(after.vertices[after.faces], before.vertices[before.faces])
    assert signed_areas(after).min() > 0
    chart_image(after, shared)


@pytest.mark.parametrize("name", SHAPES)
def test_charts_lie_apart_and_the_right_way_round(name: str) -> None:
    before = solid(SHAPES[name])
    after = unwrapped(before)
    assert_well_unwrapped(before, after)
    facts = after.metadata["unwrap"]
    assert facts["charts"] == surface.components(after.faces, len(after.vertices))[0] < 40
    assert facts["coverage"] == pytest.approx(signed_areas(after).sum(), abs=1e-3)
    assert facts["coverage"] > 0.45
    assert 1 <= facts["stretch"] < 1.02
    assert health(after, 0).manifold  # once seams are merged by position


@pytest.mark.parametrize("padding", [2, 4, 12])
def test_charts_keep_their_distance(padding: int) -> None:
    image = chart_image(unwrapped(solid(SHAPES["jug"]), padding=padding))
    for chart in np.unique(image)[1:]:
        away = ndimage.distance_transform_edt(image != chart)
        others = (image > 0) & (image != chart)
        assert away[others].min() > padding
    assert not np.any(image[[0, -1]])
    assert not np.any(image[:, [0, -1]])


def test_normals_are_smooth_across_seams() -> None:
    mesh = unwrapped(solid(SHAPES["ball"]))
    assert np.abs(np.linalg.norm(mesh.normals, axis=1) - 1).max() < 1e-5
    assert np.einsum("ij,ij->i", mesh.normals, mesh.vertices / 0.4).min() > 0.99
    _, where, count = np.unique(mesh.vertices, axis=0, return_inverse=True, return_counts=True)
    assert count.max() > 1
    first = np.zeros((len(count), 3), np.float32)
    first[where.reshape(-1)] = mesh.normals
    assert np.array_equal(first[where.reshape(-1)], mesh.normals)


def test_what_the_picture_shows_is_one_chart() -> None:
    mesh = unwrapped(solid(SHAPES["ball"]))
    chart = surface.components(mesh.faces, len(mesh.vertices))[1][mesh.faces[:, 0]]
    front = mesh.face_normals()[:, 2] > 0.8
    assert len(np.unique(chart[front])) == 1


def test_a_spiral_that_covers_itself_is_cut() -> None:
    """Seen from above, a ramp of two turns lies over itself though every face of it looks up."""
    turn = np.linspace(0, 4 * np.pi, 120)
    inner, outer = (np.stack([r * np.cos(turn), 0.04 * turn, -r * np.sin(turn)], 1) for r in (0.2, 0.4))
    rows = np.stack([inner, outer, outer - [0, 0.05, 0], inner - [0, 0.05, 0]], 1)
    vertices = rows.reshape(-1, 3)
    at = np.arange(len(vertices)).reshape(-1, 4)
    a, b = at[:-1], at[1:]
    quads = [np.stack([a[:, i], b[:, i], b[:, (i + 1) % 4], a[:, (i + 1) % 4]], 1) for i in range(4)]
    quads += [at[0, None], at[-1, None, ::-1]]
    quads = np.concatenate(quads)
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)
    if surface.volumes(vertices, faces).sum() < 0:
        faces = np.ascontiguousarray(faces[:, ::-1])
    mesh = Mesh(vertices.astype(np.float32), faces)
    assert surface.is_solid(mesh.vertices, mesh.faces)
    assert_well_unwrapped(mesh, unwrapped(mesh))


def test_xatlas_gives_the_same_promises() -> None:
    before = solid(SHAPES["ring"], faces=800)
    after = unwrapped(before, method="xatlas")
    chart_image(after)
    assert np.abs(signed_areas(after)).min() > 0
    assert after.metadata["unwrap"]["method"] == "xatlas"
    assert health(after, 0).manifold


def test_same_in_same_out() -> None:
    mesh = solid(SHAPES["jug"])
    a, b = unwrapped(mesh), unwrapped(mesh)
    assert np.array_equal(a.uv, b.uv)
    assert np.array_equal(a.faces, b.faces)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(holes_and_parts)
def test_any_solid_can_be_unwrapped(shape) -> None:
    try:
        before = solid(shape, cells=36, faces=1500)
    except (ValueError, ReconstructionError):  # nothing, or only crumbs, left of the shape
        return
    # overlaps are looked for on a raster a little coarser than this one: a texel may slip through
    assert_well_unwrapped(before, unwrapped(before), shared=4)


def test_charts_never_cut_a_quad():
    mesh = solid(SHAPES["jug"], faces=1500)
    quads = subdivided(paired(mesh.vertices.astype(float), mesh.faces.astype(np.int64))).mesh()
    out = unwrap(UnwrapOptions(), Runtime())(quads).validate()  # which looks at the diagonals
    assert 2 * out.quads == len(out.faces)
    assert out.metadata["unwrap"]["charts"] > 4
    assert layout(out).overlap < 0.01
