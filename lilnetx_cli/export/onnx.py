"""A network -> `.onnx`, run once in onnxruntime."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from lilnetx_cli.errors import LilnetxError, reason_of
from lilnetx_cli.export.sizes import Written, write_checked
from lilnetx_cli.graph.tracing import quietly

ONNX_PACKAGES = "pip install onnx onnxruntime onnxscript"


def write_onnx(
    model: nn.Module, example: Tensor, path: Path, *, replace: bool = True
) -> Written:
    """Export a network in evaluation mode, run what was written, compare.

    Raises LilnetxError for a network that cannot be exported, or where the file gives
    something else, and where onnx, onnxscript or onnxruntime is missing; and
    FileExistsError for a file that is there where replace is False.
    """
    _need_onnx()
    return write_checked(model, example, path, _save, replace=replace)


def open_onnx(path: Path, threads: int | None = None) -> Callable[[Any], Any]:
    """Return a function from an array to the first output, computed by onnxruntime.

    Raises LilnetxError where onnxruntime is missing.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise LilnetxError(f"onnxruntime is not installed: {ONNX_PACKAGES}") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # failures are raised, and need not be printed, too
    if threads is not None:
        options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return lambda array: session.run(None, {name: array})[0]


def _need_onnx() -> None:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise LilnetxError(f"{error.name} is not installed: {ONNX_PACKAGES}") from error


def _save(
    program: ExportedProgram, names: Mapping[int, str], path: Path
) -> Callable[[Tensor], object]:
    with quietly():
        try:
            translated = torch.onnx.export(
                program,
                dynamo=True,
                dynamic_shapes=(dict(names),),
                input_names=["input"],
                output_names=["output"],
                verbose=False,
            )
            if translated is None:
                raise LilnetxError("torch.onnx gave no program")
            translated.save(str(path), external_data=False)
        except OSError:
            raise
        except Exception as error:
            reason = reason_of(error)
            raise LilnetxError(
                f"the network cannot be exported to ONNX: {reason}"
            ) from error
    run = open_onnx(path)
    return lambda images: torch.from_numpy(run(images.numpy()))
