"""The bytes of the wire stay as they are until the format version changes."""

import json

import pytest

import lnx
from tests.format.regenerate import FOLDER, golden_containers, values_of

GOLDEN = golden_containers()


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_writer_gives_the_golden_bytes(name):
    assert lnx.dumps(GOLDEN[name]) == (FOLDER / f"{name}.lnx").read_bytes()


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_reader_gives_the_golden_values(name):
    container = lnx.load(FOLDER / f"{name}.lnx")
    expected = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    assert values_of(container) == expected
