"""Files of the user's own that import each other: each project finds its own."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lilnetx_cli.data import batches, load_splits
from lilnetx_cli.errors import InputError, UsageError

FACTORY = """
import helper
from pathlib import Path

def pairs():
    from late import COUNT
    size = len(Path("numbers.txt").read_text())  # beside the caller, not this file
    samples = helper.Samples(COUNT, size)
    return samples, samples, 3

def odd():
    return [(1, 2, 3)] * 20, [(1, 2, 3)], 3

def none():
    return None

def empty():
    return [], [], 3

def once():
    return (pair for pair in []), [], 3
"""
HELPER = """
import numpy as np

class Samples:
    def __init__(self, count, size):
        self.count, self.size = count, size

    def __len__(self):
        return self.count

    def __getitem__(self, number):
        from later import VALUE
        return np.full((self.size, self.size), VALUE, np.float32), number % 3
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A function that writes a project into a folder, and names its factory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "numbers.txt").write_text("123456")

    def make(name, value):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "images.py").write_text(FACTORY)
        (folder / "helper.py").write_text(HELPER)
        (folder / "late.py").write_text("COUNT = 20")
        (folder / "later.py").write_text(f"VALUE = {value}")
        return f"{name}/images.py"

    return make


def test_a_factory_imports_what_stands_beside_it(project):
    splits = load_splits(f"{project('one', 1)}:pairs", None)
    assert (splits.channels, splits.classes, splits.size) == (1, 3, 6)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (18, 2, 20)
    images, labels = splits.train.__getitems__([0, 4])
    assert images.shape == (2, 1, 6, 6)
    assert labels.dtype == torch.int64


def test_two_projects_with_files_of_the_same_names(project):
    """Each keeps its own, whichever was used last; the rest of Python keeps its own."""
    before = set(sys.modules)
    one = load_splits(f"{project('one', 1)}:pairs", None)
    two = load_splits(f"{project('two', 2)}:pairs", None)
    for splits, value in ((one, 1), (two, 2), (one, 1)):
        images, _ = splits.test.__getitems__([0])
        assert float(images.max()) == value
    assert set(sys.modules) - before <= {"images", "helper", "late", "later"}
    assert sum(path.endswith(("/one", "/two")) for path in sys.path) == 1
    with pytest.raises(InputError, match="No module named 'helper'"):
        load_alone(project, "three")


def load_alone(project, name):
    """A project without the file that another has."""
    path = project(name, 3)
    (Path(name) / "helper.py").unlink()
    return load_splits(f"{path}:pairs", None)


@pytest.mark.slow
@pytest.mark.parametrize("last", ["one", "two"])
def test_data_goes_to_processes_that_start_afresh(project, last):
    """Pickled and read where nothing was imported yet, as on macOS."""
    splits = load_splits(f"{project('one', 1)}:pairs", None)
    other = load_splits(f"{project('two', 2)}:pairs", None)
    chosen = splits if last == "one" else other
    Path("sample.pickle").write_bytes(pickle.dumps(chosen.test))
    code = (
        "import pickle\n"
        "data = pickle.load(open('sample.pickle', 'rb'))\n"
        "print(float(data.__getitems__([3])[0].max()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) == (1 if last == "one" else 2)


def test_workers_find_what_stands_beside_the_factory(project):
    test = load_splits(f"{project('one', 5)}:pairs", None).test
    load_splits(f"{project('two', 2)}:pairs", None)
    (images, _), *_ = batches(test, 4, workers=1)
    assert float(images.max()) == 5


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("odd", "is not an \\(image, label\\) pair"),
        ("none", "returns None"),
        ("once", "samples in a generator, expected a sequence"),
        ("empty", r"returns \(0, 0\) samples"),
    ],
)
def test_factories_of_no_data_set(project, name, message):
    with pytest.raises(InputError, match=message):
        load_splits(f"{project('one', 1)}:{name}", None)


def test_a_factory_has_its_own_folder(project, tmp_path):
    with pytest.raises(UsageError, match="--data-dir has no effect"):
        load_splits(f"{project('one', 1)}:pairs", tmp_path)


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("import nothing_of_this_name", "f", "fails: ModuleNotFoundError: No module"),
        ("def f(:", "f", "fails: SyntaxError"),
        ("def make(): pass", "maek", "has no function 'maek', it has: make"),
        ("def f(): raise ValueError('so')", "f", "f fails: ValueError: so"),
    ],
)
def test_what_is_wrong_with_a_file_of_the_user(tmp_path, text, name, message):
    path = tmp_path / "wrong.py"
    path.write_text(text)
    for _ in range(2):  # what failed is not a module
        with pytest.raises((InputError, UsageError), match=message):
            load_splits(f"{path}:{name}", None)
