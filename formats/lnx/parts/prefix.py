"""The start of a file, prefix and header, and the lengths of all parts behind it."""

import struct
from dataclasses import dataclass

from lnx import spec
from lnx.binary.atomic import PathLike
from lnx.binary.source import Source, open_file
from lnx.binary.wire import digest, pack, unpack
from lnx.errors import ContentError, CorruptError, FormatError, VersionError
from lnx.parts.bounds import excess_work
from lnx.parts.header import read_header
from lnx.parts.records import Header
from lnx.parts.sections import SECTIONS, layouts_of, section_bytes
from lnx.spec import Packing

# magic, major, minor, required flags, optional flags, file bytes, header stored, plain
PREFIX = struct.Struct("<8sBBHHQII")


@dataclass(frozen=True)
class Sizes:
    """Bytes of each part of a file, the digest at its end included."""

    prefix: int
    header: int
    tables: int
    decoders: int
    scales: int
    masks: int
    latents: int
    fixed: int
    exact: int
    digest: int

    @property
    def file(self) -> int:
        """The whole file."""
        return self.payload + self.side + self.overhead

    @property
    def payload(self) -> int:
        """Entropy-coded masks and latents."""
        return self.masks + self.latents

    @property
    def side(self) -> int:
        """Exact tensors: norms, biases, buffers."""
        return self.fixed + self.exact

    @property
    def overhead(self) -> int:
        """All the rest."""
        return (
            self.prefix
            + self.header
            + self.tables
            + self.decoders
            + self.scales
            + self.digest
        )


@dataclass(frozen=True)
class Frame:
    """The prefix of a file, checked, and the header behind it."""

    version: tuple[int, int]
    header: Header
    sizes: Sizes


def read_head(source: Source) -> Frame:
    """Read prefix and header, and compare the file's length; raises FormatError."""
    head = source.read(0, min(source.size, spec.PREFIX_BYTES))
    if len(head) == spec.PREFIX_BYTES and head.startswith(spec.MAGIC):
        stored = min(_stored_bytes(head), spec.MAX_HEADER_BYTES)
        stop = min(source.size, spec.PREFIX_BYTES + stored)
        head += source.read(spec.PREFIX_BYTES, stop)
    frame = read_frame(head)
    check_length(frame, source.size)
    return frame


def frame_of(path: PathLike) -> Frame:
    """Read and check a file's prefix and header alone; raises as `load` does."""
    with open_file(path) as source:
        return read_head(source)


def read_frame(data: bytes) -> Frame:
    """Read prefix and header, which must be at the start of data.

    More may follow or be missing: `check_length` compares with the whole file.
    """
    if data[:8] != spec.MAGIC[: len(data)]:
        raise FormatError(_foreign(data[:8]))
    if len(data) < spec.PREFIX_BYTES:
        raise FormatError(f"{len(data)} bytes are too short for a .lnx file")
    major, minor, required, file_bytes, stored, plain = _read_prefix(data)
    head = data[spec.PREFIX_BYTES : spec.PREFIX_BYTES + stored]
    if len(head) < stored:
        raise FormatError(f"header of {stored} bytes, {len(head)} are there")
    fixed = PREFIX.size
    expected = digest(spec.PREFIX_DIGEST_BYTES, data[:fixed], head)
    if expected != data[fixed : spec.PREFIX_BYTES]:
        raise CorruptError("the header's hash differs: the file is damaged")
    packing = Packing.DEFLATE if stored < plain else Packing.PLAIN
    header = read_header(unpack("the header", packing, head, plain), required)
    sizes = _sizes(header, stored)
    if sizes.file != file_bytes:
        raise FormatError(
            f"parts of {sizes.file} bytes in a file of {file_bytes} bytes"
        )
    excess = excess_work(header.records, sizes.file)
    if excess is not None:
        raise FormatError(excess)
    return Frame((major, minor), header, sizes)


def check_length(frame: Frame, length: int) -> None:
    """Raise CorruptError or FormatError unless a file has the length in its prefix."""
    expected = frame.sizes.file
    if length < expected:
        raise CorruptError(f"file is cut short: {length} of {expected} bytes")
    if length > expected:
        more = length - expected
        raise FormatError(
            f"{more} byte{' follows' if more == 1 else 's follow'} the end of the file"
        )


def write_frame(plain: bytes, body: int, required: int = 0) -> bytes:
    """Return prefix and packed header, given the bytes between header and digest.

    `required` are features that a reader must know.
    """
    if len(plain) > spec.MAX_HEADER_BYTES:
        raise ContentError(f"header of {len(plain)} bytes is too long")
    _, packed = pack(plain)
    total = spec.PREFIX_BYTES + len(packed) + body + spec.FILE_DIGEST_BYTES
    fixed = PREFIX.pack(
        spec.MAGIC, spec.MAJOR, spec.MINOR, required, 0, total, len(packed), len(plain)
    )
    return fixed + digest(spec.PREFIX_DIGEST_BYTES, fixed, packed) + packed


def _read_prefix(data: bytes) -> tuple[int, int, int, int, int, int]:
    _, major, minor, required, _, file_bytes, stored, plain = PREFIX.unpack_from(data)
    if major != spec.MAJOR:
        newer = "update lilnetx to read it"
        older = f"version {spec.MAJOR} is expected, compress the model again"
        hint = newer if major > spec.MAJOR else older
        raise VersionError(f"format version {major}.{minor}: {hint}")
    unknown = required & ~spec.KNOWN_REQUIRED
    if unknown:
        raise VersionError(f"unknown feature {unknown:#06x}: update lilnetx to read it")
    for name, size in (("stored", stored), ("plain", plain)):
        if not 0 < size <= spec.MAX_HEADER_BYTES:
            raise FormatError(f"header of {size} bytes {name} is out of bounds")
    if stored > plain:
        raise FormatError(f"header of {stored} bytes stored, {plain} plain")
    return major, minor, required, file_bytes, stored, plain


def _stored_bytes(data: bytes) -> int:
    *_, stored, _ = PREFIX.unpack_from(data)
    return int(stored)


def _foreign(magic: bytes) -> str:
    if magic[1:4] == spec.MAGIC[1:4]:
        return "signature is damaged, as a transfer in text mode does: copy it again"
    known = {
        b"PK\x03\x04": "a zip archive or a PyTorch checkpoint",
        b"\x80\x02": "a pickle",
    }
    for start, name in known.items():
        if magic.startswith(start):
            return f"this is {name}, not a .lnx file: lilnetx compress makes one of it"
    return f"not a .lnx file: it starts with {magic[:4].hex(' ')}"


def _sizes(header: Header, stored: int) -> Sizes:
    lengths = {
        kind.name: section_bytes(
            layouts_of(kind, header.records), header.chunks(kind.name)
        )
        for kind in SECTIONS
    }
    return Sizes(
        prefix=spec.PREFIX_BYTES,
        header=stored,
        tables=header.tables.stored,
        decoders=header.decoders.stored,
        digest=spec.FILE_DIGEST_BYTES,
        **lengths,
    )
