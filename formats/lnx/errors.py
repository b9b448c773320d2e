"""What can go wrong with a container.

LnxError
├── FormatError        the bytes are not a legal file
│   ├── CorruptError   a hash differs, or a stream does not decode
│   └── VersionError   a legal file of a version or feature not known here
├── LimitError         a legal file that asks for more than the caller allows
└── ContentError       values that cannot be put into a file
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self


class LnxError(Exception):
    """The root: everything that lnx raises on purpose is one of these."""


class FormatError(LnxError):
    """The bytes are not a legal file."""


class CorruptError(FormatError):
    """The bytes were legal once: a hash differs, or a stream does not decode.

    Attributes:
        tensors: names of those that the damaged bytes hold, where that is known.
        offset: where the damaged bytes start in the file, where that is known.
    """

    tensors: tuple[str, ...] = ()
    offset: int | None = None

    @classmethod
    def at(cls, message: str, offset: int, tensors: tuple[str, ...] = ()) -> Self:
        """Make an error that knows its place."""
        error = cls(message)
        error.tensors, error.offset = tensors, offset
        return error


class VersionError(FormatError):
    """The file needs a newer reader."""


class LimitError(LnxError):
    """The file asks for more memory than the caller allows."""


class ContentError(LnxError):
    """The values cannot be held by a file."""


@contextmanager
def located(where: str) -> Iterator[None]:
    """Put where it happened before the message of any LnxError raised inside."""
    try:
        yield
    except LnxError as error:
        error.args = (f"{where}: {error}",)
        raise


def printable(text: str) -> str:
    """Return text from a file, quoted, so that it can be shown on a terminal.

    Names in a file are whatever its writer liked: control characters, invisible ones
    and line breaks are escaped, long ones cut.
    """
    shown = text if len(text) <= 120 else f"{text[:117]}..."
    return "'" + "".join(_escape(char) for char in shown) + "'"


def _escape(char: str) -> str:
    if char == "\\":
        return "\\\\"
    return char if char.isprintable() else char.encode("unicode_escape").decode()
