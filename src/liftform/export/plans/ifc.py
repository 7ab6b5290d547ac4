"""IFC4 of a plan: storeys, walls, railings, openings, doors, windows, spaces, slabs, columns, stairs with quantities.

ISO 16739-1:2018, https://standards.buildingsmart.org/IFC/RELEASE/IFC4/ADD2_TC1/HTML/. Geometry is extruded outlines;
coordinates are the plan's, x and y as drawn, z up, metres. Identifiers come from the plan's own, so that the same plan
gives the same bytes and an edited one keeps the identity of what stayed.
"""

from __future__ import annotations

import math
import uuid
from typing import Any

from ... import __version__
from ...floorplan import OUTDOOR, Opening, Plan, Point, Room, Storey, Wall, kind_of
from ...floorplan.plane import Plane, polygons
from ...runtime import need

_SPACE = uuid.UUID("6f2f7a52-6f0c-4a0e-9d3e-2d9a1b6f10a4")
_SLAB, _FRAME, _RAILING = 0.2, 0.06, 1.05
_OPERATIONS = {"double": "DOUBLE_DOOR_SINGLE_SWING", "sliding": "SLIDING_TO_LEFT", "pocket": "SLIDING_TO_LEFT"}
_OPERATIONS |= {"folding": "FOLDING_TO_LEFT", "revolving": "REVOLVING", "garage": "ROLLINGUP"}


def encode(plan: Plan) -> bytes:
    """The building as the bytes of a STEP file (ISO 10303-21)."""
    ifc = need("ifcopenshell", "ifc")
    model = _Model(ifc, plan)
    for storey in plan.storeys:
        _storey(model, storey)
    model.finish()
    text: str = model.file.to_string()
    return text.encode()


