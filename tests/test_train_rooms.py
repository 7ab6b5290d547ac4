"""Synthetic rooms: exact depth and normals, things that stand and do not overlap, the same bytes again, resuming."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")

from liftform.camera import Camera
from liftform.train import rooms, shards
from liftform.train.rooms import furnish, layout, light, materials, pieces, place, scene, shell, view
from liftform.train.rooms.geometry import Look, Soup, box, panel, prop, sheet, turn
from liftform.train.rooms.trace import World

GREY = Look(np.full((1, 1, 3), 128, np.uint8))
NOWHERE = Path("nowhere")


def _empty(low: tuple[float, float, float], high: tuple[float, float, float]) -> World:
    soup = Soup()
    soup.add(box(GREY, low, high))
    return World(soup)


def test_depth_and_normals_of_an_empty_room_are_those_of_its_planes() -> None:
    low, high = np.array([-2.0, 0.0, -3.0]), np.array([2.5, 2.6, 3.5])
    world = _empty(tuple(low), tuple(high))
    camera = Camera.from_fov(96, 64, 1.1, view.look_at(np.array([0.3, 1.4, -0.5]), 0.7, -0.25, 0.1))
    _, directions, depth, normals = view.geometry(world, camera)
    with np.errstate(divide="ignore"):
        reach = np.where(directions > 0, (high - camera.position) / directions, (low - camera.position) / directions)
    axis = reach.argmin(1)
    expected = np.zeros_like(directions)
    np.put_along_axis(expected, axis[:, None], -np.sign(np.take_along_axis(directions, axis[:, None], 1)), 1)
    assert np.abs(depth - reach.min(1)).max() < 1e-4
    ordered = np.sort(reach, 1)
    inner = ordered[:, 1] - ordered[:, 0] > 1e-3  # not on an edge
    assert np.abs(normals - expected)[inner].max() < 1e-4


def test_camera_frame_is_right_handed_and_upright() -> None:
    pose = view.look_at(np.zeros(3), 0.0, 0.0, 0.0)
    assert np.allclose(pose[:3, :3], [[-1, 0, 0], [0, -1, 0], [0, 0, 1]])
    turned = view.look_at(np.zeros(3), 0.9, -0.4, 0.3)[:3, :3]
    assert np.isclose(np.linalg.det(turned), 1)
    assert np.allclose(turned.T @ turned, np.eye(3))


def test_textures_lie_upright_and_unmirrored() -> None:
    picture = np.zeros((2, 2, 3), np.uint8)
    picture[0, 0], picture[0, 1], picture[1, 0] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    soup = Soup()
    soup.add(panel(Look(picture), (-1, -1, 0), (2, 0, 0), (0, 2, 0)))
    world = World(soup)
    camera = Camera.from_fov(8, 8, 2 * np.arctan(1.0), view.look_at(np.array([0, 0, 1.0]), np.pi, 0.0, 0.0))
    hits, *_ = view.geometry(world, camera)
    seen = world.albedo(hits, np.zeros(64, np.float32)).reshape(8, 8, 3)
    assert seen[0, 0].argmax() == 0
    assert seen[0, 7].argmax() == 1
    assert seen[7, 0].argmax() == 2


def test_a_lamp_gives_what_the_inverse_square_says_unless_something_is_between() -> None:
    """A small lamp over a floor: the light under it is power / height^2, and a screen between them blocks it."""
    soup = Soup()
    part, patch = sheet(GREY, (-5, 0, 5), (10, 0, 0), (0, 0, -10), 1.0)
    soup.add(part, patch)
    soup.add(box(GREY, (1.5, 0.9, -0.5), (2.5, 1.0, 0.5)))
    site = shell.Site(
        soup, layout.random_layout(np.random.default_rng(0)), shell.random_sky(np.random.default_rng(0), 0.0)
    )
    zero, power = np.zeros(3, np.float32), np.full(3, 8.0, np.float32)
    for x in (0.0, 2.0):
        site.lamps = [shell.Lamp(np.array([x, 2, 0], np.float32), zero, zero, zero, power, 0.05, 0.0)]
        lighting = light.Lighting(World(soup), site, np.zeros((soup.patches, 2, 3), np.float32))
        points, up = np.array([[x, 0, 0]], np.float32), np.array([[0, 1, 0]], np.float32)
        got = light.direct_light(lighting, points, up, np.random.default_rng(1), 16)
        assert np.allclose(got, 2.0 if x == 0 else 0.0, atol=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_random_layouts_keep_their_rooms_apart_and_openings_in_their_walls(seed: int) -> None:
    made = layout.random_layout(np.random.default_rng(seed))
    for area in made.areas:
        assert area.size > 0.5
        middle = area.polygon.mean(0)
        assert (made.area_at(middle[None]) >= 0).all()
    cells = [c for a in made.areas for c in a.cells()]
    for i, a in enumerate(cells):
        for b in cells[i + 1 :]:
            assert min(a[2], b[2]) <= max(a[0], b[0]) + 1e-6 or min(a[3], b[3]) <= max(a[1], b[1]) + 1e-6
    for wall in made.walls:
        for o in wall.openings:
            assert 0 <= o.start < o.end <= wall.length
            assert 0 <= o.sill < o.head < made.height


def _furnished(seed: int) -> shell.Site:
    rng = np.random.default_rng(seed)
    site = shell.Site(Soup(), layout.random_layout(rng), shell.random_sky(rng, 3.0))
    shell.build(site, rng)
    furnisher = furnish.Furnisher(site, None, rng)
    for area in site.layout.areas:
        furnisher.furnish(area, 1.2)
    return site


@pytest.mark.parametrize("seed", [1, 2])
def test_furniture_stands_on_something_inside_its_room_and_does_not_overlap(seed: int) -> None:
    site = _furnished(seed)
    standing = [p for p in site.placed if p[3] == 0.0 and p[0] != "rug"]
    assert len(standing) > 3
    for i, (_, a0, a1, _) in enumerate(standing):
        for _, b0, b1, _ in standing[i + 1 :]:
            assert (np.minimum(a1, b1) - np.maximum(a0, b0)).min() < 0.03  # boxes about turned things may just touch
    for name, low, high, _ in standing:
        corners = np.array([(x, z) for x in (low[0], high[0]) for z in (low[2], high[2])])
        inner = low[[0, 2]] + (high - low)[[0, 2]] * 0.1 + (corners - low[[0, 2]]) * 0.8
        assert (site.layout.area_at(inner) >= 0).all(), name
    world = World(site.soup)
    small = [
        p for p in site.placed if p[0] in ("book", "vessel", "paper", "carton", "keyboard", "screen") and p[3] > 0.02
    ]
    assert small
    start = np.array([np.append(((p[1] + p[2]) / 2)[[0, 2]], p[3] - 0.004) for p in small])[:, [0, 2, 1]]
    down = np.broadcast_to([0.0, -1.0, 0.0], start.shape)
    assert world.tracer.blocked(start + np.array([0, 0.008, 0]), down, np.full(len(start), 0.03)).mean() > 0.98


def test_the_flat_top_of_a_table_is_found() -> None:
    table = pieces.table(np.random.default_rng(3), 1.4, 0.8, 0.74)
    top = place.top_of(table)
    assert top is not None
    assert abs(top[4] - 0.74) < 1e-3
    assert top[2] - top[0] > 1.0
    ball = prop([box(GREY, (-0.5, 0, -0.5), (0.5, 0.1, 0.5))])
    assert place.top_of(ball) is None  # too low to put things on


def test_turning_takes_the_front_where_the_yaw_says() -> None:
    assert np.allclose(turn(np.pi / 2) @ [0, 0, 1], [1, 0, 0], atol=1e-6)


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> rooms.RoomOptions:
    return rooms.RoomOptions(tmp_path_factory.mktemp("rooms"), NOWHERE, NOWHERE, 2, 1, 1, outdoor=0.5, seed=5)


def test_a_scene_is_the_same_again_and_its_samples_keep_the_contract(options: rooms.RoomOptions) -> None:
    for number in (0, 1):
        first, second = (list(scene.scene_views(options, number)) for _ in range(2))
        assert len(first) == 1
        for a, b in zip(first, second, strict=True):
            assert all(np.array_equal(a[k], b[k]) for k in ("rgb", "depth", "normals"))
            assert a["meta"] == b["meta"]
            assert a["rgb"].dtype == np.uint8
            assert a["depth"].dtype == np.float16
            assert a["normals"].dtype == np.int8
            assert a["rgb"].shape == a["normals"].shape == (*a["depth"].shape, 3)
            assert all(side % 16 == 0 for side in a["depth"].shape)
            seen = np.isfinite(a["depth"])
            length = np.linalg.norm(a["normals"][seen].astype(float), axis=-1)
            assert seen.any()
            assert np.abs(length - 127).max() < 1.5
            assert not a["normals"][~seen].any()
            assert json.dumps(a["meta"])


def test_writing_resumes_without_double_and_says_what_failed(
    options: rooms.RoomOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = (options, 0)
    assert rooms._write_one(job) == ["rooms-05-00000.tar"]
    before = rooms.shard_path(options, 0).read_bytes()
    seen: list[int] = []

    def each(function, jobs, workers, engine):  # type: ignore[no-untyped-def]
        seen.extend(number for _, number in jobs)
        return ((j, function(j)) for j in jobs)

    def broken(options: rooms.RoomOptions, room: int) -> None:
        raise ValueError("no such room")

    monkeypatch.setattr(rooms.engines, "each", each)
    monkeypatch.setattr(scene, "scene_views", broken)
    assert list(rooms.write(options)) == ["rooms-05-00001.tar", "scene 1: ValueError: no such room"]
    assert seen == [1]
    assert rooms.shard_path(options, 0).read_bytes() == before
    assert len(list(shards.read(rooms.shard_path(options, 0)))) == 1
    assert list(rooms.write(replace(options, shards=2))) == []


def test_looks_are_pictures() -> None:
    rng = np.random.default_rng(0)
    for make in (
        materials.wood,
        materials.tiles,
        materials.carpet,
        materials.brick,
        materials.wallpaper,
        materials.fabric,
    ):
        look = make(rng)
        assert look.texture.dtype == np.uint8
        assert look.texture.ndim == 3
        assert look.scale_m > 0


def test_a_plan_that_may_not_be_trained_on_is_not(tmp_path):
    from liftform.train.rooms import layout

    square = [[0, 0], [4, 0], [4, 4], [0, 4]]
    wall = {"kind": "wall", "id": "w", "a": [0, 0], "b": [4, 0], "thickness": 0.1, "polygon": square, "exterior": True}
    plan = {"licence": "MIT", "walls": [wall], "openings": [], "rooms": [{"type": "bedroom", "polygon": square}]}
    for licence, allowed in (("MIT", True), ("no licence stated - test use only", False)):
        path = tmp_path / "plan.json"
        path.write_text(json.dumps({**plan, "licence": licence}))
        assert (layout.from_plan(path, np.random.default_rng(0)) is not None) == allowed
