"""Building blocks of synthetic rooms: one soup of textured triangles, grown from quads, boxes, turned shapes and props.

World: metres, +Y up, floor at y = 0. Every face carries a material (a texture), a colour factor, a patch (the unit of
indirect light) and a piece (the thing it belongs to: a wall, the floor, one chair).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float32]
ByteImage = NDArray[np.uint8]


@dataclass(frozen=True)
class Part:
    """Triangles of one texture in a frame of their own.

    corners (F, 3, 3) metres; normals (F, 3, 3) unit; uv (F, 3, 2), origin top-left; tint (F, 3, 3) linear colour
    factor; texture (S, S, 3) uint8 sRGB; gloss: share of light that is mirrored when looked at head-on; glow: linear
    RGB that it emits, in units of the room's light.
    """

    corners: FloatArray
    normals: FloatArray
    uv: FloatArray
    tint: FloatArray
    texture: ByteImage
    gloss: float = 0.0
    glow: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Prop:
    """A thing to be placed: base at y = 0, centred in x and z, front towards +Z; size (3,) metres.

    shelves: boards on which small things stand, besides the top: (x0, z0, x1, z1, height, room above), own frame.
    lamp: height of a light inside it, or none.
    """

    parts: tuple[Part, ...]
    size: tuple[float, float, float]
    name: str = ""
    shelves: tuple[tuple[float, float, float, float, float, float], ...] = ()
    lamp: float | None = None


@dataclass
class Soup:
    """What has been built so far; lists are joined once by ``arrays``."""

    corners: list[FloatArray] = field(default_factory=list)
    normals: list[FloatArray] = field(default_factory=list)
    uv: list[FloatArray] = field(default_factory=list)
    tint: list[FloatArray] = field(default_factory=list)
    material: list[NDArray[np.int32]] = field(default_factory=list)
    patch: list[NDArray[np.int32]] = field(default_factory=list)
    piece: list[NDArray[np.int32]] = field(default_factory=list)
    textures: list[ByteImage] = field(default_factory=list)
    gloss: list[float] = field(default_factory=list)
    glow: list[tuple[float, float, float]] = field(default_factory=list)
    outside: list[bool] = field(default_factory=list)
    patches: int = 0
    pieces: int = 0
    known: dict[tuple[int, float, tuple[float, float, float], bool], int] = field(default_factory=dict)

    def material_of(self, part: Part, outside: bool) -> int:
        """The number of a part's material, new or known."""
        key = (id(part.texture), part.gloss, part.glow, outside)
        if key not in self.known:
            self.known[key] = len(self.textures)
            self.textures.append(part.texture)
            self.gloss.append(part.gloss)
            self.glow.append(part.glow)
            self.outside.append(outside)
        return self.known[key]

    def add(
        self, part: Part, patch: NDArray[np.integer] | None = None, piece: int | None = None, outside: bool = False
    ) -> int:
        """Append a part that lies in the world. patch (F,): local patch numbers; by default one an axis direction."""
        local = _axis_of(part.corners) if patch is None else patch
        piece = self.new_piece() if piece is None else piece
        n = len(part.corners)
        self.corners.append(part.corners)
        self.normals.append(part.normals)
        self.uv.append(part.uv)
        self.tint.append(part.tint)
        self.material.append(np.full(n, self.material_of(part, outside), np.int32))
        self.patch.append((local + self.patches).astype(np.int32))
        self.piece.append(np.full(n, piece, np.int32))
        self.patches += int(local.max(initial=-1)) + 1
        return piece

    def new_piece(self) -> int:
        """A number for the next thing."""
        self.pieces += 1
        return self.pieces - 1

    def place(self, prop: Prop, at: ArrayLike, yaw: float = 0.0, outside: bool = False) -> int:
        """Put a prop with its base at ``at`` (3,), turned by ``yaw`` radians about the vertical; returns its piece."""
        piece = self.new_piece()
        for part in prop.parts:
            self.add(moved(part, at, yaw), piece=piece, outside=outside)
        return piece


def _axis_of(corners: FloatArray) -> NDArray[np.int64]:
    """Which of six directions each face looks in most."""
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    axis = np.abs(normal).argmax(1)
    return axis * 2 + (np.take_along_axis(normal, axis[:, None], 1)[:, 0] > 0)


