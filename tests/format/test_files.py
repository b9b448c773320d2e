import os

import numpy as np
import pytest

import lnx
from tests.format import killed
from tests.format.making import assert_equal, small_container


def test_files_come_back(tmp_path):
    path = tmp_path / "m.lnx"
    written = lnx.save(small_container(), path)
    assert path.stat().st_size == written
    assert_equal(lnx.load(path), small_container())
    assert [p.name for p in tmp_path.iterdir()] == ["m.lnx"]


def test_arrays_by_name(tmp_path):
    path = tmp_path / "m.lnx"
    container = small_container()
    lnx.save(container, path)
    everything = lnx.arrays(path)
    assert list(everything) == [t.name for t in container.tensors]
    one = lnx.arrays(path, ["head.weight"])
    assert list(one) == ["head.weight"]
    np.testing.assert_array_equal(one["head.weight"], everything["fc.weight"])
    with pytest.raises(lnx.LnxError, match="no tensor 'nothing'"):
        lnx.arrays(path, ["nothing"])


def test_summary_reads_the_header_only(tmp_path):
    path = tmp_path / "m.lnx"
    lnx.save(small_container(), path)
    about = lnx.summary(path)
    kinds = {t.name: t.kind for t in about.tensors}
    assert kinds["conv.weight"] == "latent"
    assert kinds["head.weight"] == "alias"
    assert about.sizes.file == path.stat().st_size
    assert about.parameters == 288 + 40 + 8 + 8
    assert about.architecture == {"name": "tiny", "args": {"width": 1}}
    shares = sum(t.bytes for t in about.tensors if t.kind == "latent")
    assert abs(shares - about.sizes.payload) <= 16
    # Damage behind the header is for load to find.
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert lnx.summary(path) == about
    with pytest.raises(lnx.CorruptError, match=r"m\.lnx"):
        lnx.load(path)


def test_cut_file_is_seen_by_the_summary(tmp_path):
    path = tmp_path / "m.lnx"
    lnx.save(small_container(), path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(lnx.CorruptError, match="cut short"):
        lnx.summary(path)


def test_what_is_no_file_is_refused(tmp_path):
    for read in (lnx.load, lnx.summary):
        with pytest.raises(OSError, match="a folder"):
            read(tmp_path)
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "none")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for read in (lnx.load, lnx.summary):
        with pytest.raises(OSError, match="not a regular file"):
            read(fifo)


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "m.lnx"
    path.write_bytes(b"old")

    def full(handle):  # noqa: ARG001
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        lnx.save(small_container(), path)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["m.lnx"]


def test_only_a_new_file_is_written_where_nothing_is_to_be_replaced(tmp_path):
    path = tmp_path / "m.lnx"
    lnx.save(small_container(), path, replace=False)
    assert_equal(lnx.load(path), small_container())
    assert path.stat().st_nlink == 1
    with pytest.raises(FileExistsError, match=r"m\.lnx"):
        lnx.save(lnx.Container(()), path, replace=False)
    with pytest.raises(FileExistsError):
        lnx.write_atomic(b"new", path, replace=False)
    assert_equal(lnx.load(path), small_container())
    assert [p.name for p in tmp_path.iterdir()] == ["m.lnx"]


@pytest.mark.parametrize("links", [True, False])
def test_of_two_writers_of_a_new_file_one_fails(tmp_path, monkeypatch, links):
    path = tmp_path / "m.lnx"
    if not links:  # as on a memory stick

        def refuse(*_):
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
    with lnx.atomic_path(path, replace=False) as first:
        first.write_bytes(b"first")
        with lnx.atomic_path(path, replace=False) as second:
            second.write_bytes(b"second")
        with pytest.raises(FileExistsError) as caught:
            lnx.write_atomic(b"third", path, replace=False)
        path.unlink()
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"first"
    assert [p.name for p in tmp_path.iterdir()] == ["m.lnx"]


def test_killed_writers_leave_a_whole_file(tmp_path):
    """A hundred were killed by hand: python -m tests.format.killed."""
    killed.run(5, 1, tmp_path)


def test_mode_of_a_replaced_file_stays(tmp_path):
    path = tmp_path / "m.lnx"
    path.write_bytes(b"")
    path.chmod(0o640)
    lnx.save(small_container(), path)
    assert path.stat().st_mode & 0o777 == 0o640


def test_tied_names_share_one_array(tmp_path):
    path = tmp_path / "m.lnx"
    lnx.save(small_container(), path)
    arrays = lnx.arrays(path)
    assert arrays["head.weight"] is arrays["fc.weight"]


def test_what_is_no_regular_file_is_not_replaced(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(OSError, match="not a regular file"):
        lnx.save(small_container(), fifo)
    assert fifo.is_fifo()


def test_links_are_followed_and_long_names_fit(tmp_path):
    target = tmp_path / ("n" * 250 + ".lnx")
    (tmp_path / "link").symlink_to(target)
    lnx.save(small_container(), tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert_equal(lnx.load(target), small_container())


@pytest.mark.parametrize("jobs", [1, 2])
def test_saving_tells_how_many_chunks_are_coded(tmp_path, jobs):
    reports = []
    lnx.save(
        small_container(),
        tmp_path / "a.lnx",
        jobs=jobs,
        progress=lambda done, total: reports.append((done, total)),
    )
    done = [report[0] for report in reports]
    assert done == sorted(set(done))
    assert {total for _, total in reports} == {done[-1]}
