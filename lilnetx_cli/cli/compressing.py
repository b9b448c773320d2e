"""One checkpoint -> one .lnx file, and what there is to say of it."""

from dataclasses import dataclass
from pathlib import Path

import lnx
from lilnetx_cli.cli.asked import Asked
from lilnetx_cli.cli.compress_paths import Job
from lilnetx_cli.cli.console import Output
from lilnetx_cli.cli.graph_asked import CalibAsked, GraphAsked
from lilnetx_cli.cli.options import same_file
from lilnetx_cli.cli.quantizing import Quantized, quantized
from lilnetx_cli.cli.standard_streams import input_file, input_name, output_file
from lilnetx_cli.errors import UsageError


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
        snr: of the weights in dB; None where nothing of them was lost.
        lossless: whether every bit of every tensor is kept.
        by_default: whether it is quantized although nothing was asked for.
        output_snr: of the network's outputs on the inputs, in dB, where there are any.
        accuracy: of the dense network and of this one on labelled examples, as
            fractions, where there are any.
    """

    job: Job
    input_bytes: int
    output_bytes: int
    about: lnx.Summary
    snr: float | None
    lossless: bool
    by_default: bool
    output_snr: float | None
    accuracy: tuple[float, float] | None


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
    return _compressed(job, input_bytes, written, about, settings, made)


def _compressed(
    job: Job,
    input_bytes: int,
    written: int,
    about: lnx.Summary,
    settings: Settings,
    made: Quantized,
) -> Compressed:
    asked = settings.asked.nothing and settings.calib is None
    return Compressed(
        job,
        input_bytes,
        written,
        about,
        made.snr,
        made.lossless,
        asked and not made.lossless,
        made.output_snr,
        made.accuracy,
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
