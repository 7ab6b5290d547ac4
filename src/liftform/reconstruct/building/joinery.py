"""Doors and windows: frames, leaves that stand ajar on their hinges, sliding panels, panes of glass.

All is built in the frame of a slot (x along the wall, y to its left, z up from the floor) and hung on a node there.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...assets import Material, Mesh, Node
from ...floorplan.plane import Slot
from ...runtime import need
from .blocks import Floats, Surface, prism
from .finishes import named

#: Metres: width of a frame's profile, depth of a window's, thickness of a leaf and of glass.
PROFILE, DEPTH, LEAF, GLASS = 0.05, 0.07, 0.04, 0.016
#: From z of a drawing (x right, z up) in the wall's plane, extruded along -y, to the slot's frame.
_UPRIGHT: Floats = np.array([[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0]], np.float64)


def joinery(slot: Slot, top: float, ajar: float, glazed: bool, name: str) -> tuple[Node, ...]:
    """What fills an opening: nodes in the slot's frame. top: height (m) of the wall; ajar: how far doors stand open
    (radians); glazed: a sliding door is of glass."""
    opening = slot.opening
    head = min(opening.head, top)
    if opening.type == "opening" or slot.width < 3 * PROFILE or head - opening.sill < 4 * PROFILE:
        return ()
    if opening.type == "window":
        return _window(slot, opening.sill, head, name)
    if opening.subtype in ("sliding", "pocket"):
        return _sliding(slot, opening.sill, head, glazed, name)
    if opening.subtype == "garage":
        return _garage(slot, opening.sill, head, name)
    if opening.subtype == "revolving":
        return _revolving(slot, opening.sill, head, name)
    if opening.subtype == "folding":
        return _folding(slot, opening.sill, head, ajar, name)
    return _hinged(slot, opening.sill, head, ajar, name)


def _drawn(outer: tuple[float, ...], holes: list[tuple[float, ...]], y: tuple[float, float], look: Material) -> Surface:
    """A rectangle (x0, z0, x1, z1) with rectangular holes, between two depths; to be put upright by _UPRIGHT."""
    shapely = need("shapely", "plans")
    shape = shapely.box(*outer)
    for hole in holes:
        shape = shapely.difference(shape, shapely.box(*hole))
    return prism(shape, -y[1], -y[0], look, look, look)


def _node(surface: Surface, name: str, upright: bool = True) -> Node:
    return Node(name, surface.mesh(name, frame=_UPRIGHT if upright else None))


def _door_frame(slot: Slot, sill: float, head: float, name: str) -> Node:
    """Jambs and head, as deep as the wall and a little proud of it."""
    w = slot.width
    hole = (PROFILE, sill - 1, w - PROFILE, head - PROFILE)
    deep = (slot.near - 0.01, slot.far + 0.01)
    return _node(_drawn((0, sill, w, head), [hole], deep, named("frame")), f"{name}_frame")


def _leaf(width: float, sill: float, height: float, way: float, side: float, look: Material, name: str) -> Mesh:
    """A leaf hung at the origin, reaching along x (way = 1) or -x, its face at y = 0 and its body on the other side.

    side: 1 when it opens to +y, else -1. With a lever on both faces.
    """
    surface = Surface()
    x0, x1 = sorted((0.0, way * width))
    y0, y1 = sorted((0.0, -side * LEAF))
    surface.box((x0, y0, sill + 0.008), (x1, y1, height), look)
    near, far = way * (width - 0.09), way * (width - 0.21)
    for low, high in ((y1 + 0.001, y1 + 0.05), (y0 - 0.05, y0 - 0.001)):
        a, b = sorted((near, far))
        if width > 0.35:
            surface.box((a, low, sill + 1.03), (b, high, sill + 1.05), named("metal"))
    return surface.mesh(name)


def _hinged(slot: Slot, sill: float, head: float, ajar: float, name: str) -> tuple[Node, ...]:
    """One leaf on its hinge, or two; where hinge or swing is not known, at a and to the left."""
    opening = slot.opening
    look = named("entrance_leaf" if opening.subtype == "entrance" else "leaf")
    side = -1.0 if opening.swing == "right" else 1.0
    y = slot.far if side > 0 else slot.near
    clear, up = slot.width - 2 * PROFILE, head - PROFILE - 0.004
    ends = ("a", "b") if opening.subtype == "double" else (opening.hinge or "a",)
    nodes = [_door_frame(slot, sill, head, name)]
    for end in ends:
        way, x = (1.0, PROFILE) if end == "a" else (-1.0, slot.width - PROFILE)
        hung = f"{name}_leaf" if len(ends) == 1 else f"{name}_leaf_{end}"
        mesh = _leaf(clear / len(ends) - 0.003, sill, up, way, side, look, hung)
        about = {"hinge": end, "swing": opening.swing or "left", "closed_yaw": 0.0}
        nodes.append(Node(hung, mesh, translation=(x, 0.0, -y), yaw=way * side * ajar, metadata=about))
    return tuple(nodes)


def _pane(x0: float, z0: float, x1: float, z1: float, y: float, name: str) -> Node:
    surface = Surface()
    surface.box((x0, y - GLASS / 2, z0), (x1, y + GLASS / 2, z1), named("glass"))
    return _node(surface, name, upright=False)


def _window(slot: Slot, sill: float, head: float, name: str) -> tuple[Node, ...]:
    """A frame with one pane or several side by side, on a board."""
    w, middle = slot.width, (slot.near + slot.far) / 2
    low = sill + 0.02 if sill > 0.02 else sill
    count = max(1, math.ceil(w / 1.3))
    step = (w - PROFILE) / count
    panes = [(PROFILE + k * step, low + PROFILE, (k + 1) * step, head - PROFILE) for k in range(count)]
    depth = (middle - DEPTH / 2, middle + DEPTH / 2)
    nodes = [_node(_drawn((0, low, w, head), list(panes), depth, named("frame")), f"{name}_frame")]
    if low > sill:
        board = Surface()
        board.box((0, slot.near - 0.03, sill), (w, slot.far + 0.03, low), named("stone"))
        nodes.append(_node(board, f"{name}_sill", upright=False))
    nodes += [
        _pane(*pane, middle, f"{name}_glass_{k}" if count > 1 else f"{name}_glass") for k, pane in enumerate(panes)
    ]
    return tuple(nodes)


def _panel(x0: float, x1: float, low: float, head: float, y: float, glazed: bool, name: str) -> list[Node]:
    """One sliding panel: a leaf, or a sash with glass."""
    half = 0.02
    if not glazed:
        surface = Surface()
        surface.box((x0, y - half, low), (x1, y + half, head), named("leaf"))
        return [_node(surface, name, upright=False)]
    hole = (x0 + PROFILE, low + PROFILE, x1 - PROFILE, head - PROFILE)
    sash = _drawn((x0, low, x1, head), [hole], (y - half, y + half), named("frame"))
    return [_node(sash, name), _pane(*hole, y, f"{name}_glass")]


def _sliding(slot: Slot, sill: float, head: float, glazed: bool, name: str) -> tuple[Node, ...]:
    """Panels on two tracks, one pushed half over the other; a pocket door half in its wall."""
    w, middle = slot.width, (slot.near + slot.far) / 2
    low, high = sill + 0.008, head - PROFILE - 0.004
    nodes = [_door_frame(slot, sill, head, name)]
    if slot.opening.subtype == "pocket" or w < 0.7:
        shift = -(w - 2 * PROFILE) / 2 * (-1 if slot.opening.hinge == "b" else 1)
        track = middle if slot.opening.subtype == "pocket" else slot.far + 0.035
        return (*nodes, *_panel(PROFILE + shift, w - PROFILE + shift, low, high, track, glazed, f"{name}_panel"))
    half = (w - 2 * PROFILE) / 2 + 0.03
    nodes += _panel(PROFILE, PROFILE + half, low, high, middle - 0.022, glazed, f"{name}_panel_a")
    start = w - PROFILE - half - (half - 0.06) / 2
    nodes += _panel(start, start + half, low, high, middle + 0.022, glazed, f"{name}_panel_b")
    return tuple(nodes)


def _garage(slot: Slot, sill: float, head: float, name: str) -> tuple[Node, ...]:
    """A closed gate of horizontal sections."""
    y = (slot.near + slot.far) / 2
    surface, count = Surface(), max(2, round((head - sill) / 0.5))
    step = (head - PROFILE - sill) / count
    for k in range(count):
        z = sill + k * step
        surface.box((PROFILE, y - 0.02, z + 0.004), (slot.width - PROFILE, y + 0.02, z + step - 0.004), named("frame"))
    return _door_frame(slot, sill, head, name), _node(surface, f"{name}_gate", upright=False)


def _revolving(slot: Slot, sill: float, head: float, name: str) -> tuple[Node, ...]:
    """Two crossed wings about the middle."""
    y, half = (slot.near + slot.far) / 2, slot.width / 2 - PROFILE
    nodes = [_door_frame(slot, sill, head, name)]
    for k, (x0, x1) in enumerate(((-half, -0.012), (0.012, half))):
        for turn in (math.pi / 4, -math.pi / 4):
            wing = Surface()
            wing.box((x0, -0.01, sill + 0.01), (x1, 0.01, head - PROFILE - 0.01), named("glass"))
            hung = f"{name}_wing_{k}_{'a' if turn > 0 else 'b'}"
            nodes.append(Node(hung, wing.mesh(hung), translation=(slot.width / 2, 0.0, -y), yaw=turn))
    return tuple(nodes)


def _folding(slot: Slot, sill: float, head: float, ajar: float, name: str) -> tuple[Node, ...]:
    """Leaves folded against each other in pairs, from the hinged end."""
    clear = slot.width - 2 * PROFILE
    count = max(2, 2 * round(clear / 1.2))
    leaf, side = clear / count - 0.002, -1.0 if slot.opening.swing == "right" else 1.0
    way, x = (-1.0, slot.width - PROFILE) if slot.opening.hinge == "b" else (1.0, PROFILE)
    y = (slot.near + slot.far) / 2
    nodes = [_door_frame(slot, sill, head, name)]
    for k in range(count):
        turn = ajar if k % 2 == 0 else -ajar
        part = Surface()
        x0, x1 = sorted((0.0, way * leaf))
        part.box((x0, -0.015, sill + 0.008), (x1, 0.015, head - PROFILE - 0.004), named("leaf"))
        hung = f"{name}_leaf_{k}"
        nodes.append(Node(hung, part.mesh(hung), translation=(x, 0.0, -y), yaw=way * side * turn))
        x += way * leaf * math.cos(turn)
        y += side * leaf * math.sin(turn)
    return tuple(nodes)


def hung(slot: Slot, base: float, origin: tuple[float, float], parts: tuple[Node, ...], name: str, about: Any) -> Node:
    """The node of an opening in its wall: the slot's place, and what fills it."""
    (x, y), (ox, oy) = slot.opening.a, origin
    return Node(name, None, parts, (x - ox, base, -(y - oy)), slot.angle, about)
