"""All that `inspect` says of a checkpoint: what its bytes are for, and less of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import lnx
from lilnetx_cli.checkpoint import Checkpoint
from lilnetx_cli.checkpoint.whole_file import WholeFile, read_whole
from lilnetx_cli.compression.expected import Expected, expect
from lilnetx_cli.errors import InputError, LilnetxError
from lilnetx_cli.measure.findings import Finding, find_reasons
from lilnetx_cli.measure.groups import GROUPS, Measured, measure_file
from lnx.tensors.container import elements


@dataclass(frozen=True)
class TensorReport:
    """One tensor of a file.

    Attributes:
        name: all keys to it, dots between.
        shape, dtype: as in the file.
        bytes: that it takes, 0 where an earlier name is the same memory.
        zstd_bytes: what zstd makes of it; None where it cannot be read.
        entropy_bits_per_weight: rounded to 40 dB; None for what is not quantized.
        lilnetx_bytes: what `compress` would take; None for what it leaves out.
        group: what it is for, one of GROUPS.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int
    zstd_bytes: int | None
    entropy_bits_per_weight: float | None
    lilnetx_bytes: int | None
    group: str

    @property
    def entropy_bytes(self) -> int | None:
        """The entropy of all its elements."""
        if self.entropy_bits_per_weight is None:
            return None
        return round(self.entropy_bits_per_weight * elements(self.shape) / 8)


@dataclass(frozen=True)
class GroupReport:
    """All tensors of one purpose; see `TensorReport`."""

    name: str
    tensors: int
    bytes: int
    zstd_bytes: int
    lilnetx_bytes: int | None


@dataclass(frozen=True, eq=False)
class Report:
    """What a checkpoint is made of, and what `compress` would make of it.

    Attributes:
        file: what was read.
        tensors: in the order of the file.
        groups: those that there are; they add up to the file, with the bytes of `file`
            that belong to no tensor.
        findings: why it is so large, the largest first.
        expected: what `compress` would write, or None.
        refusal: why it would not, or None.
    """

    file: WholeFile
    tensors: tuple[TensorReport, ...]
    groups: tuple[GroupReport, ...]
    findings: tuple[Finding, ...]
    expected: Expected | None
    refusal: str | None


def make_report(
    path: Path,
    *,
    unsafe_pickle: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> Report:
    """Read a .pt, .pth or .safetensors file, or shards, and measure everything.

    `progress` is told how many of how many tensors are done. Raises FileError for a
    file of another kind, InputError for one without tensors.
    """
    whole = read_whole(path, unsafe_pickle=unsafe_pickle)
    if not whole.entries:
        raise InputError(f"{str(path)!r} holds no tensors")
    count = len(whole.entries)
    told = None if progress is None else (lambda done: progress(done, count))
    measured = measure_file(whole, told)
    expected, refusal = _expected(whole)
    tensors = tuple(_tensor(m, whole, expected) for m in measured)
    return Report(
        whole,
        tensors,
        group_reports(tensors),
        tuple(find_reasons(whole, measured)),
        expected,
        refusal,
    )


def group_reports(tensors: Sequence[TensorReport]) -> tuple[GroupReport, ...]:
    """Return the sums of all groups that have a tensor."""
    found = []
    for name in GROUPS:
        members = [tensor for tensor in tensors if tensor.group == name]
        if members:
            ours = [t.lilnetx_bytes for t in members if t.lilnetx_bytes is not None]
            found.append(
                GroupReport(
                    name,
                    len(members),
                    sum(tensor.bytes for tensor in members),
                    sum(tensor.zstd_bytes or 0 for tensor in members),
                    sum(ours) if ours else None,
                )
            )
    return tuple(found)


def _expected(whole: WholeFile) -> tuple[Expected | None, str | None]:
    """Return what compress would write, or why it would not."""
    if whole.resumes:
        return None, (
            "it is resume state for train --resume: compress the model.pt that is"
            " written at the end of the run"
        )
    network = whole.of_network()
    if not network:
        return None, "compress finds no network in it: save a state dict"
    if whole.repeats:
        return None, "views in it repeat what is stored too often: save copies"
    if whole.checkpoint is not None:
        checkpoint = whole.checkpoint
    else:
        checkpoint = Checkpoint({entry.keys[-1]: entry.tensor for entry in network})
    try:
        return expect(checkpoint), None
    except (LilnetxError, lnx.LnxError) as error:
        return None, str(error)


def _tensor(
    measured: Measured, whole: WholeFile, expected: Expected | None
) -> TensorReport:
    entry = measured.entry
    bits = ours = None
    if expected is not None and entry.keys[:-1] == whole.network:
        bits = expected.entropy_bits.get(entry.keys[-1])
        ours = expected.tensor_bytes.get(entry.keys[-1])
    return TensorReport(
        entry.name,
        tuple(entry.tensor.shape),
        entry.dtype,
        entry.stored_bytes,
        _zstd(measured),
        bits,
        ours,
        measured.group,
    )


def _zstd(measured: Measured) -> int | None:
    if measured.stats is not None:
        return measured.stats.zstd_bytes
    return 0 if measured.entry.dense and not measured.entry.stored_bytes else None
