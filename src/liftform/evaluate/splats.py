"""``liftform evaluate splats``: splats of sets with known cameras beside held-out pictures: PSNR, SSIM, seconds."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assets import Splats
from ..capture import Capture, Photo, Sparse
from ..conventions import to_uint8
from ..errors import InputNotFoundError, LiftformError
from ..files import whole_file
from ..photoset.posed import is_photo_set
from ..runtime import Runtime
from .held_out import parted
from .metrics import psnr
from .tables import Grid

Floats = NDArray[np.floating[Any]]
Show = Callable[[argparse.Namespace, list[Grid], dict[str, Any]], None]

HEAD = ("set", "pictures", "held out", "begun from", "splats", "steps", "PSNR", "SSIM", "s", "PLY MB", "SPZ MB", "said")


@dataclass(frozen=True)
class Row:
    """One set. psnr (dB), ssim: means over the held-out pictures, sRGB-encoded, before white where there are masks;
    seconds: of the optimisation alone; ply, spz: sizes of the files, bytes."""

    name: str
    pictures: int
    held_out: int
    begun_from: str = ""
    splats: int = 0
    steps: int = 0
    psnr: float = float("nan")
    ssim: float = float("nan")
    seconds: float = float("nan")
    ply: int = 0
    spz: int = 0
    said: str = ""

    def cells(self) -> tuple[str, ...]:
        """As the table shows it."""
        counts = (str(self.pictures), str(self.held_out), self.begun_from, str(self.splats), str(self.steps))
        figures = (f"{self.psnr:.2f}", f"{self.ssim:.4f}", f"{self.seconds:.0f}")
        return (self.name, *counts, *figures, f"{self.ply / 1e6:.1f}", f"{self.spz / 1e6:.2f}", self.said)


def add_commands(commands: Any, add_shown: Callable[[argparse.ArgumentParser, Any], None], show: Show) -> None:
    """Add the protocol to an argparse subparsers object."""
    p = commands.add_parser("splats", help="optimise splats of sets with known cameras; PSNR of held-out pictures")
    p.add_argument("folder", type=Path, help="a set with known cameras, or a folder of them")
    p.add_argument("--sets", nargs="+", default=[], metavar="NAME", help="only these (default: all)")
    p.add_argument("--max-side", type=int, default=800, metavar="PX", help="longest side of the pictures (800)")
    p.add_argument("--minutes", type=float, metavar="M", help="time for each set, instead of steps")
    p.add_argument("--steps", type=int, metavar="N", help="steps (default: the option's)")
    p.add_argument("--gaussians", type=int, metavar="N", help="most Gaussians (default: the option's)")
    p.add_argument("--seed", type=int, default=0, help="(0)")
    p.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="keep splats (.ply, .spz) and sheets there")
    add_shown(p, lambda args: _run(args, show))


def _run(args: argparse.Namespace, show: Show) -> int:
    from ..reconstruct.splats import SplatsOptions

    chosen = {
        name: getattr(args, name) for name in ("minutes", "steps", "gaussians") if getattr(args, name) is not None
    }
    options = SplatsOptions(max_side=args.max_side, **chosen)
    rows = list(evaluate_splats(args.folder, args.sets, options, Runtime(seed=args.seed), args.output))
    show(args, [Grid("Splats", HEAD, tuple(row.cells() for row in rows))], {"sets": [vars(row) for row in rows]})
    return 0


def evaluate_splats(
    folder: Path, names: list[str], options: Any, runtime: Runtime, output: Path | None = None
) -> Iterator[Row]:
    """A row for every set with known cameras under ``folder`` (or the folder itself); failures are rows too."""
    sets = [folder] if is_photo_set(folder) else [p for p in sorted(folder.iterdir()) if p.is_dir() and is_photo_set(p)]
    sets = [path for path in sets if not names or path.name in names]
    if not sets:
        raise InputNotFoundError(f"{folder}: no photo sets with known cameras in it", "give the folder of the sets")
    for path in sets:
        try:
            yield score(path, options, runtime, output)
        except LiftformError as error:
            yield Row(path.name, 0, 0, said=error.message)


def score(path: Path, options: Any, runtime: Runtime, output: Path | None = None) -> Row:
    """Optimise splats of one set without its held-out pictures, and render those."""
    from ..export.splats import ply, spz
    from ..load import PhotosOptions, photos
    from ..photoset.straight import straight
    from ..reconstruct.splats import splats

    train, test = parted(path, straight(photos(path, PhotosOptions(max_side=options.max_side)), even=False))
    if any(_alpha(photo) is None for photo in train.photos):
        train = with_points(train)
    start = time.perf_counter()
    asset = splats(options, runtime)(train).validate()
    seconds = time.perf_counter() - start
    pairs = [pair(asset, photo) for photo in test]
    packed = ply(asset), spz(asset, path)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        for suffix, data in zip(("ply", "spz"), packed, strict=True):
            (output / f"{path.name}.{suffix}").write_bytes(data)
        write_sheet(pairs[:3], output / f"{path.name}.png")
    return Row(
        path.name,
        len(train.photos),
        len(test),
        str(asset.metadata["begun_from"]),
        len(asset.means),
        int(asset.metadata["steps"]),
        float(np.mean([psnr(drawn, true) for drawn, true in pairs])),
        float(np.mean([ssim(drawn, true) for drawn, true in pairs])),
        seconds,
        len(packed[0]),
        len(packed[1]),
    )


def with_points(train: Capture) -> Capture:
    """The capture with points that its own pictures share, in the world of its cameras (extra ``sets``)."""
    from ..poses import poses
    from .poses import similarity

    found = poses(train).capture
    if found.sparse is None:
        return train
    known = {photo.source: photo.camera for photo in train.photos}
    both = [(p.camera.position, known[p.source].position) for p in found.photos if p.camera and known.get(p.source)]  # type: ignore[union-attr]
    scale, turn, shift = similarity(*(np.array(places) for places in zip(*both, strict=True)))
    points = scale * found.sparse.points @ turn.T + shift
    none = np.zeros(0, np.int32)
    colors, errors = found.sparse.colors, found.sparse.errors
    return replace(train, sparse=Sparse(points, colors, errors, none, none, np.zeros((0, 2), np.float32)))


def pair(asset: Splats, photo: Photo) -> tuple[Floats, Floats]:
    """Rendering and photo (H, W, 3), before white where the photo has a mask, else black."""
    from ..reconstruct.splats.view import render

    assert photo.camera is not None
    alpha = _alpha(photo)
    if alpha is None:
        return render(asset, photo.camera, (0.0, 0.0, 0.0)), photo.image
    return render(asset, photo.camera, (1.0, 1.0, 1.0)), photo.image * alpha[..., None] + 1 - alpha[..., None]


def _alpha(photo: Photo) -> Floats | None:
    return photo.mask.alpha if photo.mask is not None else photo.alpha


def ssim(drawn: Floats, true: Floats) -> float:
    """Structural similarity (Wang et al. 2004) of pictures (H, W, 3) in [0, 1], mean of the channels."""
    from skimage.metrics import structural_similarity

    plain = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    value: Any = structural_similarity(drawn, true, channel_axis=2, data_range=1.0, **plain)
    return float(value)


def write_sheet(pairs: list[tuple[Floats, Floats]], path: Path) -> None:
    """Photo, rendering, and four times their difference, a row each; raises OutputError."""
    from PIL import Image

    rows = [np.concatenate([true, drawn, np.minimum(4 * np.abs(true - drawn), 1)], 1) for drawn, true in pairs]
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=1.0) for row in rows]
    with whole_file(path) as beside:
        Image.fromarray(to_uint8(np.concatenate(padded).astype(np.float32))).save(beside, format="PNG")
