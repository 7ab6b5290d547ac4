"""Floor plans as data and as buildings: analytic rooms, closed solids, files that reopen, furniture that fits."""

import dataclasses
import json
import math
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("shapely")

import liftform
from liftform import floorplan
from liftform.cli import main
from liftform.errors import InputError, OutputError, UnreadableError, UsageError
from liftform.export import save
from liftform.export.plans import encoded
from liftform.floorplan import Column, Opening, Plan, Room, Stair, Storey, Wall
from liftform.home import solids
from liftform.render import Scene
from liftform.topology import merged, signed_volume
from liftform.understand.sheets import PlanOptions, ratio_said, unit_said

CABIN = Path(__file__).parents[1] / "examples" / "plans" / "cabin.json"


def turned(points, angle):
    c, s = math.cos(angle), math.sin(angle)
    return tuple((c * x - s * y + 7.0, s * x + c * y - 3.0) for x, y in points)


def box_room(angle=0.0, bulge=0.0, **more):
    """One room of 4 x 3 m inside, walls 0.2 thick, a door 0.9 x 2.0 in the south, a window 1.2 x 1.2 in the north."""
    corners = turned([(0, 0), (4.2, 0), (4.2, 3.2), (0, 3.2)], angle)
    names = ("south", "east", "north", "west")
    walls = [
        Wall(name, corners[k], corners[(k + 1) % 4], 0.2, exterior=True, bulge=bulge if name == "east" else 0.0)
        for k, name in enumerate(names)
    ]
    door = Opening(
        "d", "door", *turned([(1.0, 0), (1.9, 0)], angle), "south", "single", 0, 2.0, ("r", None), "a", "left"
    )
    window = Opening("w", "window", *turned([(2.8, 3.2), (1.6, 3.2)], angle), "north", "window", 0.9, 2.1, (None, "r"))
    room = Room("r", "bedroom", turned([(0.1, 0.1), (4.1, 0.1), (4.1, 3.1), (0.1, 3.1)], angle), label="Bed & bath")
    return Storey("Ground", 0.0, 2.5, tuple(walls), (door, window), (room,), **more)


def meshes(assembly, kind):
    """The meshes of nodes of one kind, in the world frame."""
    return [
        node.mesh.with_(vertices=(node.mesh.vertices @ m[:3, :3].T + m[:3, 3]).astype(np.float32))
        for node, m in assembly.walk()
        if node.mesh is not None and node.metadata.get("kind") == kind
    ]


def volume(mesh):
    return signed_volume(*merged(mesh))


# -- the plan as data -------------------------------------------------------------------------------------------------


def test_json_reads_back_what_was_written():
    plan = Plan((box_room(0.3, columns=(Column("c", ((8, 0), (8.2, 0), (8.2, 0.2))),)), box_room()), id="twice")
    again = floorplan.from_json(json.loads(json.dumps(floorplan.to_json(plan))))
    assert floorplan.from_json(floorplan.to_json(again)) == again  # lengths are kept to the micrometre
    assert again.storeys[0].rooms[0].area == pytest.approx(12.0, abs=1e-4)
    assert len(again.storeys) == 2


WRONG = {
    "schema": lambda d: d.update(schema="other/1"),
    "unknown key 'hight'": lambda d: d["walls"][0].update(hight=2),
    "finite": lambda d: d["walls"][0].update(thickness=math.nan),
    "no wall 'nowhere'": lambda d: d["openings"][0].update(wall="nowhere"),
    "out of its wall": lambda d: d["openings"][0].update(wall="north"),
    "width": lambda d: d["openings"][0].update(width=2.0),
    "crosses itself": lambda d: d["rooms"][0].update(polygon=[[0, 0], [2, 2], [2, 0], [0, 2.5]]),
    "fewer than three": lambda d: d["rooms"][0].update(polygon=[[0, 0], [2, 2]]),
    "used twice": lambda d: d["walls"].append(d["walls"][0]),
    "sill": lambda d: d["openings"][1].update(sill=2.3),
    "between 1.5": lambda d: d["storey"].update(height=0.2),
    "must be a list": lambda d: d.update(walls={"a": 1}),
}


