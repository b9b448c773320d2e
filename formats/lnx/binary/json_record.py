"""Plain records as JSON text: what every language reads alike, and nothing else.

On top of RFC 8259: no duplicate keys, no lone surrogates, integers of 64 bits, other
numbers that float64 holds, and a bound on nesting (`formats/SPEC.md`, Records).
"""

import json
import math
from collections.abc import Iterable
from itertools import chain
from typing import Any

from lnx import spec
from lnx.errors import ContentError, FormatError, shown

LEAST_INTEGER = -(1 << 63)
MOST_INTEGER = (1 << 64) - 1
MOST_DIGITS = 20  # of such an integer


def dump_record(record: Any) -> str:  # noqa: ANN401
    """Return plain values as JSON text, the same for equal values."""
    try:
        text = json.dumps(
            record,
            sort_keys=True,
            allow_nan=False,
            separators=(",", ":"),
            ensure_ascii=False,
        )
        same = load_record("record", text) == record and isinstance(record, dict)
    except (TypeError, ValueError, RecursionError, FormatError) as error:
        reason = shown(str(error))
        raise ContentError(f"record is not plain JSON values: {reason}") from error
    if not same:
        raise ContentError("record does not come back from JSON as it is")
    return text


def load_record(name: str, text: str) -> Any:  # noqa: ANN401
    """Return the values of JSON text; raises FormatError, name in its message."""
    try:
        record = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_int=_integer,
            parse_float=_finite,
        )
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{name} is not JSON: {shown(str(error))}") from error
    _check_values(name, record)
    return record


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a key appears twice")
    return values


def _integer(text: str) -> int:
    """Read an integer, whatever limit on digits Python is set to."""
    if len(text.lstrip("-")) <= MOST_DIGITS:
        value = int(text)
        if LEAST_INTEGER <= value <= MOST_INTEGER:
            return value
    raise ValueError(f"integer {shown(text)} does not fit 64 bits")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"number {shown(text)} is out of bounds")
    return value


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not a number")


def _check_values(name: str, record: Any) -> None:  # noqa: ANN401
    """Check nesting and texts, one level after the other, without recursion."""
    depth, level = 0, [record]
    while level:
        outer = [value for value in level if isinstance(value, (dict, list))]
        depth += 1 if outer else 0
        if depth > spec.MAX_RECORD_DEPTH:
            raise FormatError(f"{name} nests deeper than {spec.MAX_RECORD_DEPTH}")
        if not all(_is_unicode(value) for value in level if isinstance(value, str)):
            raise FormatError(f"{name} holds half of a surrogate pair")
        level = [inner for value in outer for inner in _inner(value)]


def _inner(value: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return chain(value, value.values()) if isinstance(value, dict) else value


def _is_unicode(text: str) -> bool:
    """Return whether a text has a UTF-8 form, which half a surrogate pair has not."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
