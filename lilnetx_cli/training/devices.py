"""What a run computes on: its device, its precision, the processes that share it."""

import os
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import MethodType
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from lilnetx_cli.config import Precision, TrainConfig
from lilnetx_cli.errors import UsageError, reason_of
from lilnetx_cli.nn.batch_norm import running_statistics
from lilnetx_cli.processes import processes_of
from lilnetx_cli.training.compiling import compiled

# Where launchers say how many processes they started: torchrun, accelerate, MPI.
COUNTS = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
# What accelerate may be told to share a run by that a run can do: whole copies.
COPIES = ("NO", "MULTI_CPU", "MULTI_GPU")
# Where torch's synchronized batch norm has the processes that it hears.
GROUP = "process_group"
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
    started = launched()
    # Several processes share work on CUDA or on CPUs, on nothing else.
    together_on_cpu = settings.device == "auto" and started > 1 and not cuda
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
        if started == 1:
            raise
        reason = reason_of(error)
        raise UsageError(
            f"one of {started} processes cannot join the others: {reason}"
        ) from error
    if accelerator.num_processes < started:
        raise UsageError(
            f"one of {started} processes would train alone: start them with torchrun"
            " or accelerate launch, with --device cuda or --device cpu"
        )
    kind = DistributedType(accelerator.distributed_type).value
    if kind not in COPIES:
        raise UsageError(
            f"accelerate is set to use {kind}, but every process of a run needs the"
            " whole network: launch without it"
        )
    return accelerator


def launched() -> int:
    """Return how many processes a launcher says that it started; 1 without one."""
    counts = [os.environ.get(name, "") for name in COUNTS]
    return max(int(count) if count.isdecimal() else 1 for count in counts)


def leave() -> None:
    """Say to the other processes that all is done."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def autocast(accelerator: Any, precision: Precision) -> AbstractContextManager[Any]:  # noqa: ANN401
    """Return the context in which the network computes in the precision of a run."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(accelerator.device.type, HALVES[precision])


def share_norms(model: nn.Module, accelerator: Any) -> None:  # noqa: ANN401
    """Let batch norms see the images of all processes, on CUDA, in place.

    They do what torch's SyncBatchNorm does, but keep their class, by which gates and
    the rules of pruning know them. On CPUs torch cannot: there a run averages the
    running statistics after each step.
    """
    if accelerator.num_processes == 1 or accelerator.device.type != "cuda":
        return
    synced = nn.SyncBatchNorm
    for norm in model.modules():
        if isinstance(norm, _BatchNorm):
            setattr(norm, GROUP, None)
            for method in (synced.forward, synced._check_non_zero_input_channels):
                setattr(norm, method.__name__, MethodType(method, norm))


@contextmanager
def quiet_copies() -> Iterator[None]:
    """Leave out what torch says of gradients of kernels with a single channel.

    Their strides mean nothing, and the gradients are right.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view")
        yield


@contextmanager
def own_norms(model: nn.Module) -> Iterator[None]:
    """Let batch norms see the images of this process alone for a while."""
    norms = [module for module in model.modules() if hasattr(module, GROUP)]
    alone = dist.new_subgroups(1)[0] if norms else None
    for norm in norms:
        setattr(norm, GROUP, alone)
    try:
        yield
    finally:
        for norm in norms:
            setattr(norm, GROUP, None)


def apart_statistics(model: nn.Module) -> list[Tensor]:
    """Return the running statistics that differ between processes, themselves."""
    if any(hasattr(module, GROUP) for module in model.modules()):
        return []
    return running_statistics(model)


def other_buffers(model: nn.Module) -> list[Tensor]:
    """Return the buffers that a run does not average: the first process's hold."""
    averaged = {id(tensor) for tensor in apart_statistics(model)}
    return [tensor for tensor in model.buffers() if id(tensor) not in averaged]


def wrap(model: nn.Module, accelerator: Any, *, compile_it: bool) -> Any:  # noqa: ANN401
    """Return what the steps call: the network, shared with other processes, compiled.

    The network itself is left as it is, for whatever is measured or shipped.
    """
    forward: Any = model
    if accelerator.num_processes > 1:
        forward = _in_copies(model, accelerator)
    return compiled(forward, accelerator.device) if compile_it else forward


def _in_copies(model: nn.Module, accelerator: Any) -> nn.Module:  # noqa: ANN401
    """Return a network whose gradients are averaged over the processes."""
    # Before each step it sends the buffers of the first process, but for these.
    averaged = {id(tensor) for tensor in apart_statistics(model)}
    names = [name for name, tensor in model.named_buffers() if id(tensor) in averaged]
    # What torch's own method for it sets.
    model._ddp_params_and_buffers_to_ignore = names  # type: ignore[assignment]
    on_cuda = accelerator.device.type == "cuda"
    places = [accelerator.local_process_index] if on_cuda else None
    with processes_of(accelerator).together():
        return DistributedDataParallel(model, device_ids=places)
