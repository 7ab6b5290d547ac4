"""A sheet -> the plan on it, in metres: scale, walls, openings, railings, rooms; what to check is said."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from ...drawing.sheet import Sheet
from ...errors import NothingFoundError
from ...floorplan import Plan, Scale, ScaleVote, Storey
from . import assemble, openings, pictures, rooms, scale
from . import walls as wall_finder
from .ink import FloatArray, Ink, gather, joined
from .openings import Gap
from .rooms import Name, Space

#: Radius (m) of the commonest door leaf, and its spread: the last resort of the scale.
_DOOR_RADIUS = 0.8
#: Mean share of walls below which a picture without a closed room is no plan.
_SEEN_WELL = 0.6


@dataclass(frozen=True)
class Reading:
    """One sheet's storey with what it was read from, all in metres."""

    storey: Storey
    scale: Scale
    solid: BaseGeometry
    gaps: tuple[Gap, ...]
    spaces: tuple[Space, ...]
    wall_style: str
    notes: tuple[str, ...] = ()


def read(sheet: Sheet, metres_per_unit: float | None = None) -> Reading:
    """The plan on a vector sheet. ``metres_per_unit``: where the user says the scale.

    Raises NothingFoundError where no walls are drawn.
    """
    if sheet.image is not None and not sheet.strokes:
        return _read_picture(sheet, metres_per_unit)
    segments = pictures.segments_of(sheet.strokes)
    votes = scale.printed(sheet) + scale.bars(sheet, segments)
    votes += scale.dimensions(sheet, segments)[0]
    decided = scale.decide(votes, sheet, metres_per_unit)
    unit = decided.metres_per_unit or _provisional(sheet)
    found = _structure(sheet, unit)
    if decided.metres_per_unit is None or decided.confidence < 0.6:
        votes += _late_votes(found, unit)
        decided = scale.decide(votes, sheet, metres_per_unit)
        if decided.metres_per_unit is not None and abs(math.log(decided.metres_per_unit / unit)) > 1e-4:
            unit = decided.metres_per_unit
            found = _structure(sheet, unit)
    storey = assemble.storey(found.walls, found.gaps, found.rails, found.solid, found.spaces, "Floor")
    rows = ((1 / unit, 0.0, 0.0), (0.0, 1 / unit, 0.0), (0.0, 0.0, 1.0))
    storey = replace(storey, page=sheet.page - 1, sheet_from_m=rows)
    return Reading(storey, decided, found.solid, tuple(found.gaps), tuple(found.spaces), found.walls.style)


def _read_picture(sheet: Sheet, metres_per_unit: float | None) -> Reading:
    """The plan on a picture. ``metres_per_unit``: of a pixel as loaded."""
    found = pictures.picture(sheet)
    segments = pictures.segments_of(found.sheet.strokes)
    grown = pictures.growth(found)
    given = None if metres_per_unit is None else metres_per_unit * grown
    votes = scale.printed(found.sheet) + scale.bars(found.sheet, segments)
    votes += scale.dimensions(found.sheet, segments)[0]
    votes = pictures.plausible(votes, found)
    decided = scale.decide(votes, found.sheet, given)
    structure = _seen_structure(found, decided.metres_per_unit)
    if decided.metres_per_unit is None or decided.confidence < 0.6:
        unit = decided.metres_per_unit or pictures.guess(found)
        late = [vote for vote in _late_votes(structure, unit) if vote.kind != "door"]
        votes += [*pictures.plausible(late, found), pictures.vote(found)]
        decided = scale.decide(votes, found.sheet, given)
        if decided.metres_per_unit is not None and abs(math.log(decided.metres_per_unit / unit)) > 1e-4:
            structure = _seen_structure(found, decided.metres_per_unit)
    unit = decided.metres_per_unit or pictures.guess(found)
    storey = assemble.storey(
        structure.walls, structure.gaps, structure.rails, structure.solid, structure.spaces, "Floor"
    )
    storey = replace(storey, page=sheet.page - 1, sheet_from_m=pictures.sheet_from_m(found, sheet, unit))
    decided = replace(
        decided,
        metres_per_unit=None if decided.metres_per_unit is None else decided.metres_per_unit / grown,
        votes=tuple(replace(vote, metres_per_unit=vote.metres_per_unit / grown) for vote in decided.votes),
    )
    return Reading(
        storey, decided, structure.solid, tuple(structure.gaps), tuple(structure.spaces), "seen", found.notes
    )


def _seen_structure(found: pictures.Picture, unit: float | None) -> _Structure:
    """Walls, openings, railings and rooms of a picture, in metres."""
    parts = pictures.built(found, unit)
    if parts.solid.is_empty or parts.solid.area < 0.5:
        raise NothingFoundError(
            f"{found.sheet.source}: no walls are seen in this picture", "give a sharper picture, cut to the plan"
        )
    none = np.zeros(0, bool)
    walls = wall_finder.Walls(parts.cut, "seen", parts.shell.sure, none, none)
    named = rooms.names(found.sheet.texts, unit or pictures.guess(found))
    gaps = list(parts.shell.gaps)
    solid = _shut(walls.cut, gaps)
    rails = list(parts.rails)
    idle = rooms.idle_gaps(unary_union([solid, *rails]), gaps, named)
    if idle:
        gaps = [gap for gap in gaps if gap not in idle]
        solid = _shut(walls.cut, gaps)
    spaces = rooms.find(unary_union([solid, *[rail.buffer(0.03, join_style="mitre") for rail in rails]]), named)
    if not spaces and walls.sure < _SEEN_WELL:
        raise NothingFoundError(
            f"{found.sheet.source}: no walls that close a room are seen", "give a picture of a plan, cut to the plan"
        )
    return _Structure(walls, gaps, rails, solid, spaces, named)