class _Model:
    """The file while it grows: entities with lasting identifiers, places, extrusions."""

    def __init__(self, ifc: Any, plan: Plan) -> None:
        self._ifc, self._plan = ifc, plan
        self.file = ifc.file(schema="IFC4")
        name = self.file.header.file_name
        name.name, name.time_stamp = f"{plan.id}.ifc", "1970-01-01T00:00:00"
        name.preprocessor_version = name.originating_system = f"liftform {__version__}"
        self.file.header.file_description.description = ("ViewDefinition [ReferenceView_V1.2]",)
        self.place = self._axes(0.0)
        self.context = self.file.create_entity(
            "IfcGeometricRepresentationContext",
            ContextType="Model",
            CoordinateSpaceDimension=3,
            Precision=1e-5,
            WorldCoordinateSystem=self.place,
        )
        self.body = self.file.create_entity(
            "IfcGeometricRepresentationSubContext",
            ContextIdentifier="Body",
            ContextType="Model",
            ParentContext=self.context,
            TargetView="MODEL_VIEW",
        )
        units = [
            self.file.create_entity("IfcSIUnit", UnitType=kind, Name=unit)
            for kind, unit in (("LENGTHUNIT", "METRE"), ("AREAUNIT", "SQUARE_METRE"), ("VOLUMEUNIT", "CUBIC_METRE"))
        ]
        units.append(self.file.create_entity("IfcSIUnit", UnitType="PLANEANGLEUNIT", Name="RADIAN"))
        self.project = self.rooted(
            "IfcProject",
            "project",
            Name=plan.id,
            RepresentationContexts=[self.context],
            UnitsInContext=self.file.create_entity("IfcUnitAssignment", Units=units),
        )
        site_place = self.placed(None)
        self.site = self.rooted("IfcSite", "site", Name="Site", ObjectPlacement=site_place, CompositionType="ELEMENT")
        self.building = self.rooted(
            "IfcBuilding",
            "building",
            Name=plan.id,
            ObjectPlacement=self.placed(site_place),
            CompositionType="ELEMENT",
        )
        self.storeys: list[Any] = []

    def rooted(self, kind: str, key: str, **attributes: Any) -> Any:
        """An entity whose GlobalId follows from the plan's id and a key."""
        number = uuid.uuid5(_SPACE, f"{self._plan.id}/{key}").hex
        return self.file.create_entity(kind, GlobalId=self._ifc.guid.compress(number), **attributes)

    def _axes(self, z: float, at: Point = (0.0, 0.0), angle: float = 0.0) -> Any:
        axes = self.file.create_entity("IfcAxis2Placement3D", Location=self._point(*at, z))
        if angle:
            axes.Axis = self.file.create_entity("IfcDirection", DirectionRatios=[0.0, 0.0, 1.0])
            along = [math.cos(angle), math.sin(angle), 0.0]
            axes.RefDirection = self.file.create_entity("IfcDirection", DirectionRatios=along)
        return axes

    def _point(self, *at: float) -> Any:
        return self.file.create_entity("IfcCartesianPoint", Coordinates=[float(x) for x in at])

    def placed(self, parent: Any, z: float = 0.0, at: Point = (0.0, 0.0), angle: float = 0.0) -> Any:
        """A place at a height above its parent's, moved and turned in the plane."""
        axes = self._axes(z, at, angle)
        return self.file.create_entity("IfcLocalPlacement", PlacementRelTo=parent, RelativePlacement=axes)

    def shape(self, lots: list[tuple[Any, float, float]]) -> Any:
        """Extruded outlines (polygon, low, high) as the one body of a product."""
        up = self.file.create_entity("IfcDirection", DirectionRatios=[0.0, 0.0, 1.0])
        items = [
            self.file.create_entity(
                "IfcExtrudedAreaSolid",
                SweptArea=self._profile(part),
                Position=self._axes(low),
                ExtrudedDirection=up,
                Depth=float(high - low),
            )
            for shape, low, high in lots
            for part in polygons(shape, 1e-6)
        ]
        body = self.file.create_entity(
            "IfcShapeRepresentation",
            ContextOfItems=self.body,
            RepresentationIdentifier="Body",
            RepresentationType="SweptSolid",
            Items=items,
        )
        return self.file.create_entity("IfcProductDefinitionShape", Representations=[body]) if items else None

    def _profile(self, part: Any) -> Any:
        rings = [self._ring(ring) for ring in (part.exterior, *part.interiors)]
        if len(rings) == 1:
            return self.file.create_entity("IfcArbitraryClosedProfileDef", ProfileType="AREA", OuterCurve=rings[0])
        kind = "IfcArbitraryProfileDefWithVoids"
        return self.file.create_entity(kind, ProfileType="AREA", OuterCurve=rings[0], InnerCurves=rings[1:])

    def _ring(self, ring: Any) -> Any:
        points = [self._point(x, y) for x, y in ring.coords[:-1]]
        return self.file.create_entity("IfcPolyline", Points=[*points, points[0]])

    def properties(self, element: Any, key: str, name: str, values: dict[str, Any]) -> None:
        """A set of single values on an element."""
        kinds = {bool: "IfcBoolean", float: "IfcReal", str: "IfcLabel"}
        entries = [
            self.file.create_entity(
                "IfcPropertySingleValue",
                Name=word,
                NominalValue=self.file.create_entity(kinds[type(value)], value),
            )
            for word, value in values.items()
        ]
        kit = self.rooted("IfcPropertySet", f"{key}/{name}", Name=name, HasProperties=entries)
        link = f"{key}/{name}/rel"
        self.rooted("IfcRelDefinesByProperties", link, RelatedObjects=[element], RelatingPropertyDefinition=kit)

    def finish(self) -> None:
        """What holds what."""
        for key, whole, parts in (
            ("project", self.project, [self.site]),
            ("site", self.site, [self.building]),
            ("building", self.building, self.storeys),
        ):
            self.rooted("IfcRelAggregates", f"{key}/parts", RelatingObject=whole, RelatedObjects=parts)


