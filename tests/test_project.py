"""What the project ships, and what its documents say."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.lowest import pinned, requirements
from tests.test_floors import CLI, LNX

ROOT = Path(__file__).parents[1]


def test_the_wheel_holds_two_packages(tmp_path):
    code = (
        "from hatchling.builders.wheel import WheelBuilder\n"
        f"print(next(WheelBuilder({str(ROOT)!r}).build("
        f"directory={str(tmp_path)!r}, versions=['standard'])))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "lilnetx_cli", "lnx",
    }  # fmt: skip
    for name in (
        "lilnetx_cli/data/files/digits.npz",
        "lilnetx_cli/data/files/ATTRIBUTION.md",
        "lilnetx_cli/py.typed",
        "lnx/py.typed",
    ):
        assert name in names


def test_formats_is_no_package():
    assert not (ROOT / "formats" / "__init__.py").exists()


def test_every_requirement_has_a_lowest_release():
    constraints = [pinned(text) for text in requirements()]
    assert any(text.startswith("torch==") for text in constraints)
    names = [text.split("==")[0] for text in constraints]
    assert len(set(names)) == len(names), "a package has two bounds"


@pytest.mark.parametrize(
    ("requirement", "constraint"),
    [
        ("numpy>=1.26", "numpy==1.26"),
        ("tomli-w>=1.0.1", "tomli-w==1.0.1"),
        ("a>=2; sys_platform == 'darwin'", "a==2; sys_platform == 'darwin'"),
    ],
)
def test_a_lower_bound_becomes_a_constraint(requirement, constraint):
    assert pinned(requirement) == constraint


@pytest.mark.parametrize("requirement", ["numpy", "numpy<2", "numpy>=1.26,<2"])
def test_other_bounds_are_refused(requirement):
    with pytest.raises(ValueError, match="has no lower bound"):
        pinned(requirement)


@pytest.mark.parametrize(
    "name",
    ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", ".github/workflows/checks.yml"],
)
def test_make_targets_of_the_documents_exist(name):
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    text = (ROOT / name).read_text("utf-8").replace("test-${{ matrix.which }}", "test")
    asked = {
        word
        for words in re.findall(r"(?:`|\brun: |^)make ([\w -]+)", text, re.MULTILINE)
        for word in words.split()
        if not word.isupper()
    }
    assert asked
    assert asked <= targets


def test_contributing_shows_the_floors_as_they_are():
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    shown = [
        (int(floor), room)
        for floor, rooms in re.findall(r"^\| (\d+) \| (.+?) \|", text, re.MULTILINE)
        for room in re.findall(r"`(\w+)`", rooms)
    ]
    there = [
        (number, room.rpartition(".")[2])
        for floors, base in ((LNX, ROOT / "formats"), (CLI, ROOT))
        for number, floor in enumerate(floors, start=1)
        for room in floor
        if list(base.glob(f"{room.replace('.', '/')}*"))
    ]
    assert sorted(shown) == sorted(there)


@pytest.mark.slow
def test_python_blocks_of_the_readme_run(tmp_path):
    text = (ROOT / "README.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert blocks
    for block in blocks:
        done = subprocess.run(
            [sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr


def test_every_verb_is_in_the_readme():
    from lilnetx_cli.cli.app import app

    text = (ROOT / "README.md").read_text("utf-8")
    for command in app.registered_commands:
        assert f"lilnetx {command.callback.__name__}" in text


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.toml")), ids=str)
def test_presets_are_configurations(path):
    from lilnetx_cli.config import resolve

    resolve(path, {})


EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
TASKS = [path for path in EXAMPLES if "--steps" in path.read_text("utf-8")]


def run_example(path, folder, *options):
    done = subprocess.run(
        [sys.executable, str(path), *options],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("path", [x for x in EXAMPLES if x not in TASKS], ids=str)
def test_example_scripts_run(path, tmp_path):
    run_example(path, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("path", TASKS, ids=str)
def test_examples_of_tasks_run_at_toy_length(path, tmp_path):
    # A size that so few steps can have: else the last latents go one by one.
    size = "20000" if path.stem == "implicit" else "200000"
    options = ("--plain", "--steps", "4", "--target-size", size)
    assert "times smaller" in run_example(path, tmp_path, *options)
