"""What the corpus covers and what not: counts by kind of thing, split, origin and licence, as page and picture."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..files import whole_file, write_whole
from .corpus import KITS, Row

#: Kinds of things by words of name, tags and category; the first that fits decides, the name before the category.
_KINDS = (
    ("people and robots",
     "man|woman|women|men|male|female|person|people|character|human|soldier|knight|mage|barbarian|rogue|wizard|"
     "zombie|skeleton|ghost|astronaut|casual|worker|king|ninja|pirate|suit|mech|robot|bot|enemy|drone|george"),
    ("food",
     "food|apple|banana|bread|cake|meat|cheese|fruit|vegetable|burger|pizza|sushi|carrot|tomato|pear|orange|lemon|"
     "egg|fishbone|ice cream|crop|pumpkin|mushroom|ingredient|lettuce|potato|peach|plum|strawberry|corn|wheat|"
     "donut|hot dog|roasted chicken|rice|radish|muffin|cherries|cookie|sandwich|soup|sausage|steak|bacon|ham|"
     "onion|pepper|chips|pudding|pie|waffle|taco|watermelon|turnip|beet|grapes?|cabbage|coconut|pineapple|"
     "chocolate|candy|cereal|honey"),
    ("animals",
     "animal|dog|cat|husky|horse|cow|bird|chicken|duck|pig|sheep|bear|wolf|fox|deer|stag|bull|donkey|alpaca|frog|"
     "snake|spider|bat|wasp|shiba|dinosaur|dragon|monster|penguin|rabbit|shark|whale|fish|cute fish|pet|worm|bee|"
     "crab|turtle|lizard|eel|squid|dolphin"),
    ("seats",
     "chair|sofa|couch|armchair|stool|bench|seat|ottoman|pouf|rocker|salon"),
    ("beds",
     "bed|bunk|crib|mattress|cradle|pillow|cushion"),
    ("tables",
     "table|desk|counter|countertop|workbench|kitchencounter|kitchentable|wallcounter|kitchenbar|bar"),
    ("storage and bags",
     "cabinet|shelf|shelves|bookcase|bookshelf|wardrobe|drawer|drawers|dresser|cupboard|chest|rack|closet|"
     "nightstand|sideboard|crate|barrel|locker|trunk|box|boxes|container|bag|suitcase|briefcase|backpack|basket|"
     "pallet|cargo|vanity|luggage|sack|pouch|kitchencabinet"),
    ("lights",
     "lamp|light|lantern|chandelier|candle|torch|streetlight|spotlight|trafficlight|flashlight"),
    ("bath and kitchen fittings",
     "bath|bathtub|toilet|sink|shower|bidet|tap|oven|stove|fridge|freezer|refrigerator|dishwasher|washing|washer|"
     "washbasin|microwave|hood|extractorhood|radiator|fireplace|toaster|fryer|brewer|coffee|blender|heater|dryer|"
     "furnace|papertowel|cutting|chopping board|cuttingboard"),
    ("electronics",
     "tv|television|computer|laptop|monitor|keyboard|mouse|speaker|phone|camera|radio|printer|console|screen|"
     "router|headphones|gamepad|remote|clock|tablet|projector|antenna|recorder|display|server"),
    ("tableware and bottles",
     "cup|mug|glass|bottle|plate|bowl|pot|pan|jar|vase|teapot|pitcher|fork|knife|spoon|cutlery|utensil|jug|can|"
     "potion|goblet|lid|kettle|dish|dishrack|flask|urn|tin|carafe|tray|chalice"),
    ("plants",
     "tree|plant|flower|bush|grass|cactus|leaf|fern|birch|birchtree|palm|pine|log|stump|bamboo|hedge|crops|lily|"
     "waterplant|vine|moss|reed|commontree|willow|cactusflowers|seaweed|coral"),
    ("rocks and ground",
     "rock|stone|cliff|terrain|hill|mountain|ground|path|road|tile|hex|river|coast|island|crater|rubble|bones?|"
     "crystal|meteor|debris|snow|ice|sand|water"),
    ("vehicles",
     "car|truck|bus|van|vehicle|bike|bicycle|motorcycle|boat|ship|plane|aircraft|train|tank|tractor|wagon|cart|"
     "helicopter|spaceship|rover|trailer|kart|taxi|ambulance|police|rocket|cessna|torpedo|suv|scooter|lander|jack|"
     "sled|submarine|canoe|locomotive|wheel|track"),
    ("weapons and gear",
     "gun|rifle|pistol|sword|axe|bow|crossbow|shield|weapon|dagger|spear|staff|hammer|armou?r|helmet|ammo|bullet|"
     "grenade|wand|mace|scythe|quiver|arrow|shotgun|blaster|cannon|turret|sabel|saber|flaregun|bomb|spikes|trap|"
     "sight|scope|silencer"),
    ("tools",
     "tool|wrench|screwdriver|drill|saw|shovel|pickaxe|ladder|scissors|clamp|bucket|broom|marker|pliers|hardhat|"
     "extinguisher|brush|mop|hook|rope|fishingrod|lever|pipe|tube|valve|cable"),
    ("toys, sport and trinkets",
     "toy|ball|dice|lego|doll|game|chess|puzzle|skateboard|football|baseball|guitar|piano|drum|instrument|rubik|"
     "racquet|dumbbell|gym|swing|seesaw|trophy|coin|gem|key|book|ring|necklace|crown|heart|snowflake|star|flag|"
     "banner|gift|present|skull|picture|pictureframe|painting|mirror|poster|hat|boot|bootie|shoe|scroll|egg"),
    ("buildings and parts",
     "house|building|wall|door|doorway|trapdoor|window|roof|tower|castle|bridge|fence|gate|stair|stairs|column|"
     "pillar|floor|arch|church|barn|mill|windmill|watermill|hut|tent|shed|farm|temple|garage|shop|market|balcony|"
     "chimney|ruin|structure|station|tunnel|stand|dock|platform|cargodepot|depot|base|curtain|blind|ceiling|ramp"),
    ("street furniture",
     "sign|hydrant|bin|trash|trashcan|cone|barrier|pole|mailbox|dumpster|traffic|bollard|fountain|statue|"
     "gravestone|grave|coffin|lightpost|post"),
)  # fmt: skip
OTHER = "everything else"
_COMPILED = [(kind, re.compile(rf"\b({words})s?\b")) for kind, words in _KINDS]


def kind_of(row: Row) -> str:
    """The broad kind of thing that a row is, by the words of its name, else of its tags, else of its category."""
    for text in (row.get("name") or row["id"].split("__")[-1], row.get("tags"), row.get("category")):
        plain = re.sub(r"[\W_\d]+", " ", str(text or "")).lower()
        for kind, words in _COMPILED:
            if words.search(plain):
                return kind
    return OTHER


@dataclass(frozen=True)
class Line:
    """One kind of thing: how many of it, and what they are like."""

    kind: str
    families: int
    splits: dict[str, int]
    scans: int
    kits: int
    textured: int
    faces: int
    licences: dict[str, int]


def cover(rows: Sequence[Row]) -> list[Line]:
    """One line for each kind, the largest in "train" first. Rows of any split."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[kind_of(row)].append(row)
    lines = [_line(kind, group) for kind, group in groups.items()]
    return sorted(lines, key=lambda line: (-line.splits.get("train", 0), line.kind))


