"""Networks in several files: which file of a folder to read, and what an index says.

An index is a JSON file beside its shards, as transformers and diffusers write it:
`{"metadata": {...}, "weight_map": {tensor: shard}}`. Only files beside the index are
opened. They may be links, as in the cache of huggingface_hub.
"""

import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from lilnetx_cli.errors import FileError, InputError
from lnx.binary.json_record import load_record
from lnx.errors import FormatError, printable, shown

ENDING = ".index.json"
# What a folder holds a network in, in the order in which transformers looks.
USUAL = tuple(
    name + ending
    for name in (
        "model.safetensors",
        "diffusion_pytorch_model.safetensors",
        "pytorch_model.bin",
        "model.pt",
    )
    for ending in ("", ENDING)
)
SUFFIXES = (".safetensors", ".bin", ".pt", ".pth")
MOST_INDEX_BYTES = 32_000_000  # about 300,000 tensors
MOST_NAMED = 3

Part = tuple[Mapping[str, Tensor], Mapping[str, str] | None]


@dataclass(frozen=True)
class Index:
    """What an index says.

    Attributes:
        path: of the index.
        shards: the files beside it, each once, and the tensors that each must hold.
    """

    path: Path
    shards: Mapping[Path, frozenset[str]]


def is_index(path: Path) -> bool:
    """Tell an index by its name, such as model.safetensors.index.json."""
    return path.name.endswith(ENDING)


def model_file(folder: Path) -> tuple[Path, list[str]]:
    """Return the file of a folder that holds its network, and what else could have.

    That may be an index. Raises InputError where there is no such file, or several of
    other names than the usual ones.
    """
    known = [folder / name for name in USUAL if (folder / name).is_file()]
    if known:
        return known[0], [path.name for path in known[1:]]
    others = sorted(path for path in folder.iterdir() if _may_hold(path))
    if len(others) == 1:
        return others[0], []
    if not others:
        raise InputError(
            f"folder {str(folder)!r} holds no network: there is neither an index"
            f" ({USUAL[1]}) nor a model file ({USUAL[0]})"
        )
    raise InputError(
        f"folder {str(folder)!r} holds {_names(p.name for p in others)}, but no index"
        f" ({USUAL[1]}) that says which belong together: name one file, or add the"
        " index"
    )


def _may_hold(path: Path) -> bool:
    return path.is_file() and (is_index(path) or path.suffix in SUFFIXES)


def read_index(path: Path) -> Index:
    """Read an index and look for its shards, of which none is opened.

    Raises FileError for what is not an index, or one that names a file in another
    folder, and InputError if shards are missing.
    """
    entries = _weight_map(path)
    suffix = Path(path.name.removesuffix(ENDING)).suffix
    shards: dict[Path, set[str]] = {}
    for name, shard in entries.items():
        if not isinstance(shard, str) or not _is_beside(shard):
            raise FileError(
                f"{str(path)!r} names {printable(str(shard))} as the shard of"
                f" {printable(name)}, expected a file in its own folder"
            )
        if not shard.endswith(suffix):
            raise FileError(
                f"{str(path)!r} names the shard {printable(shard)}, expected one that"
                f" ends in {suffix}"
            )
        shards.setdefault(path.with_name(shard), set()).add(name)
    _check_files(path, shards)
    return Index(path, {file: frozenset(names) for file, names in shards.items()})


def join(index: Index, parts: Sequence[Part]) -> tuple[dict[str, Tensor], Any]:
    """Return the tensors of all shards, and the metadata in which all shards agree.

    Raises FileError for a tensor that is missing from its shard, or in two shards.
    """
    state: dict[str, Tensor] = {}
    place: dict[str, str] = {}
    for (file, wanted), (tensors, _) in zip(index.shards.items(), parts, strict=True):
        missing = sorted(wanted - tensors.keys())
        if missing:
            raise FileError(
                f"{str(file)!r} has no tensor {_names(missing)}, which"
                f" {index.path.name!r} says it holds"
            )
        for name, tensor in tensors.items():
            if name in state:
                raise FileError(
                    f"{str(index.path)!r}: tensor {printable(name)} is in two shards,"
                    f" {printable(place[name])} and {printable(file.name)}"
                )
            state[name], place[name] = tensor, file.name
    return state, _agreed([metadata for _, metadata in parts])


def _weight_map(path: Path) -> dict[str, Any]:
    """Return the shard of each tensor, unchecked; raises FileError."""
    size = path.stat().st_size
    if size > MOST_INDEX_BYTES:
        raise FileError(
            f"{str(path)!r} takes {size:,} bytes, expected at most"
            f" {MOST_INDEX_BYTES:,} of an index"
        )
    try:
        content = load_record("index", path.read_bytes().decode())
    except (FormatError, UnicodeDecodeError) as error:
        reason = shown(str(error))
        raise FileError(f"{str(path)!r} is not a shard index: {reason}") from error
    entries = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(entries, dict) or not entries:
        raise FileError(
            f"{str(path)!r} is not a shard index: it has no 'weight_map' that names"
            " the shard of each tensor"
        )
    return entries


def _is_beside(name: str) -> bool:
    """Tell whether a name is that of a file, without a way to another folder."""
    return name not in ("", ".", "..") and not set(name) & set("/\\:\0")


def _check_files(path: Path, shards: Iterable[Path]) -> None:
    missing, files = [], list(shards)
    for file in files:
        try:
            mode = file.stat().st_mode
        except OSError:
            missing.append(file.name)
        else:
            if not stat.S_ISREG(mode):
                raise FileError(f"shard {str(file)!r} is not a regular file")
    if missing:
        raise InputError(
            f"{len(missing)} of {len(files)} shards of {str(path)!r} not found:"
            f" {_names(missing)}"
        )


def _agreed(records: Sequence[Mapping[str, str] | None]) -> dict[str, str] | None:
    """Return the entries that are the same in all records; None without any."""
    first = records[0] or {}
    same = {
        key: value
        for key, value in first.items()
        if all((record or {}).get(key) == value for record in records)
    }
    return same or None


def _names(names: Iterable[str]) -> str:
    """Return the first names and how many more there are."""
    quoted = [printable(name) for name in names]
    more = len(quoted) - MOST_NAMED
    text = ", ".join(quoted[:MOST_NAMED])
    return f"{text} and {more} more" if more > 0 else text
