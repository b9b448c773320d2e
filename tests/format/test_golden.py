"""What is in a file stays as it is until the format version changes.

Everything is compared but the packed bytes of header, tables and decoders, which are
those of one build of zlib: what they unpack to has to be equal.
"""

import json
import zlib
from dataclasses import replace

import pytest

import lnx
from lnx import spec
from lnx.binary.wire import unpack
from lnx.parts import blocks, prefix
from lnx.parts.prefix import read_frame
from lnx.spec import Packing
from tests.format.regenerate import FOLDER, golden_containers, values_of

GOLDEN = golden_containers()


def contents(data):
    """Return the parts of a file, packed ones unpacked, less what packing changes."""
    frame = read_frame(data)
    header, sizes = frame.header, frame.sizes
    tables_at = sizes.prefix + sizes.header
    decoders_at = tables_at + sizes.tables
    streams_at = decoders_at + sizes.decoders
    return {
        "signature, version and features": data[:14],
        "header": replace(header, tables=None, decoders=None, blocks_digest=b""),
        "tables": _plain(header.tables, data[tables_at:decoders_at]),
        "decoders": _plain(header.decoders, data[decoders_at:streams_at]),
        "streams": data[streams_at : -sizes.digest],
    }


def _plain(block, stored):
    return unpack("block", block.packing, stored, block.plain)


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_writer_gives_the_golden_contents(name):
    written = contents(lnx.dumps(GOLDEN[name]))
    assert written == contents((FOLDER / f"{name}.lnx").read_bytes())


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_reader_gives_the_golden_values(name):
    container = lnx.load(FOLDER / f"{name}.lnx")
    expected = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    assert values_of(container) == expected


def test_files_without_features_are_read():
    """One that was written before fixed-point tensors could follow others."""
    data = (FOLDER / "without_features.lnx").read_bytes()
    assert data[10:12] == bytes(2)
    expected = json.loads((FOLDER / "mixed.json").read_text("utf-8"))
    assert values_of(lnx.loads(data)) == expected
    # Files that do not need the feature do not ask for it.
    assert lnx.dumps(GOLDEN["whole"])[10:12] == bytes(2)
    assert lnx.dumps(GOLDEN["pruned"])[10:12] == bytes([spec.LEAVES_OUT, 0])


def test_another_build_of_zlib_gives_the_golden_contents(monkeypatch):
    def pack(data):
        words = spec.HEADER_DICTIONARY
        packer = zlib.compressobj(1, zlib.DEFLATED, -15, 9, zdict=words)
        return Packing.DEFLATE, packer.compress(data) + packer.flush()

    golden = (FOLDER / "whole.lnx").read_bytes()
    for module in (prefix, blocks):
        monkeypatch.setattr(module, "pack", pack)
    written = lnx.dumps(GOLDEN["whole"])
    assert written != golden
    assert contents(written) == contents(golden)
