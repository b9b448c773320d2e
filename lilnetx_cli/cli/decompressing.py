"""What `decompress` writes: state dicts, programs, and files of pruned networks."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lnx
from lilnetx_cli.cli.console import Output
from lilnetx_cli.endings import PROGRAMS, STATES
from lilnetx_cli.metadata import CUTS, with_record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor, nn

    from lilnetx_cli.cli.loading import Loaded
    from lilnetx_cli.models.inputs import InputForm
    from lilnetx_cli.pruning import Pruned

SUFFIXES = (*STATES, *PROGRAMS, ".lnx")


@dataclass(frozen=True)
class Wanted:
    """What the user asked for."""

    target: Path
    pruned: bool
    multiple: int
    model: str | None
    arguments: dict[str, int]
    form: "InputForm | None"
    max_size: int
    jobs: int
    replace: bool


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        tensors: their number.
        removed: channels that are gone.
        kept: dead channels that stay, {layer, channels, reason} each; None where
            nothing was pruned.
        cut: whether the network lacks channels of the one that its record names.
        difference: the largest of the outputs, dense against pruned.
        one_size: why a program takes inputs of one size alone; None where it does not.
        lines: what there is to say of it.
    """

    tensors: int
    removed: int = 0
    kept: list[dict[str, Any]] | None = None
    cut: bool = False
    difference: float | None = None
    one_size: str | None = None
    lines: tuple[str, ...] = ()


def write(file: Path, wanted: Wanted, out: Output) -> Written:
    """Write what is wanted of a .lnx file."""
    if wanted.pruned or wanted.target.suffix in PROGRAMS:
        return _write_network(file, wanted, out)
    tensors = lnx.decode(
        file,
        max_size=wanted.max_size,
        copies=wanted.target.suffix == ".safetensors",  # which has no tied tensors
        jobs=wanted.jobs,
    )
    about = lnx.summary(file)
    _write_state(tensors, about.metadata, about.architecture, wanted)
    return Written(len(tensors), cut=CUTS in (about.architecture or {}))


def _write_state(
    tensors: "Sequence[lnx.Decoded]",
    metadata: "Mapping[str, str] | None",
    record: "Mapping[str, Any] | None",
    wanted: Wanted,
) -> None:
    from lilnetx_cli.export.state_dict import write_safetensors, write_state_dict

    target, replace = wanted.target, wanted.replace
    if target.suffix == ".safetensors":
        said = with_record(metadata, record)
        write_safetensors(tensors, target, said, replace=replace)
    else:
        write_state_dict(tensors, target, replace=replace)


def _write_network(file: Path, wanted: Wanted, out: Output) -> Written:
    """Write what needs the network itself."""
    from lilnetx_cli.cli.loading import load_network, load_pruned
    from lilnetx_cli.models.inputs import check_form, example_input

    loaded = load_network(
        file,
        wanted.model,
        wanted.arguments,
        max_size=wanted.max_size,
        jobs=wanted.jobs,
    )
    out.detail(f"read {file} and built its network")
    if wanted.form is not None:
        check_form(loaded.network, wanted.form)
    network, written = loaded.network, Written(len(loaded.network.state_dict()))
    if wanted.pruned:
        smaller = load_pruned(file, loaded, wanted.form, wanted.multiple)
        network, written = smaller.model, _written(smaller)
        out.detail("cut channels out, and compared with the dense network")
        if wanted.target.suffix not in PROGRAMS:
            _write_smaller(smaller, loaded, wanted)
            before = CUTS in (loaded.container.architecture or {})
            return dataclasses.replace(written, cut=before or written.removed > 0)
    example = example_input(loaded.architecture, wanted.form, loaded.network)
    one_size = _export(network, example, wanted, out)
    return dataclasses.replace(written, one_size=one_size)


def _written(smaller: "Pruned") -> Written:
    from lilnetx_cli.cli.loading import removal_lines

    return Written(
        tensors=len(smaller.model.state_dict()),
        removed=smaller.removed_channels,
        kept=[dataclasses.asdict(kept) for kept in smaller.held],
        difference=smaller.max_abs_difference,
        lines=tuple(removal_lines(smaller)),
    )


def _write_smaller(smaller: "Pruned", loaded: "Loaded", wanted: Wanted) -> None:
    """Write a pruned network, with the record that it is rebuilt from."""
    from lilnetx_cli.cli.pruned_file import contents

    container = contents(smaller, loaded, wanted.form, named=wanted.model is not None)
    if wanted.target.suffix == ".lnx":
        lnx.save(container, wanted.target, jobs=wanted.jobs, replace=wanted.replace)
        return
    tensors = list(lnx.rebuild_all(container))
    _write_state(tensors, container.metadata, container.architecture, wanted)


def _export(
    network: "nn.Module", example: "Tensor", wanted: Wanted, out: Output
) -> str | None:
    """Write a program; return why it takes inputs of one size alone, if it does."""
    target, replace = wanted.target, wanted.replace
    if target.suffix == ".pt2":
        from lilnetx_cli.export.program import write_program

        written = write_program(network, example, target, replace=replace)
    else:
        from lilnetx_cli.export.onnx import write_onnx

        written = write_onnx(network, example, target, replace=replace)
    if written.one_size is not None:
        shape = "x".join(str(size) for size in example.shape[1:])
        out.note(f"{target} takes only inputs of {shape}: {written.one_size}")
    elif written.limits is not None:
        out.note(f"{target} takes inputs with {written.limits}")
    return written.one_size
