"""Pictures of plans: page, perspective, lens, skew, edges on ink, the network's tiles, and what is no plan."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

pytest.importorskip("shapely")

from shapely.geometry import Polygon

from liftform.drawing import page, rectify, skew
from liftform.drawing.sheet import Sheet
from liftform.errors import NothingFoundError
from liftform.understand.plan import edges, read, segment, shell


def sheet_picture(wide: int = 600, high: int = 420) -> np.ndarray:
    """A white sheet with a grid of thin rooms."""
    picture = Image.new("L", (wide, high), 250)
    draw = ImageDraw.Draw(picture)
    for x in range(80, wide - 60, 90):
        draw.line((x, 60, x, high - 60), fill=20, width=4)
    for y in range(60, high - 50, 75):
        draw.line((80, y, wide - 70, y), fill=20, width=4)
    return np.asarray(picture, np.float32) / 255


def photographed(corners: np.ndarray, size: tuple[int, int] = (800, 600)) -> np.ndarray:
    """The sheet lying on a dark table, its corners at given pixels, under a lamp at one side."""
    image = sheet_picture()
    high, wide = image.shape
    own = np.array([[0, 0], [wide, 0], [wide, high], [0, high]], float)
    matrix = page.homography(corners, own)
    out = Image.fromarray(image).transform(
        size, Image.Transform.PERSPECTIVE, tuple((matrix / matrix[2, 2]).ravel()[:8]), Image.Resampling.BICUBIC
    )
    inside = Image.fromarray(np.ones_like(image)).transform(
        size, Image.Transform.PERSPECTIVE, tuple((matrix / matrix[2, 2]).ravel()[:8]), Image.Resampling.NEAREST
    )
    lamp = np.linspace(0.75, 1.0, size[0], dtype=np.float32)
    return np.where(np.asarray(inside) > 0, np.asarray(out), np.float32(0.3)) * lamp


CORNERS = np.array([[120, 90], [690, 130], [660, 510], [90, 470]], float)


def test_the_page_of_a_photograph_is_found_and_laid_flat():
    photo = photographed(CORNERS)
    found = page.find(photo)
    assert found is not None
    assert np.abs(found - CORNERS).max() < 1.5
    flat = rectify.flattened(photo)
    assert flat.photographed
    middle = page.applied(np.linalg.inv(flat.loaded_from_flat), CORNERS)
    high, wide = flat.image.shape
    assert middle == pytest.approx(np.array([[0, 0], [wide, 0], [wide, high], [0, high]]), abs=8)
    assert float(np.median(flat.image)) > 0.95  # the lamp is evened out
    assert abs(skew.find(flat.image, perspective=False).turn) < math.radians(0.2)


def test_a_screenshot_has_no_page_and_stays_as_it_is():
    flat = rectify.flattened(sheet_picture())
    assert not flat.photographed
    assert flat.notes == ()
    assert flat.loaded_from_flat == pytest.approx(np.eye(3))


def test_a_bent_lens_is_measured_by_the_sides_of_the_page():
    photo = photographed(np.array([[60, 50], [740, 60], [730, 550], [70, 540]], float))
    bent = page.straightened(photo, -0.08)  # taking out a negative bend puts a positive one in, nearly
    quad = page.find(bent)
    assert quad is not None
    assert page.bend(bent, quad) == pytest.approx(0.08, abs=0.03)
    assert page.bend(photo, page.find(photo)) == 0.0


@pytest.mark.parametrize("degrees", [-7.3, 2.1, 0.4])
def test_skew_is_found_and_taken_out(degrees: float):
    image = sheet_picture()
    turned = Image.fromarray(image).rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=1.0)
    flat = rectify.flattened(np.asarray(turned))
    assert len(flat.notes) == 1
    assert abs(skew.find(flat.image, perspective=False).turn) < math.radians(0.05)


def test_light_lines_on_dark_ground_are_turned_over():
    flat = rectify.flattened(1 - sheet_picture())
    assert float(np.median(flat.image)) > 0.9
    assert any("dark ground" in line for line in flat.notes)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_quarter_turns_know_where_their_pixels_were(turns: int, mirrored: bool):
    image = np.ones((30, 50), np.float32)
    image[7, 11] = 0
    out, matrix = rectify.quarter(image, turns, mirrored)
    (row, column) = np.argwhere(out == 0)[0]
    assert page.applied(matrix, np.array([[column + 0.5, row + 0.5]])) == pytest.approx(np.array([[11.5, 7.5]]))


def test_an_edge_lands_on_the_middle_of_a_line_and_the_border_of_a_fill():
    flat = np.ones((200, 200), np.float32)
    flat[100:103] = 0.0  # a line: its middle lies at 101.5
    edge = edges.Edge(np.array([20.0, 98.0]), np.array([180.0, 98.0]), "h")
    assert edges.offset(edge, flat, 10, 100.0) == pytest.approx(3.5, abs=0.1)
    flat[100:140] = 0.0  # a fill that begins at 100
    assert edges.offset(edge, flat, 10, 100.0) == pytest.approx(2.0, abs=0.1)
    assert edges.offset(edge, np.ones_like(flat), 10, 100.0) is None


def oracle(truth: np.ndarray, zoom: float, px_per_m: float) -> segment.Seen:
    """What a faultless network would see of true classes (h, w)."""
    shares = np.stack([(truth == k).astype(np.float32) for k in range(len(segment.CLASSES))])
    return segment.Seen(shares, zoom, px_per_m)


def drawn_home() -> tuple[np.ndarray, np.ndarray]:
    """Two rooms of 4 x 4 m, walls of 0.2 m solid black at 100 pixels a metre; a door of 0.9 m that swings down and
    hangs on its left, a window of 1.5 m; the true classes at 40.
    """
    big, small = Image.new("L", (1100, 700), 255), Image.new("L", (440, 280), 0)
    for draw, s, wall, hole, room, swing in (
        (ImageDraw.Draw(big), 100, 0, 255, 255, 255),
        (ImageDraw.Draw(small), 40, 2, None, 1, 7),
    ):
        box = lambda x0, y0, x1, y1, fill, d=draw, k=s: d.rectangle(  # noqa: E731
            (x0 * k, y0 * k, x1 * k - 1, y1 * k - 1), fill=fill
        )
        box(1, 1, 9.6, 5.4, wall)
        box(1.2, 1.2, 5.2, 5.2, room)
        box(5.4, 1.2, 9.4, 5.2, room)
        box(2, 5.2, 2.9, 5.4, 4 if hole is None else hole)
        box(6, 1, 7.5, 1.2, 3 if hole is None else hole)
        draw.pieslice(((2 - 0.9) * s, (5.4 - 0.9) * s, 2.9 * s, 6.3 * s), 0, 90, fill=swing)
    return np.asarray(big, np.float32) / 255, np.asarray(small)


def test_walls_and_openings_are_laid_onto_the_ink():
    flat, truth = drawn_home()
    found = shell.in_metres(shell.find(oracle(truth, 0.4, 100.0), flat), flat.shape[0], 0.01)
    assert found.solid.area == pytest.approx(8.6 * 4.4 - 2 * 16, rel=0.02)
    door, window = sorted(found.gaps, key=lambda gap: gap.kind)
    assert (door.kind, door.subtype, window.kind) == ("door", "single", "window")
    assert door.width == pytest.approx(0.9, abs=0.03)
    assert window.width == pytest.approx(1.5, abs=0.03)
    hinge = np.array(door.a if door.hinge == "a" else door.b)
    assert hinge == pytest.approx([2.0, 7 - 5.3], abs=0.06)
    along, down = np.array(door.b) - np.array(door.a), np.array([0.0, -1.0])
    assert door.swing == ("left" if along[0] * down[1] - along[1] * down[0] > 0 else "right")


def test_a_slanted_wall_keeps_its_slant():
    ring = np.array([[0, 0], [100, 0], [100, 80], [20, 80]], float)
    closed = np.vstack([ring, ring[:1]])
    dense = np.array(Polygon(closed).exterior.segmentize(1.0).coords)
    shape = edges.corners(edges.regular(dense, closed, 1.0))
    assert shape is not None
    assert Polygon(shape).symmetric_difference(Polygon(ring)).area < 20


@pytest.mark.parametrize("kind", ["blank", "noise", "photo"])
def test_what_shows_no_plan_is_refused(kind: str):
    rng = np.random.default_rng(0)
    image = np.full((240, 320), 0.9, np.float32)
    if kind == "noise":
        image = rng.random((240, 320)).astype(np.float32)
    elif kind == "photo":
        image = np.zeros((240, 320), np.float32)
        for size in (6, 12, 24, 48, 96):
            coarse = Image.fromarray((rng.random((size, size)) / 5).astype(np.float32))
            image += np.asarray(coarse.resize((320, 240), Image.Resampling.BICUBIC))
    with pytest.raises(NothingFoundError) as caught:
        read.plan([Sheet("cat.jpg", 1, 1, "raster", (320.0, 240.0), image=image)])
    assert "\n" not in str(caught.value)


# -- what the network learns from -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plan_module():
    pytest.importorskip("torch")
    from liftform.train import plan

    return plan


def test_a_tile_is_drawn_the_same_twice_and_its_classes_lie_where_things_are(plan_module, tmp_path: Path):
    from liftform.train.plans import canvas, drawn, layouts

    data = plan_module.PlanData(layouts=tmp_path, tile=160)
    first, again = (plan_module.tile(data, 3, held=False) for _ in range(2))
    assert np.array_equal(first["tile"], again["tile"])
    rng = np.random.default_rng(5)
    layout = layouts.invented(rng)
    x0, y0, x1, y1 = layout.solid.bounds
    shown = drawn.drawn(layout, drawn.style(rng), 40.0, rng, (x0 - 1, y0 - 1, x1 + 1, y1 + 1))
    _, labels = shown.finished()
    for hole in layout.holes:
        (x, y) = shown.at([(np.array(hole.a) + np.array(hole.b)) / 2], 1)[0]
        assert labels[int(y), int(x)] == canvas.CLASS[hole.kind]


def test_mirroring_a_layout_turns_its_doors_over():
    from liftform.train.plans import layouts

    hole = layouts.Hole((0, 0), (1, 0), 0.1, "door", "single", "a", "left")
    layout = layouts.Layout("one", Polygon([(0, 0), (1, 0), (1, 1)]), (), (hole,), (), ())
    mirrored = layouts.placed(layout, np.diag([1.0, -1.0]), 0.0)
    assert mirrored.holes[0].swing == "right"
    assert layouts.placed(layout, np.eye(2), 90.0).holes[0].swing == "left"


def test_a_step_learns_from_tiles(plan_module):
    import torch

    from liftform.zoo.plan_net import CLASSES, PX_PER_M, PlanNet

    assert segment.CLASSES == CLASSES
    assert segment.PX_PER_M == PX_PER_M
    torch.manual_seed(0)
    net = PlanNet()
    labels = torch.zeros(2, 48, 48, dtype=torch.uint8)
    labels[:, 10:14] = CLASSES.index("wall")
    image = torch.where(labels == 2, 0, 255).to(torch.uint8)
    batch = {"image": image, "labels": labels, "scale": torch.tensor([30.0, 50.0])}
    step = torch.optim.AdamW(net.parameters(), 0.01)
    losses = []
    for _ in range(12):
        step.zero_grad()
        now = plan_module.loss(net, batch)
        now["loss"].backward()
        step.step()
        losses.append(float(now["loss"].detach()))
    assert losses[-1] < 0.6 * losses[0]


def test_perspective_without_a_page_is_undone_by_the_lines():
    image = sheet_picture()
    high, wide = image.shape
    corners = np.array([[0, 0], [wide, 0], [wide, high], [0, high]], float)
    seen = np.array([[40, 20], [wide - 15, 0], [wide - 40, high], [0, high - 30]], float)
    matrix = page.homography(seen, corners)
    bent = Image.fromarray(image).transform(
        (wide, high), Image.Transform.PERSPECTIVE, tuple((matrix / matrix[2, 2]).ravel()[:8]),
        Image.Resampling.BICUBIC, fillcolor=0.98,
    )  # fmt: skip
    flat = rectify.flattened(np.asarray(bent))
    assert any("perspective" in line for line in flat.notes)
    lines = [np.array([[80.0, y], [wide - 70.0, y]]) for y in (60, 210, 360)]
    for line in lines:  # level lines of the sheet are level again
        photo = page.applied(np.linalg.inv(matrix), line)
        again = page.applied(np.linalg.inv(flat.loaded_from_flat), photo)
        slope = (again[1, 1] - again[0, 1]) / (again[1, 0] - again[0, 0])
        assert abs(slope) < 0.006