@pytest.mark.parametrize("says", WRONG)
def test_wrong_plans_are_refused_in_one_line(tmp_path, says, capsys):
    data = floorplan.to_json(Plan((box_room(),)))
    WRONG[says](data)
    (tmp_path / "bad.json").write_text(json.dumps(data))
    with pytest.raises((InputError, UnreadableError), match=re.escape(says)):
        floorplan.read(tmp_path / "bad.json")
    assert main(["plan", str(tmp_path / "bad.json"), "-o", str(tmp_path / "x.glb")]) == 3
    assert capsys.readouterr().err.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["bad.json"]


def test_a_bulge_is_the_tangent_of_a_quarter_of_the_angle():
    points = np.array(floorplan.arc((0, 0), (2, 0), 1.0))  # half a circle, counter-clockwise: below the chord
    assert np.allclose(np.linalg.norm(points - (1, 0), axis=1), 1.0)
    assert points[:, 1].min() == pytest.approx(-1.0)


# -- the building -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("angle", "bulge"), [(0.0, 0.0), (0.4, 0.0), (math.pi / 2, 0.3), (2.0, -0.2)])
def test_every_mesh_is_closed_and_turned_outward(angle, bulge):
    home = liftform.plan(Plan((box_room(angle, bulge),)), ceilings=True, furnish=True)
    assembly = home.best.validate()
    found = solids(assembly)
    assert found["watertight"] == found["meshes"] > 10
    for node, _ in assembly.walk():
        assert node.mesh is None or volume(node.mesh) > 0


def test_volumes_of_walls_floor_and_ceiling():
    assembly = liftform.plan(Plan((box_room(0.7),)), ceilings=True).assembly
    walls = sum(map(volume, meshes(assembly, "wall")))
    ring, height = 4.4 * 3.4 - 4 * 3, 2.5 + 0.02 + 0.02  # the finish below and the ceiling above
    assert walls == pytest.approx(ring * height - 0.9 * 0.2 * 2.0 - 1.2 * 0.2 * 1.2, abs=2e-3)
    assert volume(meshes(assembly, "floor")[0]) == pytest.approx(12.0 * 0.02, abs=1e-3)
    (ceiling,) = meshes(assembly, "ceiling")
    assert ceiling.bounds[:, 1] == pytest.approx([2.5, 2.52])
    (slab,) = meshes(assembly, "slab")
    assert volume(slab) == pytest.approx(4.4 * 3.4 * 0.2, abs=1e-2)


def test_openings_are_as_wide_and_high_as_said():
    """Rays through the walls from outside meet nothing exactly where the door and the window are."""
    assembly = liftform.plan(Plan((box_room(),))).assembly
    walls = [node for node in assembly.nodes[0].children if node.metadata.get("kind") == "wall"]
    scene = Scene(
        dataclasses.replace(assembly, nodes=tuple(dataclasses.replace(n, children=()) for n in walls)).merged()
    )
    ox, oy = assembly.metadata["origin"]

    def free(x, z, from_south):
        at = np.array([[x + 7.0 - ox, z, (oy + 3.0) + (5 if from_south else -8.2)]], np.float32)
        hit = scene.cast(at, np.array([[0, 0, -1.0 if from_south else 1.0]], np.float32))
        return float(hit.distance[0]) > 6.0  # past the first wall

    assert [free(x, 1.0, True) for x in (0.99, 1.01, 1.89, 1.91)] == [False, True, True, False]
    assert [free(1.5, z, True) for z in (0.01, 1.99, 2.01)] == [True, True, False]
    assert [free(x, 1.5, False) for x in (1.59, 1.61, 2.79, 2.81)] == [False, True, True, False]
    assert [free(2.2, z, False) for z in (0.89, 0.91, 2.09, 2.11)] == [False, True, True, False]


