"""Which backend serves which task: a dict of lazy names, so that naming a backend loads nothing.

A backend is made by ``factory(options, runtime)`` and is one typed callable (estimator ``Capture -> Capture``,
reconstructor ``Capture -> Mesh``, refiner ``Mesh -> Mesh``). Five tasks are not of that form and are called directly:
``load(source, options, runtime)``, ``subject(capture, mask, depth, marked, options, runtime)``, ``bake`` and
``trust(mesh, dense, capture, options, runtime)``, and ``encoded(mesh, path, options)``.

Third parties add a backend through an entry point of the group ``liftform.backends``, named ``task.name``, whose value
points at a ``Backend`` row: ``"mask.birefnet" = "my_package.mask:ROW"``.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import LiftformError, MissingExtraError, UsageError
from ..recipe import suggest

if TYPE_CHECKING:
    from importlib import metadata

GROUP = "liftform.backends"


@dataclass(frozen=True)
class Backend:
    """One row. factory and options are ``"module:name"``; extra is the pip extra that brings what it imports."""

    factory: str
    options: str
    extra: str = ""


#: Tasks for meshes that come from elsewhere.
_FIX_ONLY = ("complete", "repair", "reduce", "transfer", "pose", "resize")
#: Tasks for floor plans.
_PLAN_ONLY = ("plan", "extrude", "furnish")

#: task -> name -> row, in the order of the road; the first name of a task is its default.
BACKENDS: dict[str, dict[str, Backend]] = {
    "load": {"files": Backend("liftform.load:load", "liftform.load:LoadOptions")},
    "subject": {
        "weighed": Backend("liftform.understand.subject:subject", "liftform.understand.subject:SubjectOptions")
    },
    "mask": {
        "embedded": Backend("liftform.understand.mask:mask", "liftform.understand.mask:MaskOptions"),
        "u2netp": Backend("liftform.understand.salient:u2netp", "liftform.understand.salient:MaskOptions"),
        "isnet": Backend("liftform.understand.salient:isnet", "liftform.understand.salient:MaskOptions"),
        "birefnet-lite": Backend(
            "liftform.understand.salient:birefnet_lite", "liftform.understand.salient:MaskOptions"
        ),
    },
    "depth": {
        "embedded": Backend("liftform.understand.depth:depth", "liftform.understand.depth:DepthOptions"),
        "depth-anything": Backend(
            "liftform.understand.public_depth:relative", "liftform.understand.public_depth:RelativeOptions", "torch"
        ),
        "moge": Backend(
            "liftform.understand.public_depth:metric", "liftform.understand.public_depth:MetricOptions", "torch"
        ),
    },
    "camera": {"embedded": Backend("liftform.understand.camera:camera", "liftform.understand.camera:CameraOptions")},
    "reference": {
        "printed": Backend("liftform.understand.reference:reference", "liftform.understand.reference:ReferenceOptions")
    },
    "object": {
        "embedded": Backend("liftform.reconstruct.object:object_", "liftform.reconstruct.object:ObjectOptions"),
        "triposr": Backend(
            "liftform.reconstruct.triplane:triplane", "liftform.reconstruct.triplane:TriplaneOptions", "torch"
        ),
        "triposg": Backend(
            "liftform.reconstruct.diffusion:diffusion", "liftform.reconstruct.diffusion:DiffusionOptions", "torch"
        ),
    },
    "relief": {"torn": Backend("liftform.reconstruct.relief:relief", "liftform.reconstruct.relief:ReliefOptions")},
    "complete": {"mirrored": Backend("liftform.refine.complete:complete", "liftform.refine.complete:CompleteOptions")},
    "repair": {"mended": Backend("liftform.refine.repair:repair", "liftform.refine.repair:RepairOptions")},
    "clean": {"solid": Backend("liftform.refine.clean:clean", "liftform.refine.clean:CleanOptions")},
    "simplify": {"quadric": Backend("liftform.refine.simplify:simplify", "liftform.refine.simplify:SimplifyOptions")},
    "reduce": {"lines": Backend("liftform.refine.reduce:reduce", "liftform.refine.reduce:ReduceOptions")},
    "retopo": {"field": Backend("liftform.refine.retopo:retopo", "liftform.refine.retopo:RetopoOptions", "quads")},
    "unwrap": {"charts": Backend("liftform.refine.unwrap:unwrap", "liftform.refine.unwrap:UnwrapOptions")},
    "transfer": {"projected": Backend("liftform.refine.transfer:transfer", "liftform.refine.transfer:TransferOptions")},
    "bake": {"projected": Backend("liftform.refine.bake:bake", "liftform.refine.bake:BakeOptions")},
    "delight": {"harmonics": Backend("liftform.refine.delight:delight", "liftform.refine.delight:DelightOptions")},
    "trust": {"calibrated": Backend("liftform.refine.trust:trust", "liftform.refine.trust:TrustOptions")},
    "scale": {"floor": Backend("liftform.refine.scale:scale", "liftform.refine.scale:ScaleOptions")},
    "pose": {"stable": Backend("liftform.refine.pose:pose", "liftform.refine.pose:PoseOptions")},
    "resize": {"free": Backend("liftform.refine.scale:resize", "liftform.refine.scale:ResizeOptions")},
    "lods": {"chain": Backend("liftform.refine.lods:levels", "liftform.refine.lods:LodOptions")},
    "collide": {"convex": Backend("liftform.refine.collide:collide", "liftform.refine.collide:CollideOptions")},
    "plan": {"drawn": Backend("liftform.understand.sheets:plan", "liftform.understand.sheets:PlanOptions", "plans")},
    "extrude": {
        "solid": Backend("liftform.reconstruct.extrude:extrude", "liftform.reconstruct.extrude:ExtrudeOptions", "plans")
    },
    "furnish": {
        "placed": Backend(
            "liftform.reconstruct.furnish:furnish", "liftform.reconstruct.furnish:FurnishOptions", "plans"
        )
    },
    "photos": {"files": Backend("liftform.load:photos", "liftform.load:PhotosOptions")},
    "poses": {"colmap": Backend("liftform.understand.poses:poses", "liftform.understand.poses:PosesOptions", "sets")},
    "choose": {"weighed": Backend("liftform.understand.choose:choose", "liftform.understand.choose:ChooseOptions")},
    "stereo": {
        "patches": Backend("liftform.reconstruct.stereo:stereo", "liftform.reconstruct.stereo:StereoOptions", "sets")
    },
    "fusion": {
        "fused": Backend("liftform.reconstruct.fusion:fusion", "liftform.reconstruct.fusion:FusionOptions", "sets")
    },
    "implicit": {
        "distance": Backend(
            "liftform.reconstruct.implicit:implicit", "liftform.reconstruct.implicit:ImplicitOptions", "fields"
        )
    },
    "field": {"grid": Backend("liftform.reconstruct.field:field", "liftform.reconstruct.field:FieldOptions", "fields")},
    "splats": {
        "gaussian": Backend("liftform.reconstruct.splats:splats", "liftform.reconstruct.splats:SplatsOptions", "fields")
    },
    "tidy": {"open": Backend("liftform.refine.tidy:tidy", "liftform.refine.tidy:TidyOptions")},
    "paint": {"photos": Backend("liftform.refine.paint:paint", "liftform.refine.paint:PaintOptions", "sets")},
    "stand": {"measured": Backend("liftform.refine.scale:stand", "liftform.refine.scale:SizeOptions")},
    "export": {"files": Backend("liftform.export:encoded", "liftform.export:ExportOptions")},
}

#: Tasks for photo sets.
_SET_ONLY = (
    *("photos", "poses", "choose", "stereo", "fusion", "implicit", "field", "splats"),
    *("tidy", "paint", "stand"),
)

#: Which tasks a road has: ``make`` from a picture, ``fix`` from a mesh, ``plan`` from a plan, ``poses`` from a set to
#: its cameras, ``scan`` from a set to an asset.
ROADS: dict[str, tuple[str, ...]] = {
    "make": tuple(task for task in BACKENDS if task not in (*_FIX_ONLY, *_PLAN_ONLY, *_SET_ONLY)),
    "fix": (
        *("complete", "repair", "reduce", "retopo", "unwrap", "transfer", "delight"),
        *("pose", "resize", "lods", "collide", "export"),
    ),
    "plan": (*_PLAN_ONLY, "export"),
    "poses": ("photos", "poses"),
    "scan": (
        *("photos", "poses", "choose", "stereo", "fusion", "implicit", "field", "splats"),
        *("tidy", "complete", "unwrap", "paint", "stand", "lods", "collide", "export"),
    ),
}


#: task -> name -> row, of this process only.
_ADDED: dict[str, dict[str, Backend]] = {}


def add(task: str, name: str, row: Backend) -> None:
    """Offer a backend in this process, as an entry point does in all; raises UsageError for a name that is taken."""
    if name in _rows(task):
        raise UsageError(f"{task!r} has a backend named {name!r} already", "choose another name")
    _ADDED.setdefault(task, {})[name] = row


def tasks(road: str = "") -> list[str]:
    """The tasks of a road (see ROADS), or of all, in the order in which they are walked."""
    return list(ROADS[road] if road else BACKENDS)


def names(task: str) -> list[str]:
    """The backends of a task, the default first, third parties last; raises UsageError for an unknown task."""
    return list(_rows(task))


def default(task: str) -> str:
    """The name of the backend that serves a task unless a recipe says otherwise."""
    return names(task)[0]


def factory(task: str, name: str = "") -> Any:
    """What the row names, imported: a factory, or the function itself for load and bake.

    Raises UsageError for an unknown task or name, MissingExtraError when an optional package is not installed.
    """
    row = _row(task, name)
    return _imported(row.factory, row, f"{task}.{name or default(task)}")


def options_class(task: str, name: str = "") -> type[Any]:
    """The frozen dataclass of a backend's options; raises like ``factory``."""
    row = _row(task, name)
    cls = _imported(row.options, row, f"{task}.{name or default(task)}")
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        raise LiftformError(f"{row.options} is not a dataclass of options", "mend the backend's registration")
    return cls


