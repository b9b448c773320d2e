"""What `compress` would make of a network, tensor by tensor, without coding it.

Of a large network every weight is represented by a part of its rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

import lnx
from lilnetx_cli.checkpoint import Checkpoint, pack
from lilnetx_cli.compression.dense import dense_container
from lilnetx_cli.compression.lossy import compress_container
from lilnetx_cli.compression.selection import floats_of, is_weight
from lilnetx_cli.compression.targets import DEFAULT_SNR, Target
from lilnetx_cli.quantization.cells import Floats
from lilnetx_cli.quantization.gains import gain_of, outlier_energy, usual_size
from lnx.coding.tables import PRICE_BITS
from lnx.tensors.container import elements
from lnx.write.plan import make_plan

SAMPLE_CELLS = 2_000_000  # weights; a larger network is judged by a part of its rows
LEAST_SAMPLED = 1 << 14  # elements; smaller tensors are taken whole
GOLDEN = 0.618033988749895  # whose multiples are spread evenly between 0 and 1
STEP_TRIES = 4  # the first is right where steps are small beside the weights


@dataclass(frozen=True)
class Expected:
    """The file that `compress` would write with its defaults.

    Attributes:
        file_bytes: the whole file, estimated.
        tensor_bytes: of each tensor, by its name; 0 for one that is tied to another.
        entropy_bits: a weight, of each tensor that is quantized: the entropy of the
            tensor rounded to multiples of a step. One step serves all, as in the file,
            and gives DEFAULT_SNR over all of them together.
        sampled: whether only a part of the rows was looked at.
        lossless: whether nothing is quantized, as in a network of lilnetx train.
        parameters: number of elements, tied ones counted once.
    """

    file_bytes: int
    tensor_bytes: Mapping[str, int]
    entropy_bits: Mapping[str, float]
    sampled: bool
    lossless: bool
    parameters: int

    @property
    def overhead_bytes(self) -> int:
        """What no tensor is charged with: header, names, tables, digests."""
        return self.file_bytes - sum(self.tensor_bytes.values())


def expect(checkpoint: Checkpoint) -> Expected:
    """Estimate a file; raises InputError for what cannot be packed."""
    container = pack(checkpoint)
    dense = dense_container(container)
    exact = {t.name: t for t in dense.tensors if isinstance(t, lnx.Exact)}
    strides = _strides(dense)
    parts = {n: _part(exact[n], stride) for n, stride in strides.items() if stride > 1}
    sample = replace(dense, tensors=tuple(parts.get(t.name, t) for t in dense.tensors))
    bits = entropy_bits(sample, list(strides))
    if checkpoint.latents:
        made, lossless, parts = container, True, {}
    else:
        lossy = compress_container(sample, Target(snr=DEFAULT_SNR))
        made, lossless = lossy.container, lossy.lossless
    sizes = _tensor_bytes(made)
    overhead = lnx.estimate(made).file - sum(sizes.values())
    for name in parts:
        sizes[name] *= _share(exact[name], strides[name])
    whole = {name: round(size) for name, size in sizes.items()}
    return Expected(
        file_bytes=round(overhead) + sum(whole.values()),
        tensor_bytes=whole,
        entropy_bits=bits,
        sampled=bool(parts),
        lossless=lossless,
        parameters=sum(elements(tensor.shape) for tensor in exact.values()),
    )


def entropy_bits(container: lnx.Container, names: list[str]) -> dict[str, float]:
    """Return bits a weight of tensors that are rounded to DEFAULT_SNR together.

    The entropy is that of the values which appear: of very few elements it is too low.
    """
    values = {name: _values(container, name) for name in names}
    if not values:
        return {}
    sizes = {name: usual_size(found) for name, found in values.items()}
    counts = [found.size for found in values.values()]
    together = float(
        np.sqrt(np.average(np.square(list(sizes.values())), weights=counts))
    )
    gains = {
        name: gain_of(values[name], size, together) for name, size in sizes.items()
    }
    # As the file does: one huge number does not make all others worthless.
    outliers = sum(outlier_energy(found, sizes[name]) for name, found in values.items())
    step = _step(values, gains, outliers)
    return {name: _entropy(found, step / gains[name]) for name, found in values.items()}


def _step(
    values: Mapping[str, Floats], gains: Mapping[str, float], outliers: float
) -> float:
    """Return the step of DEFAULT_SNR; the error of a fine one is step squared / 12."""
    signal = sum(_squares(found) for found in values.values()) - outliers
    if signal <= 0:
        return 1.0
    allowed = signal / 10 ** (DEFAULT_SNR / 10)
    finer = sum(found.size / gains[name] ** 2 for name, found in values.items())
    step = float(np.sqrt(12 * allowed / finer))
    for _ in range(STEP_TRIES):
        error = 0.0
        for name, found in values.items():
            own = np.float64(step / gains[name])  # too small for float32, perhaps
            error += _squares(found - np.rint(found / own) * own)
        if not error:
            break
        step *= float(np.sqrt(allowed / error))
    return step


def _entropy(values: Floats, step: float) -> float:
    _, counts = np.unique(np.rint(values / np.float64(step)), return_counts=True)
    shares = counts / counts.sum()
    return float(-(shares * np.log2(shares)).sum()) + 0.0


def _squares(values: Floats | NDArray[np.float64]) -> float:
    return float(np.square(values, dtype=np.float64).sum())


def _values(container: lnx.Container, name: str) -> Floats:
    tensor = container[name]
    if not isinstance(tensor, lnx.Exact):
        raise TypeError(name)
    return floats_of(tensor)


def _strides(container: lnx.Container) -> dict[str, int]:
    """Return in how many rows of each weight there is one that is looked at."""
    exact = [t for t in container.tensors if isinstance(t, lnx.Exact)]
    weights = [t for t in exact if is_weight(t)]
    stride = -(-sum(elements(t.shape) for t in weights) // SAMPLE_CELLS)
    return {
        t.name: stride if elements(t.shape) >= LEAST_SAMPLED else 1 for t in weights
    }


def _share(tensor: lnx.Exact, stride: int) -> float:
    """Return how many times larger a tensor is than the part that is looked at."""
    rows = tensor.shape[0]
    return rows / len(_rows(rows, stride))


def _part(tensor: lnx.Exact, stride: int) -> lnx.Exact:
    rows = tensor.shape[0]
    data = np.ascontiguousarray(tensor.data).reshape(rows, -1)[_rows(rows, stride)]
    return replace(tensor, shape=(len(data), *tensor.shape[1:]), data=data.reshape(-1))


def _rows(rows: int, stride: int) -> NDArray[np.int64]:
    """Return which rows are looked at: spread evenly, and yet in no period.

    Pruned channels, or parts of an attention layer, do have periods.
    """
    count = -(-rows // stride)
    number = np.arange(count)
    places = (number + number * GOLDEN % 1) * (rows / count)
    return np.minimum(places.astype(np.int64), rows - 1)


def _tensor_bytes(container: lnx.Container) -> dict[str, float]:
    """Return what each tensor takes in all sections of a file."""
    found = {tensor.name: 0.0 for tensor in container.tensors}
    for section in make_plan(container).sections:
        for layout, price in zip(section.layouts, section.prices, strict=True):
            found[layout.name] += price / (8 << PRICE_BITS)
    return found
