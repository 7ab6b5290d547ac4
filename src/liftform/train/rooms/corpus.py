"""Which object of the corpus may stand where in a room, at which size, and its triangles, kept for the next room."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..corpus import read_manifest
from ..render import surface_from_glb
from .geometry import Part, Prop

#: Objects kept in memory a process, about 0.8 MB each.
_KEPT = 220

#: (role, words of which one must be in the name, words that must not). The first that fits decides.
_ROLES: tuple[tuple[str, str, str], ...] = (
    ("none",
     "socket|plug|antenna|rj 45|torpedo|uxo|swimming|apartment|materials|shelf f|shop window|escalator|"
     "elevator|chimney|garage door|window|door|stair|curtain closed|curtain half|curtain open|shutter|"
     "blind|mbari|cessna|reactor|erov|control console|gazebo|school|post office|thrift|logo|handle|"
     "contemporary|shower stall|pool|pallet|cooking bench|hut|swing|tent|snow|crossing|hedge|jacuzzi|"
     "sandpit|trampoline|seesaw|fountain|jersey|lamp post|telephone pole|park light|street|rowboat|beach|"
     "diving|tatami|container|shelf d|shelf e|robonaut|hood|wall light|wall lamp|track lights|fluorescent|"
     "kitchencounter|debris|half open|bunk bed drawer|towel rack|shower|intercom|cctv|surveillance|"
     "security|sign|bell|speech|faucet|dress|suit|target|construction|standpipe|postbox|kart|children game|"
     "baby bed|exterior unit|air conditioning|cluttering|tape|cardboard box",
     ""),
    ("sofa", "sofa|couch|futon couch|day bed|lounge", "ottoman|chair|bed|table"),
    ("coffee", "coffee table|table coffee", ""),
    ("bed", "bed", "bedside|cabinet|baby|bunk"),
    ("bedside", "bedside|night stand|side table", ""),
    ("officechair", "chair desk|office chair", ""),
    ("armchair", "armchair|lounge chair|puff|ottoman|relax", ""),
    ("barstool", "bar stool|stool bar|bar chair", ""),
    ("chair", "chair|stool|class seat", "wheelchair|bar|high"),
    ("tv", "television modern|television vintage|tv 16|computer screen|apple i mac", ""),
    ("wallflat", "wall flat tv|portrait|pictureframe large|pictureframe medium|bathroom mirror|dart|board",
     "desk|standing|keyboard|skateboard|chopping|cutting|cupboard|chess|white|cup|basic"),
    ("tvstand", "tv stand|television cabinet|cabinet television|tvcabinet", ""),
    ("bookcase", "bookcase|bookshelf|shelves|cabinet medium|cabinet small|shelf b|shelf a", "upper|wall"),
    ("upper", "upper|wall cabinet", ""),
    ("wardrobe", "wardrobe|cupboard|locker", ""),
    ("dresser", "dresser|drawer|filing cabinet|dressing table|shoe rack|cabinet bed|changing|vanity",
     "kitchen|cabinet bed drawer table"),
    ("fridge", "refrigerator|fridge|freezer", ""),
    ("kitchenunit", "lower cabinet|drawers cabinet|sink cabinet|kitchen cabinet|kitchen stove|kitchen sink|"
     "large stove|dishwasher|base cabinet|washer|dryer|island|bathroom washing|stove multi|"
     "stove single",
     "countertop|corner|upper"),
    ("toilet", "toilets unit|toilet|bidet", "paper|brush"),
    ("basin", "washbasin|bathroom sink|bathroom cabinet|lavatory", ""),
    ("bath", "bath", "mat|bathroom|towel"),
    ("desk", "desk|workbench|technical table", "lamp|portrait|info|chair"),
    ("table", "table", "lamp|tennis|pool|football|desk|sauce|vegetable"),
    ("floorlamp", "lamp standing|light stand|floor lamp", ""),
    ("lamp", "lamp|japanese lantern", "ceiling|pendant|wall|street|post|tree"),
    ("ceilinglamp", "chandelier|hanging light|pendant lamp|ceiling lamp", ""),
    ("plant", "plant|yucca|cactus|spathi|tulips|flowers|palm pot|christmas|potted", "box|tree|eggplant"),
    ("radiator", "radiator", ""),
    ("fireplace", "fireplace|upright piano", ""),
    ("rug", "rug|doormat|bathmat", ""),
    ("bin", "trash|bin|basket", ""),
)  # fmt: skip

_KIT_HEIGHTS = {
    "sofa": 0.85, "coffee": 0.42, "bed": 0.85, "bedside": 0.55, "officechair": 1.0, "armchair": 0.9, "barstool": 0.85,
    "chair": 0.9, "tv": 0.6, "wallflat": 0.5, "tvstand": 0.5, "bookcase": 1.6, "wardrobe": 2.0, "dresser": 0.8,
    "fridge": 1.75, "kitchenunit": 0.88, "toilet": 0.75, "basin": 0.85, "bath": 0.6, "desk": 0.75, "table": 0.75,
    "floorlamp": 1.55, "lamp": 0.45, "ceilinglamp": 0.5, "plant": 0.5, "fireplace": 1.2, "bin": 0.45, "upper": 0.7,
}  # fmt: skip
_HOME_KITS = ("Furniture", "house interior", "Restaurant Bits")
_FOOD_KITS = ("food", "Restaurant Bits", "Junk Food")
_SMALL = ("Kitchen", "Miscellaneous", "Living room", "Bedroom", "Office", "Bathroom", "YCB", "household", "groceries")
_SMALL_SOURCES = ("bigym", "robosuite", "aloha", "urdf", "discoverse", "ycb", "google")


@dataclass(frozen=True)
class Entry:
    """One object that may be placed. height: metres it is scaled to, None when its file is metric."""

    row: dict[str, Any]
    role: str
    height: float | None


def role_of(row: dict[str, Any]) -> str:
    """Where in a room an object belongs, by its name; "none" when nowhere."""
    name, category = f" {row['name'].lower()} ", str(row["category"] or "")
    kit = row["bbox_m"] is None
    for role, has, lacks in _ROLES:
        if any(w in name for w in has.split("|")) and not (lacks and any(w in name for w in lacks.split("|"))):
            if role == "none" or not kit or category.startswith(_HOME_KITS) or "Furniture" in category:
                return _checked(role, row)
            break
    if not kit:
        longest, category_small = (
            max(row["bbox_m"]),
            category.startswith(_SMALL) or row["source"].startswith(_SMALL_SOURCES),
        )
        if category == "Characters":
            return "person" if row["bbox_m"][1] > 1.5 or "sitting" not in name else "none"
        if longest < 0.45 and min(row["bbox_m"]) > 0.003 and (category_small or longest < 0.35):
            return "small"
        if longest < 1.6 and category.startswith(
            ("Miscellaneous", "Bathroom", "Bedroom", "Living", "Exterior", "Kitchen")
        ):
            return "clutter"
        return "vehicle" if category == "Vehicles" and row["bbox_m"][1] > 1.0 and max(row["bbox_m"]) < 6.5 else "none"
    if category.startswith(_FOOD_KITS):
        return "food"
    return "none"


def _checked(role: str, row: dict[str, Any]) -> str:
    """Metric objects whose size does not suit the role are left out."""
    if row["bbox_m"] is None or role == "none":
        return role
    limits = {
        "table": (0.4, 1.1), "chair": (0.4, 1.3), "lamp": (0.25, 1.0), "desk": (0.5, 1.8), "bookcase": (0.4, 2.4),
        "plant": (0.1, 2.2), "wallflat": (0.1, 1.4), "sofa": (0.5, 1.2), "bed": (0.3, 1.6), "bin": (0.2, 1.2),
    }  # fmt: skip
    low, high = limits.get(role, (0.0, 2.6))
    longest = 6.0 if role == "desk" else 3.6
    fits = low <= row["bbox_m"][1] <= high and max(row["bbox_m"]) < longest
    return role if fits else "none"


@functools.lru_cache(maxsize=2)
def roles(manifest: Path) -> dict[str, list[Entry]]:
    """Everything of split "train" that may be placed, by role."""
    out: dict[str, list[Entry]] = {}
    for row in read_manifest(manifest):
        role = role_of(row)
        if role == "none":
            continue
        height = None if row["bbox_m"] is not None else _KIT_HEIGHTS.get(role)
        out.setdefault(role, []).append(Entry(row, role, height))
    for entry in outdoor(manifest):
        out.setdefault(entry.role, []).append(entry)
    return out


def outdoor(manifest: Path) -> list[Entry]:
    """Trees, cars, rocks, lamps and houses for streets and parks, with heights in metres."""
    kinds = (
        ("tree", "tree|pine|palm", 6.0, ("nature", "simple nature", "Nature")),
        ("bush", "bush|grass large|plant bush|hedge|flowers|grass leafs", 0.9, ("nature", "simple nature")),
        ("rock", "rock|log|stump", 0.6, ("nature",)),
        ("car", "car |sedan|suv|taxi|hatchback|police|van|stationwagon|ambulance",
         1.5, ("car kit", "City Builder", "vehicles", "Vehicles / Realistic", "Vehicles / Basic")),
        ("truck", "truck|bus", 2.8, ("car kit", "vehicles", "retro urban")),
        ("house", "building|house|barn",
         9.0, ("Home and Buildings", "buildings pack", "city builder", "architecture", "City Builder")),
        ("pole", "streetlight|trafficlight|light post|traffic light",
         5.0, ("City Builder", "street pack", "racing kit")),
        ("streetclutter", "bench|dumpster|firehydrant|trash|barrier|cone|box",
         0.9, ("City Builder", "retro urban", "car kit")),
        ("figure", "male|female|casual|woman|worker|formal|punk",
         1.72, ("Characters and Animals / Posed", "Characters and Animals / Animated Men",
                "Characters and Animals / Animated Women", "modular men", "modular women")),
    )  # fmt: skip
    out = []
    for row in read_manifest(manifest):
        name, category = f"{row['name'].lower()} ", str(row["category"] or "")
        if row["bbox_m"] is not None:
            continue
        for role, words, height, categories in kinds:
            barred = (
                "debris" in name or "street 3" in name or "future" in name or "dead snow" in name or "garage" in name
            )
            if category.startswith(categories) and any(w in name for w in words.split("|")) and not barred:
                out.append(Entry(row, role, height))
                break
    return out


@functools.lru_cache(maxsize=_KEPT)
def _triangles(path: str, extent: float) -> tuple[Part, tuple[float, float, float]]:
    surface, _mesh = surface_from_glb(path)
    corners = surface.corners * extent
    low, high = corners.reshape(-1, 3).min(0), corners.reshape(-1, 3).max(0)
    shift = np.array([(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2], np.float32)
    part = Part(corners - shift, surface.normals, surface.uv, surface.tint, surface.texture)
    size = high - low
    return part, (float(size[0]), float(size[1]), float(size[2]))


def load(entry: Entry, rng: np.random.Generator) -> Prop | None:
    """The entry's prop, at its metric size (varied by a few percent) or the size of its role; None when unusable."""
    try:
        part, size = _triangles(entry.row["file"], 1.0)
    except Exception:  # a broken file of a large corpus leaves its place empty
        return None
    if len(part.corners) > 12000:
        return None
    if entry.row["bbox_m"] is not None:
        scale = max(entry.row["bbox_m"]) * rng.uniform(0.92, 1.08)
    elif entry.height is not None:
        scale = entry.height * rng.uniform(0.85, 1.15) / max(size[1], 0.2)
    else:
        scale = rng.uniform(0.08, 0.24)  # food: the kit's pieces are all drawn about as large
    lamp = (
        0.82 * size[1] * scale
        if entry.role in ("lamp", "floorlamp")
        else 0.4 * size[1] * scale
        if entry.role == "ceilinglamp"
        else None
    )
    tint = part.tint
    if entry.role in ("tree", "bush"):  # kits know two greens
        tint = tint * rng.uniform(0.45, 1.15, 3).astype(np.float32) * np.array([1.0, 1.0, 0.6], np.float32)
    big = Part((part.corners * scale).astype(np.float32), part.normals, part.uv, tint, part.texture)
    return Prop((big,), (size[0] * scale, size[1] * scale, size[2] * scale), entry.row["id"], (), lamp)
