"""One tree of errors: what happened, what to do about it, and the exit code of the command line.

LiftformError                     1   anything liftform raises on purpose
├── UsageError                    2   a wrong option, argument or recipe
├── InputError                    3   a picture or mesh that cannot be used
│   ├── InputNotFoundError        3   no such file
│   ├── UnreadableError           3   damaged, truncated, not what its name says
│   ├── TooLargeError             3   more pixels or faces than liftform opens
│   └── NothingFoundError         3   no foreground, nothing to lift
├── OutputError                   4   target unwritable, disk full, unknown suffix
├── MissingExtraError             5   an optional package is not installed
├── WeightsError                  6   network weights missing or not the published bytes
├── ReconstructionError           7   the network gave no usable surface
├── DivergedError                 8   training whose numbers are no longer finite
└── UnfitError                    9   a mesh that was checked is not fit for a use
(KeyboardInterrupt              130   Ctrl-C; TerminatedError, 143: the same by SIGTERM)
"""

from __future__ import annotations


class LiftformError(Exception):
    """Base of all errors. ``message`` says what happened and to which file; ``hint`` says what to do."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """One line: the message, then the hint."""
        return f"{self.message} — {self.hint}" if self.hint else self.message


class UsageError(LiftformError):
    """A wrong option, argument or recipe key."""

    exit_code = 2


class InputError(LiftformError):
    """An input that cannot be used."""

    exit_code = 3


class InputNotFoundError(InputError):
    """No such file, or a folder where a file was needed."""


class UnreadableError(InputError):
    """A file that is damaged, truncated, empty or of another kind than it claims."""


class TooLargeError(InputError):
    """A picture with more pixels, or a mesh with more faces, than liftform opens."""


class NothingFoundError(InputError):
    """A picture without any foreground."""


class OutputError(LiftformError):
    """A result that cannot be written where it was asked for."""

    exit_code = 4


class MissingExtraError(LiftformError):
    """An optional package is not installed; the message names the pip extra."""

    exit_code = 5


class WeightsError(LiftformError):
    """Network weights are missing, or their bytes are not those recorded in the table."""

    exit_code = 6


class ReconstructionError(LiftformError):
    """A network ran but gave no usable surface."""

    exit_code = 7


class DivergedError(LiftformError):
    """Training that gives no finite gradients any more."""

    exit_code = 8


class UnfitError(LiftformError):
    """A mesh that was to be checked is not fit for one of the uses asked for."""

    exit_code = 9


class TerminatedError(KeyboardInterrupt):
    """SIGTERM: whoever lent the machine wants it back. What was done is saved."""

    exit_code = 143
