"""One tensor at a time: random access, processes, coders, and what is read."""

import subprocess
import sys

import numpy as np
import pytest

import lnx
from lnx.binary.source import Memory
from lnx.coding import range_coder
from lnx.coding.parallel import Coder
from lnx.read.decode import read_tensors
from lnx.read.opening import open_source
from tests.format.making import (
    assert_equal,
    decoder,
    exact,
    latents,
    small_container,
)


def large_container():
    """Enough symbols for several batches, of several kinds."""
    rng = np.random.default_rng(5)
    tensors = [
        lnx.Latent(f"l{i}.weight", (60_000, 9), latents(60_000, 9, i, 0.6, 0.3), 0)
        for i in range(5)
    ]
    noise = rng.normal(size=300_000).astype("<f4")
    tensors.insert(2, exact("embedding", noise, lnx.DType.F32))
    tensors.append(lnx.Alias("tied", "l1.weight"))
    return lnx.Container(tuple(tensors), (decoder(9),))


LARGE = lnx.dumps(large_container())


class Counted(Memory):
    """Counts the bytes that are read."""

    def __init__(self, data):
        super().__init__(data)
        self.read_bytes = 0

    def read(self, start, stop):
        self.read_bytes += stop - start
        return super().read(start, stop)


@pytest.mark.parametrize("name", [t.name for t in large_container().tensors])
def test_one_tensor_of_many(tmp_path, name):
    path = tmp_path / "m.lnx"
    path.write_bytes(LARGE)
    found = lnx.arrays(path, [name])
    assert list(found) == [name]
    container = large_container()
    np.testing.assert_array_equal(
        found[name], lnx.rebuild(container.resolve(name), container)
    )


def test_only_the_chunks_of_a_tensor_are_read():
    source = Counted(LARGE)
    opened = open_source(source, max_size=1 << 30, names=())
    head = source.read_bytes
    list(read_tensors(opened, Coder(), {"l3.weight"}))
    assert source.read_bytes - head < len(LARGE) / 5
    list(read_tensors(opened, Coder(), set()))
    assert head < len(LARGE) / 20


def test_every_order_of_wanted_names_of_small_tensors(tmp_path):
    path = tmp_path / "m.lnx"
    lnx.save(small_container(), path)
    everything = lnx.arrays(path)
    names = list(everything)
    for first in names:
        for second in names:
            found = lnx.arrays(path, [second, first])
            assert set(found) == {first, second}
            for name, array in found.items():
                np.testing.assert_array_equal(array, everything[name])


def test_other_damage_does_not_stop_a_tensor(tmp_path):
    path = tmp_path / "m.lnx"
    data = bytearray(LARGE)
    sizes = lnx.estimate(large_container())
    data[-16 - sizes.exact // 2] ^= 1  # in the embedding
    path.write_bytes(data)
    assert lnx.arrays(path, ["l0.weight"])["l0.weight"].shape == (60_000, 9)
    for names in (["embedding"], None):
        with pytest.raises(lnx.CorruptError, match="embedding") as caught:
            lnx.arrays(path, names)
        assert caught.value.tensors == ("embedding",)
        assert 0 < caught.value.offset <= len(data) - 16 - sizes.exact // 2
    with pytest.raises(lnx.CorruptError):
        lnx.verify(path)


def test_a_tensor_alone_can_be_lied_about(tmp_path):
    """Random access still checks the chunk: a swap of bytes inside it is seen."""
    path = tmp_path / "m.lnx"
    data = bytearray(lnx.dumps(small_container()))
    sizes = lnx.estimate(small_container())
    data[-17 - sizes.exact] ^= 255  # the last byte of the latents
    path.write_bytes(data)
    with pytest.raises(lnx.CorruptError, match="latents"):
        lnx.arrays(path, ["conv.weight"])


PROCESSES = """
import hashlib, sys
import lnx

if __name__ == "__main__":
    jobs, path, copy = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    found = lnx.arrays(path, jobs=jobs)
    container = lnx.load(path, jobs=jobs)
    state = hashlib.sha256()
    for name, array in found.items():
        state.update(name.encode() + array.tobytes())
    lnx.save(container, copy, jobs=jobs)
    assert lnx.verify(copy, jobs=jobs) == len(found)
    print(state.hexdigest())
"""


def test_any_number_of_processes_gives_the_same_bits(tmp_path):
    path, code = tmp_path / "m.lnx", tmp_path / "code.py"
    path.write_bytes(LARGE)
    code.write_text(PROCESSES)
    hashes = set()
    for jobs in ("1", "2"):
        copy = tmp_path / f"{jobs}.lnx"
        done = subprocess.run(
            [sys.executable, code, jobs, path, copy], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        hashes.add(done.stdout)
        assert copy.read_bytes() == LARGE
    assert len(hashes) == 1


def test_both_coders_give_the_same_file_and_values(monkeypatch):
    assert_equal(lnx.loads(LARGE), large_container())
    monkeypatch.setattr(range_coder, "constriction", None)
    range_coder.constriction_is_exact.cache_clear()
    try:
        assert_equal(lnx.loads(LARGE), large_container())
        assert lnx.dumps(large_container()) == LARGE
    finally:
        range_coder.constriction_is_exact.cache_clear()


def test_a_killed_process_is_an_error(monkeypatch):
    """A coding process that dies, for lack of memory, is neither a hang nor a panic."""
    from concurrent.futures.process import BrokenProcessPool

    class Broken:
        def submit(self, *_):
            raise BrokenProcessPool

        def shutdown(self, **_):
            pass

    with Coder(2) as coder:
        monkeypatch.setattr(coder, "_start", Broken)
        with pytest.raises(lnx.LnxError, match="was killed"):
            list(coder.decode([(0, []), (1, [])]))


@pytest.mark.parametrize("jobs", [0, -1])
def test_jobs_are_at_least_one(jobs):
    with pytest.raises(ValueError, match="at least 1"):
        Coder(jobs)


def test_a_file_that_shrinks_while_it_is_read(tmp_path):
    path = tmp_path / "m.lnx"
    path.write_bytes(LARGE)
    with path.open("rb") as file:
        from lnx.binary.source import Stream

        opened = open_source(Stream(file, len(LARGE)), max_size=1 << 30)
        with path.open("r+b") as other:
            other.truncate(len(LARGE) // 2)
        with pytest.raises(lnx.CorruptError, match="cut short"):
            list(read_tensors(opened, Coder()))
