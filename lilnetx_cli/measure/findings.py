"""Why a checkpoint is as large as it is, and what would make it smaller."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from lilnetx_cli.checkpoint.whole_file import WholeFile
from lilnetx_cli.measure.groups import NETWORK, Measured
from lilnetx_cli.measure.tensor_stats import digest_of
from lnx import DType
from lnx.dtypes import ITEM_BYTES
from lnx.errors import printable

LEAST_SHARE = 0.001  # of a file, below which there is nothing worth a line
LEAST_CONTAINER = 0.02  # of a file, for its container
LEAST_ZEROS = 0.05  # of the weights
HALVES = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Finding:
    """One reason for the size of a file.

    Attributes:
        kind: a word for programs.
        bytes: what the file would take less without it; findings may overlap.
        message: what was found, and what to do.
    """

    kind: str
    bytes: int
    message: str


def find_reasons(whole: WholeFile, measured: Sequence[Measured]) -> list[Finding]:
    """Return what applies to a file, the largest first, what is harmless last."""
    network = [m for m in measured if m.group in NETWORK]
    found = [
        *_beside(measured),
        *_unused(whole, measured),
        *_repeated(network),
        *_masters(measured),
        *_narrower(network),
        *_wide(network),
        *_zeros(network),
        *_container(whole),
    ]
    worth = [f for f in found if f.bytes >= LEAST_SHARE * whole.file_bytes]
    return sorted(worth, key=lambda f: -f.bytes) + list(_prefix(whole))


def _stored(measured: Iterable[Measured]) -> int:
    return sum(m.entry.stored_bytes for m in measured)


def _such_as(measured: Sequence[Measured]) -> str:
    """Return a count and the largest of some tensors, for a message."""
    largest = max(measured, key=lambda m: m.entry.stored_bytes)
    name = printable(largest.entry.name)
    return name if len(measured) == 1 else f"{len(measured):,} tensors such as {name}"


def _beside(measured: Sequence[Measured]) -> Iterator[Finding]:
    """Name what is in a file beside the network."""
    texts = {
        "optimizer": ("optimizer state", "inference does not need it"),
        "copy": ("second copy of the network, such as a moving average", "ship one"),
        "latents": ("integers of the weights", "compress stores them, and no weights"),
        "other": ("other entries than the network", "compress leaves them out"),
    }
    for group, (what, advice) in texts.items():
        members = [m for m in measured if m.group == group]
        if members:
            text = f"{what}, {_such_as(members)}: {advice}"
            yield Finding(group, _stored(members), text)


def _unused(whole: WholeFile, measured: Sequence[Measured]) -> Iterator[Finding]:
    """Find tensors that are a part of a storage, all of which is in the file."""
    if not whole.unused_bytes:
        return
    parts = [m for m in measured if _is_part(m)]
    if parts:
        text = (
            "view of a larger tensor, which torch.save stores whole,"
            f" {_such_as(parts)}: save a .clone() of it"
        )
        yield Finding("unused_storage", whole.unused_bytes, text)


def _is_part(measured: Measured) -> bool:
    entry = measured.entry
    if not entry.stored_bytes:
        return False
    return entry.tensor.untyped_storage().nbytes() > entry.stored_bytes


def _repeated(network: Sequence[Measured]) -> Iterator[Finding]:
    """Find tensors that are equal to others and yet stored again."""
    alike: dict[Any, list[Measured]] = defaultdict(list)
    for m in network:
        if _worth_a_hash(m):
            alike[m.entry.dtype, tuple(m.entry.tensor.shape)].append(m)
    first: dict[bytes, Measured] = {}
    again = []
    for members in alike.values():
        for m in members if len(members) > 1 else ():
            same = first.setdefault(digest_of(m.entry.tensor), m)
            if same is not m:
                again.append((m, same))
    if again:
        one, other = max(again, key=lambda pair: pair[0].entry.stored_bytes)
        more = f" and {len(again) - 1:,} more pairs" if len(again) > 1 else ""
        names = f"{printable(one.entry.name)} equals {printable(other.entry.name)}"
        text = f"stored twice, {names}{more}: tie them before saving"
        yield Finding("repeated", _stored(m for m, _ in again), text)


def _worth_a_hash(m: Measured) -> bool:
    return m.stats is not None and not m.stats.constant and m.entry.stored_bytes > 0


def _masters(measured: Sequence[Measured]) -> Iterator[Finding]:
    """Find float32 tensors that are there in half precision, too."""
    halves: dict[Any, list[Measured]] = defaultdict(list)
    for m in measured:
        if m.entry.tensor.dtype in HALVES and _worth_a_hash(m):
            halves[tuple(m.entry.tensor.shape)].append(m)
    found = []
    for m in measured:
        known = halves.get(tuple(m.entry.tensor.shape), [])
        full = m.entry.tensor.dtype == torch.float32 and _worth_a_hash(m)
        if full and known and _is_master(m, known):
            found.append(m)
    if found:
        text = (
            "F32 copies of half-precision tensors,"
            f" {_such_as(found)}: ship one of the two"
        )
        yield Finding("master_copy", _stored(found), text)


def _is_master(full: Measured, halves: Sequence[Measured]) -> bool:
    rounded = {
        dtype: digest_of(full.entry.tensor.to(dtype))
        for dtype in {half.entry.tensor.dtype for half in halves}
    }
    return any(
        digest_of(half.entry.tensor) == rounded[half.entry.tensor.dtype]
        for half in halves
    )


def _narrower(network: Sequence[Measured]) -> Iterator[Finding]:
    """Find types that are wider than the numbers in them."""
    members: dict[tuple[str, str], list[Measured]] = defaultdict(list)
    for m in network:
        if m.stats is not None and m.stats.narrower is not None:
            members[m.entry.dtype, m.stats.narrower].append(m)
    for (wide, narrow), group in members.items():
        share = ITEM_BYTES[DType[narrow]] / ITEM_BYTES[DType[wide]]
        saved = round((1 - share) * _stored(group))
        text = f"{wide} where {narrow} holds every number exactly, {_such_as(group)}"
        yield Finding("wider_type", saved, text)


def _wide(network: Sequence[Measured]) -> Iterator[Finding]:
    """Say what half precision would take, where it is not exact."""
    for wide in ("F64", "F32"):
        group = [
            m
            for m in network
            if m.entry.dtype == wide and m.stats is not None and not m.stats.narrower
        ]
        size = ITEM_BYTES[DType[wide]]
        saved = _stored(group) * (size - 2) // size
        if saved:
            text = (
                f"{wide} at {size} bytes a number, {_such_as(group)}: F16 or BF16 take"
                " 2, with less precision"
            )
            yield Finding("full_precision", saved, text)


def _zeros(network: Sequence[Measured]) -> Iterator[Finding]:
    """Say how much of the weights is zero, and which of it in whole channels."""
    weights = [
        (m.entry.tensor, m.stats)
        for m in network
        if m.group == "weights" and m.stats is not None
    ]
    total = sum(tensor.numel() for tensor, _ in weights)
    zeros = sum(stats.zeros for _, stats in weights)
    if not total or zeros < LEAST_ZEROS * total:
        return
    saved = sum(stats.zeros * tensor.element_size() for tensor, stats in weights)
    rows = sum(stats.zero_rows for _, stats in weights)
    columns = sum(stats.zero_columns for _, stats in weights)
    text = f"zeros, {100 * zeros / total:.1f} % of the weights"
    if rows or columns:
        text += f", with {rows:,} output and {columns:,} input channels of layers whole"
    yield Finding("zeros", saved, f"{text}: a dense tensor stores each of them")


def _container(whole: WholeFile) -> Iterator[Finding]:
    size = whole.pickle_bytes + whole.container_bytes
    if size >= LEAST_CONTAINER * whole.file_bytes:
        count = len(whole.entries)
        tensors = f"{count:,} tensors" if count > 1 else "one tensor"
        text = f"names, headers and alignment of {tensors}"
        yield Finding("container", size, text)


def _prefix(whole: WholeFile) -> Iterator[Finding]:
    prefix = whole.prefix
    if prefix:
        text = f"every name starts with {prefix!r}: harmless, compress takes it off"
        yield Finding("prefix", 0, text)
