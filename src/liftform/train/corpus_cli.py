"""``liftform train data collect | photos | check``, ``train coverage``, ``train pack`` and ``unpack``: the corpus."""

from __future__ import annotations

import argparse
from pathlib import Path

from .data_cli import Commands, add_engine, told


def add_data_commands(commands: Commands) -> None:
    """Add collect, check and photos to ``train data``; each sets ``run(arguments) -> exit code``."""
    p = commands.add_parser("collect", help="folders of models, CAD files, photo sets and scans into a manifest")
    p.add_argument("folders", nargs="+", type=Path, help="what to look through; source.toml files say whose it is")
    p.add_argument("-o", "--output", type=Path, required=True, help="the manifest to write (JSON lines)")
    for word, what in (
        ("licence", "licence where no source.toml names one, such as CC0-1.0"),
        ("credit", "whom to credit where no source.toml says"),
        ("source", "name of the library (default: the folder's)"),
        ("split", "train or bench (default: drawn by family, a tenth is kept back)"),
        ("up", "the files' upward axis, Y or Z (default: Z for STEP, else Y)"),
    ):
        p.add_argument(f"--{word}", help=what)
    add_engine(p)
    p.set_defaults(run=_collect)
    p = commands.add_parser("check", help="open everything; take duplicates across splits out of the training split")
    p.add_argument("manifest", type=Path)
    p.add_argument("-o", "--output", type=Path, required=True, help="the manifest to train from")
    add_engine(p)
    p.set_defaults(run=_check)
    p = commands.add_parser("photos", help="views of posed photographs, with a scan's depth and normals (resumes)")
    p.add_argument("manifest", type=Path)
    p.add_argument("out", type=Path, help="folder of shards")
    add_engine(p)
    p.set_defaults(run=_photos)


def add_commands(commands: Commands) -> None:
    """Add coverage, pack and unpack to ``train``; each sets ``run(arguments) -> exit code``."""
    p = commands.add_parser("coverage", help="what the corpus covers: tables and a picture")
    p.add_argument("manifest", type=Path)
    p.add_argument("-o", "--output", type=Path, default=Path("coverage.md"), help="page; the picture lies beside it")
    p.set_defaults(run=_coverage)
    p = commands.add_parser("pack", help="the training split as one small file, for machines that take little")
    p.add_argument("manifest", type=Path)
    p.add_argument("out", type=Path, help="such as out/corpus.tar")
    p.add_argument("--texture", type=int, default=192, metavar="PX", help="longest side of a texture")
    p.set_defaults(run=_pack)
    p = commands.add_parser("unpack", help="a packed corpus as GLBs and a manifest (resumes)")
    p.add_argument("pack", type=Path)
    p.add_argument("folder", type=Path)
    p.set_defaults(run=_unpack)


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


def _check(args: argparse.Namespace) -> int:
    from . import duplicates
    from .corpus import KINDS, read_manifest, write_manifest

    rows = read_manifest(args.manifest, None, KINDS, report=print)
    kept, pairs = duplicates.check(rows, args.workers or 2, args.engine, print)
    write_manifest(args.output, kept)
    for pair in pairs:
        print(f"{pair.dropped}: duplicate of {pair.kept} ({pair.what}, {pair.gap:g})")
    train = sum(row["split"] == "train" for row in kept)
    print(f"{args.output}: {len(kept)} rows, {train} to train on, {len(pairs)} duplicates taken out")
    return 0


def _coverage(args: argparse.Namespace) -> int:
    from . import coverage
    from .corpus import KINDS, read_manifest

    left_out: list[str] = []
    rows = read_manifest(args.manifest, None, KINDS, report=left_out.append)
    for path in coverage.write(rows, args.output, "What the corpus covers", left_out):
        print(path)
    return 0


def _pack(args: argparse.Namespace) -> int:
    from .pack import pack

    count = pack(args.manifest, args.out, args.texture)
    print(f"{args.out}: {count} objects in {args.out.stat().st_size / 1e6:.1f} MB")
    return 0


def _unpack(args: argparse.Namespace) -> int:
    from .pack import unpack

    told(unpack(args.pack, args.folder), every=500)
    return 0
