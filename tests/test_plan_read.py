"""Plans drawn here, whose walls, openings, rooms and scale are known exactly."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("shapely")
pytest.importorskip("pypdfium2")
pytest.importorskip("ezdxf")

from shapely import affinity
from shapely.geometry import Polygon, box
from shapely.ops import unary_union

from liftform import floorplan
from liftform.drawing import lines, load
from liftform.drawing.sheet import Sheet, Stroke, Text
from liftform.errors import InputError, LiftformError, NothingFoundError, UnreadableError
from liftform.understand.plan.read import plan

#: Points a metre at 1:50.
POINTS = 1000 / 50 * 72 / 25.4


def home(angle: float = 0.0, filled: bool = False, cue: str = "1:50") -> Sheet:
    """Two rooms of 3 x 4 m and 2 x 4 m, 0.2 m walls; a door 0.9 m wide between, one outside, a window of 1.5 m."""
    solid = box(0, 0, 5.6, 4.4).difference(unary_union([box(0.2, 0.2, 3.2, 4.2), box(3.4, 0.2, 5.4, 4.2)]))
    holes = [box(3.2, 1.0, 3.4, 1.9), box(0.5, 4.2, 2.0, 4.4), box(4.0, 0.0, 4.9, 0.2)]
    cut = solid.difference(unary_union(holes))

    def placed(points: object) -> np.ndarray:
        shape = affinity.rotate(affinity.translate(points, 3, 3), angle, origin=(6, 5))  # type: ignore[arg-type]
        return np.array(getattr(shape, "exterior", shape).coords) * POINTS

    def line(*points: tuple[float, float]) -> np.ndarray:
        from shapely.geometry import LineString

        return placed(LineString(points))

    walls = [ring for part in cut.geoms for ring in (part.exterior, *part.interiors)]
    grey = (0.5, 0.5, 0.5) if filled else None
    strokes = [Stroke(tuple(placed(Polygon(ring)) for ring in walls), 2.0, (0, 0, 0), grey, True)]
    thin = [line((0.5, y), (2.0, y)) for y in (4.2, 4.3, 4.4)]
    for hinge, leaf, start in (((3.4, 1.0), (4.3, 1.0), 0.0), ((4.0, 0.2), (4.0, 1.1), 0.0)):
        arc = lines.arc(hinge, 0.9, start, math.pi / 2)
        thin += [line(hinge, leaf), line(*map(tuple, arc))]
    strokes += [Stroke((ring,), 0.7, (0, 0, 0)) for ring in thin]

    def word(text: str, x: float, y: float) -> Text:
        at = placed(box(x - 0.1, y - 0.1, x + 0.1, y + 0.1))[:4].mean(0)
        return Text(text, (float(at[0]), float(at[1])), (20.0, 8.0), math.radians(angle), 8.0)

    texts = [word("Wohnen", 1.5, 2.5), word("Bad", 4.4, 2.5)]
    if cue == "1:50":
        texts.append(Text("1:50", (30.0, 30.0), (20.0, 8.0), 0.0, 8.0))
    if cue == "dimension":
        strokes += [Stroke((line((0, -1), (5.6, -1)),), 0.5, (0, 0, 0))]
        strokes += [Stroke((line((x, -1.2), (x, -0.3)),), 0.5, (0, 0, 0)) for x in (0.0, 3.3, 5.6)]
        texts += [word("3.30", 1.6, -0.9), word("2.30", 4.4, -0.9)]
    return Sheet("drawn here", 1, 1, "vector", (700.0, 600.0), tuple(strokes), tuple(texts), 25.4 / 72)


@pytest.mark.parametrize("filled", [False, True])
@pytest.mark.parametrize("angle", [0.0, 27.0])
def test_rooms_doors_windows_and_areas_are_those_drawn(angle: float, filled: bool) -> None:
    found = plan([home(angle, filled)])
    storey = found.storeys[0]
    assert floorplan.problems(found) == []
    assert found.scale.metres_per_unit == pytest.approx(1 / POINTS, rel=1e-9)
    areas = {room.type: room.area for room in storey.rooms}
    assert areas == {"living_room": pytest.approx(12.0, rel=0.003), "bathroom": pytest.approx(8.0, rel=0.003)}
    kinds = sorted((o.type, o.subtype, round(o.width, 2)) for o in storey.openings)
    assert kinds == [("door", "entrance", 0.9), ("door", "single", 0.9), ("window", "window", 1.5)]
    assert all(0.5 <= part.confidence <= 1 for part in (*storey.walls, *storey.openings, *storey.rooms))
    walls = unary_union([Polygon(wall.outline) for wall in storey.walls])
    assert walls.area == pytest.approx(5.6 * 4.4 - 20.0, rel=0.01)


def test_an_inner_door_hangs_where_its_arc_is_drawn() -> None:
    storey = plan([home()]).storeys[0]
    door = next(o for o in storey.openings if o.subtype == "single")
    hinge = np.array(door.a if door.hinge == "a" else door.b)
    assert hinge == pytest.approx([3 + 3.3, 3 + 1.0], abs=0.03)
    along = np.array(door.b) - np.array(door.a)
    into_bath = along[0] * 0 - along[1] * 1  # cross product with +x, where the leaf opens to
    assert door.swing == ("left" if into_bath > 0 else "right")


def test_the_scale_comes_from_dimensions_and_their_witness_lines() -> None:
    found = plan([home(cue="dimension")]).scale
    assert found.origin == "dimensions"
    assert found.metres_per_unit == pytest.approx(1 / POINTS, rel=0.004)


def test_two_cues_that_disagree_are_told() -> None:
    sheet = home(cue="dimension")
    wrong = replace(sheet, texts=(*sheet.texts, Text("1:75", (30.0, 30.0), (20.0, 8.0), 0.0, 8.0)))
    found = plan([wrong])
    assert any("1:75" in line or "dimension" in line for line in found.scale.conflicts)
    assert not found.auto_accept


def test_no_cue_is_said_and_no_scale_is_claimed() -> None:
    found = plan([home(cue="")])
    assert found.scale.origin in ("unknown", "doors")
    assert not found.auto_accept
    assert any("scale" in line for line in found.checks)


def test_a_sheet_without_walls_is_refused() -> None:
    rings = tuple(lines.arc((100.0 + 9 * k, 200.0), 30.0, 0.0, 0.0) for k in range(9))
    with pytest.raises(NothingFoundError):
        plan([Sheet("cats", 1, 1, "vector", (600.0, 400.0), (Stroke(rings, 1.0, (0, 0, 0)),), (), 25.4 / 72)])


def test_bad_files_give_one_line(tmp_path: Path) -> None:
    import ezdxf

    for name, content in (("empty.pdf", b""), ("broken.pdf", b"%PDF-1.7\nnothing"), ("text.dxf", b"hello")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(LiftformError) as caught:
            load.sheets(tmp_path / name)
        assert "\n" not in str(caught.value)
    ezdxf.new().saveas(tmp_path / "void.dxf")
    with pytest.raises(InputError, match="empty"):
        load.sheets(tmp_path / "void.dxf")
    with pytest.raises(UnreadableError):
        load.sheets(tmp_path / "empty.pdf")


def test_a_dxf_is_read_in_its_own_units(tmp_path: Path) -> None:
    import ezdxf

    drawing = ezdxf.new(setup=True)
    drawing.header["$INSUNITS"] = 4
    space = drawing.modelspace()
    for stroke in home(filled=False).strokes:
        for ring in stroke.rings:
            layer = "WALLS" if stroke.width > 1 else "DOORS"
            space.add_lwpolyline([tuple(p) for p in ring / POINTS * 1000], dxfattribs={"layer": layer})
    drawing.saveas(tmp_path / "home.dxf")
    found = plan(load.sheets(tmp_path / "home.dxf"))
    assert found.scale.origin == "file"
    assert sorted(round(room.area, 1) for room in found.storeys[0].rooms) == [8.0, 12.0]
