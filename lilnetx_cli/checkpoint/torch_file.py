"""A file of torch.save -> what it holds; no code of the file runs."""

import errno
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from lilnetx_cli.checkpoint.file_kinds import is_zip_start, kind_of, program_kind
from lilnetx_cli.errors import FileError, reason_of
from lnx.errors import printable

TRUST = (
    "which could run code: save its state dict instead, torch.save(model.state_dict(),"
    " ...), or, if you trust it, use --unsafe-pickle (compress, inspect)"
)


def load_torch(path: Path, *, unsafe_pickle: bool = False) -> Any:  # noqa: ANN401
    """Read a file of torch.save; raises FileError for anything else.

    No code of the file runs, unless unsafe_pickle allows it.
    """
    safe = not unsafe_pickle
    wanted = _unsafe_globals(path) if safe else []
    if wanted:
        raise FileError(f"{str(path)!r} needs {printable(wanted[0])} to load, {TRUST}")
    try:
        with warnings.catch_warnings():  # torch's, of files that then fail to load
            warnings.simplefilter("ignore")
            return _load(path, safe)
    except Exception as error:
        if _is_of_system(error):
            raise
        raise FileError(f"{str(path)!r} {_refusal(path, error)}") from error


def _load(path: Path, safe: bool) -> Any:  # noqa: ANN401
    try:
        return torch.load(path, "cpu", weights_only=safe, mmap=True)
    except RuntimeError:  # files older than the zip format cannot be mapped
        return torch.load(path, "cpu", weights_only=safe)


def _is_of_system(error: Exception) -> bool:
    """Tell a file that cannot be read from one that holds nonsense.

    torch gives the end of a file that was cut short as a negative place to read at.
    """
    return isinstance(error, OSError) and error.errno != errno.EINVAL


def _unsafe_globals(path: Path) -> list[str]:
    """Return what a pickle would call, of itself and not from torch's message.

    Nothing is found in a file that is older than the zip format.
    """
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception as error:
        if _is_of_system(error):
            raise
        return []  # of a damaged file, which fails to load then


def _refusal(path: Path, error: Exception) -> str:
    """Say what a file is instead of a checkpoint that can be loaded."""
    kind = kind_of(path) or program_kind(path)
    if kind is not None:
        wanted = ".lnx file" if path.suffix == ".lnx" else "PyTorch checkpoint"
        return f"is not a {wanted} but {kind}"
    if is_zip_start(path) and not zipfile.is_zipfile(path):
        return "is a truncated or damaged PyTorch checkpoint: download or copy it again"
    if isinstance(error, pickle.UnpicklingError) and not zipfile.is_zipfile(path):
        return (
            "is not a PyTorch checkpoint, a damaged one, or needs code to load,"
            f" {TRUST}"
        )
    if isinstance(error, ModuleNotFoundError | AttributeError):
        return (
            f"needs code that is not there: {reason_of(error)}; run with PYTHONPATH"
            " naming the folder of that module, or save the state dict of the network"
        )
    return f"is not a PyTorch checkpoint, or a damaged one: {reason_of(error)}"