def _line(kind: str, rows: Sequence[Row]) -> Line:
    faces = [row["n_faces"] for row in rows if row.get("n_faces")]
    return Line(
        kind,
        len({row["family"] for row in rows}),
        dict(Counter(row["split"] for row in rows)),
        sum(row["kind"] in ("scan", "scan-photos") for row in rows),
        sum(row["source"] in KITS for row in rows),
        sum(bool(row.get("textured")) for row in rows),
        int(np.median(faces)) if faces else 0,
        dict(Counter(row["licence_class"] for row in rows)),
    )


def page(rows: Sequence[Row], left_out: Sequence[str] = ()) -> str:
    """The coverage as Markdown: by kind of thing, by source, and what was left out and why."""
    lines = cover(rows)
    splits = sorted({s for line in lines for s in line.splits}, key=lambda s: (s != "train", s))
    head = ["kind", "families", *splits, "scans", "from kits", "textured", "median faces", "licences"]
    body = [
        [
            line.kind,
            line.families,
            *(line.splits.get(s, 0) for s in splits),
            line.scans,
            line.kits,
            line.textured,
            line.faces,
            _counted(line.licences),
        ]
        for line in lines
    ]
    parts = ["## By kind of thing", _table(head, body), "## By source", _sources(rows, splits)]
    if left_out:
        parts += ["## Left out", "\n".join(f"- {line}" for line in left_out)]
    return "\n\n".join(parts) + "\n"


