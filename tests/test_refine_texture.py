"""Hidden sides: texture goes on around, print stays where it is, and only a true mirror mirrors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import synthetic
from synthetic import GROUND, INK, ball, brick, drum, face, marched, printed, stripes, traced

from liftform.assets import Mesh
from liftform.camera import Camera
from liftform.capture import Capture, Mask
from liftform.refine.bake import BakeOptions, bake
from liftform.refine.clean import CleanOptions, clean
from liftform.refine.simplify import SimplifyOptions, simplify
from liftform.refine.symmetry import Plane, judged
from liftform.refine.unwrap import UnwrapOptions, unwrap
from liftform.refine.visible import unique
from liftform.render import render
from liftform.runtime import Runtime

BOX = brick((0.3, 0.3, 0.25))
DRUM = drum()
ACROSS = {"plane": ((0.0, 0.0, 1.0), 0.0)}  # a front-to-back mirror: true of all these shapes


def flat(color):
    return lambda p: np.broadcast_to(np.array(color, np.float32), p.shape)


def camera(azimuth_deg=0.0, elevation_deg=12.0, size=224) -> Camera:
    return Camera.orbit(size, np.radians(40), np.radians(azimuth_deg), np.radians(elevation_deg), 1.7)


def shaped(shape) -> tuple[Mesh, Mesh]:
    """(unwrapped, dense) with a guess that knows nothing but the ground's colour."""
    dense = clean(CleanOptions(), Runtime())(marched(shape, 40, paint=flat(GROUND)))
    return unwrap(UnwrapOptions(), Runtime())(simplify(SimplifyOptions(3000), Runtime())(dense)), dense


@pytest.fixture(scope="module")
def meshes() -> dict[str, tuple[Mesh, Mesh]]:
    return {"ball": shaped(ball(0.36)), "drum": shaped(DRUM), "box": shaped(BOX)}


def baked(made, capture: Capture, texture="synthesise", metadata=None) -> Mesh:
    mesh, dense = made
    return bake(mesh, dense.with_(metadata=metadata or {}), capture, BakeOptions(size=384, texture=texture), Runtime())


def behind(mesh: Mesh, azimuth_deg=180.0) -> np.ndarray:
    """Colours (N, 3) of the back, away from its outline."""
    view = render(mesh, camera(azimuth_deg), "unlit")
    return view.image[view.mask & (view.normals[..., 2] < -0.5)][:, :3]


def inked(colors) -> float:
    """Share of pixels nearer to the ink than to the ground."""
    return float(np.mean(np.abs(colors - INK).sum(-1) < np.abs(colors - GROUND).sum(-1)))


def test_a_plain_ball_stays_plain(meshes) -> None:
    result = baked(meshes["ball"], traced(ball(0.36), camera(), flat(GROUND)), metadata=ACROSS)
    assert np.abs(behind(result) - GROUND).max() < 0.02


def test_the_stripes_of_a_vase_go_on_around_it(meshes) -> None:
    photo = traced(DRUM, camera(), stripes)
    for azimuth in (120.0, 180.0):
        view = camera(azimuth)
        truth = traced(DRUM, view, stripes).photo
        like = {}
        for kind in ("plain", "synthesise"):
            made = render(baked(meshes["drum"], photo, kind), view, "unlit")
            inside = (
                made.mask & (truth.alpha > 0) & (made.normals[..., 2] < -0.5) & (np.abs(made.normals[..., 1]) < 0.5)
            )
            like[kind] = np.corrcoef(made.image[inside][:, 0], truth.image[inside][:, 0])[0, 1]
        assert like["synthesise"] > 0.8
        assert like["plain"] < 0.6


