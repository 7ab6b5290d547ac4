"""How large everyday things usually are, by common knowledge: a guess at the size of something whose kind is known."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Literal

from ..errors import UsageError


@dataclass(frozen=True)
class Typical:
    """What is usual for one kind of thing: its height or its longest side in metres.

    spread: about two in three such things measure between size_m / (1 + spread) and size_m * (1 + spread).
    """

    name: str
    what: Literal["height", "longest"]
    size_m: float
    spread: float


def typical(name: str) -> Typical:
    """The usual size of a category ("office chair", "Chairs"); raises UsageError that suggests near names."""
    plain = " ".join(name.lower().replace("_", " ").replace("-", " ").split())
    for word in (plain, plain.removesuffix("s"), plain.removesuffix("es")):
        if (word := _SAME.get(word, word)) in TABLE:
            return TABLE[word]
    known = sorted(TABLE)
    near = difflib.get_close_matches(plain, [*known, *_SAME], 3) or [
        w for w in known if set(w.split()) & {*plain.split()}
    ]
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known: {', '.join(known)}"
    raise UsageError(f"no usual size is known for {name!r}", hint)


def _rows(text: str) -> dict[str, Typical]:
    """name: h (height) or l (longest side), metres, spread."""
    found = {}
    for line in text.strip().splitlines():
        name, _, rest = line.partition(":")
        what, size, spread = rest.split()
        found[name] = Typical(name, "height" if what == "h" else "longest", float(size), float(spread))
    return found


#: Not measured: what a person would say. Toys and models of these things have another size, hence "guessed metre".
TABLE = _rows("""
armchair:      h 0.90  0.15
backpack:      h 0.47  0.20
banana:        l 0.19  0.15
apple:         h 0.075 0.15
ball:          l 0.22  0.40
barrel:        h 0.90  0.20
basket:        l 0.40  0.40
bathtub:       l 1.70  0.10
bed:           l 2.05  0.08
bench:         l 1.50  0.25
bicycle:       l 1.75  0.10
boat:          l 5.00  0.60
book:          l 0.23  0.20
bookcase:      h 1.80  0.20
boot:          h 0.30  0.25
bottle:        h 0.27  0.20
bowl:          l 0.17  0.30
box:           l 0.40  0.60
bucket:        h 0.30  0.15
bus:           l 12.0  0.15
camera:        l 0.13  0.20
can:           h 0.12  0.15
candle:        h 0.15  0.50
car:           l 4.40  0.12
cat:           l 0.46  0.15
chair:         h 0.88  0.12
chest:         l 0.90  0.30
clock:         l 0.30  0.40
computer monitor: l 0.60 0.20
cow:           l 2.40  0.12
crate:         l 0.50  0.40
cup:           h 0.095 0.15
desk:          h 0.75  0.05
dining table:  h 0.75  0.05
dog:           l 0.85  0.35
door:          h 2.03  0.05
drill:         l 0.22  0.20
duck:          l 0.55  0.20
elephant:      h 3.00  0.15
figurine:      h 0.15  0.50
fire extinguisher: h 0.50 0.20
fire hydrant:  h 0.75  0.15
flower pot:    h 0.20  0.50
fork:          l 0.20  0.10
frying pan:    l 0.45  0.15
guitar:        l 1.00  0.06
hammer:        l 0.32  0.15
hat:           l 0.30  0.20
headphones:    h 0.19  0.12
helmet:        l 0.30  0.12
horse:         h 2.20  0.12
house:         h 7.00  0.35
jug:           h 0.22  0.25
kettle:        h 0.23  0.15
keyboard:      l 0.44  0.15
knife:         l 0.25  0.30
ladder:        h 2.50  0.40
lamp:          h 0.45  0.35
laptop:        l 0.34  0.10
lantern:       h 0.30  0.40
mailbox:       h 1.10  0.20
microwave:     l 0.48  0.10
motorcycle:    l 2.10  0.10
mouse:         l 0.115 0.12
mug:           h 0.095 0.12
nightstand:    h 0.55  0.15
orange:        h 0.075 0.12
oven:          h 0.87  0.06
pen:           l 0.14  0.06
person:        h 1.70  0.07
phone:         l 0.15  0.08
piano:         l 1.50  0.15
pillow:        l 0.55  0.20
plane:         l 35.0  0.50
plate:         l 0.26  0.15
potted plant:  h 0.60  0.60
printer:       l 0.45  0.15
refrigerator:  h 1.75  0.12
rubber duck:   l 0.09  0.30
scissors:      l 0.19  0.20
screwdriver:   l 0.22  0.25
shoe:          l 0.29  0.10
sink:          l 0.55  0.20
sofa:          l 2.00  0.15
speaker:       h 0.35  0.50
spoon:         l 0.18  0.20
statue:        h 1.50  0.60
stool:         h 0.55  0.30
street lamp:   h 5.00  0.40
suitcase:      h 0.65  0.20
sword:         l 0.95  0.15
table:         h 0.74  0.08
teapot:        h 0.16  0.20
teddy bear:    h 0.35  0.40
television:    l 1.20  0.25
tent:          l 2.60  0.30
toaster:       l 0.30  0.15
toilet:        h 0.76  0.08
traffic cone:  h 0.60  0.25
train:         l 24.0  0.20
tree:          h 8.00  0.60
truck:         l 8.00  0.30
umbrella:      l 0.90  0.15
vase:          h 0.30  0.35
wardrobe:      h 2.00  0.08
washing machine: h 0.85 0.03
watch:         l 0.24  0.12
window:        h 1.20  0.25
wine glass:    h 0.21  0.12
""")
#: Other words for the same things.
_SAME = {
    "aeroplane": "plane", "airplane": "plane", "aircraft": "plane", "bike": "bicycle", "bookshelf": "bookcase",
    "closet": "wardrobe", "couch": "sofa", "cupboard": "wardrobe", "fridge": "refrigerator", "glass": "cup",
    "human": "person", "man": "person", "woman": "person", "motorbike": "motorcycle", "monitor": "computer monitor",
    "office chair": "chair", "plant": "potted plant", "plush toy": "teddy bear", "rucksack": "backpack",
    "smartphone": "phone", "sneaker": "shoe", "sneakers": "shoe", "tv": "television", "ship": "boat", "trunk": "chest",
}  # fmt: skip
