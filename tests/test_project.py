"""What the project ships, and what its documents say."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=str)
def test_example_scripts_run(path, tmp_path):
    done = subprocess.run(
        [sys.executable, str(path)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