@pytest.mark.parametrize(("hinge", "swing"), [("a", "left"), ("a", "right"), ("b", "left"), ("b", "right")])
def test_doors_open_to_their_side_about_their_hinge(hinge, swing):
    storey = box_room()
    door = dataclasses.replace(storey.openings[0], hinge=hinge, swing=swing)
    home = liftform.plan(Plan((dataclasses.replace(storey, openings=(door,)),)), ajar=90)
    (leaf,) = [(n, m) for n, m in home.assembly.walk() if n.name.endswith("_leaf")]
    at = leaf[0].mesh.vertices @ leaf[1][:3, :3].T + leaf[1][:3, 3]
    ox, oy = home.assembly.metadata["origin"]
    x, y = at[:, 0] + ox - 7.0, -at[:, 2] + oy + 3.0  # in the frame of the room
    middle = (x.min() + x.max()) / 2
    assert abs(middle - (1.0 if hinge == "a" else 1.9)) < 0.12
    assert y.max() > 0.8 if swing == "left" else y.min() < -0.8


def test_storeys_stand_on_each_other_and_stairs_come_up_through_the_slab():
    stair = Stair(
        "s", turned([(0.1, 0.1), (1.1, 0.1), (1.1, 3.1), (0.1, 3.1)], 0), turned([(0.6, 0.1), (0.6, 3.1)], 0), 15
    )
    low = dataclasses.replace(box_room(stairs=(stair,)), openings=())
    home = liftform.plan(Plan((low, dataclasses.replace(box_room(), name="Upper"))))
    slabs = meshes(home.assembly, "slab")
    assert volume(slabs[0]) - volume(slabs[1]) == pytest.approx(3.0 * 0.2, abs=1e-2)
    top = slabs[1].bounds[1, 1] + 0.02
    (flight,) = meshes(home.assembly, "stair")
    assert flight.bounds[1, 1] == pytest.approx(top, abs=1e-3)
    assert len(np.unique(np.round(merged(flight)[0][:, 1], 4))) == 16  # the ground and fifteen steps
    below = [mesh for mesh in meshes(home.assembly, "wall") if mesh.bounds[0, 1] < 1]
    assert max(mesh.bounds[1, 1] for mesh in below) == pytest.approx(slabs[1].bounds[0, 1], abs=1e-4)


def test_heights_may_be_given():
    home = liftform.plan(Plan((box_room(),)), height="3.1m", door_height=2.2)
    assert home.assembly.merged().bounds[1, 1] == pytest.approx(3.1)
    (door,) = [n for n, _ in home.assembly.walk() if n.metadata.get("kind") == "door"]
    assert door.metadata["head"] == 2.2


def test_named_nodes_lead_to_storey_room_wall_and_opening(tmp_path):
    home = liftform.plan(CABIN)
    home.save(tmp_path / "a.glb", preview=False, report=False)
    data = (tmp_path / "a.glb").read_bytes()
    document = json.loads(data[20 : 20 + int.from_bytes(data[12:16], "little")])
    names = {node["name"] for node in document["nodes"]}
    assert {"Ground_floor", "Ground_floor_room_bath_Bath", "Ground_floor_wall_north"} <= names
    assert "Ground_floor_wall_north_door_front_door" in names
    assert len(names) == len(document["nodes"])
    kinds = {n.get("extras", {}).get("liftform", {}).get("kind") for n in document["nodes"]}
    assert {"storey", "room", "wall", "door", "window", "railing", "slab", "column"} <= kinds
    save(home.assembly, tmp_path / "a.obj")
    assert liftform.read_mesh(tmp_path / "a.obj").bounds == pytest.approx(home.assembly.merged().bounds, abs=1e-4)


# -- files ------------------------------------------------------------------------------------------------------------


def test_the_same_plan_gives_the_same_bytes_and_edits_are_built_again(tmp_path, capsys):
    assert main(["plan", str(CABIN), "-o", str(tmp_path / "h.glb"), "-o", str(tmp_path / "h.csv"), "--furnish"]) == 0
    first = (tmp_path / "h.glb").read_bytes()
    assert "35.29 m²" in capsys.readouterr().out
    report = json.loads((tmp_path / "h.report.json").read_text())
    assert report["solids"]["meshes"] == report["solids"]["watertight"]
    assert {room["id"] for room in report["rooms"]} == {"bath", "bedroom", "living", "terrace"}
    assert (tmp_path / "h.csv").read_text().count("\n") == 5
    plan = tmp_path / "h.plan.json"
    written = plan.read_bytes()
    assert main(["plan", str(plan), "-o", str(tmp_path / "h.glb"), "--furnish", "-q", "--no-preview"]) == 0
    assert (tmp_path / "h.glb").read_bytes() == first
    assert plan.read_bytes() == written  # the source stays
    with pytest.raises(OutputError, match="overwritten"):
        liftform.plan(plan).save(plan)


