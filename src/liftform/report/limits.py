"""The one table of what each use asks of a mesh: figure, limit, what to do, and where the limit comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: Who can cure it: the user by saying something, a tool by itself, or only a modeller's hand.
Cure = Literal["say", "tool", "hand"]


@dataclass(frozen=True)
class Use:
    """One thing to do with an asset. key: its name on the command line. kinds: "object", "scene" or both."""

    key: str
    title: str
    what: str
    kinds: tuple[str, ...] = ("object",)


@dataclass(frozen=True)
class Limit:
    """One demand of one use.

    figure: of ``measures.FIGURES``. care, refuse: from here on (beyond the number, or below it when ``below``) the
    use is "with care", or "no"; None: never. says: the reason in words, with {value} and {limit}. do: what helps.
    unknown: the reason when the figure cannot be told, "" when that is no matter; its verdict is "with care".
    source: a key of ``SOURCES``.
    """

    use: str
    figure: str
    care: float | None
    refuse: float | None
    says: str
    do: str = ""
    cure: Cure = "tool"
    source: str = "house"
    below: bool = False
    unknown: str = ""


USES = (
    Use("concept", "concept", "blocking out, mood, discussion"),
    Use("web", "web", "a viewer on a page"),
    Use("ar", "AR", "placed in a room by a phone's viewer"),
    Use("e-commerce", "e-commerce", "a product in a shop, in 3D and AR"),
    Use("background", "game background", "a prop that is never near the camera"),
    Use("game", "game", "a prop that the player walks up to"),
    Use("close-up", "close-up", "filling the picture of a render or film"),
    Use("print", "3D print", "a solid, by filament, resin or powder"),
    Use("animation", "animation", "rigged and deformed"),
    Use("manufacturing", "manufacturing", "machined or precision parts that must fit"),
    Use("backdrop", "backdrop near the camera's place", "behind the action", ("scene",)),
    Use("scene-web", "web", "a viewer on a page", ("scene",)),
    Use("walking", "walking a few steps", "in VR", ("scene",)),
    Use("measuring", "measuring", "lengths off the scene", ("scene",)),
    Use("behind", "seen from behind", "from where no picture was taken", ("scene",)),
    Use("scene-print", "printing", "a solid", ("scene",)),
)

#: key -> what docs/gates.md cites.
SOURCES = {
    "khronos": "Khronos 3D Commerce, Real-time Asset Creation Guidelines 1.0, section 99 Publishing Targets, row "
    "'Single-Item Mobile AR or 3D Web': 3 MB, 150,000 triangles, fewer than 20 draw calls (500 at most), 2K bitmaps; "
    "maps in the order base colour, roughness, normal; real-world scale, pivot on the floor "
    "(github.com/KhronosGroup/3DC-Asset-Creation)",
    "apple": "Apple on AR Quick Look: 100,000 polygons and one set of 2048 x 2048 textures "
    "(developer.apple.com/forums/thread/693867, after WWDC 2018 session 603)",
    "google": "Google on Scene Viewer: 10 MB, 10 materials, 2048 x 2048 textures recommended at most "
    "(developers.google.com/ar/develop/scene-viewer)",
    "print": "usual design rules of print services: two lines of a 0.4 mm nozzle make 0.8 mm (resin and powder from "
    "about 0.5 to 0.7 mm), supports where a surface overhangs by more than 45 degrees, a closed manifold "
    "(as in printit4me.com.au/guides/designing-for-3d-printing, 3dservicesusa.com/blog/design-tips)",
    "texel": "texel density as games use it: 512 texels a metre for a third-person camera, 1024 for first person "
    "(as in empirecmd.com/empire-university/3d-22-texel-density)",
    "gltf": "glTF 2.0: the metre is the unit, +Y is up; back faces of single-sided materials are not drawn",
    "mesh": "what an edge-manifold, consistently oriented, closed mesh is by definition",
    "quads": "common practice of character modelling: quadrilaterals with four edges at a vertex, loops along and "
    "around limbs; the shares are this project's",
    "house": "this project's own judgement",
}

_SIMPLIFY = "simplify it"
_CLOSE = "close the holes"
_REPAIR = "repair it"
_SIZE = "give a height"
_TEXTURE = "bake smaller textures"
_HOLES = "{value} open edges: holes may show"

LIMITS: tuple[Limit, ...] = (
    Limit("concept", "faces", 2e6, None, "{value} triangles are slow to look at", _SIMPLIFY),
    # -- on a page
    Limit("web", "faces", 150e3, 1e6, "{value} triangles, {limit} are enough", _SIMPLIFY, source="khronos"),
    Limit("web", "file_bytes", 3e6, 50e6, "{value}, {limit} load quickly", "compress it", source="khronos"),
    Limit("web", "texture_side", 2048, 8192, "textures of {value}, {limit} are enough", _TEXTURE, source="khronos"),
    Limit("web", "materials", 20, 500, "{value} materials, a draw call each", "bake one texture", source="khronos"),
    Limit("web", "open_edges", 0, None, _HOLES, _CLOSE, source="gltf"),
    Limit("web", "nonmanifold", 0, None, "{value} non-manifold edges and vertices", _REPAIR, source="mesh"),
    Limit("web", "flipped", 0, None, "parts are inside out and may not be drawn", _REPAIR, source="gltf"),
    # -- in a room
    Limit("ar", "faces", 100e3, 500e3, "{value} triangles, {limit} for a phone", _SIMPLIFY, source="apple"),
    Limit("ar", "file_bytes", 10e6, 50e6, "{value}, {limit} for a phone", "compress it", source="google"),
    Limit("ar", "texture_side", 2048, 8192, "textures of {value}, {limit} for a phone", _TEXTURE, source="apple"),
    Limit("ar", "materials", 10, 100, "{value} materials, {limit} for a phone", "bake one texture", source="google"),
    Limit("ar", "open_edges", 0, None, _HOLES, _CLOSE, source="gltf"),
    Limit("ar", "nonmanifold", 0, None, "{value} non-manifold edges and vertices", _REPAIR, source="mesh"),
    Limit("ar", "flipped", 0, None, "parts are inside out and may not be drawn", _REPAIR, source="gltf"),
    Limit("ar", "size_known", 1, None, "real size {value}", _SIZE, "say", "khronos", below=True),
    Limit("ar", "longest", 30, None, "{value} long: does it fit into a room?", "check the unit", "say"),
    Limit("ar", "longest", 0.01, None, "{value} long: is the unit right?", "check the unit", "say", below=True),
    Limit("ar", "lying", 0, None, "it does not stand; another direction looks like up", "turn it upright"),
    # -- in a shop
    Limit("e-commerce", "faces", 100e3, 500e3, "{value} triangles, {limit} for a phone", _SIMPLIFY, source="apple"),
    Limit("e-commerce", "file_bytes", 3e6, 50e6, "{value}, {limit} load quickly", "compress it", source="khronos"),
    Limit("e-commerce", "texture_side", 2048, 8192, "textures of {value}", _TEXTURE, source="khronos"),
    Limit("e-commerce", "materials", 20, 500, "{value} materials", "bake one texture", source="khronos"),
    Limit("e-commerce", "size_known", 1, 0.2, "real size {value}", _SIZE, "say", "khronos", below=True),
    Limit("e-commerce", "colorless", 0, 0, "neither texture nor colour", "paint it", "hand", "khronos"),
    Limit("e-commerce", "maps", 3, None, "{value} of base colour, roughness and normal map", "bake maps",
          source="khronos", below=True),
    Limit("e-commerce", "no_uv", 0, None, "no texture coordinates", "unwrap it", source="khronos"),
    Limit("e-commerce", "texels_across", 512, None, "{value} texels along the longest side", "bake a larger texture",
          below=True),
    Limit("e-commerce", "open_edges", 0, None, _HOLES, _CLOSE, source="gltf"),
    Limit("e-commerce", "nonmanifold", 0, None, "{value} non-manifold edges and vertices", _REPAIR, source="mesh"),
    Limit("e-commerce", "flipped", 0, None, "parts are inside out and may not be drawn", _REPAIR, source="gltf"),
    Limit("e-commerce", "off_floor", 0.02, None, "{value} of its size off the floor", "set it on the floor",
          source="khronos"),
    Limit("e-commerce", "lying", 0, None, "it does not stand; another direction looks like up", "turn it upright"),
    Limit("e-commerce", "invented", 0, 0.3, "a shop shows what it sells: {value} of the surface was invented",
          "take more pictures, or model it", "hand"),
    Limit("e-commerce", "baked_light", 0, None, "the photo's light is in the texture", "reduce it", source="khronos"),
    # -- in a game
    Limit("background", "faces", 50e3, 500e3, "{value} triangles for something far away", _SIMPLIFY),
    Limit("background", "colorless", 0, None, "no texture and no colour", "paint it", "hand"),
    Limit("background", "open_edges", 0, None, _HOLES, _CLOSE, source="gltf"),
    Limit("background", "nonmanifold", 0, None, "{value} non-manifold edges and vertices", _REPAIR, source="mesh"),
    Limit("background", "flipped", 0, None, "parts are inside out and may not be drawn", _REPAIR, source="gltf"),
    Limit("game", "faces", 100e3, 1e6, "{value} triangles for one prop", _SIMPLIFY),
    Limit("game", "levels", 2, None, "no coarser levels of detail", "make levels of detail", below=True),
    Limit("game", "quad_share", 0.5, None, "{value} quadrilaterals: hard to edit", "retopologise", source="quads",
          below=True),
    Limit("game", "no_uv", 0, 0, "no texture coordinates", "unwrap it"),
    Limit("game", "uv_overlap", 0.01, 0.5, "{value} of the texels serve two places: no light can be baked",
          "unwrap it again"),
    Limit("game", "uv_outside", 0.01, None, "{value} of the surface repeats its texture: no light can be baked",
          "unwrap it again"),
    Limit("game", "density", 512, None, "{value} texels a metre", "bake a larger texture", source="texel", below=True,
          unknown="texels a metre unknown without a real size"),
    Limit("game", "density_spread", 4, 32, "texels {value} times denser in places", "unwrap it again", source="texel"),
    Limit("game", "stretch", 3, None, "texture stretched {value} times", "unwrap it again"),
    Limit("game", "odd_textures", 0, None, "textures whose sides are no powers of two", "resize them"),
    Limit("game", "materials", 4, 50, "{value} materials, a draw call each", "bake one texture"),
    Limit("game", "nonmanifold", 0, None, "{value} non-manifold edges and vertices", _REPAIR, source="mesh"),
    Limit("game", "flipped", 0, None, "parts are inside out and may not be drawn", _REPAIR, source="gltf"),
    Limit("game", "invented", 0.5, None, "{value} of the surface was invented: look at it from all sides",
          "paint over it", "hand"),
    # -- near the camera
    Limit("close-up", "invented", 0, None, "{value} of the surface was invented from one picture",
          "take more pictures, or model it", "hand"),
    Limit("close-up", "texels_across", 2048, None, "{value} texels along the longest side", "bake a larger texture",
          below=True),
    Limit("close-up", "colorless", 0, 0, "neither texture nor colour", "paint it", "hand"),
    Limit("close-up", "slivers", 0.3, None, "{value} of the triangles are slivers and shade badly", "remesh it"),
    # -- on a printer
    Limit("print", "open_edges", 0, 0, "not watertight: {value} open edges", _CLOSE, source="print"),
    Limit("print", "nonmanifold", 0, 0, "{value} non-manifold edges and vertices", _REPAIR, source="print"),
    Limit("print", "flipped", 0, 0, "parts are inside out", _REPAIR, source="print"),
    Limit("print", "self_intersections", 0, 1000, "{value} pairs of faces cut each other", _REPAIR, source="print",
          unknown="self-intersections were not counted"),
    Limit("print", "degenerate", 0, None, "{value} faces without area, or doubled", _REPAIR, source="print"),
    Limit("print", "parts", 1, None, "{value} separate parts", "join or drop them"),
    Limit("print", "size_known", 0.5, None, "real size {value}", _SIZE, "say", below=True),
    Limit("print", "wall_thin", 0.01, 0.3, "{value} of the surface has walls below 0.8 mm",
          "print it larger, or thicken it", "say", "print"),
    Limit("print", "print_from", 250, None, "walls reach 0.8 mm only from {value} on", "thicken it", "hand", "print"),
    Limit("print", "overhang", 0.05, None, "{value} of the surface overhangs: supports", "turn it, or print supports",
          "say", "print"),
    # -- moving
    Limit("animation", "quad_share", 0.95, 0.3, "{value} quadrilaterals", "retopologise", source="quads", below=True),
    Limit("animation", "regular", 0.6, None, "{value} of the vertices are regular", "retopologise", source="quads",
          below=True),
    Limit("animation", "flow", 0.7, None, "{value} of the edges follow the limbs and bends", "retopologise",
          source="quads", below=True),
    Limit("animation", "nonmanifold", 0, 0, "{value} non-manifold edges and vertices", _REPAIR, source="mesh"),
    Limit("animation", "parts", 1, None, "{value} separate parts to bind", "join or drop them"),
    Limit("animation", "faces", 100e3, None, "{value} triangles to skin", _SIMPLIFY),
    Limit("animation", "always", 0, None, "loops at joints, eyes and mouth, the rig and its weights are made by hand",
          "a rigger's work", "hand", "quads"),
    # -- to measure
    Limit("manufacturing", "invented", 0, 0, "{value} of the surface was invented, dimensions are not measured",
          "model it by hand from drawings", "hand"),
    Limit("manufacturing", "always", 0, 0, "triangles hold no exact faces, threads, fits or tolerances",
          "model it by hand in CAD", "hand"),
    Limit("manufacturing", "size_known", 1, None, "real size {value}", _SIZE, "say", below=True),
    # -- scenes: nobody asks of an open relief to be closed
    Limit("scene-web", "faces", 150e3, 1e6, "{value} triangles, {limit} are enough", _SIMPLIFY, source="khronos"),
    Limit("scene-web", "file_bytes", 3e6, 50e6, "{value}, {limit} load quickly", "compress it", source="khronos"),
    Limit("walking", "always", 0, None, "what the picture hides is missing or invented", cure="hand"),
    Limit("measuring", "size_known", 1, None, "real size {value}", "give a height or a distance", "say", below=True),
    Limit("measuring", "always", 0, None, "depth is a network's estimate", "measure on the spot", "hand"),
    Limit("behind", "always", 0, 0, "a picture shows a scene from one side only", "model it by hand", "hand"),
    Limit("scene-print", "always", 0, 0, "an open surface, as every scene from one picture", "model it by hand",
          "hand"),
)  # fmt: skip
