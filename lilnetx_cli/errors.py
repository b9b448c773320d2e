"""What the command line reports, and with which exit code.

LilnetxError         1  the work could not be done
├── UsageError       2  options, paths or names that make no sense
├── InputError       1  data or a checkpoint that cannot be used
├── FileError        3  a corrupt or unsupported file
└── Interrupted    130  stopped by Ctrl-C, with what to do next
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import SequenceMatcher
from itertools import takewhile
from typing import Any

from lnx.errors import printable

# What networks raise for inputs that they do not take.
REFUSALS = (
    RuntimeError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError,
    AssertionError,
)  # fmt: skip
# What pydantic says, and what we say.
WANTED = "Input should be "
PLAIN_WORDS = {
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "greater than": "more than",
    "a valid integer": "an integer",
    "a valid number": "a number",
    ", unable to parse string as an integer": "",
    ", unable to parse string as a number": "",
}
SHOWN = 200  # characters of a foreign text
ALIKE = 0.6  # of difflib's ratio, from which on a name may be meant


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


def one_line(text: str, limit: int = SHOWN) -> str:
    """Return foreign text as one line that can stand on a terminal.

    Control characters, invisible ones, those that turn the direction of writing and
    line breaks are escaped. The middle of a long text is left out: its last words, or
    ours where it stands in a message, are often what to do.
    """
    whole = "".join(_escape(char) for char in _cut(text, limit))
    return _cut(whole, limit)


def reason_of(error: BaseException) -> str:
    """Return what another library says of an error, as a part of a message.

    Such texts repeat names from files. Those that say nothing, or a key alone, follow
    the type of the error.
    """
    text = " ".join(str(error).split())
    says_nothing = not text or isinstance(error, KeyError)
    return typed_reason(error) if says_nothing else one_line(text)


def typed_reason(error: BaseException) -> str:
    """Return the type of an error and what it says, as a part of a message."""
    text = " ".join(str(error).split())
    return one_line(f"{type(error).__name__}: {text}" if text else type(error).__name__)


@contextmanager
def refusing(text: str, error: type[LilnetxError] = InputError) -> Iterator[None]:
    """Turn what a network raises for inputs that it does not take into one line.

    The line is `text`, such as "the network does not take images of digits", and the
    reason.
    """
    try:
        yield
    except REFUSALS as cause:
        raise error(f"{text}: {reason_of(cause)}") from cause


def wanted_of(message: str) -> str | None:
    """Return what pydantic wants a value to be, in plain words; None if it says not."""
    if not message.startswith(WANTED):
        return None
    wanted = message.removeprefix(WANTED)
    for words, plain in PLAIN_WORDS.items():
        wanted = wanted.replace(words, plain)
    return wanted


def type_of(value: object) -> str:
    """Return the type of a value with its article, and what it has of numbers."""
    if value is None:
        return "None"
    name = one_line(type(value).__name__)
    if name == "ndarray":
        name = f"numpy array of {getattr(value, 'dtype', 'objects')}"
    if isinstance(value, (list, tuple, Mapping)):
        name += f" of {len(value)}"
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    tail = limit // 4
    return f"{text[: limit - tail - 3]}...{text[-tail:]}"


def _escape(char: str) -> str:
    return char if char.isprintable() else char.encode("unicode_escape").decode()


def alike(name: str, known: Iterable[str]) -> list[str]:
    """Return the known names that are spelled like a name, the nearest first."""
    name = name[:SHOWN].lower()

    def nearness(other: str) -> tuple[float, int]:
        other = other[:SHOWN].lower()
        pairs = zip(name, other, strict=False)
        start = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        return SequenceMatcher(None, name, other).ratio(), start

    ranked = sorted(known, key=nearness, reverse=True)
    return [other for other in ranked if nearness(other)[0] >= ALIKE]


def suggestion(name: str, known: Iterable[str], otherwise: str | None = None) -> str:
    """Return which of the known names is meant, as the end of a message.

    Where none is near, all of them are listed, or `otherwise` is returned.
    """
    names = list(known)
    near = alike(name, names)
    if near:
        return f", did you mean {printable(near[0])}?"
    return f", there are: {', '.join(names)}" if otherwise is None else otherwise