@pytest.mark.parametrize("told", [{}, ACROSS], ids=["no plane", "mirror across the view"])
@pytest.mark.parametrize(("shape", "paint"), [("box", printed), ("ball", face)], ids=["print", "face"])
def test_what_is_drawn_on_the_front_is_not_repeated_behind(meshes, shape, paint, told) -> None:
    surface = {"box": BOX, "ball": ball(0.36)}[shape]
    photo = traced(surface, camera(20.0), paint)
    assert inked(photo.photo.image[photo.photo.alpha > 0]) > 0.02
    for kind in ("mirror", "synthesise"):
        result = baked(meshes[shape], photo, kind, told)
        assert inked(behind(result)) < 0.003
        assert result.metadata["bake"]["hidden"]["print"] > 0.02


def test_a_confirmed_mirror_shows_the_hidden_cheek(meshes) -> None:
    """Spots on both cheeks; only one is in the picture, with half of what lies between."""

    def spots(p):
        spot = np.hypot(np.abs(p[..., 0:1]) - 0.33, p[..., 1:2]) < 0.1
        return np.where(spot | (np.abs(p[..., 0:1]) < 0.02), INK, GROUND)

    photo = traced(ball(0.36), camera(40.0), spots)
    told = {"plane": ((1.0, 0.0, 0.0), 0.0)}
    cheek = lambda mesh: inked(behind(mesh, -100.0))  # noqa: E731
    assert cheek(baked(meshes["ball"], photo, "plain", told)) < 0.02
    result = baked(meshes["ball"], photo, "mirror", told)
    assert cheek(result) > 0.04
    assert result.metadata["bake"]["hidden"]["mirrored"] > 0.1


def test_a_plane_is_refuted_by_shape_and_by_drawing(meshes) -> None:
    from scipy.spatial import cKDTree

    from liftform.refine.observe import Observer
    from liftform.refine.visible import Sheet

    mesh, dense = meshes["ball"]

    def plane(paint, offset=0.0) -> Plane:
        sheet = Sheet.of(Observer(traced(ball(0.36), camera(), paint).photo, mesh, 300.0))
        return judged(np.array([1.0, 0.0, 0.0]), offset, dense, cKDTree(dense.vertices), sheet)

    assert plane(face).confirmed
    assert plane(face).alike > 0.6
    assert "shape" in plane(face, 0.1).refuted
    lopsided = plane(lambda p: np.where((np.hypot(p[..., 0:1] - 0.12, p[..., 1:2]) < 0.1), INK, GROUND))
    assert "drawn" in lopsided.refuted or "colours" in lopsided.refuted
    assert plane(flat(GROUND)).alike is None


def test_print_is_what_occurs_once() -> None:
    y, x = np.mgrid[:128, :110].astype(np.float32)
    known = np.hypot(x - 55, y - 64) < 54
    noise = np.random.default_rng(0).normal(0, 0.2, (128, 110, 3)).astype(np.float32)
    plain = np.zeros((128, 110, 3), np.float32)
    stripe = np.repeat((np.sin(y / 3) > 0)[..., None], 3, -1).astype(np.float32)
    checks = np.repeat((np.sin(y / 4) * np.sin(x / 4) > 0)[..., None], 3, -1).astype(np.float32)
    for texture in (plain, noise, stripe, checks):
        assert unique(texture, known)[known].mean() < 0.02
    eyes = (np.hypot(np.abs(x - 55) - 18, y - 50) < 6) | ((np.abs(x - 55) < 15) & (np.abs(y - 85) < 3))
    found = unique(np.where(eyes[..., None], -1.5, plain), known)
    assert found[eyes].mean() > 0.9
    assert found[known & ~eyes].mean() < 0.45
    assert unique(plain, np.zeros_like(known)).max() == 0


def test_a_picture_without_a_pattern_is_print_as_a_whole() -> None:
    from scipy.ndimage import gaussian_filter

    known = np.ones((128, 110), bool)
    blobs = gaussian_filter(np.random.default_rng(0).normal(0, 8, (128, 110, 3)), (2.5, 2.5, 0))
    assert unique(blobs.astype(np.float32), known).min() == 1