class _Floor:
    """One storey in the file."""

    def __init__(self, model: _Model, storey: Storey) -> None:
        self.model, self.storey, self.plane = model, storey, Plane(storey)
        self.key = f"storey/{len(model.storeys)}"
        self.place = model.placed(model.building.ObjectPlacement, storey.elevation)
        self.entity = model.rooted(
            "IfcBuildingStorey",
            self.key,
            Name=storey.name,
            ObjectPlacement=self.place,
            CompositionType="ELEMENT",
            Elevation=float(storey.elevation),
        )
        self.held: list[Any] = []
        model.storeys.append(self.entity)

    def product(self, kind: str, key: str, lots: list[tuple[Any, float, float]], **attributes: Any) -> Any:
        """An element of the storey with its body; heights above the floor."""
        return self.model.rooted(
            kind,
            f"{self.key}/{key}",
            ObjectPlacement=self.model.placed(self.place),
            Representation=self.model.shape(lots),
            **attributes,
        )


def _storey(model: _Model, storey: Storey) -> None:
    floor = _Floor(model, storey)
    for wall in storey.walls:
        _wall(floor, wall)
    if not floor.plane.footprint.is_empty:
        lots = [(floor.plane.footprint, -_SLAB, 0.0)]
        floor.held.append(floor.product("IfcSlab", "slab", lots, Name="Floor", PredefinedType="FLOOR"))
    for column in storey.columns:
        shape = floor.plane.ring(column.polygon)
        lots = [(shape, 0.0, storey.height)]
        key = f"column/{column.id}"
        floor.held.append(floor.product("IfcColumn", key, lots, Name=column.id, Tag=column.id, PredefinedType="COLUMN"))
    for stair in storey.stairs:
        count = stair.steps if stair.steps > 1 else max(2, round(storey.height / 0.18))
        rise = (storey.height + _SLAB) / count
        steps = floor.plane.steps(stair, count)
        lots = [(part, 0.0, rise * (k + 1)) for k, parts in enumerate(steps) for part in parts]
        key = f"stair/{stair.id}"
        about = {"Name": stair.id, "Tag": stair.id, "PredefinedType": "NOTDEFINED"}
        floor.held.append(floor.product("IfcStair", key, lots, **about))
    spaces = [_space(floor, room, shape) for room, shape in floor.plane.rooms]
    if floor.held:
        model.rooted(
            "IfcRelContainedInSpatialStructure",
            f"{floor.key}/holds",
            RelatingStructure=floor.entity,
            RelatedElements=floor.held,
        )
    if spaces:
        model.rooted("IfcRelAggregates", f"{floor.key}/spaces", RelatingObject=floor.entity, RelatedObjects=spaces)


def _wall(floor: _Floor, wall: Wall) -> None:
    """A wall with its openings and what fills them."""
    model, plane = floor.model, floor.plane
    railing = wall.kind == "railing"
    high = wall.height or (_RAILING if railing else floor.storey.height)
    shapes = plane.pieces[wall.id] or [plane.outlines[wall.id]]
    kind = "IfcRailing" if railing else "IfcWall"
    key = f"{wall.kind}/{wall.id}"
    predefined = "GUARDRAIL" if railing else "STANDARD"
    lots = [(shape, 0.0, high) for shape in shapes]
    element = floor.product(kind, key, lots, Name=wall.name or wall.id, Tag=wall.id, PredefinedType=predefined)
    floor.held.append(element)
    name = "Pset_RailingCommon" if railing else "Pset_WallCommon"
    model.properties(element, f"{floor.key}/{key}", name, {"IsExternal": wall.exterior})
    _doubt(floor, element, key, wall.confidence)
    for opening in floor.storey.openings:
        if opening.wall == wall.id:
            _opening(floor, element, opening)


