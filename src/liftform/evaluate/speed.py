"""How fast and how large: warm and cold times, memory, start of the command line, size of the embedded networks."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from ..errors import InputNotFoundError, LiftformError
from .tables import Grid

#: What liftform promises on two cores, in seconds and MB.
LIMITS = {"warm": 3.0, "cold": 8.0, "memory": 1500.0, "help": 0.5, "weights": 30.0}
TWELVE_MEGAPIXELS = (4000, 3000)


@dataclass(frozen=True)
class Measure:
    """One figure and its limit; text is its unit."""

    what: str
    value: float
    limit: float
    unit: str

    @property
    def within(self) -> bool:
        """Whether the figure keeps the limit."""
        return self.value <= self.limit


@dataclass(frozen=True)
class Speed:
    """The measures, and the median seconds of each stage of the warm runs."""

    measures: tuple[Measure, ...]
    stages: dict[str, float]

    def grids(self) -> list[Grid]:
        """The tables for the terminal or a page."""
        head = ("measured", "value", "limit", "within")
        rows = tuple(
            (m.what, f"{m.value:.2f} {m.unit}", f"{m.limit:g} {m.unit}", "yes" if m.within else "NO")
            for m in self.measures
        )
        stages = tuple((name, f"{seconds:.3f}") for name, seconds in self.stages.items())
        return [Grid("Speed and size", head, rows), Grid("Warm stages", ("stage", "median s"), stages)]


def measure_speed(picture: str | Path | None = None, runs: int = 7) -> Speed:
    """Lift a 12-megapixel JPEG, made from ``picture`` (default: an example), ``runs`` times warm and once cold.

    Warm runs call make() and save() in one fresh process after one unmeasured run; the cold run is the command line.
    Memory is the larger peak of the two. Raises InputNotFoundError, or LiftformError when a run fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        jpeg = Path(folder) / "twelve_megapixels.jpg"
        write_photo(picture or example_picture(), jpeg)
        warm = json.loads(_ran(["-c", _WARM_PROGRAM, str(jpeg), folder, str(runs)]).output.splitlines()[-1])
        cold = _ran(["-m", "liftform", "make", str(jpeg), "-o", f"{folder}/cold.glb"])
    help_seconds = statistics.median(_ran(["-m", "liftform", "--help"]).seconds for _ in range(5))
    measures = (
        Measure("warm make and save, median", warm["seconds"], LIMITS["warm"], "s"),
        Measure("cold command", cold.seconds, LIMITS["cold"], "s"),
        Measure("peak memory", max(warm["memory"], cold.memory_mb), LIMITS["memory"], "MB"),
        Measure("liftform --help", help_seconds, LIMITS["help"], "s"),
        Measure("embedded weights", weights_mb(), LIMITS["weights"], "MB"),
    )
    return Speed(measures, warm["stages"])


def write_photo(picture: str | Path | None, path: Path) -> None:
    """A 4000 x 3000 JPEG: ``picture`` fitted on white, or a drawn mug; raises InputNotFoundError."""
    from PIL import Image, ImageDraw

    sheet = Image.new("RGB", TWELVE_MEGAPIXELS, (226, 224, 219))
    if picture is None:
        draw = ImageDraw.Draw(sheet)
        draw.ellipse((2350, 1000, 3050, 2000), outline=(170, 60, 40), width=150)
        draw.rounded_rectangle((1250, 700, 2650, 2300), 220, fill=(190, 70, 45))
        draw.ellipse((1280, 600, 2620, 900), fill=(120, 40, 30))
    else:
        try:
            with Image.open(picture) as opened:
                small = opened.convert("RGBA")
        except OSError as error:
            raise InputNotFoundError(
                f"{picture}: cannot be opened ({error})", "give a picture of one object"
            ) from error
        ratio = min(TWELVE_MEGAPIXELS[0] / small.width, TWELVE_MEGAPIXELS[1] / small.height)
        large = small.resize((round(small.width * ratio), round(small.height * ratio)), Image.Resampling.BICUBIC)
        sheet.paste(large, ((sheet.width - large.width) // 2, (sheet.height - large.height) // 2), large)
    sheet.save(path, quality=92)


def example_picture() -> Path | None:
    """The first picture in the checkout's examples/, or None outside a checkout."""
    found = sorted((Path(__file__).parents[3] / "examples").rglob("*.jpg"))
    return found[0] if found else None


def weights_mb() -> float:
    """Size of all embedded networks in MB (10^6 bytes)."""
    folder = Path(str(resources.files("liftform") / "weights"))
    return sum(file.stat().st_size for file in folder.glob("*.onnx")) / 1e6


_WARM_PROGRAM = """
import json, statistics, sys, time
from liftform.evaluate.protocols import peak_memory_mb
from liftform.pipeline import make
picture, folder, runs = sys.argv[1], sys.argv[2], int(sys.argv[3])
seconds, stages = [], []
for i in range(runs + 1):
    start = time.perf_counter()
    result = make(picture)
    made = time.perf_counter()
    result.save(folder + "/warm.glb")
    if i:
        seconds.append(time.perf_counter() - start)
        stages.append({**result.report.seconds, "save": time.perf_counter() - made})
print(json.dumps({
    "seconds": statistics.median(seconds),
    "stages": {name: statistics.median(s[name] for s in stages) for name in stages[0]},
    "memory": peak_memory_mb() or 0.0,
}))
"""


@dataclass(frozen=True)
class _Run:
    """One finished program: wall-clock seconds, peak resident memory, what it printed."""

    seconds: float
    memory_mb: float
    output: str


def _ran(arguments: Sequence[str]) -> _Run:
    """Run this Python with arguments; raises LiftformError with the last line of what it complained about."""
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as complaints:
        process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, stderr=complaints, text=True)
        output = process.stdout.read() if process.stdout else ""
        memory = _reaped(process)
        seconds = time.perf_counter() - start
        if process.returncode:
            complaints.seek(0)
            last = (complaints.read().strip().splitlines() or ["no message"])[-1]
            raise LiftformError(f"a measured run failed: {last}", "lift the picture by hand to see more")
    return _Run(seconds, memory, output)


def _reaped(process: subprocess.Popen[str]) -> float:
    """Wait for the process; its own peak memory in MB, 0 where the system does not tell."""
    if not hasattr(os, "wait4"):
        process.wait()
        return 0.0
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_maxrss / (1024 * 1024 if sys.platform == "darwin" else 1024)