def turn(yaw: float) -> FloatArray:
    """Rotation (3, 3) about +Y that takes +Z towards +X."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]], np.float32)


def moved(part: Part, at: ArrayLike, yaw: float = 0.0, scale: ArrayLike = 1.0) -> Part:
    """The part scaled, turned about the vertical, then shifted."""
    rotation = turn(yaw)
    factor = np.broadcast_to(np.asarray(scale, np.float32), 3)
    corners = (part.corners * factor) @ rotation.T + np.asarray(at, np.float32)
    normals = part.normals / factor
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)
    return Part(
        corners.astype(np.float32),
        (normals @ rotation.T).astype(np.float32),
        part.uv, part.tint, part.texture, part.gloss, part.glow,
    )  # fmt: skip


def retinted(part: Part, colour: ArrayLike) -> Part:
    """The part with its colour factor multiplied by a linear RGB."""
    tint = (part.tint * np.asarray(colour, np.float32)).astype(np.float32)
    return Part(part.corners, part.normals, part.uv, tint, part.texture, part.gloss, part.glow)


@dataclass(frozen=True)
class Look:
    """A surface's appearance: texture repeated every ``scale_m`` metres, times ``colour`` (linear RGB)."""

    texture: ByteImage
    scale_m: float = 1.0
    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)
    gloss: float = 0.0
    glow: tuple[float, float, float] = (0.0, 0.0, 0.0)


def _quads(look: Look, points: NDArray[np.floating], uv: NDArray[np.floating]) -> Part:
    """Quads (N, 4, 3), counter-clockwise, with uv (N, 4, 2) in repeats, as two triangles each."""
    corners = points[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3, 3).astype(np.float32)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    tint = np.broadcast_to(np.array(look.colour, np.float32), corners.shape)
    texels = uv[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3, 2).astype(np.float32)
    normals = np.repeat(normal[:, None], 3, 1).astype(np.float32)
    return Part(corners, normals, texels, tint, look.texture, look.gloss, look.glow)


def sheet(
    look: Look, origin: ArrayLike, u: ArrayLike, v: ArrayLike, step: float = 0.0, shift: ArrayLike = (0.0, 0.0)
) -> tuple[Part, NDArray[np.int64]]:
    """A rectangle at ``origin`` along u and v (normal u x v), cut into cells of about ``step`` metres (0: one).

    Its texture runs along u (right) and against v (up), in metres from ``shift``. Returns the part and the local patch
    of each face, one a cell.
    """
    o, a, b = (np.asarray(x, np.float64) for x in (origin, u, v))
    la, lb = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    na, nb = (max(1, round(length / step)) if step else 1 for length in (la, lb))
    i, j = (k.ravel() for k in np.meshgrid(np.arange(na), np.arange(nb), indexing="ij"))
    s = np.stack([i, i + 1, i + 1, i], 1) / na
    t = np.stack([j, j, j + 1, j + 1], 1) / nb
    points = o + s[..., None] * a + t[..., None] * b
    uv = np.stack([s * la + np.asarray(shift)[0], -(t * lb + np.asarray(shift)[1])], -1) / look.scale_m
    return _quads(look, points, uv), np.repeat(np.arange(na * nb), 2)


def panel(look: Look, origin: ArrayLike, u: ArrayLike, v: ArrayLike) -> Part:
    """A rectangle on which the texture is stretched exactly once, upright along v."""
    o, a, b = (np.asarray(x, np.float64) for x in (origin, u, v))
    points = np.stack([o, o + a, o + a + b, o + b])[None]
    return _quads(look, points, np.array([[[0, 1], [1, 1], [1, 0], [0, 0]]]) * 0.998 + 0.001)


_BOX = np.array(
    [
        [(0, 0, 1), (1, 0, 1), (1, 1, 1), (0, 1, 1)], [(1, 0, 0), (0, 0, 0), (0, 1, 0), (1, 1, 0)],
        [(1, 0, 1), (1, 0, 0), (1, 1, 0), (1, 1, 1)], [(0, 0, 0), (0, 0, 1), (0, 1, 1), (0, 1, 0)],
        [(0, 1, 1), (1, 1, 1), (1, 1, 0), (0, 1, 0)], [(0, 0, 0), (1, 0, 0), (1, 0, 1), (0, 0, 1)],
    ],
    np.float64,
)  # fmt: skip
_ALONG = np.array([[0, 1], [0, 1], [2, 1], [2, 1], [0, 2], [0, 2]])


