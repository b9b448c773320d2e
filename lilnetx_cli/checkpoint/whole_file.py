"""A file with everything in it: all tensors at any depth, and what each byte is for.

`read_source` takes what a network needs; this reads what else there is, such as the
state of an optimizer. Nothing is copied: tensors stay in the file that is mapped.
"""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lilnetx_cli.checkpoint.any_file import PREFIXES, read_source
from lilnetx_cli.checkpoint.entries import Entry, Keys, find_entries
from lilnetx_cli.checkpoint.model_pt import MARK, RESUME_MARK, Checkpoint
from lilnetx_cli.checkpoint.model_pt import read_checkpoint as read_ours
from lilnetx_cli.checkpoint.sharded import is_index, model_file
from lilnetx_cli.checkpoint.state_dicts import KEYS
from lilnetx_cli.checkpoint.torch_file import load_torch

MOST_REPEATS = 8  # times what is stored, which views may amount to
FEW = 1 << 24  # bytes, which they may amount to in any case


@dataclass(frozen=True, eq=False)
class WholeFile:
    """What is in a file; the four kinds of bytes add up to the file.

    Attributes:
        kind: torch, torch_legacy (before the zip form), safetensors, shards (several
            files with an index) or lilnetx.
        entries: all tensors.
        file_bytes: the whole file, or all shards and their index.
        tensor_bytes: of storages, as far as tensors use them.
        unused_bytes: of storages that no tensor uses.
        pickle_bytes: names, shapes, and whatever is not a tensor.
        network: keys of the entry that holds the network; None where none does.
        key: how `compress --key` has to name that; None where it finds it.
        checkpoint: the network, if it is one of lilnetx train.
        resumes: whether the file is the state of a run of lilnetx train.
        trusted: whether the file was allowed to run code.
    """

    kind: str
    entries: tuple[Entry, ...]
    file_bytes: int
    tensor_bytes: int
    unused_bytes: int
    pickle_bytes: int
    network: Keys | None
    key: str | None
    checkpoint: Checkpoint | None = None
    resumes: bool = False
    trusted: bool = False

    @property
    def container_bytes(self) -> int:
        """What is left: the container's own headers, and its alignment.

        Less than nothing in a container that compresses.
        """
        known = self.tensor_bytes + self.unused_bytes + self.pickle_bytes
        return self.file_bytes - known

    @property
    def prefix(self) -> str:
        """What a wrapper of torch put before all names of the network."""
        names = [entry.keys[-1] for entry in self.of_network()]
        for prefix in PREFIXES:
            if names and all(name.startswith(prefix) for name in names):
                return prefix
        return ""

    @property
    def repeats(self) -> bool:
        """Whether views make the network far larger than what the file stores."""
        sizes = [e.dense_bytes for e in self.of_network() if e.shares is None]
        return sum(sizes) > max(FEW, MOST_REPEATS * self.file_bytes)

    def of_network(self) -> list[Entry]:
        """Return the tensors of the entry that holds the network."""
        return [entry for entry in self.entries if entry.keys[:-1] == self.network]


def read_whole(path: Path, *, unsafe_pickle: bool = False) -> WholeFile:
    """Read all tensors of a .pt, .pth or .safetensors file, or of shards.

    The path may be that of an index, or of a folder. Raises FileError for anything
    else; no code of the file runs, unless unsafe_pickle allows it.
    """
    if path.is_dir():
        path, _ = model_file(path)
    if is_index(path) or path.suffix == ".safetensors":
        return _read_plain(path, unsafe_pickle=unsafe_pickle)
    content = load_torch(path, unsafe_pickle=unsafe_pickle)
    entries, storages = find_entries(content)
    network, key = _network(content, entries)
    pickled = _pickled(path)
    used = sum(entry.stored_bytes for entry in entries)
    whole = WholeFile(
        kind="torch" if pickled is not None else "torch_legacy",
        entries=tuple(entries),
        file_bytes=path.stat().st_size,
        tensor_bytes=used,
        unused_bytes=sum(storages.values()) - used,
        pickle_bytes=pickled or 0,
        network=network,
        key=key,
        trusted=unsafe_pickle,
    )
    if not isinstance(content, Mapping):
        return whole
    if MARK in content:
        ours = read_ours(content, path)
        return replace(whole, kind="lilnetx", checkpoint=ours)
    if RESUME_MARK in content:
        return replace(whole, network=None, key=None, resumes=True)
    return whole


def _read_plain(path: Path, *, unsafe_pickle: bool) -> WholeFile:
    """Read files that hold one network each, or a part of it."""
    source = read_source(path, unsafe_pickle=unsafe_pickle)
    entries, storages = find_entries(source.checkpoint.state_dict)
    used = sum(entry.stored_bytes for entry in entries)
    return WholeFile(
        kind="shards" if is_index(path) else "safetensors",
        entries=tuple(entries),
        file_bytes=sum(file.stat().st_size for file in source.files),
        tensor_bytes=used,
        unused_bytes=sum(storages.values()) - used,
        pickle_bytes=sum(_header(file) or 0 for file in source.files),
        network=(),
        key=None,
        trusted=unsafe_pickle,
    )


def _header(path: Path) -> int | None:
    """Return the bytes of names and shapes in a file of either kind."""
    if path.suffix != ".safetensors":
        return _pickled(path)
    with path.open("rb") as file:
        return int.from_bytes(file.read(8), "little")


def _pickled(path: Path) -> int | None:
    """Return the bytes of the pickle in a zip file; None for what is not a zip file."""
    if not zipfile.is_zipfile(path):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except zipfile.BadZipFile:  # torch was able to read it
        return 0
    return sum(i.compress_size for i in infos if i.filename.endswith("/data.pkl"))


def _network(
    content: Any,  # noqa: ANN401
    entries: list[Entry],
) -> tuple[Keys | None, str | None]:
    """Return which entry holds the network, and the --key that names it.

    What `read_source` finds without a key comes first; where it finds nothing, the
    largest entry that a key can name.
    """
    sizes: dict[Keys, int] = {}
    for entry in entries:
        if not entry.optimizer:
            outer = entry.keys[:-1]
            sizes[outer] = sizes.get(outer, 0) + entry.stored_bytes
    for name in KEYS:
        if (name,) in sizes and _is_named(content, (name,)):
            return (name,), None
    if () in sizes and not _nests(content):
        return (), None
    named = [keys for keys in sizes if keys and _is_named(content, keys)]
    best = max(named, key=lambda keys: sizes[keys], default=None)
    return best, None if best is None else ".".join(best)


def _nests(content: Any) -> bool:  # noqa: ANN401
    """Tell whether a dict holds others with tensors, or this is none at all."""
    if isinstance(content, nn.Module):
        return False
    return not isinstance(content, Mapping) or any(
        isinstance(value, nn.Module)
        or (isinstance(value, Mapping) and _holds_tensors(value))
        for value in content.values()
    )


def _holds_tensors(content: Mapping[Any, Any]) -> bool:
    return any(isinstance(value, Tensor) for value in content.values())


def _is_named(content: Any, keys: Keys) -> bool:  # noqa: ANN401
    """Tell whether --key reaches an entry: through dicts, by texts without dots."""
    for key in keys:
        if not isinstance(content, Mapping) or "." in key or key not in content:
            return False
        content = content[key]
    return isinstance(content, (Mapping, nn.Module))
