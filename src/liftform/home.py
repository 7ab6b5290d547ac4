"""From a floor plan to a home: ``plan(source, recipe) -> Home``."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import __version__, floorplan
from .assets import Assembly, Node
from .errors import OutputError, UsageError
from .floorplan import OPENING_TYPES, OUTDOOR, Opening, Plan, Room, Stair, Wall, kind_of
from .road import Recipe, Stages
from .runtime import Progress, silent
from .zoo import registry

if TYPE_CHECKING:
    from .drawing.sheet import Sheet

#: The stages that report a time and progress, in order.
STAGES = ("read", "plan", "extrude", "furnish", "report")
#: Below this confidence an element is named among what to check; so many are named one by one.
_SURE, _NAMED = 0.8, 12


def plan(
    source: str | Path | Plan,
    recipe: PlanRecipe | str | Path | None = None,
    *,
    progress: Progress = silent,
    **options: Any,
) -> Home:
    """A floor plan in, a home at true scale out: walls with openings, doors, windows, floors, storey on storey.

    source: a drawing (.pdf, .png, .jpg, .tif, .webp, .dxf), a plan's .json as ``Home.save`` writes it, or a Plan.
    recipe: a PlanRecipe or the path of a TOML file; options: flat keywords that win over it, see docs/recipes.md:
    ``plan("flat.pdf", ceilings=True, furnish=True)``. progress receives (stage, fraction).

    What was read with doubt, and a scale that nothing tells, is said in the report. Raises the errors of
    ``liftform.errors``: UsageError, InputError, MissingExtraError (extra plans).
    """
    road = Road.of(recipe, progress, options)
    sheets, drawn = road.read(source)
    built = road.build(drawn)
    return road.report(drawn, built, road.furnish(drawn, built), sheets)


@dataclass(frozen=True)
class PlanRecipe(Recipe):
    """A recipe of the road from a floor plan; see ``Recipe``."""

    ROAD: ClassVar[str] = "plan"


@dataclass(frozen=True)
class Home:
    """What ``plan`` gives: the plan, the building, its furnished layouts, and the way there.

    assembly: the empty building; layouts: furnished ones, best first, or (). sheets: what was read, for the overlay.
    """

    plan: Plan
    assembly: Assembly
    layouts: tuple[Assembly, ...]
    recipe: PlanRecipe
    checks: tuple[str, ...] = ()
    sheets: Sequence[Sheet] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def best(self) -> Assembly:
        """The first furnished layout, or the empty building."""
        return self.layouts[0] if self.layouts else self.assembly

    @property
    def auto_accept(self) -> bool:
        """Whether nothing needs to be looked at."""
        return self.plan.auto_accept and not self.checks

    def to_dict(self) -> dict[str, Any]:
        """The report, JSON-ready: rooms, areas, scale, confidences, what to check, solids, seconds, recipe."""
        from .export.plans import rooms_table

        rooms = [room for storey in self.plan.storeys for room in storey.rooms]
        inside = sum(room.area for room in rooms if kind_of(room.type) not in OUTDOOR)
        return {
            "liftform": __version__,
            "source": self.plan.source,
            "auto_accept": self.auto_accept,
            "check": list(self.checks),
            "scale": floorplan.to_json(self.plan)["scale"],
            "storeys": [_counts(storey) for storey in self.plan.storeys],
            "rooms": rooms_table(self.plan),
            "area_m2": {"inside": round(inside, 2), "outdoor": round(sum(r.area for r in rooms) - inside, 2)},
            "confidence": _confidences(self.plan),
            "solids": solids(self.best),
            "layouts": [layout.metadata.get("furniture", {}) for layout in self.layouts],
            "seconds": {**self.seconds, "total": sum(self.seconds.values())},
            "recipe": self.recipe.to_tables(),
            "recipe_digest": self.recipe.digest,
        }

    def save(self, path: str | Path, *more: str | Path, report: bool = True, preview: bool = True) -> list[Path]:
        """Write the home in the format of each path's suffix, and beside the first: all files, or none.

        A suffix of ``export.FORMATS`` (.glb ...) or ``export.plans.PLAN_FORMATS`` (.ifc, .dxf, .svg, .json, .csv).
        Beside the first: <stem>.plan.json to edit and build again (unless it was the source), and with report and
        preview <stem>.report.json, <stem>.preview.png and, of a drawing, <stem>.overlay.png. Further layouts are
        called <stem>_layout2 … Returns the paths written, those asked for first. Raises OutputError.
        """
        from .files import write_whole

        paths = [check_target(target) for target in (path, *more)]
        files: dict[Path, bytes] = {}
        for target in paths:
            files |= self._encoded(target)
        first = paths[0]
        beside = first.with_name(f"{first.stem}.plan.json")
        if beside not in files and not (beside.exists() and self._came_from(beside)):
            from .export.plans import encoded

            files |= encoded(self.plan, beside)
        if preview:
            files[first.with_name(f"{first.stem}.preview.png")] = self._preview_png()
            files |= self._overlays(first)
        if report:
            facts = {**self.to_dict(), "files": {file.name: len(data) for file, data in files.items()}}
            text = json.dumps(facts, indent=2, ensure_ascii=False, default=str) + "\n"
            files[first.with_name(f"{first.stem}.report.json")] = text.encode()
        for target in files:
            if target.exists() and self._came_from(target):
                raise OutputError(f"{target}: the input would be overwritten", "choose another name or folder")
        return sorted(write_whole(files), key=lambda file: file not in paths)

    def _came_from(self, path: Path) -> bool:
        source = Path(self.plan.source) if self.plan.source else None
        try:
            return source is not None and source.is_file() and path.samefile(source)
        except OSError:
            return False

    def _encoded(self, path: Path) -> dict[Path, bytes]:
        from .export import plans

        if path.suffix.lower() in plans.PLAN_FORMATS:
            return plans.encoded(_resolved(self.plan, self.recipe), path)
        section = self.recipe.sections["export"]
        encoded = registry.factory("export", section.backend)
        files: dict[Path, bytes] = {}
        for k, layout in enumerate(self.layouts or (self.assembly,)):
            target = path if k == 0 else path.with_name(f"{path.stem}_layout{k + 1}{path.suffix}")
            files |= encoded(layout, target, section.options)
        return files

    def _preview_png(self) -> bytes:
        from .preview import labelled, view_cameras, view_tiles
        from .render import Scene

        open_top = tuple(_without_ceilings(node) for node in self.best.nodes)
        whole = replace(self.best, nodes=open_top).merged()
        tiles = view_tiles(Scene(whole), view_cameras(whole, 480, [(-30.0, 50.0), (0.0, 89.0)]))
        labels = ["whole", "from above"]
        for node in open_top[:4] if len(open_top) > 1 else ():
            floor = replace(self.best, nodes=(node,)).merged()
            tiles += view_tiles(Scene(floor), view_cameras(floor, 480, [(-30.0, 60.0)]))
            labels.append(node.name)
        buffer = io.BytesIO()
        labelled(tiles, labels).save(buffer, format="PNG", compress_level=4)
        return buffer.getvalue()

    def _overlays(self, first: Path) -> dict[Path, bytes]:
        """The plan over each sheet of which there is a picture."""
        from .export.plans.overlay import overlay

        files = {}
        pages = {sheet.page - 1: sheet for sheet in self.sheets}
        for k, storey in enumerate(self.plan.storeys):
            if storey.page not in pages or not storey.sheet_from_m:
                continue
            buffer = io.BytesIO()
            overlay(pages[storey.page], storey).save(buffer, format="PNG", compress_level=4)
            number = f"_{k + 1}" if k else ""
            files[first.with_name(f"{first.stem}.overlay{number}.png")] = buffer.getvalue()
        return files


@dataclass(frozen=True)
class Road(Stages):
    """The stages from a drawing or a plan to a home."""

    RECIPE: ClassVar[type[Recipe]] = PlanRecipe

    def read(self, source: str | Path | Plan) -> tuple[list[Sheet], Plan]:
        """The sheets that were read (none of a plan's JSON) and the plan, valid, in metres."""
        from .understand.sheets import chosen, rescaled

        options = self._settings("plan")[0]
        if isinstance(source, str | Path) and Path(source).suffix.lower() != ".json":
            sheets = self._run("read", _sheets, Path(source), options.pages)
            found: Plan = self._stage("plan", sheets)
            return sheets, replace(found, source=str(source), id=Path(source).stem).validate()
        known = source if isinstance(source, Plan) else self._run("read", floorplan.read, source)
        if options.scale is not None:
            raise UsageError("--scale is of drawings; a plan is in metres", 'say --wall "3.20m" to make it larger')
        return [], chosen(rescaled(known, options.wall), options.storey).validate()

    def build(self, drawn: Plan) -> Assembly:
        """The building, empty."""
        built: Assembly = self._stage("extrude", drawn)
        return built

    def furnish(self, drawn: Plan, built: Assembly) -> tuple[Assembly, ...]:
        """The layouts that were asked for."""
        if not self._wanted("furnish"):
            return ()
        stage = registry.factory("furnish", self._name("furnish"))(*self._settings("furnish"))
        assert isinstance(self.recipe, PlanRecipe)
        layouts: tuple[Assembly, ...] = self._run("furnish", stage, _resolved(drawn, self.recipe), built)
        return layouts

    def report(self, drawn: Plan, built: Assembly, layouts: tuple[Assembly, ...], sheets: Sequence[Sheet] = ()) -> Home:
        """The home with what to check."""
        recipe = self.recipe
        assert isinstance(recipe, PlanRecipe)
        return Home(drawn, built, layouts, recipe, checks_of(drawn), sheets, self.times)


def _sheets(path: Path, pages: Sequence[int] | None) -> list[Sheet]:
    """The sheets of a drawing."""
    from .drawing.load import sheets

    return sheets(path, pages)


def _resolved(drawn: Plan, recipe: PlanRecipe) -> Plan:
    """The plan with the heights it was built with and its storeys at their places."""
    from .reconstruct.extrude import elevations, with_heights

    whole = with_heights(drawn, recipe.sections["extrude"].options)
    floors = elevations(whole)
    return replace(whole, storeys=tuple(replace(s, elevation=z) for s, z in zip(whole.storeys, floors, strict=True)))


def checks_of(drawn: Plan) -> tuple[str, ...]:
    """What a person should look at: what the reader said, an unknown scale, what was read with doubt."""
    lines = list(drawn.checks)
    if drawn.scale.metres_per_unit is None:
        lines.append('the scale is unknown and was assumed: say --scale 1:50 or --wall "3.20m" (the longest wall)')
    lines += [f"scale: {conflict}" for conflict in drawn.scale.conflicts]
    parts: list[Wall | Opening | Room | Stair] = []
    for storey in drawn.storeys:
        parts += [*storey.walls, *storey.openings, *storey.rooms, *storey.stairs]
    doubtful = [
        (part.confidence, f"{type(part).__name__.lower()} {part.id}: read with confidence {part.confidence:.2f}")
        for part in parts
        if part.confidence < _SURE
    ]
    lines += [line for _, line in sorted(doubtful)[:_NAMED]]
    if len(doubtful) > _NAMED:
        lines.append(f"and {len(doubtful) - _NAMED} more elements below confidence {_SURE}")
    return tuple(dict.fromkeys(lines))


def _counts(storey: floorplan.Storey) -> dict[str, Any]:
    kinds = {f"{kind}s": sum(o.type == kind for o in storey.openings) for kind in OPENING_TYPES}
    counts = {"walls": len(storey.walls), "rooms": len(storey.rooms), "stairs": len(storey.stairs)}
    return {"name": storey.name, "elevation": storey.elevation, "height": storey.height, **counts, **kinds}


def _confidences(drawn: Plan) -> dict[str, Any]:
    """Lowest and mean confidence of every kind of element that there is."""
    found = {}
    for kind in ("walls", "openings", "rooms", "stairs"):
        values = [part.confidence for storey in drawn.storeys for part in getattr(storey, kind)]
        if values:
            found[kind] = {"lowest": round(min(values), 3), "mean": round(sum(values) / len(values), 3)}
    return found


def solids(assembly: Assembly) -> dict[str, int]:
    """How many meshes the building has, how many of them are watertight, and its faces."""
    from .topology import merged

    count = closed = faces = 0
    for node, _ in assembly.walk():
        if node.mesh is None:
            continue
        count, faces = count + 1, faces + len(node.mesh.faces)
        corners = merged(node.mesh)[1].astype(np.int64)
        edges = np.sort(corners[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
        uses = np.unique(edges[:, 0] * (int(edges.max()) + 1) + edges[:, 1], return_counts=True)[1]
        closed += bool((uses == 2).all())
    return {"meshes": count, "watertight": closed, "faces": faces}


def _without_ceilings(node: Node) -> Node:
    kept = tuple(_without_ceilings(child) for child in node.children if child.metadata.get("kind") != "ceiling")
    return replace(node, children=kept)


def check_target(path: str | Path) -> Path:
    """``path`` as a Path if a home can be written there; raises OutputError like ``export.check_target``."""
    from .export import check_target as check
    from .export import plans

    path = Path(path)
    if path.suffix.lower() in plans.PLAN_FORMATS:
        check(path.with_name(path.name + ".glb"))  # the same folder, a suffix that it knows
        if path.is_dir():
            raise OutputError(f"{path}: is a folder, not a file", "give it a name, as in home.ifc")
        return path
    return check(path)
