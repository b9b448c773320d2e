"""A network -> `.pt2`, which runs with torch alone."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from lilnetx_cli.errors import LilnetxError, reason_of
from lilnetx_cli.export.sizes import Written, write_checked
from lilnetx_cli.graph.tracing import quietly


def write_program(
    model: nn.Module, example: Tensor, path: Path, *, replace: bool = True
) -> Written:
    """Export a network in evaluation mode, run what was written, compare.

    Raises LilnetxError for a network that cannot be exported, or where the file gives
    something else, and FileExistsError for a file that is there where replace is False.
    """
    return write_checked(model, example, path, _save, replace=replace)


def _save(
    program: ExportedProgram, names: Mapping[int, str], path: Path
) -> Callable[[Tensor], object]:
    del names  # the program has its own
    with quietly():
        try:
            buffer = io.BytesIO()  # torch ends the process where a disk is full
            torch.export.save(program, buffer)
            with buffer.getbuffer() as data:
                path.write_bytes(data)
            buffer.close()
            with path.open("rb") as file:
                return torch.export.load(file).module()
        except OSError:
            raise
        except Exception as error:
            reason = reason_of(error)
            raise LilnetxError(
                f"the network cannot be exported by torch.export: {reason}"
            ) from error
