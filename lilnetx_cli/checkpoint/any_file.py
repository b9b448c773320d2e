"""Whatever file holds a network's tensors -> a checkpoint, and what was used of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from lilnetx_cli.checkpoint.model_pt import (
    MARK,
    RESUME_MARK,
    Checkpoint,
    read_checkpoint,
)
from lilnetx_cli.checkpoint.safetensors_file import load_safetensors
from lilnetx_cli.checkpoint.sharded import is_index, join, model_file, read_index
from lilnetx_cli.checkpoint.state_dicts import select, tensors_of
from lilnetx_cli.checkpoint.torch_file import load_torch
from lilnetx_cli.errors import FileError, InputError, UsageError
from lilnetx_cli.metadata import split_record

IN_TRAINING = {"parametrizations", "owned"}  # in names of what latents share
# What wrappers of torch put before every name.
PREFIXES = ("module.", "_orig_mod.")


@dataclass(frozen=True)
class Source:
    """A checkpoint, and where it comes from.

    Attributes:
        checkpoint: every tensor.
        notes: one line for each choice made while reading.
        files: those that were read.
    """

    checkpoint: Checkpoint
    notes: tuple[str, ...]
    files: tuple[Path, ...]


def read_source(
    path: Path, *, key: str | None = None, unsafe_pickle: bool = False
) -> Source:
    """Read a lilnetx checkpoint, or any state dict: .pt, .pth or .safetensors.

    The path may be an index of shards, or a folder with one of all these. `key` names
    the entry of a nested checkpoint, dots between levels. `unsafe_pickle` lets the file
    run code. Raises InputError for what holds no state dict, FileError for a damaged
    file, UsageError for a key that is not there.
    """
    notes: list[str] = []
    if path.is_dir():
        path, others = model_file(path)
        notes += [f"used {path.name}, not {', '.join(others)}"] if others else []
    files: tuple[Path, ...] = (path,)
    plain = is_index(path) or path.suffix == ".safetensors"
    if plain and key is not None:
        raise UsageError(f"{str(path)!r} has no entries: leave out --key")
    metadata = None
    if is_index(path):
        index = read_index(path)
        files = (path, *index.shards)
        read = partial(_read_shard, unsafe_pickle=unsafe_pickle)
        state, metadata = join(index, [read(shard) for shard in index.shards])
    elif plain:
        state, metadata = load_safetensors(path)
    else:
        content = load_torch(path, unsafe_pickle=unsafe_pickle)
        if isinstance(content, Mapping) and RESUME_MARK in content:
            raise InputError(
                f"{str(path)!r} is resume state for train --resume: use the model.pt"
                " that is written at the end of the run"
            )
        if key is None and isinstance(content, Mapping) and MARK in content:
            return Source(read_checkpoint(content, path), tuple(notes), files)
        content, used = select(content, key, path)
        state, left_out = tensors_of(content, key, path)
        notes += used + left_out
    state, stripped = _strip(state)
    _check_finished(state, path)
    metadata, record = _split(metadata, path)
    checkpoint = Checkpoint(state, architecture=record, metadata=metadata)
    return Source(checkpoint, (*notes, *stripped), files)


def _check_finished(state: Mapping[str, Tensor], path: Path) -> None:
    """Raise InputError for the latents of a network that is still in training."""
    live = (name for name in state if set(name.split(".")) >= IN_TRAINING)
    if next(live, None) is not None:
        raise InputError(
            f"{str(path)!r} holds latents of a network in training: save what"
            " Compressor.finalize() or lilnetx.finalize() returns with lilnetx.save"
        )


def _split(
    metadata: Mapping[str, str] | None, path: Path
) -> tuple[dict[str, str] | None, dict[str, Any] | None]:
    """Return metadata, and the record of a pruned network in it."""
    try:
        return split_record(metadata)
    except ValueError as error:
        raise FileError(f"{str(path)!r} has in its metadata {error}") from error


def _read_shard(
    path: Path, *, unsafe_pickle: bool
) -> tuple[dict[str, Tensor], dict[str, str] | None]:
    """Return the tensors of a shard, which stay in its file, and its metadata."""
    if path.suffix == ".safetensors":
        return load_safetensors(path)
    content = load_torch(path, unsafe_pickle=unsafe_pickle)
    return tensors_of(content, None, path)[0], None


def _strip(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Take off prefixes that every name has."""
    notes = []
    changed = True
    while changed and state:
        changed = False
        for prefix in PREFIXES:
            if all(name.startswith(prefix) for name in state):
                state = {name[len(prefix) :]: value for name, value in state.items()}
                notes.append(f"took prefix {prefix!r} off every name")
                changed = True
    return state, notes
