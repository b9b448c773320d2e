"""One checkpoint -> one .lnx file, and what there is to say of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import lnx
from lilnetx_cli.cli.asked import Asked
from lilnetx_cli.cli.compress_paths import Job
from lilnetx_cli.cli.console import Output
from lilnetx_cli.cli.graph_asked import CalibAsked, GraphAsked
from lilnetx_cli.cli.options import same_file
from lilnetx_cli.cli.quantizing import quantized
from lilnetx_cli.cli.standard_streams import input_file, input_name, output_file
from lilnetx_cli.errors import UsageError

if TYPE_CHECKING:
    from lilnetx_cli.compression import Quality


@dataclass(frozen=True)
class Settings:
    """How to read a checkpoint, what to make of it, and how to write that."""

    key: str | None
    unsafe_pickle: bool
    asked: Asked
    jobs: int
    replace: bool
    graph: GraphAsked | None = None
    calib: CalibAsked | None = None


@dataclass(frozen=True)
class Compressed:
    """A file that was written.

    Attributes:
        job: its paths.
        input_bytes: of the files that were read.
        output_bytes: of the file.
        about: what is in the file.
        bases: how many tensors have which basis.
        quality: how close it is to the input.
        by_default: whether it is quantized although nothing was asked for.
    """

    job: Job
    input_bytes: int
    output_bytes: int
    about: lnx.Summary
    bases: dict[str, int]
    quality: "Quality"
    by_default: bool


def compress_file(job: Job, settings: Settings, out: Output) -> Compressed:
    """Read, quantize where that is asked for, and write."""
    name = input_name(job.source)
    with (
        input_file(job.source, folder=True) as source,
        output_file(job.target) as target,
    ):
        read, input_bytes = _read(source, job, settings, out)
        made = quantized(
            read, name, settings.asked, settings.graph, settings.calib, out
        )
        written = _save(made.container, target, settings, out)
        about = lnx.summary(target)
    asked = settings.asked.nothing and settings.calib is None
    by_default = asked and not made.quality.lossless
    from lilnetx_cli.compression import bases_of

    return Compressed(
        job,
        input_bytes,
        written,
        about,
        bases_of(made.container),
        made.quality,
        by_default,
    )


def _read(
    source: Path, job: Job, settings: Settings, out: Output
) -> tuple[lnx.Container, int]:
    """Return what an input holds, and the bytes of its files."""
    if source.is_file() and lnx.is_lnx(source):
        return lnx.load(source), source.stat().st_size
    from lilnetx_cli.checkpoint import pack, read_source

    found = read_source(source, key=settings.key, unsafe_pickle=settings.unsafe_pickle)
    if any(same_file(job.target, file) for file in found.files):
        raise UsageError(f"output {str(job.target)!r} is a file of the input")
    name = input_name(job.source)
    for note in found.notes:
        out.warn(f"{name}: {note}")
    out.detail(f"read {name}: {len(found.checkpoint.state_dict)} tensors")
    return pack(found.checkpoint), sum(file.stat().st_size for file in found.files)


def _save(
    container: lnx.Container, target: Path, settings: Settings, out: Output
) -> int:
    tensors, jobs = container.tensors, settings.jobs
    latents = sum(isinstance(tensor, lnx.Latent) for tensor in tensors)
    out.detail(f"coding {len(tensors)} tensors, {latents} of them as latents")
    with out.progress("coding, chunks") as ticker:
        written = lnx.save(
            container,
            target,
            jobs=jobs,
            replace=settings.replace,
            progress=lambda done, total: ticker.move(done, total=total),
        )
    out.detail(f"wrote {written:,} bytes, with up to {jobs} processes")
    return written
