"""Command lines in processes of their own, without the seconds that imports take.

A server imports what the verbs need, once, and forks a process for each command line:
nothing that one leaves behind reaches the next, as with `python -m lilnetx_cli`.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECONDS = 300


class Server:
    """Runs command lines; its folder is for what they print."""

    def __init__(self, folder):
        self._files = folder / "stdout", folder / "stderr"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.server"], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def run(self, arguments, cwd=None):
        """Run a command line in a folder, with the environment as it is now."""
        folder, files = str(cwd or Path.cwd()), [str(path) for path in self._files]
        order = arguments, folder, dict(os.environ), files
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        texts = (path.read_text("utf-8") for path in self._files)
        return subprocess.CompletedProcess(arguments, code, *texts)

    def close(self):
        """End the server, which is idle."""
        self._process.kill()
        self._process.communicate()


def serve():
    """Take orders from stdin, one a line, and answer each with an exit code."""
    import lilnetx_cli.api
    import lilnetx_cli.cli.app
    import lilnetx_cli.training  # noqa: F401

    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            obey(*json.loads(line))
        _, status = os.waitpid(process, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def obey(arguments, cwd, environment, files):
    """Run one command line in this process, and end it."""
    from lilnetx_cli.__main__ import main

    signal.alarm(SECONDS)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, path in enumerate(files, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[1:] = arguments
    try:
        main()
    except SystemExit as done:
        code = done.code
    sys.stdout.flush()
    sys.stderr.flush()
    atexit._run_exitfuncs()
    os._exit(code)  # taking down what the server imported would cost half a second


if __name__ == "__main__":
    serve()
