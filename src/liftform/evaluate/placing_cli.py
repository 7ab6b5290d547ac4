"""``liftform evaluate size | pose``: their arguments, and the tables they print and write into pages."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..files import whole_file
from .tables import Grid

Show = Callable[[argparse.Namespace, list[Grid], dict[str, Any]], None]
Counter = Callable[[bool], Callable[[int, int], None]]


def add_commands(
    commands: Any, add_shown: Callable[[argparse.ArgumentParser, Any], None], show: Show, count: Counter
) -> None:
    """Add the two protocols to an argparse subparsers object, with the flags and the way of showing of the others."""
    p = commands.add_parser("size", help="sizes measured by a reference in rendered pictures; false alarms in photos")
    p.add_argument("--objects", type=Path, required=True, help="folder of objects with manifest.jsonl")
    p.add_argument("--count", type=int, default=20, help="pictures (20)")
    p.add_argument("--road", action="store_true", help="also walk the whole road, shape and camera estimated too")
    p.add_argument("--photos", type=Path, nargs="+", default=[], metavar="PHOTO", help="pictures without any reference")
    p.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables into this page")
    add_shown(p, lambda args: _size(args, show, count))
    p = commands.add_parser("pose", help="how often turned objects are set upright again")
    p.add_argument("--objects", type=Path, required=True, help="folder of objects with manifest.jsonl")
    p.add_argument("--limit", type=int, help="only this many held-out objects")
    p.add_argument("--fit", type=int, metavar="N", help="print weights fitted on N other objects instead")
    p.add_argument("--markdown", type=Path, metavar="FILE", help="write the table into this page")
    add_shown(p, lambda args: _pose(args, show, count))


def _size(args: argparse.Namespace, show: Show, count: Counter) -> int:
    from . import size

    counter = count(args.quiet or args.json)
    known: list[size.Result] = []
    walked: list[size.Result] = []
    for number, case in enumerate(size.views(args.objects, args.count)):
        known.append(size.by_geometry(case))
        walked += [size.by_road(case)] if args.road else []
        counter(number + 1, args.count)
    grids = [size.grid("Size by a reference: shape and focal length known", known)]
    if walked:
        grids.append(size.grid("Size by a reference: the whole road", walked))
    if args.photos:
        grids.append(size.false_alarms(args.photos, counter))
    if args.markdown:
        write_tables(grids, args.markdown, "size")
    show(args, grids, {"geometry": [vars(r) for r in known], "road": [vars(r) for r in walked]})
    return 0


def _pose(args: argparse.Namespace, show: Show, count: Counter) -> int:
    from . import pose

    counter = count(args.quiet or args.json)
    if args.fit:
        weights = pose.fit(args.objects, args.fit, progress=counter)
        show(args, [Grid("WEIGHTS of refine.upright", ("feature", "weight"), tuple(pose.shown(weights)))], weights)
        return 0
    groups = {
        "at random": pose.measure(args.objects, args.limit, progress=counter),
        "to another axis of the file": pose.measure(args.objects, args.limit, axes=True, progress=counter),
    }
    grid = pose.grid(groups)
    if args.markdown:
        write_tables([grid], args.markdown, "pose")
    show(args, [grid], {name: [vars(t) for t in found] for name, found in groups.items()})
    return 0


def write_tables(grids: Sequence[Grid], path: Path, mark: str) -> None:
    """Put tables, and the command that made them, between the marks of that name on a page (or at its end)."""
    begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
    old = path.read_text(encoding="utf-8") if path.is_file() else ""
    before, _, rest = old.partition(begin)
    after = rest.partition(end)[2]
    tables = "\n".join(grid.markdown() for grid in grids)
    words = [
        word for word in sys.argv[1:] if not word.lower().endswith((".jpg", ".jpeg", ".png"))
    ]  # a line, not a page
    command = shlex.join(["liftform", *words])
    with whole_file(path) as beside:
        beside.write_text(f"{before}{begin}\n\n    {command}\n\n{tables}\n{end}{after or chr(10)}", encoding="utf-8")
