"""What the command line reports, and with which exit code.

LilnetxError         1  the work could not be done
├── UsageError       2  options, paths or names that make no sense
├── InputError       1  data or a checkpoint that cannot be used
├── FileError        3  a corrupt or unsupported file
└── Interrupted    130  stopped by Ctrl-C, with what to do next
"""

from collections.abc import Mapping
from typing import Any


class LilnetxError(Exception):
    """The root: its text is one line for the user."""

    code = 1
    record: Mapping[str, Any] = {}  # more keys for --json


class UsageError(LilnetxError):
    """Options, paths or names that make no sense."""

    code = 2


class InputError(LilnetxError):
    """Data or a checkpoint that cannot be used."""


class FileError(LilnetxError):
    """A corrupt or unsupported file."""

    code = 3


class Interrupted(LilnetxError):  # noqa: N818
    """Stopped by Ctrl-C, with what to do next."""

    code = 130
