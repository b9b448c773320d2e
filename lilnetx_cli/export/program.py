"""A network -> `.pt2`, which runs with torch alone, for batches of any size."""

import io
from pathlib import Path

import torch
from torch import Tensor, nn

import lnx
from lilnetx_cli.errors import LilnetxError
from lilnetx_cli.export.checking import check_same
from lilnetx_cli.graph.tracing import quietly


@torch.no_grad()
def write_program(model: nn.Module, example: Tensor, path: Path) -> int:
    """Export a network in evaluation mode, run what was written, compare.

    Returns the length of the file in bytes. Raises LilnetxError for a network that
    cannot be exported, or where the file gives something else.
    """
    batch = torch.export.Dim("batch", min=1)
    with quietly():
        try:
            program = torch.export.export(
                model, (example,), dynamic_shapes=({0: batch},), strict=False
            )
            buffer = io.BytesIO()
            torch.export.save(program, buffer)
            buffer.seek(0)
            loaded = torch.export.load(buffer).module()
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            raise LilnetxError(
                f"the network cannot be exported by torch.export: {reason}"
            ) from error
        check_same(model, loaded, example, path)
    data = buffer.getvalue()
    lnx.write_atomic(data, path)
    return len(data)
