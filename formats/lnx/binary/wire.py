"""Bytes in and out: varints, text and packed blocks, every read checked."""

import hashlib
import zlib

import numpy as np
from numpy.typing import NDArray

from lnx import spec
from lnx.errors import ContentError, FormatError, printable
from lnx.spec import Packing

VARINT_BYTES = 9  # 63 bits
MANY_VARINTS = 64  # from here on they are read with numpy
WINDOW_BITS = -15  # raw DEFLATE, with the largest window
EIGHTHS = (0, 2, 4, 5, 6, 7)  # where a second block is tried; 0 for none
MOST_TRIED = 1 << 16  # bytes; in more, a block more or less is nothing
MEMORY_LEVEL = 9  # of zlib: the most, for the longest blocks under one code


class Writer:
    """Collects bytes; each method mirrors the one of `Reader`."""

    def __init__(self) -> None:
        self._data = bytearray()

    def varint(self, value: int) -> None:
        """Append an unsigned integer, 7 bits a byte, low bits first."""
        if not 0 <= value < 1 << 63:
            raise ContentError(f"integer {value} does not fit 63 bits")
        while value > 0x7F:
            self._data.append(value & 0x7F | 0x80)
            value >>= 7
        self._data.append(value)

    def varints(self, values: list[int]) -> None:
        """Append unsigned integers, their count not included."""
        for value in values:
            self.varint(value)

    def raw(self, data: bytes) -> None:
        """Append bytes whose length the reader knows."""
        self._data += data

    def text(self, text: str, cap: int) -> None:
        """Append a length in bytes and UTF-8 text."""
        try:
            data = text.encode()
        except UnicodeEncodeError as error:
            raise ContentError(f"text {printable(text)} is not Unicode") from error
        if len(data) > cap:
            raise ContentError(f"text of {len(data)} bytes, at most {cap} fit")
        self.varint(len(data))
        self.raw(data)

    def getvalue(self) -> bytes:
        """Return what was written."""
        return bytes(self._data)


class Reader:
    """Walks over bytes and never past their end; mirrors `Writer`."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """Bytes not read so far."""
        return len(self._data) - self._at

    def varint(self, name: str, cap: int, *, least: int = 0) -> int:
        """Read an unsigned integer between least and cap, in its shortest form."""
        if self.left and self._data[self._at] < 0x80:  # most are that short
            self._at += 1
            return self._bounded(name, self._data[self._at - 1], least, cap)
        value = 0
        for place in range(VARINT_BYTES):
            byte = self.raw(name, 1)[0]
            value |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                if place and not byte:
                    raise FormatError(f"{name} is not in its shortest form")
                return self._bounded(name, value, least, cap)
        raise FormatError(f"{name} has more than 63 bits")

    def varints(self, name: str, count: int, cap: int, *, least: int = 0) -> list[int]:
        """Read count unsigned integers; one takes a byte or more."""
        if count > self.left:
            raise FormatError(f"{count} x {name} announced, {self.left} bytes left")
        if count < MANY_VARINTS:
            return [self.varint(name, cap, least=least) for _ in range(count)]
        values, used = _many_varints(self._data, self._at, count, name)
        lowest, highest = int(values.min()), int(values.max())
        self._bounded(name, lowest, least, cap)
        self._bounded(name, highest, least, cap)
        self._at += used
        found: list[int] = values.tolist()
        return found

    def raw(self, name: str, count: int) -> bytes:
        """Read count bytes."""
        if count > self.left:
            raise FormatError(f"{name} needs {count} bytes, {self.left} are left")
        data = self._data[self._at : self._at + count]
        self._at += count
        return data

    def text(self, name: str, cap: int) -> str:
        """Read a length in bytes and UTF-8 text."""
        data = self.raw(name, self.varint(f"length of {name}", cap))
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise FormatError(f"{name} is not UTF-8") from error

    def end(self, name: str) -> None:
        """Check that nothing is left."""
        if self.left:
            raise FormatError(f"{self.left} bytes too many at the end of {name}")

    @staticmethod
    def _bounded(name: str, value: int, least: int, cap: int) -> int:
        if value > cap:
            raise FormatError(f"{name} is {value}, at most {cap} is allowed")
        if value < least:
            raise FormatError(f"{name} is {value}, at least {least} is expected")
        return value


def _many_varints(
    data: bytes, start: int, count: int, name: str
) -> tuple[NDArray[np.uint64], int]:
    """Return count varints from start on, and how many bytes they take."""
    window = np.frombuffer(data, np.uint8, offset=start)[: count * VARINT_BYTES]
    ends = np.flatnonzero(window < 0x80)[:count]
    if len(ends) < count:
        raise FormatError(f"{count} x {name} announced, {len(ends)} are there")
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if int(lengths.max()) > VARINT_BYTES:
        raise FormatError(f"{name} has more than 63 bits")
    if bool(((window[ends] == 0) & (lengths > 1)).any()):
        raise FormatError(f"{name} is not in its shortest form")
    values = np.zeros(count, np.uint64)
    for place in range(int(lengths.max())):
        longer = lengths > place
        bits = window[starts[longer] + place].astype(np.uint64) & np.uint64(0x7F)
        values[longer] |= bits << np.uint64(7 * place)
    return values, int(ends[-1]) + 1


def zigzag(value: int) -> int:
    """Map 0, -1, 1, -2, ... to 0, 1, 2, 3, ..."""
    return value << 1 if value >= 0 else (-value << 1) - 1


def unzigzag(value: int) -> int:
    """Map 0, 1, 2, 3, ... to 0, -1, 1, -2, ..."""
    return -((value + 1) >> 1) if value & 1 else value >> 1


def digest(size: int, *parts: bytes) -> bytes:
    """Return the BLAKE2b digest of some bytes, size in bytes."""
    state = hashlib.blake2b(digest_size=size)
    for part in parts:
        state.update(part)
    return state.digest()


def pack(data: bytes) -> tuple[Packing, bytes]:
    """Return bytes in their shorter form, plain or raw DEFLATE.

    Text packs better without digests under its code, so a second block may start at an
    eighth of short data. Builds of zlib differ by some bytes in what they write; all of
    them read it.
    """
    parts = EIGHTHS if len(data) <= MOST_TRIED else (0,)
    packed = min((_deflate(data, part * len(data) // 8) for part in parts), key=len)
    if len(packed) < len(data):
        return Packing.DEFLATE, packed
    return Packing.PLAIN, data


def _deflate(data: bytes, cut: int) -> bytes:
    """Return raw DEFLATE of bytes; a block ends at the cut."""
    packer = zlib.compressobj(
        9, zlib.DEFLATED, WINDOW_BITS, MEMORY_LEVEL, zdict=spec.HEADER_DICTIONARY
    )
    head = packer.compress(data[:cut])
    if cut:
        head += packer.flush(zlib.Z_BLOCK)
    return head + packer.compress(data[cut:]) + packer.flush()


def unpack(name: str, packing: Packing, data: bytes, size: int) -> bytes:
    """Return what was packed, which must be size bytes to the byte."""
    if packing is Packing.PLAIN:
        plain, ended = data, True
    else:
        unpacker = zlib.decompressobj(WINDOW_BITS, spec.HEADER_DICTIONARY)
        try:
            plain = unpacker.decompress(data, size + 1)
        except zlib.error as error:
            raise FormatError(f"{name} does not unpack: {error}") from error
        ended = unpacker.eof and not unpacker.unused_data
    if len(plain) != size or not ended:
        raise FormatError(f"{name} does not unpack to the {size} bytes announced")
    return plain