def test_svg_is_well_formed_and_dxf_reopens():
    ezdxf = pytest.importorskip("ezdxf")
    import io

    plan = Plan((box_room(), box_room(0.5)), id="a<b")
    (svg,) = encoded(plan, "x.svg").values()
    root = ElementTree.fromstring(svg)
    assert sum(element.tag.endswith("text") for element in root.iter()) == 2
    (dxf,) = encoded(plan, "x.dxf").values()
    document = ezdxf.read(io.StringIO(dxf.decode()))
    assert not document.audit().errors
    assert len(document.query("ARC")) == 2
    assert document.units == 6


def test_ifc_reopens_with_the_same_counts_and_no_schema_errors(tmp_path):
    ifcopenshell = pytest.importorskip("ifcopenshell")
    from ifcopenshell import validate

    plan = floorplan.read(CABIN)
    (data,) = encoded(plan, "x.ifc").values()
    (tmp_path / "x.ifc").write_bytes(data)
    file, log = ifcopenshell.open(tmp_path / "x.ifc"), validate.json_logger()
    validate.validate(file, log)
    assert log.statements == []
    counts = {kind: len(file.by_type(kind)) for kind in ("IfcWall", "IfcRailing", "IfcDoor", "IfcWindow", "IfcSpace")}
    assert counts == {"IfcWall": 11, "IfcRailing": 3, "IfcDoor": 4, "IfcWindow": 4, "IfcSpace": 4}
    assert encoded(plan, "x.ifc") == encoded(plan, "x.ifc")


# -- furniture --------------------------------------------------------------------------------------------------------


def test_furniture_stays_in_its_room_apart_and_clear_of_doors():
    import shapely

    from liftform.floorplan.plane import Plane
    from liftform.reconstruct.furnish import WANTED, arrange, rooms_of

    placed = 0
    for seed in range(4):
        for room in rooms_of(Plane(floorplan.read(CABIN).storeys[0])):
            found = arrange(room, WANTED[room.room.type], np.random.default_rng(seed))
            placed += len(found)
            for k, one in enumerate(found):
                assert room.shape.covers(one.body)
                assert not shapely.intersects(room.swings, one.body)
                for other in found[:k]:  # chairs stand a little under their tables
                    seat = {one.piece.name, other.piece.name} & {"chair", "garden_chair", "office_chair"}
                    assert seat or not shapely.intersects(one.body, other.body)
    assert placed >= 32


def test_layouts_differ_by_seed_and_not_otherwise():
    def places(home):
        return [[n.translation for n, _ in one.walk() if n.metadata.get("kind") == "furniture"] for one in home.layouts]

    home = liftform.plan(CABIN, furnish=True, layouts=2, seed=3)
    assert places(home) == places(liftform.plan(CABIN, furnish=True, layouts=2, seed=3))
    assert places(home)[0] != places(home)[1]


# -- what is said of the scale ----------------------------------------------------------------------------------------


def test_scales_as_people_write_them():
    assert ratio_said("1:50") == 50
    assert ratio_said("1/4in = 1ft") == pytest.approx(48)
    assert ratio_said('1/8" = 1\'-0"') == pytest.approx(96)
    assert unit_said("1:100", 25.4 / 72) == pytest.approx(100 * 0.0254 / 72)
    assert unit_said("0.0125", None) == 0.0125
    for text, paper in (("big", 1.0), ("1:50", None), ("0", 1.0), ("1:0", 1.0)):
        with pytest.raises(UsageError):
            unit_said(text, paper)
    assert PlanOptions(page="2-4,1").pages == (2, 3, 4, 1)
    with pytest.raises(UsageError):
        _ = PlanOptions(page="all").pages


def test_a_wall_of_known_length_sets_the_size_of_all():
    home = liftform.plan(Plan((box_room(),)), wall="8.40m")
    assert home.plan.storeys[0].rooms[0].area == pytest.approx(48.0)
    assert home.plan.scale.origin == "given"
