"""One checkpoint -> one .lnx file, and what there is to say of it."""

from dataclasses import dataclass
from pathlib import Path

import lnx
from lilnetx_cli.cli.asked import Asked, target_of
from lilnetx_cli.cli.console import Output
from lnx.errors import printable


@dataclass(frozen=True)
class Settings:
    """How to read a checkpoint, what to make of it, and how to write that."""

    key: str | None
    unsafe_pickle: bool
    asked: Asked
    jobs: int
    replace: bool


@dataclass(frozen=True)
class Compressed:
    """A file that was written.

    Attributes:
        source: the input.
        target: the file.
        input_bytes: of the input.
        output_bytes: of the file.
        about: what is in the file.
        snr: of the weights in dB; None where nothing of them was lost.
        lossless: whether every bit of every tensor is kept.
    """

    source: Path
    target: Path
    input_bytes: int
    output_bytes: int
    about: lnx.Summary
    snr: float | None
    lossless: bool


@dataclass(frozen=True, eq=False)
class _Quantized:
    """What to save; see Compressed."""

    container: lnx.Container
    snr: float | None
    lossless: bool


def compress_file(
    source: Path, target: Path, settings: Settings, out: Output
) -> Compressed:
    """Read, quantize where that is asked for, and write."""
    read = _read(source, settings, out)
    made = _quantized(read, settings.asked, out)
    latents = sum(isinstance(tensor, lnx.Latent) for tensor in made.container.tensors)
    count = len(made.container.tensors)
    out.detail(f"read {source}: {count} tensors, {latents} as latents")
    jobs, replace = settings.jobs, settings.replace
    written = lnx.save(made.container, target, jobs=jobs, replace=replace)
    out.detail(f"wrote {target}, with up to {jobs} processes")
    return Compressed(
        source,
        target,
        source.stat().st_size,
        written,
        lnx.summary(target),
        made.snr,
        made.lossless,
    )


def _read(source: Path, settings: Settings, out: Output) -> lnx.Container:
    if lnx.is_lnx(source):
        return lnx.load(source)
    from lilnetx_cli.checkpoint import pack, read_source

    found = read_source(source, key=settings.key, unsafe_pickle=settings.unsafe_pickle)
    for note in found.notes:
        out.warn(f"{source}: {note}")
    return pack(found.checkpoint)


def _quantized(container: lnx.Container, asked: Asked, out: Output) -> _Quantized:
    has_latents = any(isinstance(t, lnx.Latent) for t in container.tensors)
    if asked.lossless or (asked.nothing and has_latents):
        return _Quantized(container, None, True)
    from lilnetx_cli.compression import DEFAULT_SNR, compress_container, dense_container

    container = dense_container(container)
    target = target_of(asked, container)
    with out.progress("quantizing") as ticker:
        found = compress_container(
            container, target, exact_side=asked.exact_side, progress=ticker.move
        )
    for name in found.exact:
        out.warn(
            f"{printable(name)} holds NaN, infinity or huge numbers: stored exactly"
        )
    if asked.nothing and not found.lossless:
        out.note(
            f"weights are quantized to {DEFAULT_SNR:g} dB, as close as 8 bits:"
            " --lossless keeps every bit, --snr 30 or --target-size makes less"
        )
    return _Quantized(found.container, found.snr, found.lossless)
