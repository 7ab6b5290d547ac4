"""What the refiners did to a model, in figures and in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..assets import Model

Facts = Mapping[str, Any]

#: Refiners whose notes lie in the mesh's metadata under their name, in the order of the road.
_NOTED = (
    *("complete", "repair", "clean", "simplify", "reduce", "retopo"),
    *("unwrap", "transfer", "bake", "delight", "pose", "scale"),
)


def done(model: Model) -> dict[str, Any]:
    """task -> what it notes of its work, in the order of the road; lods: a list, collide: of all parts."""
    found = {task: model.mesh.metadata[task] for task in _NOTED if task in model.mesh.metadata}
    if model.levels:
        found["lods"] = [level.metadata.get("lod", {"faces": len(level.faces)}) for level in model.levels]
    if model.collision:
        found["collide"] = model.collision[0].metadata.get("collide", {"parts": len(model.collision)})
    return found


def done_words(found: Facts) -> list[tuple[str, str]]:
    """(what, in words) for every task of ``done`` that people want to hear of."""
    rows = ((what, say(found[task])) for task, (what, say) in _SAID.items() if task in found)
    return [(what, text) for what, text in rows if text]


def _complete(facts: Facts) -> str:
    if facts.get("method", "none") == "none":
        return ""
    return f"{facts['method']}, {_share(facts.get('invented', 0))} of the surface was made up"


def _repair(facts: Facts) -> str:
    return f"the {facts['road']} road" + (f" ({facts['why']})" if facts.get("why") else "")


def _reduce(facts: Facts) -> str:
    stuck = ", nothing more could go" if facts.get("ended") == "stuck" else ""
    return f"{facts['faces_before']:,} -> {facts['faces']:,} faces, {_moved(facts['deviation'])}{stuck}"


def _retopo(facts: Facts) -> str:
    parts = [
        f"{facts['faces']:,} faces, {_share(facts['quads'])} quads",
        f"{_share(facts['valence4'])} of the vertices join four edges",
        f"sides 1 : {facts['aspect']:.2g}",
        _moved(facts["deviation"]),
    ]
    if facts["flipped"]:
        parts.append(f"{facts['flipped']} halves look away from the surface")
    if facts.get("symmetry"):
        parts.append(f"mirrored across {facts['symmetry']}")
    return ", ".join(parts)


def _transfer(facts: Facts) -> str:
    if facts.get("to") != "textures":
        return "colours, on vertices"
    names = [name.removesuffix("_texture").replace("_", " ") for name in facts["maps"]]
    return f"{', '.join(names) or 'none'} at {facts['size']} px" if names else ""


def _delight(facts: Facts) -> str:
    if "strength" in facts:
        share = f"{_share(facts['explained'])} of what varies in the texture"
        said = f"it explains {share}, {_share(facts['strength'])} of it taken out: an estimate"
    elif facts.get("why"):
        said = f"left as it is: {facts['why']}"
    else:
        said = "left as it is: too little of it could be told" if "explained" in facts else ""
    guess = facts.get("guess")
    return said + (
        f"{'; ' if said else ''}roughness {guess['roughness']:g}, metallic {guess['metallic']:g}: a guess from colours"
        if guess
        else ""
    )


def _scale(facts: Facts) -> str:
    size = " x ".join(f"{side:.3g}" for side in facts.get("size", ()))
    unit = {"metre": " m", "guessed metre": " m by guess"}.get(str(facts.get("unit")), " units")
    return f"{size}{unit} ({facts['from']})" if size and "from" in facts else ""


def _lods(facts: Any) -> str:
    return ", ".join(f"{level['faces']:,}" for level in facts) + " faces"


def _collide(facts: Facts) -> str:
    ratio = facts.get("volume_ratio")
    filled = f", {ratio:.2f} times the volume" if ratio else ""
    how = "by coacd" if facts.get("method") == "parts" else "one hull a component"
    return f"{facts['parts']} convex part{'' if facts['parts'] == 1 else 's'} ({how}){filled}"


def _share(value: float) -> str:
    return f"{100 * value:.3g} %"


def _moved(deviation: Facts) -> str:
    mean = max(deviation["mean_there"], deviation["mean_back"])
    most = max(deviation["max_there"], deviation["max_back"])
    return f"off by {100 * mean:.2g} % of the diagonal, at most {100 * most:.2g} %"


_SAID: dict[str, tuple[str, Callable[[Any], str]]] = {
    "complete": ("missing side", _complete),
    "repair": ("repair", _repair),
    "reduce": ("reduced", _reduce),
    "retopo": ("quads", _retopo),
    "transfer": ("maps", _transfer),
    "delight": ("light", _delight),
    "pose": ("pose", lambda facts: str(facts.get("why", ""))),
    "scale": ("size", _scale),
    "lods": ("levels", _lods),
    "collide": ("collision", _collide),
}
