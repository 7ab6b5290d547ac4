"""``liftform train data collect | photos | check``, ``train coverage``, ``train pack`` and ``unpack``: the corpus."""

from __future__ import annotations

import argparse
from pathlib import Path

from .data_cli import Commands, add_engine, told


def add_data_commands(commands: Commands) -> None:
    """Add collect and photos to ``train data``; each sets ``run(arguments) -> exit code``."""
    p = commands.add_parser("collect", help="folders of models, CAD files, photo sets and scans into a manifest")
    p.add_argument("folders", nargs="+", type=Path, help="what to look through; source.toml files say whose it is")
    p.add_argument("-o", "--output", type=Path, required=True, help="the manifest to write (JSON lines)")
    for word, what in (
        ("licence", "licence where no source.toml names one, such as CC0-1.0"),
        ("credit", "whom to credit where no source.toml says"),
        ("source", "name of the library (default: the folder's)"),
        ("split", "train or bench (default: drawn by family, a tenth is kept back)"),
        ("up", "the files' upward axis, Y or Z (default: Y)"),
    ):
        p.add_argument(f"--{word}", help=what)
    add_engine(p)
    p.set_defaults(run=_collect)
    p = commands.add_parser("photos", help="views of posed photographs, with a scan's depth and normals (resumes)")
    p.add_argument("manifest", type=Path)
    p.add_argument("out", type=Path, help="folder of shards")
    add_engine(p)
    p.set_defaults(run=_photos)


def _collect(args: argparse.Namespace) -> int:
    from .collect import collect
    from .corpus import write_manifest

    facts = {k: v for k in ("licence", "credit", "source", "split", "up") if (v := getattr(args, k))}
    found = list(collect(args.folders, facts, args.workers or 2, args.engine))
    rows = sorted((row for row in found if isinstance(row, dict)), key=lambda row: str(row["id"]))
    write_manifest(args.output, rows)
    print("\n".join([*(f for f in found if isinstance(f, str)), f"{args.output}: {len(rows)} things"]))
    return 0


def _photos(args: argparse.Namespace) -> int:
    from .photo_views import build_views

    told(build_views(args.manifest, args.out, args.workers or 2, args.engine))
    return 0
