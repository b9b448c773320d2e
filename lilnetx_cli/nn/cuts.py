"""What a pruned network's tensors do not tell of how it was cut: a small record.

Channel counts are in the shapes of the tensors, wherever these are stored. Left over
are numbers that no tensor has, and tensors that no state dict has.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

ValueT = TypeVar("ValueT")
MOST = 1 << 20  # channels; a record is attacker text
MOST_ENTRIES = 1 << 16
MOST_AXES = 16


@dataclass(frozen=True)
class Cuts:
    """What was done to a dense network, but for the shapes of its tensors.

    Attributes:
        groups: of convolutions whose weights do not tell them, by module.
        features: channels of norms without tensors, by module.
        padding: zero channels that a `PadChannels` puts before and after, by module.
        kept: of tensors that no state dict holds, which places of a dimension stay:
            bits, the first one highest, as hexadecimal digits; by tensor, then by
            dimension.
    """

    groups: Mapping[str, int] = field(default_factory=dict)
    features: Mapping[str, int] = field(default_factory=dict)
    padding: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    kept: Mapping[str, Mapping[int, str]] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Return plain JSON values, without what is empty."""
        values = {
            "groups": dict(self.groups),
            "features": dict(self.features),
            "padding": {name: list(pair) for name, pair in self.padding.items()},
            "kept": {
                name: [[axis, bits] for axis, bits in sorted(axes.items())]
                for name, axes in self.kept.items()
            },
        }
        return {key: value for key, value in values.items() if value}

    def then(self, later: "Cuts") -> "Cuts":
        """Return the cuts of a network that was cut like this, and then once more."""
        kept = {name: dict(axes) for name, axes in self.kept.items()}
        for name, axes in later.kept.items():
            own = kept.setdefault(name, {})
            for axis, bits in axes.items():
                own[axis] = _both(own[axis], bits) if axis in own else bits
        return Cuts(
            {**self.groups, **later.groups},
            {**self.features, **later.features},
            {**self.padding, **later.padding},
            kept,
        )


def cuts_of(record: object) -> Cuts:
    """Read the record of cuts; raises ValueError for what `Cuts.record` never gives."""
    if not isinstance(record, Mapping):
        raise ValueError("no table of cuts")
    unknown = record.keys() - vars(Cuts()).keys()
    if unknown:
        raise ValueError(f"an unknown entry {sorted(map(str, unknown))[0]!r}")
    return Cuts(
        _table(record, "groups", lambda value: _count(value, 1)),
        _table(record, "features", lambda value: _count(value, 1)),
        _table(record, "padding", _pair),
        _table(record, "kept", _axes),
    )


def bits_of(stays: NDArray[np.bool_]) -> str:
    """Return which places stay as text: (n,) -> digits."""
    return np.packbits(stays).tobytes().hex()


def places_of(bits: str, size: int) -> NDArray[np.intp]:
    """Return the places that stay of a dimension; raises ValueError for others."""
    try:
        packed = np.frombuffer(bytes.fromhex(bits), np.uint8)
    except ValueError:
        raise ValueError("places that are not hexadecimal digits") from None
    places = np.flatnonzero(np.unpackbits(packed))
    if len(packed) != -(-size // 8) or not len(places) or places[-1] >= size:
        raise ValueError(f"places that do not fit the {size} there are")
    return places


def _both(first: str, second: str) -> str:
    """Return what stays after two cuts, the second one of what the first left."""
    size = 4 * len(first)
    left = places_of(first, size)
    stays = np.zeros(size, bool)
    stays[left[places_of(second, len(left))]] = True
    return bits_of(stays)


def _table(
    record: Mapping[str, Any], key: str, read: Callable[[object], ValueT]
) -> dict[str, ValueT]:
    entries = record.get(key, {})
    if not isinstance(entries, Mapping) or len(entries) > MOST_ENTRIES:
        raise ValueError(f"{key} that are not a short table")
    return {str(name): read(value) for name, value in entries.items()}


def _count(value: object, least: int) -> int:
    if type(value) is not int or not least <= value <= MOST:
        raise ValueError("a number that is not a count of channels")
    return value


def _pair(value: object) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError("padding that is not a pair of counts")
    return _count(value[0], 0), _count(value[1], 0)


def _axes(value: object) -> dict[int, str]:
    found: dict[int, str] = {}
    if not isinstance(value, list) or not 0 < len(value) <= MOST_AXES:
        raise ValueError("kept places that are not a list of dimensions")
    for entry in value:
        fits = isinstance(entry, list) and len(entry) == 2
        if not fits or type(entry[0]) is not int or type(entry[1]) is not str:
            raise ValueError("kept places that are not a dimension and digits")
        if entry[0] in found or not 0 <= entry[0] < MOST_AXES:
            raise ValueError("kept places of one dimension twice, or of none")
        found[entry[0]] = entry[1]
    return found
