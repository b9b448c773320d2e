"""Round what is not a latent: norms, biases, and the decoders."""

import copy
import math
from collections.abc import Callable, Collection
from typing import TypeVar

import torch
from torch import Tensor, nn

from lilnetx_cli.nn.latents import latent_groups

ModuleT = TypeVar("ModuleT", bound=nn.Module)

MANTISSA_BITS = (3, 4, 5, 6, 7, 8, 9, 10)  # the last is that of float16
SHORT_TOLERANCE = 2.0**-10  # of float16 in its normal range
MOST_MULTIPLE = 127
BYTE_TOLERANCE = 2.0**-7  # of multiples of one step that fit a signed byte


def with_short_decoders(model: ModuleT) -> ModuleT:
    """Return a copy whose decoders are of few bytes where that loses little."""
    model = copy.deepcopy(model)
    for group in latent_groups(model).values():
        decoder = group.decoder.detach()
        for short, tolerance in (
            (_bytes(decoder), BYTE_TOLERANCE),
            (decoder.half().to(decoder.dtype), SHORT_TOLERANCE),
        ):
            if float((short - decoder).norm()) <= tolerance * float(decoder.norm()):
                group.set_decoder(short)
                break
    return model


def _bytes(decoder: Tensor) -> Tensor:
    """Return the nearest multiples of a step that fit a signed byte; float32.

    A single number stays. The step has 16 bits, so that multiples are exact.
    """
    if decoder.numel() == 1:
        return decoder.half().to(decoder.dtype)
    step = (decoder.abs().max() / MOST_MULTIPLE).bfloat16().to(decoder.dtype)
    multiples = (decoder / step).round().clamp(-MOST_MULTIPLE, MOST_MULTIPLE)
    return multiples * step + 0.0  # zeros have no sign


def side_parameters(
    model: nn.Module, without: Collection[str] = ()
) -> list[nn.Parameter]:
    """Return the small float parameters: norms' scale and shift, and biases.

    Those whose names are in `without` are none of them.
    """
    return [
        p
        for name, p in model.named_parameters()
        if p.dim() <= 1 and p.is_floating_point() and name not in without
    ]


@torch.no_grad()
def round_side(
    model: nn.Module,
    outputs: Callable[[nn.Module], Tensor | None],
    tolerance: float,
    *,
    without: Collection[str] = (),
) -> int:
    """Round norms and biases to the fewest mantissa bits that keep the outputs.

    `outputs` runs the network on some images; it returns None where the result is not
    one tensor. The RMS change of the outputs, relative to their RMS, stays within
    tolerance. Returns the number of mantissa bits. Values become float16 values. What
    is named in `without` stays.
    """
    parameters = side_parameters(model, without)
    kept = [p.detach().clone() for p in parameters]
    wanted = outputs(model)
    for bits in MANTISSA_BITS:
        for parameter, value in zip(parameters, kept, strict=True):
            parameter.copy_(round_mantissa(value, bits))
        last = bits == MANTISSA_BITS[-1]
        if last or relative_change(outputs(model), wanted) <= tolerance:
            return bits
    return MANTISSA_BITS[-1]


def round_mantissa(values: Tensor, bits: int) -> Tensor:
    """Round to a number of bits after the leading one, within the range of float16.

    Values below the normal range of float16 keep fewer bits; those beyond its limit
    stay as they are.
    """
    mantissa, exponent = torch.frexp(values.double())
    rounded = torch.round(mantissa * 2 ** (bits + 1)) * 2.0 ** (-bits - 1)
    short = torch.ldexp(rounded, exponent).to(values.dtype)
    half = short.half().to(values.dtype)
    return torch.where(half.isfinite(), half, values)


def relative_change(new: Tensor | None, wanted: Tensor | None) -> float:
    """Return the RMS change of outputs over their RMS; infinite without outputs."""
    if new is None or wanted is None:
        return math.inf
    change = float((new.double() - wanted.double()).square().mean().sqrt())
    size = float(wanted.double().square().mean().sqrt())
    return change / size if size else (math.inf if change else 0.0)