def test_no_seam_between_seen_and_continued(meshes) -> None:
    """Bands in another light on either side: from the side, neighbours along a band must not jump."""
    lit = lambda p: stripes(p) * (0.75 + 0.6 * p[..., 0:1])  # noqa: E731
    result = baked(meshes["drum"], traced(DRUM, camera(), lit))
    for azimuth in (75.0, 105.0, -90.0):
        view = render(result, camera(azimuth, 0.0), "unlit")
        rows = np.flatnonzero(view.mask[:, 112])[8:-8]
        band = [r for r in rows if np.abs(np.diff(view.image[r - 3 : r + 4, 112, 0])).max() < 0.05]
        assert len(band) > 10
        steps = np.abs(np.diff(view.image[band][:, 90:134, :3], axis=1)).max(-1)
        assert np.percentile(steps, 98) < 0.06


@pytest.mark.parametrize("kind", ["plain", "mirror", "synthesise"])
def test_same_in_same_out_and_shares_make_one(meshes, kind) -> None:
    photo = traced(DRUM, camera(30.0), stripes)
    a, b = (baked(meshes["drum"], photo, kind, ACROSS) for _ in range(2))
    assert np.array_equal(a.material.base_color_texture, b.material.base_color_texture)
    facts = a.metadata["bake"]
    hidden = facts["hidden"]
    total = facts["seen_share"] + hidden["mirrored"] + hidden["continued"] + hidden["guessed"]
    assert total == pytest.approx(1, abs=1e-3)
    assert (hidden["mirrored"] == 0) or kind != "plain"
    assert (hidden["continued"] > 0.2) == (kind == "synthesise")


def test_seen_is_the_same_however_the_rest_is_filled(meshes) -> None:
    photo = traced(DRUM, camera(30.0), stripes)
    seen = [baked(meshes["drum"], photo, kind).seen for kind in ("plain", "synthesise")]
    assert np.array_equal(*seen)


def test_nothing_seen_leaves_the_guess(meshes) -> None:
    """A mask that lies beside the object: all is to be filled, from nothing."""
    photo = traced(DRUM, camera(), stripes).photo
    alpha = np.zeros_like(photo.mask.alpha)
    alpha[:12, :12] = 1
    beside = replace(photo, mask=Mask(alpha, photo.image, 1.0))
    result = baked(meshes["drum"], Capture((beside,)), metadata=ACROSS)
    texture = result.material.base_color_texture
    assert result.seen.max() == 0
    assert np.abs(texture.astype(int) - np.round(255 * np.array(GROUND))).max() <= 3
    assert result.metadata["bake"]["hidden"]["guessed"] == pytest.approx(1, abs=1e-3)


def test_all_seen_leaves_nothing_to_fill() -> None:
    """A sheet of samples that are all known: every block keeps its own projection."""
    from liftform.refine import blend
    from liftform.refine.observe import Observer
    from liftform.refine.synthesis import Samples, Search, found
    from liftform.refine.visible import Sheet

    mesh, _ = shaped(synthetic.ball(0.36))
    sheet = Sheet.of(Observer(traced(ball(0.36), camera(), stripes).photo, mesh, 300.0))
    assert mesh.normals is not None
    samples = Samples(mesh.vertices, mesh.normals, np.zeros_like(mesh.vertices))
    links = blend.Links.of(mesh.vertices, mesh.normals)
    none = np.zeros(len(mesh.vertices), bool)
    maps = found(Search(sheet, np.zeros((sheet.known.size, 3), np.float32), samples, none, links), [], "synthesise")
    assert not maps.kind.any()
    pixels, _ = sheet.camera.project(mesh.vertices)
    uv = maps.at(np.arange(len(none)), mesh.vertices)
    assert np.allclose(uv * [sheet.camera.width, sheet.camera.height], pixels, atol=1e-2)
