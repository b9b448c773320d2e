"""Names as a tree: any names come back, and repeated modules take next to nothing."""

import pytest

from lnx.binary.wire import Reader, Writer
from lnx.parts.names import read_names, write_names

NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def written(names):
    writer = Writer()
    write_names(writer, names)
    return writer.getvalue()


@pytest.mark.parametrize(
    "names",
    [
        [],
        [""],
        ["."],
        ["a"],
        ["a.b.c"],
        ["", ".", "..", "...", ".a", "a.", "a..b"],
        ["a", "a.b", "a.b.c", "a.b.d", "a.e"],
        ["a.b", "c", "a.d", "c.e", "a.b.f", "a.b.g"],
        ["x.a.b", "x.a.c", "y.a.b", "y.a.c", "a.b", "a.c"],
        ["ä.ö", "ä.ü", "名.前", "\x1b.\n", "\x1b.\0"],
        ["." * 1024, "." * 1023, "n" * 1024],
    ],
    ids=str,
)
def test_any_names_come_back_in_their_order(names):
    reader = Reader(written(names))
    assert read_names(reader) == names
    assert not reader.left


def test_blocks_of_the_same_keys_are_written_once():
    blocks = [f"layer{i}.{j}" for i in range(4) for j in range(6)]
    names = [
        f"{block}.{part}{n}.{key}"
        for block in blocks
        for n in (1, 2)
        for part, keys in (("conv", ["weight"]), ("bn", NORM))
        for key in keys
    ]
    data = written(names)
    assert len(data) < 200 < len("".join(names)) // 30
    assert data.count(b"running_mean") == 1
    assert read_names(Reader(data)) == names
