"""What a run computes on: its device, its precision, the processes that share it."""

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from lilnetx_cli.config import Precision, TrainConfig
from lilnetx_cli.errors import UsageError, reason_of
from lilnetx_cli.training.compiling import compiled

# Where launchers say how many processes they started: torchrun, accelerate, MPI.
COUNTS = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def open_accelerator(settings: TrainConfig) -> Any:  # noqa: ANN401
    """Return accelerate's view of the device and the processes of a run.

    Processes that a launcher started train together, on CPUs where there is no CUDA.
    Raises UsageError for a device or a precision that is not there, and where a process
    cannot join the others.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    have = {"auto": True, "cpu": True, "cuda": cuda, "mps": mps}
    if not have[settings.device]:
        raise UsageError(f"--device {settings.device}: no such device is available")
    launched = _launched()
    # Several processes share work on CUDA or on CPUs, on nothing else.
    together_on_cpu = settings.device == "auto" and launched > 1 and not cuda
    on_cpu = settings.device == "cpu" or together_on_cpu
    if settings.precision == "fp16" and (on_cpu or not (cuda or mps)):
        raise UsageError("--precision fp16 needs a GPU: use bf16 or fp32")
    # An earlier run in this process may have set other values.
    AcceleratorState._reset_state(reset_partial_state=True)
    try:
        accelerator = Accelerator(
            cpu=on_cpu,
            # It scales the loss in fp16; the steps have torch's own autocast.
            mixed_precision="fp16" if settings.precision == "fp16" else "no",
            gradient_accumulation_steps=settings.accumulate,
        )
    except (ValueError, RuntimeError) as error:
        AcceleratorState._reset_state(reset_partial_state=True)
        if launched == 1:
            raise
        reason = reason_of(error)
        raise UsageError(
            f"one of {launched} processes cannot join the others: {reason}"
        ) from error
    if accelerator.num_processes < launched:
        raise UsageError(
            f"one of {launched} processes would train alone: start them with torchrun"
            " or accelerate launch, with --device cuda or --device cpu"
        )
    return accelerator


def _launched() -> int:
    """Return how many processes a launcher says that it started; 1 without one."""
    counts = [os.environ.get(name, "") for name in COUNTS]
    return max(int(count) if count.isdecimal() else 1 for count in counts)


def autocast(accelerator: Any, precision: Precision) -> AbstractContextManager[Any]:  # noqa: ANN401
    """Return the context in which the network computes in the precision of a run."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(accelerator.device.type, HALVES[precision])


def wrap(model: nn.Module, accelerator: Any, *, compile_it: bool) -> Any:  # noqa: ANN401
    """Return what the steps call: the network, shared with other processes, compiled.

    The network itself is left as it is, for whatever is measured or shipped.
    """
    forward: Any = model
    if accelerator.num_processes > 1:
        on_cuda = accelerator.device.type == "cuda"
        places = [accelerator.local_process_index] if on_cuda else None
        forward = DistributedDataParallel(model, device_ids=places)
    return compiled(forward, accelerator.device) if compile_it else forward
