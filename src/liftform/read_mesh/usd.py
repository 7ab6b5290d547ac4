"""USD (.usd, .usda, .usdc, .usdz) -> parts, read by a process of its own (extra usd).

The library that parses USD can hang, crash or fill the memory on damaged files: a process can be stopped.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

from ..errors import UnreadableError
from ..runtime import need
from .source import Found, Source

#: Seconds that a file may take, and those that every MiB adds.
SECONDS, SECONDS_PER_MIB = 60.0, 2.0
#: Bytes of address space that the process may take, where the system can limit it.
_MAX_MEMORY = 6 << 30
_LIMITED = (
    "import sys, runpy\n"
    "try:\n"
    "    import resource; resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[4]),) * 2)\n"
    "except (ImportError, ValueError, OSError): pass\n"
    "from liftform.read_mesh.usd_stage import main; main(*sys.argv[1:4])"
)


def read(source: Source) -> Found:
    """Every visible mesh at the default time; subdivision surfaces by their cage.

    Raises MissingExtraError without usd-core, and UnreadableError for what it cannot open, or not in time.
    """
    need("pxr", "usd")
    if any("\ud800" <= letter <= "\udfff" for letter in str(source.path.resolve())):
        raise UnreadableError(f"{source.path}: the USD library opens only paths in UTF-8", "rename it")
    limit = SECONDS + SECONDS_PER_MIB * (len(source.data) >> 20)
    with tempfile.TemporaryDirectory(prefix="liftform-") as folder:
        answer = Path(folder) / "answer"
        words = [str(source.path.resolve()), str(source.max_faces), str(answer), str(_MAX_MEMORY)]
        command = [sys.executable, "-c", _LIMITED, *words]
        search = os.pathsep.join(path for path in sys.path if path)
        try:
            subprocess.run(
                command,
                timeout=limit,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": search},
            )
        except subprocess.TimeoutExpired as error:
            raise source.damaged(f"it could not be opened within {limit:.0f} s") from error
        if not answer.exists():
            raise source.damaged("the USD library gave up on it")
        said = pickle.loads(answer.read_bytes())
    if isinstance(said, Exception):
        raise said
    found: Found
    found, notes = said
    for note in notes:
        source.note(note)
    return found
