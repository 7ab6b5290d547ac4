"""How fast and how hungry finishing is: mending, remaking, reducing, baking; from a thousand faces to two million."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..assets import Material, Mesh
from ..errors import LiftformError
from ..files import whole_file
from ..finish import fix
from ..read_mesh import read_mesh
from ..refine.reduce import ReduceOptions, reduce
from ..refine.repair import RepairOptions, repair
from ..refine.transfer import TransferOptions, transfer
from ..refine.unwrap import UnwrapOptions, unwrap
from ..runtime import Runtime
from .damage_kinds import KINDS
from .speed import _ran
from .tables import Grid

#: Faces of the meshes that are finished, and of those that the limits speak of.
SIZES = (1_000, 5_000, 20_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000)
LIMIT_SIZE = 200_000
#: What finishing a mesh of LIMIT_SIZE faces may take on two cores: seconds, and MB.
LIMITS = {"local": 5.0, "solid": 15.0, "web": 15.0}
MEMORY_LIMIT = 3000.0
#: task -> what it is.
TASKS = {
    "local": "mended on the local road",
    "solid": "remade on the solid road, 256 cells",
    "web": "mended, then (this is timed) reduced to 20,000 faces, unwrapped, maps of 2048 px baked",
    "fix": "`fix`, whole: read, mended, measured before and after, written",
}
#: The two kinds of mesh, and what is done to them.
DAMAGE: dict[str, tuple[tuple[str, int], ...]] = {
    "bumpy": (("overlaps", 0), ("slivers", 0), ("pinholes", 0), ("flipped faces", 0), ("floaters", 0)),
    "scan": (("hole", 0), ("hole", 1), ("hole", 0), ("pinholes", 0), ("floaters", 1)),
}


@dataclass(frozen=True)
class Finish:
    """One finished mesh: its kind and faces, the task, its seconds on the wall and of all processors, seconds of
    reading, and the process's peak memory in MB; error: why there is none of this."""

    kind: str
    faces: int
    task: str
    seconds: float = 0.0
    processor: float = 0.0
    reading: float = 0.0
    memory_mb: float = 0.0
    faces_after: int = 0
    error: str = ""


def made(kind: str, faces: int, seed: int = 0) -> Mesh:
    """A damaged mesh of about that many faces. "bumpy": a closed surface with a texture, bodies stuck into it, slivers,
    pinholes, faces turned over and floaters. "scan": noisy, with vertex colours, no bottom, holes and crumbs."""
    rows = max(8, round(np.sqrt(faces / 4)))
    mesh = _ring(rows, 2 * rows, textured=kind == "bumpy")
    rng = np.random.default_rng([seed, faces])
    if kind == "scan":
        edge = 2 * np.pi * 0.35 / rows
        noisy = mesh.vertices + 0.1 * edge * rng.normal(size=mesh.vertices.shape)
        shown = mesh.vertices[mesh.faces][:, :, 1].max(1) > -0.25
        mesh = mesh.with_(vertices=noisy.astype(np.float32), faces=mesh.faces[shown])
    for damage, strength in DAMAGE[kind]:
        mesh = KINDS[damage](mesh, strength, rng)[0]
    return mesh.with_(normals=None, quads=0)


def _ring(rows: int, columns: int, textured: bool) -> Mesh:
    """A ring with bumps on it, lying flat; doubled at the seams when textured, else with vertex colours."""
    extra = int(textured)
    v, u = (x.ravel() for x in np.mgrid[0 : rows + extra, 0 : columns + extra])
    a, b = 2 * np.pi * (u % columns) / columns, 2 * np.pi * (v % rows) / rows
    octaves = [n for n in (3, 7, 17, 41, 97) if n < rows / 5]
    bumps = sum(0.12 / n * np.sin(n * a + k) * np.cos(n * b + 2 * k) for k, n in enumerate(octaves))
    radius = 0.35 * (1 + bumps)
    away = 1 + radius * np.cos(b)
    vertices = np.stack([away * np.cos(a), radius * np.sin(b), -away * np.sin(a)], 1).astype(np.float32)
    stride, wrap = columns + extra, (columns + extra, rows + extra)
    i, j = (x.ravel() for x in np.mgrid[0:rows, 0:columns])
    corner = [((i + p) % wrap[1]) * stride + (j + q) % wrap[0] for p, q in ((0, 0), (0, 1), (1, 1), (1, 0))]
    one, two = np.stack([corner[0], corner[1], corner[2]], 1), np.stack([corner[0], corner[2], corner[3]], 1)
    faces = np.concatenate([one, two]).astype(np.int32)
    if not textured:
        return Mesh(vertices, faces, colors=(0.5 + 0.3 * np.sin(3 * vertices + [1, 2, 3])).astype(np.float32))
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 1024)] * 2), -1)
    waves = 0.5 + 0.3 * np.sin(25 * grid[..., :1] + [0, 1, 2]) * np.cos(19 * grid[..., 1:] + [2, 0, 1])
    material = Material(base_color_texture=(255 * waves).astype(np.uint8))
    return Mesh(vertices, faces, uv=np.stack([u / columns, v / rows], 1).astype(np.float32), material=material)


# --- measuring --------------------------------------------------------------------------------------------------------


def measure_finish(
    sizes: Sequence[int] = SIZES,
    kinds: Sequence[str] = tuple(DAMAGE),
    tasks: Sequence[str] = tuple(TASKS),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Finish]:
    """Every task on every mesh, each in a process of its own that reads the mesh from a file.

    Seconds are the task's own, on the wall; memory is the peak of the whole process. What fails is told, not raised.
    """
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for kind, faces in ((kind, faces) for faces in sizes for kind in kinds):
            path = Path(folder) / "damaged.glb"
            _ran(["-c", _MAKER, kind, str(faces), str(path)])
            for task in tasks:
                found.append(_measured(kind, faces, task, path))
                progress(len(found), len(sizes) * len(kinds) * len(tasks))
    return found