def _row(task: str, name: str) -> Backend:
    rows = _rows(task)
    if name and name not in rows:
        raise UsageError(f"no backend named {name!r} for {task!r}", suggest(name, list(rows)))
    row = rows[name or next(iter(rows))]
    return row if isinstance(row, Backend) else _row_behind(row)


def _rows(task: str) -> dict[str, Backend | metadata.EntryPoint]:
    """Our own rows first, so that a third party can add a name but not take one over."""
    if task not in BACKENDS:
        raise UsageError(f"no task named {task!r}", suggest(task, list(BACKENDS)))
    others: dict[str, Backend | metadata.EntryPoint] = {**_entry_points().get(task, {}), **_ADDED.get(task, {})}
    return BACKENDS[task] | {name: row for name, row in others.items() if name not in BACKENDS[task]}


@functools.cache
def _entry_points() -> dict[str, dict[str, metadata.EntryPoint]]:
    """task -> name -> entry point of the installed packages; nothing of theirs is imported yet."""
    from importlib import metadata

    found: dict[str, dict[str, metadata.EntryPoint]] = {}
    for entry in metadata.entry_points(group=GROUP):
        task, _, name = entry.name.partition(".")
        found.setdefault(task, {})[name] = entry
    return found


def _row_behind(entry: metadata.EntryPoint) -> Backend:
    """The row that a third party's entry point names."""
    try:
        row = entry.load()
    except (ImportError, AttributeError) as error:
        package = entry.dist.name if entry.dist else entry.value
        raise MissingExtraError(f"the backend {entry.name!r} of {package} does not load ({error})") from error
    if not isinstance(row, Backend):
        raise LiftformError(f"the entry point {entry.name!r} must name a liftform Backend row, not {row!r}")
    return row


def _imported(target: str, row: Backend, what: str) -> Any:
    """The object behind ``"module:name"``; a missing optional package becomes an error that names the extra."""
    module, _, name = target.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        package = (error.name or module).split(".")[0]
        remedy = f"pip install 'liftform[{row.extra}]'" if row.extra else f"pip install {package}"
        raise MissingExtraError(f"{what} needs the package {package!r}, which is not installed", remedy) from error