def _opening(floor: _Floor, host: Any, opening: Opening) -> None:
    model, key = floor.model, f"opening/{opening.id}"
    hole = floor.plane.holes[opening.id]
    lots = [(hole, opening.sill, opening.head)]
    void = floor.product("IfcOpeningElement", key, lots, Name=opening.id, Tag=opening.id, PredefinedType="OPENING")
    link = f"{floor.key}/{key}"
    model.rooted("IfcRelVoidsElement", f"{link}/void", RelatingBuildingElement=host, RelatedOpeningElement=void)
    if opening.type == "opening":
        return
    about: dict[str, Any] = {
        "Name": opening.id,
        "Tag": opening.id,
        "OverallHeight": float(opening.head - opening.sill),
        "OverallWidth": float(opening.width),
    }
    if opening.type == "door":
        kind, about["PredefinedType"], about["OperationType"] = "IfcDoor", "DOOR", _operation(opening)
    else:
        kind, about["PredefinedType"], about["PartitioningType"] = "IfcWindow", "WINDOW", "SINGLE_PANEL"
    filling = _filling(floor, kind, opening, about)
    model.rooted("IfcRelFillsElement", f"{link}/fills", RelatingOpeningElement=void, RelatedBuildingElement=filling)
    floor.held.append(filling)
    _doubt(floor, filling, f"{opening.type}/{opening.id}", opening.confidence)


def _filling(floor: _Floor, kind: str, opening: Opening, about: dict[str, Any]) -> Any:
    """A door or window, its place having x along the wall and y to where it swings, as IFC asks."""
    slot, turned = floor.plane.slot(opening), opening.swing == "right"
    (x, y), angle = (opening.b, slot.angle + math.pi) if turned else (opening.a, slot.angle)
    middle = (slot.near + slot.far) / 2 * (-1 if turned else 1)
    half, high = _FRAME / 2, opening.head - opening.sill
    pane = need("shapely", "plans").box(0.0, middle - half, opening.width, middle + half)
    return floor.model.rooted(
        kind,
        f"{floor.key}/{opening.type}/{opening.id}",
        ObjectPlacement=floor.model.placed(floor.place, opening.sill, (x, y), angle),
        Representation=floor.model.shape([(pane, 0.0, high)]),
        **about,
    )


def _operation(opening: Opening) -> str:
    """How a door opens (IfcDoorTypeOperationEnum): hinged left or right seen from where it swings away."""
    if opening.subtype in _OPERATIONS:
        return _OPERATIONS[opening.subtype]
    if opening.hinge is None:
        return "NOTDEFINED"
    left = (opening.hinge == "a") == (opening.swing != "right")
    return "SINGLE_SWING_LEFT" if left else "SINGLE_SWING_RIGHT"


def _space(floor: _Floor, room: Room, shape: Any) -> Any:
    key = f"space/{room.id}"
    drawn = shape if not shape.is_empty else floor.plane.ring(room.polygon)
    outside = kind_of(room.type) in OUTDOOR
    space = floor.product(
        "IfcSpace",
        key,
        [(drawn, 0.0, floor.storey.height)],
        Name=room.number or room.id,
        LongName=room.label or room.type,
        ObjectType=room.type,
        CompositionType="ELEMENT",
        PredefinedType="EXTERNAL" if outside else "INTERNAL",
    )
    model, link = floor.model, f"{floor.key}/{key}"
    area = model.file.create_entity("IfcQuantityArea", Name="NetFloorArea", AreaValue=float(room.area))
    kit = model.rooted("IfcElementQuantity", f"{link}/area", Name="Qto_SpaceBaseQuantities", Quantities=[area])
    model.rooted(
        "IfcRelDefinesByProperties", f"{link}/area/rel", RelatedObjects=[space], RelatingPropertyDefinition=kit
    )
    _doubt(floor, space, key, room.confidence)
    return space


def _doubt(floor: _Floor, element: Any, key: str, confidence: float) -> None:
    """How sure the reader was, where it was not given."""
    if confidence < 1:
        floor.model.properties(element, f"{floor.key}/{key}", "Liftform_Reading", {"Confidence": float(confidence)})
