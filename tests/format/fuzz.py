"""Fuzz the reader, guided by coverage: python -m tests.format.fuzz [SECONDS] [FOLDER]

Needs the package atheris. FOLDER keeps what was found interesting between runs.
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["lnx"]):
    from tests.format.fuzzing import check, seeds

from tests.format.mutate import right_length

LONGEST = 4096
MEMORY_MB = 2048


def one_input(data):
    """Read any bytes; atheris reports what is not a documented error."""
    check(right_length(data))


def main():
    """Fuzz for some seconds, from the golden files on."""
    seconds = sys.argv[1] if len(sys.argv) > 1 else "60"
    kept = sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp(prefix="lnx-fuzz-")
    folder = Path(kept)
    folder.mkdir(exist_ok=True)
    for number, data in enumerate(seeds()):
        (folder / f"seed-{number}").write_bytes(data)
    flags = [
        f"-max_total_time={seconds}", f"-max_len={LONGEST}", "-timeout=5",
        f"-rss_limit_mb={MEMORY_MB}", "-print_final_stats=1", str(folder),
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *flags], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