def box(look: Look, low: ArrayLike, high: ArrayLike, across: bool = False) -> Part:
    """An upright box; its texture runs up the sides, or ``across`` them (grain of a board)."""
    a, b = np.asarray(low, np.float64), np.asarray(high, np.float64)
    points = a + _BOX * (b - a)
    uv = np.stack([points[k][:, _ALONG[k]] for k in range(6)]) * (1, -1)
    long = int(np.argmax(b - a))
    if across:  # the grain (texture's y) follows the longest side
        flip = _ALONG[:, 0] == long
        uv[flip] = uv[flip][..., ::-1]
    return _quads(look, points, (uv + a.sum() * 0.37) / look.scale_m)


def merged(parts: Sequence[Part]) -> Part:
    """Parts of one and the same texture as one."""
    first = parts[0]
    joined = [np.concatenate([getattr(p, n) for p in parts]) for n in ("corners", "normals", "uv", "tint")]
    return Part(joined[0], joined[1], joined[2], joined[3], first.texture, first.gloss, first.glow)


def boxes(look: Look, spans: Sequence[tuple[ArrayLike, ArrayLike]], across: bool = True) -> Part:
    """Several boxes (low, high) of one look."""
    return merged([box(look, low, high, across) for low, high in spans])


def turned(look: Look, profile: ArrayLike, sides: int = 20) -> Part:
    """A shape turned about the vertical: profile (N, 2) of (radius, height) from bottom to top, shaded smooth."""
    line = np.asarray(profile, np.float64)
    angle = np.arange(sides + 1) / sides * 2 * np.pi
    ring = np.stack([np.sin(angle), np.zeros_like(angle), np.cos(angle)], -1)
    points = ring[None] * line[:, None, :1] + np.array([0, 1, 0]) * line[:, None, 1:]
    slope = np.gradient(line, axis=0)
    out = ring[None] * slope[:, None, 1:] - np.array([0, 1, 0]) * slope[:, None, :1]
    out /= np.maximum(np.linalg.norm(out, axis=-1, keepdims=True), 1e-9)
    reach = max(float(line[:, 0].max()), 1e-3)
    along = np.broadcast_to(angle * reach, points.shape[:2])
    uv = np.stack([along, np.broadcast_to(-line[:, 1:], points.shape[:2])], -1) / look.scale_m

    def cells(x: NDArray[np.floating]) -> NDArray[np.floating]:
        return np.stack([x[:-1, :-1], x[:-1, 1:], x[1:, 1:], x[1:, :-1]], 2).reshape(-1, 4, x.shape[-1])

    part = _quads(look, cells(points), cells(uv))
    normals = cells(out)[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3, 3).astype(np.float32)
    return Part(part.corners, normals, part.uv, part.tint, part.texture, part.gloss, part.glow)


def extent(parts: Sequence[Part]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Lowest and highest corner of parts."""
    points = np.concatenate([p.corners.reshape(-1, 3) for p in parts])
    return points.min(0), points.max(0)


def prop(
    parts: Sequence[Part], name: str = "", lamp: float | None = None, shelves: Sequence[tuple[float, ...]] = ()
) -> Prop:
    """Parts as a prop, centred in x and z with its base at 0; heights and shelves shift with them."""
    low, high = extent(parts)
    shift = np.array([-(low[0] + high[0]) / 2, -low[1], -(low[2] + high[2]) / 2], np.float32)
    size = high - low
    boards = [
        (s[0] + shift[0], s[1] + shift[2], s[2] + shift[0], s[3] + shift[2], s[4] + shift[1], s[5]) for s in shelves
    ]
    return Prop(
        tuple(moved(p, shift) for p in parts),
        (float(size[0]), float(size[1]), float(size[2])),
        name,
        tuple((float(a), float(b), float(c), float(d), float(e), float(f)) for a, b, c, d, e, f in boards),
        None if lamp is None else lamp + float(shift[1]),
    )
