"""A network -> `.onnx`, for batches of any size, run once in onnxruntime."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import lnx
from lilnetx_cli.errors import LilnetxError
from lilnetx_cli.export.checking import check_same
from lilnetx_cli.graph.tracing import quietly


@torch.no_grad()
def write_onnx(model: nn.Module, example: Tensor, path: Path) -> int:
    """Export a network in evaluation mode, run what was written, compare.

    Returns the length of the file in bytes. Raises LilnetxError for a network that
    cannot be exported, or where the file gives something else.
    """
    with lnx.atomic_path(path) as temporary:
        _export(model, example, temporary)
        runner = open_onnx(temporary)
        check_same(model, lambda x: torch.from_numpy(runner(x.numpy())), example, path)
        return temporary.stat().st_size


def open_onnx(path: Path, threads: int | None = None) -> Callable[[Any], Any]:
    """Return a function from an array to the first output, computed by onnxruntime.

    Raises LilnetxError where onnxruntime is missing.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise LilnetxError(
            "onnxruntime is not installed: pip install lilnetx[onnx]"
        ) from error
    options = onnxruntime.SessionOptions()
    if threads is not None:
        options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return lambda array: session.run(None, {name: array})[0]


def _export(model: nn.Module, example: Tensor, path: Path) -> None:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise LilnetxError(
            f"{error.name} is not installed: pip install lilnetx[onnx]"
        ) from error
    batch = torch.export.Dim("batch", min=1)
    with quietly():
        try:
            program = torch.onnx.export(
                model,
                (example,),
                dynamo=True,
                dynamic_shapes=({0: batch},),
                input_names=["input"],
                output_names=["output"],
                verbose=False,
            )
            if program is None:
                raise LilnetxError("torch.onnx gave no program")
            program.save(str(path), external_data=False)
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            raise LilnetxError(
                f"the network cannot be exported to ONNX: {reason}"
            ) from error
