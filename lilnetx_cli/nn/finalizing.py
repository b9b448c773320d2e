"""Turn a trained network into the one that ships: folded, rounded, decoded exactly."""

import copy
from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lilnetx_cli.nn.latents import latent_groups

ModuleT = TypeVar("ModuleT", bound=nn.Module)

MANTISSA_BITS = (3, 4, 5, 6, 7, 8, 9, 10)  # the last is that of float16
SHORT_TOLERANCE = 2.0**-10  # of float16 in its normal range


@torch.no_grad()
def calibrate_batch_norms(model: nn.Module, images: Iterable[Tensor]) -> None:
    """Measure the running statistics of all batch norms anew, as plain averages.

    Weights moved while the old averages were taken, and rounding moved them more.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    norms = [m for m in norms if m.track_running_stats]
    if not norms:
        return
    was_training = model.training
    momenta = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    for batch in images:
        model(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.train(was_training)


def with_short_decoders(model: ModuleT) -> ModuleT:
    """Return a copy whose decoders are float16 values where that loses little."""
    model = copy.deepcopy(model)
    for group in latent_groups(model).values():
        decoder = group.decoder.data
        short = decoder.half().to(decoder.dtype)
        if float((short - decoder).norm()) <= SHORT_TOLERANCE * float(decoder.norm()):
            group.decoder.data = short
    return model


@torch.no_grad()
def fold_batch_norms(model: nn.Module) -> None:
    """Put running statistics and eps of batch norms into scale and shift, in place.

    Afterwards mean is 0 and variance 1, and the outputs in evaluation mode are those
    of before, up to float32 rounding. A channel that was always zero gets scale 0.
    """
    for norm in model.modules():
        if isinstance(norm, _BatchNorm) and norm.affine and norm.track_running_stats:
            _fold(norm)


def _fold(norm: _BatchNorm) -> None:
    if norm.running_mean is None or norm.running_var is None:
        return
    mean, variance = norm.running_mean.double(), norm.running_var.double()
    scale = norm.weight.double() / torch.sqrt(variance + norm.eps)
    scale = torch.where((variance == 0) & (mean == 0), 0.0, scale)
    shift = norm.bias.double() - mean * scale
    norm.weight.copy_(scale * (1 + norm.eps) ** 0.5)
    norm.bias.copy_(shift)
    norm.reset_running_stats()


def side_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Return the small float parameters: norms' scale and shift, and biases."""
    return [p for p in model.parameters() if p.dim() <= 1 and p.is_floating_point()]


@torch.no_grad()
def round_side(
    model: nn.Module, outputs: Callable[[nn.Module], Tensor | None], tolerance: float
) -> int:
    """Round norms and biases to the fewest mantissa bits that keep the outputs.

    `outputs` runs the network on some images, or gives None where it has no single
    tensor; the RMS change of what it returns, relative to its RMS, stays within
    tolerance. Returns the number of mantissa bits; values become float16 values.
    """
    parameters = side_parameters(model)
    kept = [p.detach().clone() for p in parameters]
    wanted = outputs(model)
    for bits in MANTISSA_BITS:
        for parameter, value in zip(parameters, kept, strict=True):
            parameter.copy_(round_mantissa(value, bits))
        last = bits == MANTISSA_BITS[-1]
        if last or _close(outputs(model), wanted, tolerance):
            return bits
    return MANTISSA_BITS[-1]


@torch.no_grad()
def round_side_to(model: nn.Module, bits: int) -> None:
    """Round norms and biases to so many mantissa bits."""
    for parameter in side_parameters(model):
        parameter.copy_(round_mantissa(parameter, bits))


def round_mantissa(values: Tensor, bits: int) -> Tensor:
    """Round to so many bits after the leading one, within the range of float16.

    Values below float16's normal range keep fewer bits, beyond its limit they stay.
    """
    mantissa, exponent = torch.frexp(values.double())
    rounded = torch.round(mantissa * 2 ** (bits + 1)) * 2.0 ** (-bits - 1)
    short = torch.ldexp(rounded, exponent).to(values.dtype)
    half = short.half().to(values.dtype)
    return torch.where(half.isfinite(), half, values)


def _close(new: Tensor | None, wanted: Tensor | None, tolerance: float) -> bool:
    if new is None or wanted is None:
        return False
    change = (new.double() - wanted.double()).square().mean().sqrt()
    size = wanted.double().square().mean().sqrt()
    return bool(change <= tolerance * size)