def plan(sheets: Sequence[Sheet], metres_per_unit: float | None = None) -> Plan:
    """The plan on sheets of one home, a storey each, with its scale and what a person should check.

    ``metres_per_unit``: metres of building per sheet unit where the user says it. Where nothing tells the scale, the
    plan is in metres of a guess (doors), its scale is None, and the checks say so. Raises NothingFoundError where no
    sheet shows walls.
    """
    readings: list[Reading] = []
    blank: NothingFoundError | None = None
    for sheet in sheets:
        try:
            readings.append(read(sheet, metres_per_unit))
        except NothingFoundError as error:
            blank = blank or error
    if not readings:
        raise blank or NothingFoundError("no sheet to read a plan from", "give a PDF, DXF or picture of a floor plan")
    storeys = [reading.storey for reading in readings]
    if len(storeys) > 1:
        storeys = [replace(s, name=f"Floor {k}", elevation=2.7 * k) for k, s in enumerate(storeys)]
    checks = tuple(line for reading in readings for line in checks_of(reading))
    first = readings[0]
    return Plan(tuple(storeys), source=sheets[0].source, scale=first.scale, checks=checks, auto_accept=not checks)


@dataclass(frozen=True)
class _Structure:
    walls: wall_finder.Walls
    gaps: list[Gap]
    rails: list[Polygon]
    solid: BaseGeometry
    spaces: list[Space]
    names: list[Name]


def _structure(sheet: Sheet, unit: float) -> _Structure:
    """Walls, openings, railings and rooms of a sheet whose unit is so many metres."""
    ink = gather(sheet, unit)
    walls = wall_finder.find(ink)
    if walls.style == "none":
        raise NothingFoundError(
            f"{sheet.source}: page {sheet.page} shows no walls", "choose the page of a floor plan, or draw walls closed"
        )
    gaps = openings.find(ink, walls)
    named = rooms.names(sheet.texts, unit)
    solid = _shut(walls.cut, gaps)
    rails = rooms.railings(ink, walls, gaps, solid)
    idle = rooms.idle_gaps(unary_union([solid, *rails]), gaps, named)
    if idle:
        gaps = [gap for gap in gaps if gap not in idle]
        solid = _shut(walls.cut, gaps)
    spaces = rooms.find(unary_union([solid, *rails]), named)
    return _Structure(walls, gaps, rails, solid, spaces, named)


def _shut(cut: BaseGeometry, gaps: list[Gap]) -> BaseGeometry:
    """Walls with their openings filled."""
    return assemble.unfilled(unary_union([cut, *[gap.area.buffer(2e-3, join_style="mitre") for gap in gaps]]))


def _provisional(sheet: Sheet) -> float:
    """Metres per unit where nothing is printed: quarter arcs are taken for doors, else the sheet for 15 m."""
    radii = _door_radii(gather(sheet, 1.0))
    if len(radii):
        return _DOOR_RADIUS / float(np.median(radii))
    return 15.0 / max(*sheet.size, 1e-9)


def _door_radii(ink: Ink) -> FloatArray:
    quarter = [arc.radius for arc in joined(ink.arcs) if abs(arc.sweep - math.pi / 2) < 0.15]
    return np.array(quarter)


def _late_votes(found: _Structure, unit: float) -> list[ScaleVote]:
    """Votes of what rooms print of themselves, and of door leaves."""
    votes = []
    for space in found.spaces:
        if len(space.names) != 1:
            continue
        name = space.names[0]
        if name.area:
            votes.append(ScaleVote("area", name.text, unit * math.sqrt(name.area / space.shape.area), 0.6))
        if name.sides:
            x0, y0, x1, y1 = space.shape.bounds
            if space.shape.area > 0.97 * (x1 - x0) * (y1 - y0):
                printed, drawn = sorted(name.sides), sorted((x1 - x0, y1 - y0))
                votes += [ScaleVote("sides", name.text, unit * p / d, 0.8) for p, d in zip(printed, drawn, strict=True)]
    doors = [gap.width for gap in found.gaps if gap.kind == "door" and gap.subtype == "single"]
    if doors:
        votes.append(ScaleVote("door", f"{len(doors)} doors", unit * _DOOR_RADIUS / float(np.median(doors)), 0.1))
    return votes


def checks_of(reading: Reading) -> list[str]:
    """What a person should look at: one line each; none makes the sheet acceptable as it is."""
    checks = list(reading.scale.conflicts) + list(reading.notes)
    if reading.wall_style == "seen":
        checks.append("read from a picture: compare the overlay, walls and openings may be missing")
    if reading.scale.confidence < 0.8 and not checks:
        checks.append(f"the scale comes from {reading.scale.origin} only: measure one wall")
    for opening in reading.storey.openings:
        if opening.confidence < 0.7:
            checks.append(f"opening {opening.id}: is this a {opening.subtype if opening.type != 'opening' else 'gap'}?")
    for room in reading.storey.rooms:
        if room.confidence < 0.6:
            checks.append(f"room {room.id} {room.label!r}: {room.area:.1f} m2 does not agree with what is printed")
    if not reading.spaces:
        checks.append("no room is closed")
    return checks
