"""``liftform inspect``: what a mesh file holds, and whether it is watertight, manifold and of one piece."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import terminal
from .arguments import Parser, add_common

if TYPE_CHECKING:
    from ..assets import Mesh


def parser() -> Parser:
    """The arguments of ``liftform inspect``."""
    p = Parser(prog="liftform inspect", description="Say what mesh files hold and whether they are sound.")
    p.add_argument("meshes", nargs="+", type=Path, metavar="mesh", help="GLB, OBJ, PLY or STL")
    add_common(p)
    return p


def run(args: argparse.Namespace) -> int:
    """Print one table (or JSON object) for each mesh."""
    for path in args.meshes:
        facts = describe(path)
        if args.json:
            print(json.dumps(facts))
        elif not args.quiet:
            terminal.table(
                str(path), ("", ""), [(k.replace("_", " "), _shown(v)) for k, v in facts.items() if k != "file"]
            )
    return 0


def describe(path: Path) -> dict[str, Any]:
    """JSON-ready facts of a mesh file: size, what its vertices carry, texture, health."""
    from ..read_mesh import read_mesh
    from ..topology import health

    mesh = read_mesh(path)
    extent = (mesh.bounds[1] - mesh.bounds[0]).tolist()
    carried = [name for name in ("normals", "uv", "colors", "seen", "confidence") if getattr(mesh, name) is not None]
    return {
        "file": str(path),
        "bytes": path.stat().st_size,
        "size": [round(x, 4) for x in extent],
        "carries": carried,
        "texture": _texture(mesh),
        **health(mesh).to_dict(),
    }


def _texture(mesh: Mesh) -> list[int] | None:
    """[width, height] in pixels, or None."""
    texture = mesh.material.base_color_texture if mesh.material else None
    return None if texture is None else [texture.shape[1], texture.shape[0]]


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, list | tuple):
        between = " to " if value and isinstance(value[0], list | tuple) else ", "
        return between.join(_shown(v) for v in value)
    return "-" if value in (None, "") else str(value)