_MAKER = """
import sys
from liftform.evaluate.finish import made
from liftform.export import save
save(made(sys.argv[1], int(sys.argv[2])), sys.argv[3])
"""
_CHILD = "from liftform.evaluate import finish; finish.child()"


def _measured(kind: str, faces: int, task: str, path: Path) -> Finish:
    try:
        done = _ran(["-c", _CHILD, task, str(path)])
    except LiftformError as error:
        return Finish(kind, faces, task, error=str(error))
    return Finish(kind, faces, task, memory_mb=done.memory_mb, **json.loads(done.output.splitlines()[-1]))


def child() -> None:
    """The measured process: ``sys.argv`` holds a task and the mesh's file; prints what it took as JSON."""
    task, path = sys.argv[1], Path(sys.argv[2])
    start = time.perf_counter()
    mesh = None if task == "fix" else read_mesh(path)
    reading = time.perf_counter() - start
    if mesh is not None and task == "web":
        mesh = repair(RepairOptions(), Runtime())(mesh)
    start, busy = time.perf_counter(), time.process_time()
    after = _done(task, mesh, path)
    took = {"seconds": time.perf_counter() - start, "processor": time.process_time() - busy}
    print(json.dumps({**took, "reading": reading, "faces_after": after}))


def _done(task: str, mesh: Mesh | None, path: Path) -> int:
    """Do the task; faces of the result."""
    runtime = Runtime()
    if mesh is None:
        fixed = fix(path)
        fixed.save(path.with_suffix(".fixed.glb"))
        return len(fixed.mesh.faces)
    if task == "web":
        small = reduce(ReduceOptions(faces=20_000), runtime)(mesh)
        opened = unwrap(UnwrapOptions(), runtime)(small)
        return len(transfer(opened, mesh, TransferOptions(size=2048), runtime).faces)
    options = RepairOptions(road="solid", resolution=256) if task == "solid" else RepairOptions(road="local")
    return len(repair(options, runtime)(mesh).faces)


# --- tables -----------------------------------------------------------------------------------------------------------


def grids(found: Sequence[Finish]) -> list[Grid]:
    """The limits and what was measured beside them; growth by task."""
    out = [_against_limits([f for f in found if f.faces == LIMIT_SIZE and f.task in LIMITS])]
    return [grid for grid in out if grid.rows] + [grid for task in TASKS for grid in _growth(found, task)]


def _against_limits(found: Sequence[Finish]) -> Grid:
    rows = tuple(
        (f"{TASKS[f.task]} ({f.kind})", *_cells(f), f"{LIMITS[f.task]:g} s, {MEMORY_LIMIT / 1000:g} GB", _verdict(f))
        for f in found
    )
    return Grid(f"{LIMIT_SIZE:,} faces", ("", "seconds", "peak memory", "limit", "within"), rows)


def within(found: Sequence[Finish]) -> bool:
    """Whether every figure that has a limit keeps it."""
    return all(_verdict(f) == "yes" for f in found if f.faces == LIMIT_SIZE and f.task in LIMITS)


def _verdict(one: Finish) -> str:
    good = not one.error and one.seconds <= LIMITS[one.task] and one.memory_mb <= MEMORY_LIMIT
    return "yes" if good else "NO"


def _growth(found: Sequence[Finish], task: str) -> Iterator[Grid]:
    some = [f for f in found if f.task == task]
    kinds = list(dict.fromkeys(f.kind for f in some))
    by: Mapping[tuple[str, int], Finish] = {(f.kind, f.faces): f for f in some}
    head = ("faces", *(f"{kind}: {word}" for kind in kinds for word in ("seconds", "peak memory")))
    rows = []
    for faces in dict.fromkeys(f.faces for f in some):
        cells = [_cells(by[kind, faces]) if (kind, faces) in by else ("", "") for kind in kinds]
        rows.append((f"{faces:,}", *(cell for pair in cells for cell in pair)))
    if rows:
        yield Grid(TASKS[task][0].upper() + TASKS[task][1:], head, tuple(rows))


def _cells(one: Finish) -> tuple[str, str]:
    if one.error:
        return one.error, ""
    return f"{one.seconds:.2f} s ({one.processor:.2f})", f"{one.memory_mb / 1000:.2f} GB"


def write_page(found: Sequence[Finish], path: Path, command: str) -> None:
    """The tables as docs/finish.md; raises OutputError."""
    tables = "\n".join(grid.markdown() for grid in grids(found))
    text = (
        "# Speed and memory of finishing\n\n"
        f"    {command}\n\n"
        "Measured on two cores, every figure in a process of its own that reads the mesh from a GLB. Seconds are of\n"
        "the task alone, on the wall (in brackets, of all processors together: where the machine was busy otherwise,\n"
        "the wall's are longer); memory is the largest that the whole process ever held, Python and the mesh\n"
        "itself included. Two kinds of mesh, made here:\n\n"
        "- bumpy: a closed ring with bumps and a texture of 1024 px, with bodies stuck into it, slivers, duplicates,\n"
        "  0.5 % of its faces missing, 5 % turned over, and floaters;\n"
        "- scan: the same ring noisy, with vertex colours, without a bottom, with large holes, 0.5 % of its faces\n"
        "  missing, and crumbs around it.\n\n"
        f"{tables}"
    )  # fmt: skip
    with whole_file(path) as beside:
        beside.write_text(text, encoding="utf-8")
