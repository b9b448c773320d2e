"""What fuzzers and mutations share: seeds, and what must hold for any bytes.

Hashes keep noise from reaching what lies behind them, so most runs are blind to them:
every digest of the reader equals everything. Seeds have plain headers, which noise can
change without tearing DEFLATE apart.
"""

import resource
from contextlib import ExitStack
from unittest import mock

import numpy as np

import lnx
from lnx.coding import range_coder
from lnx.parts import blocks, prefix
from lnx.read import opening
from lnx.spec import Packing
from lnx.tensors import digests
from tests.format.making import assert_equal, small_container
from tests.format.regenerate import golden_containers

MOST_DECODED = 1 << 22
MEMORY_BYTES = 1 << 30


class Anything(bytes):
    """Bytes that equal all others."""

    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False

    __hash__ = bytes.__hash__


class AnyHash:
    """Stands for hashlib."""

    @staticmethod
    def blake2b(*_, **__):
        return AnyHash()

    def update(self, data):
        pass

    def digest(self):
        return Anything(8)


def blind():
    """Return a context in which no hash differs."""
    stack = ExitStack()
    for module, name in (
        (prefix, "digest"), (opening, "digest"), (opening, "blocks_digest"),
    ):  # fmt: skip
        stack.enter_context(mock.patch.object(module, name, return_value=Anything(8)))
    stack.enter_context(mock.patch.object(opening, "hashlib", AnyHash))
    stack.enter_context(mock.patch.object(digests, "hashlib", AnyHash))
    return stack


def limit_memory():
    """Let an allocation that runs away fail instead of filling the machine."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES + (1 << 30), hard))


def seeds():
    """Return small files with plain headers and tables."""
    rng = np.random.default_rng(3)
    rows = rng.integers(-2, 3, (30, 4)).astype(np.int8)
    rows[::2] = 0
    masked = lnx.Container(
        (
            lnx.Latent("m", (30, 4), rows, 0),
            lnx.Exact("b", lnx.DType.BOOL, (9,), rng.integers(0, 2, 9, np.uint8)),
            lnx.Exact("f", lnx.DType.F64, (6,), rng.normal(size=6).view(np.uint8)),
        ),
        (np.eye(4, dtype=np.float32),),
    )
    golden = [one for name, one in golden_containers().items() if name != "parts"]
    held = [*golden, small_container(), masked]
    with ExitStack() as stack:
        for module in (prefix, blocks):
            stack.enter_context(mock.patch.object(module, "pack", _plain))
        return [lnx.dumps(one) for one in held]


def _plain(data):
    return Packing.PLAIN, data


def read(data):
    """Return the container of any bytes, or the name of the documented error."""
    try:
        return lnx.loads(data, max_size=MOST_DECODED)
    except lnx.LnxError as error:
        return type(error).__name__


def read_with_numpy(data):
    """Do the same without constriction."""
    range_coder.constriction_is_exact.cache_clear()
    try:
        with mock.patch.object(range_coder, "constriction", None):
            return read(data)
    finally:
        range_coder.constriction_is_exact.cache_clear()


def check(data):
    """Read bytes in every way, digests ignored; anything odd is raised."""
    with blind():
        found = read(data)
        other = read_with_numpy(data)
        if isinstance(found, str):
            # Words that no message has may also decode to what is refused later.
            if not isinstance(other, str):
                raise AssertionError(f"{found} by constriction, {other} by numpy")
            return
        assert_equal(found, other)
    again = lnx.loads(lnx.dumps(found))
    assert_equal(found, again)


def check_hashed(data, origin):
    """Read bytes with digests: an error, or the file that they came from."""
    found = read(data)
    if not isinstance(found, str):
        assert_equal(found, origin)