def _sources(rows: Sequence[Row], splits: Sequence[str]) -> str:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["source"]].append(row)
    ranked = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    body = []
    for source, group in ranked:
        counted = Counter(r["split"] for r in group)
        licences = _counted(dict(Counter(r["licence_class"] for r in group)))
        families = len({r["family"] for r in group})
        body.append([source, families, *(counted.get(s, 0) for s in splits), licences])
    return _table(["source", "families", *splits, "licences"], body)


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _table(head: Sequence[str], body: Sequence[Sequence[object]]) -> str:
    rows = ["| " + " | ".join(str(cell) for cell in line) + " |" for line in (head, *body)]
    return "\n".join([rows[0], "|" + "---|" * len(head), *rows[1:]])


def write(rows: Sequence[Row], out: Path, title: str, left_out: Sequence[str] = ()) -> list[Path]:
    """Write ``out`` (.md) and beside it the same as a picture (.png); returns both. Raises OutputError."""
    picture = out.with_suffix(".png")
    _draw(cover(rows), picture)
    how = f"Redrawn by `liftform train coverage MANIFEST -o {out.name}`; kinds are told by the words of names."
    text = f"# {title}\n\n{how}\n\n![objects by kind, split, origin, licence]({picture.name})\n\n{page(rows, left_out)}"
    write_whole({out: text.encode()})
    return [out, picture]


def _draw(lines: Sequence[Line], path: Path) -> None:
    """Bars of each kind by split and origin (left), and of licences (right)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 0.32 * len(lines) + 1.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=[3, 2, 2])
    names, at = [line.kind for line in lines], np.arange(len(lines))
    _stacked(
        left, at, lines, sorted({s for line in lines for s in line.splits}, key=lambda s: (s != "train", s)), "splits"
    )
    left.set_yticks(at, names)
    left.set_title("objects by split")
    total = np.array([max(1, sum(line.splits.values())) for line in lines])
    for shift, (label, values) in enumerate(
        (
            ("from kits", [x.kits for x in lines]),
            ("textured", [x.textured for x in lines]),
            ("scans", [x.scans for x in lines]),
        )
    ):
        middle.barh(at + (shift - 1) * 0.27, 100 * np.array(values) / total, 0.25, label=label)
    middle.set_yticks(at, [""] * len(at))
    middle.set_title("of these, per cent")
    _stacked(right, at, lines, sorted({s for line in lines for s in line.licences}), "licences")
    right.set_yticks(at, [""] * len(at))
    right.set_title("licences")
    for axes in (left, middle, right):
        axes.invert_yaxis()
        axes.legend(fontsize="small", loc="lower right")
    with whole_file(path) as beside:
        figure.savefig(beside, dpi=90, format="png")


def _stacked(axes: object, at: np.ndarray, lines: Sequence[Line], names: Sequence[str], field: str) -> None:
    start = np.zeros(len(lines))
    for name in names:
        values = np.array([getattr(line, field).get(name, 0) for line in lines], float)
        axes.barh(at, values, left=start, label=name)  # type: ignore[attr-defined]
        start += values
