"""Which tensors of a checkpoint are weights to quantize, and how others are kept."""

import numpy as np
from numpy.typing import NDArray

import lnx
from lilnetx_cli.quantization.gains import usual_size
from lnx import DType
from lnx.dtypes import ROUNDED_TO, widen
from lnx.tensors.container import elements

LEAST_WEIGHTS = 64  # elements; smaller tensors are not worth a search
LARGE_VECTOR = 4096  # elements; a parameter of any shape from here on is quantized
LARGEST = {DType.F32: 2.0**126, DType.F16: 2.0**14}  # of what is quantized
SMALLEST = 2.0**-110  # of the largest number: steps below it would leave float32
VAST = 2.0**20  # times the usual size: steps fine enough for the rest leave 32 bits
SAMPLE = 1 << 16  # elements that say about how large a tensor is
LEAST_TABLE = 8  # numbers in strict order from here on are a table, not learned


def is_weight(tensor: lnx.Exact) -> bool:
    """Tell whether a tensor is one that quantization is for.

    Floats of at most 64 bits, in two or more dimensions or very many; finite, and not
    all equal.
    """
    if tensor.dtype not in ROUNDED_TO:
        return False
    large = LARGE_VECTOR if len(tensor.shape) < 2 else LEAST_WEIGHTS
    if elements(tensor.shape) < large:
        return False
    values = floats_of(tensor)
    return not is_extreme(tensor) and bool((values != values[0]).any())


def is_extreme(tensor: lnx.Exact) -> bool:
    """Tell whether a float tensor holds NaN, infinity, or numbers out of range.

    Rounding could take those near the limit beyond that of the type, or of float32.
    Beside a vast one, or where all are tiny, no step is fine enough.
    """
    limit = LARGEST.get(tensor.dtype, LARGEST[DType.F32])
    values = np.abs(floats_of(tensor))
    largest = values.max(initial=0)
    if not largest <= limit:  # NaN compares false
        return True
    return 0 < largest < SMALLEST or _is_vast(float(largest), values)


def _is_vast(largest: float, values: NDArray[np.float32]) -> bool:
    """Tell whether a number is too large for a step that fits the others."""
    few = values[:: max(1, len(values) // SAMPLE)]
    if largest <= VAST * usual_size(few):
        return False
    return largest > VAST * usual_size(values)


def weight_names(container: lnx.Container) -> list[str]:
    """Return the names of the tensors that quantization is for."""
    return [
        tensor.name
        for tensor in container.tensors
        if isinstance(tensor, lnx.Exact) and is_weight(tensor)
    ]


def extreme_names(container: lnx.Container) -> tuple[str, ...]:
    """Return the names of weights that stay exact for the sake of single numbers."""
    return tuple(
        tensor.name
        for tensor in container.tensors
        if isinstance(tensor, lnx.Exact)
        and len(tensor.shape) > 1
        and tensor.dtype in ROUNDED_TO
        and is_extreme(tensor)
    )


def is_measured(tensor: lnx.Exact) -> bool:
    """Tell whether the SNR counts a tensor: finite floats in two or more dimensions."""
    wide = tensor.dtype in ROUNDED_TO and len(tensor.shape) > 1
    return wide and bool(np.isfinite(floats_of(tensor)).all())


def floats_of(tensor: lnx.Exact) -> NDArray[np.float32]:
    """Return the elements of a float tensor in float32, in C order; (n,)."""
    data = np.ascontiguousarray(tensor.data)
    if tensor.dtype is DType.F64:
        with np.errstate(over="ignore"):
            return data.view("<f8").astype(np.float32)
    if tensor.dtype is DType.F16:
        return data.view("<f2").astype(np.float32)
    return widen(data, tensor.dtype, DType.F32).view("<f4")


def round_side_tensor(tensor: lnx.Exact, bits: int) -> lnx.Exact:
    """Round a small float32 tensor to some mantissa bits; others come back as they are.

    Numbers in strict order, such as frequencies or positions, are a table that other
    numbers are multiplied with: they stay, as do NaN and infinity.
    """
    if tensor.dtype is not DType.F32 or not len(tensor.data):
        return tensor
    words = np.ascontiguousarray(tensor.data).view("<u4")
    values = words.view("<f4")
    if not np.isfinite(values).all() or _is_table(values):
        return tensor
    drop = np.uint32(23 - bits)
    half = (np.uint32(1) << (drop - np.uint32(1))) - np.uint32(1)
    odd = (words >> drop) & np.uint32(1)
    rounded = ((words + half + odd) >> drop) << drop
    if not np.isfinite(rounded.view("<f4")).all():
        return tensor
    return lnx.Exact(tensor.name, tensor.dtype, tensor.shape, rounded.view(np.uint8))


def _is_table(values: NDArray[np.float32]) -> bool:
    if len(values) < LEAST_TABLE:
        return False
    steps = np.diff(values)
    return bool((steps > 0).all() or (steps < 0).all())
