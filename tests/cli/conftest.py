import subprocess
import sys
from pathlib import Path

import pytest

from lilnetx_cli.__main__ import run
from tests.cli.running import TRAIN, Result
from tests.cli.server import Server


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """What runs command lines quickly, or None where processes cannot be forked."""
    if sys.platform != "linux":  # elsewhere, system libraries do not survive a fork
        yield None
        return
    running = Server(tmp_path_factory.mktemp("server"))
    yield running
    running.close()


@pytest.fixture(scope="session")
def cli(server):
    """Run a command line in a process of its own."""

    def start(*arguments, cwd=None, **options):
        texts = [str(argument) for argument in arguments]
        if server is not None and not options:
            return Result(server.run(texts, cwd))
        done = subprocess.run(
            [sys.executable, "-m", "lilnetx_cli", *texts],
            capture_output=True, text=True, cwd=cwd, timeout=300, **options,
        )  # fmt: skip
        return Result(done)

    return start


@pytest.fixture(scope="session")
def trained(cli, tmp_path_factory):
    """A folder with a run in run/ and its model.lnx; not to be changed."""
    folder = tmp_path_factory.mktemp("trained")
    done = cli(*TRAIN, "-o", folder / "run", "--json")
    assert done.code == 0, done.err
    (folder / "train.json").write_text(done.out)
    done = cli("compress", folder / "run" / "model.pt", "-o", folder / "model.lnx")
    assert done.code == 0, done.err
    return folder


@pytest.fixture
def files(trained, tmp_path):
    """Copies of model.pt and model.lnx, to be changed freely."""
    for name in ("run/model.pt", "model.lnx"):
        data = (trained / name).read_bytes()
        (tmp_path / Path(name).name).write_bytes(data)
    return tmp_path


@pytest.fixture
def here(capsys, monkeypatch):
    """Run a command line in this process, which costs no start."""

    def start(*arguments, cwd=None):
        if cwd is not None:
            monkeypatch.chdir(cwd)
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Result(subprocess.CompletedProcess(arguments, code, said.out, said.err))

    return start
