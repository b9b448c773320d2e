"""Every hostile file gets its documented answer, quickly, in little memory."""

import json
import subprocess
import sys

import pytest

import lnx
from tests.format.hostile import SMALL, cases, with_prefix
from tests.format.making import ENVIRONMENT, assert_equal, small_container

CASES = cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.story)
def test_the_answer(case):
    with pytest.raises(case.error, match=case.message) as caught:
        lnx.loads(case.data)
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()


def test_stories_differ():
    assert len({case.story for case in CASES}) == len(CASES)


def test_the_smallest_legal_files_load():
    assert_equal(lnx.loads(lnx.dumps(lnx.Container(()))), lnx.Container(()))
    assert with_prefix(SMALL) == SMALL
    assert_equal(lnx.loads(SMALL), small_container())


@pytest.mark.parametrize("changes", [{"minor": 7}, {"optional": 0x8000}])
def test_newer_minor_versions_and_optional_features_load(changes):
    assert_equal(lnx.loads(with_prefix(SMALL, **changes)), small_container())


WATCHED = """
import json, resource, sys, time
import lnx
from lnx.read.opening import open_source
# What reading imports, and a first file read, so that growth is that of hostile files.
lnx.loads(lnx.dumps(lnx.Container(())))

peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
base, answers = peak(), {}
for path in sys.argv[1:]:
    for read in (lnx.load, lnx.summary, lnx.arrays, lnx.verify):
        start = time.monotonic()
        try:
            read(path)
            answer = "none"
        except lnx.LnxError as error:
            answer = type(error).__name__
        answers[f"{path} {read.__name__}"] = answer, time.monotonic() - start
print(json.dumps([peak() - base, answers]))
"""


def test_answers_take_under_a_second_and_200_mb(tmp_path):
    paths = []
    for number, case in enumerate(CASES):
        paths.append(tmp_path / f"{number}.lnx")
        paths[-1].write_bytes(case.data)
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, *map(str, paths)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    grown, answers = json.loads(done.stdout)
    assert grown < 200_000 * (1024 if sys.platform == "darwin" else 1)
    for number, case in enumerate(CASES):
        for read in ("load", "arrays", "verify"):
            answer, seconds = answers[f"{paths[number]} {read}"]
            assert seconds < 1, case.story
            assert issubclass(getattr(lnx, answer), case.error), case.story
