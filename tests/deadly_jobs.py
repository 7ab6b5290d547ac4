"""Jobs that kill their worker, in a module light enough to be imported by every new process."""

import os
import signal
from pathlib import Path


def squared_or_dead(job: tuple[int, str]) -> int:
    """The square; 3 kills its worker every time, 5 only the first time (it remembers in the folder)."""
    number, folder = job
    first_try = not (Path(folder) / str(number)).exists()
    (Path(folder) / str(number)).touch()
    if number == 3 or (number == 5 and first_try):
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number
