"""What can go wrong with a container.

LnxError
├── FormatError        the bytes are not a legal file
│   ├── CorruptError   a hash differs, or a stream does not decode
│   └── VersionError   a file of a version or feature not known here
├── LimitError         a legal file that asks for more than the caller allows
└── ContentError       values that a file cannot store
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Self

MOST_SHOWN: Final = 120  # characters of a text from a file
GAP: Final = "..."


class LnxError(Exception):
    """The root: everything that lnx raises on purpose is one of these."""


class FormatError(LnxError):
    """The bytes are not a legal file."""


class CorruptError(FormatError):
    """The bytes were legal once: a hash differs, or a stream does not decode.

    Attributes:
        tensors: names of the damaged tensors, where known.
        offset: where the damaged bytes start in the file, where known.
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
    """The file needs another reader, mostly a newer one."""


class LimitError(LnxError):
    """The file asks for more memory than the caller allows."""


class ContentError(LnxError):
    """Values that a file cannot store."""


@contextmanager
def located(where: str) -> Iterator[None]:
    """Put where it happened before the message of any LnxError raised inside."""
    try:
        yield
    except LnxError as error:
        error.args = (f"{where}: {error}",)
        raise


def printable(text: str) -> str:
    """Return text from a file in quotes, safe to show on a terminal; see `shown`."""
    return f"'{shown(text)}'"


def shown(text: str) -> str:
    """Return text from a file, made fit for a message of one line.

    Names in a file are whatever its writer liked: control characters, invisible ones,
    line breaks, quotes and backslashes are escaped. Of a long text the middle is left
    out: the result has at most `MOST_SHOWN` characters.
    """
    if len(text) <= MOST_SHOWN and text.isprintable() and not set(text) & set("\\'"):
        return text
    whole = [_escape(char) for char in text[: MOST_SHOWN + 1]]
    if len(text) <= MOST_SHOWN and sum(map(len, whole)) <= MOST_SHOWN:
        return "".join(whole)
    room = (MOST_SHOWN - len(GAP)) // 2
    end = [_escape(char) for char in reversed(text[-room:])]
    return "".join([*_fitting(whole, room), GAP, *reversed(_fitting(end, room))])


def _fitting(pieces: Sequence[str], room: int) -> list[str]:
    """Return the first pieces whose characters fit into the room."""
    fitting = []
    for piece in pieces:
        room -= len(piece)
        if room < 0:
            break
        fitting.append(piece)
    return fitting


def _escape(char: str) -> str:
    if char in "\\'":
        return f"\\{char}"
    return char if char.isprintable() else char.encode("unicode_escape").decode()
