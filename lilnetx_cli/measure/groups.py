"""What the tensors of a checkpoint are for, by where they are and what they look like.

The largest files are often not large networks: an optimizer keeps two numbers beside
each weight, and a moving average is a second network.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from lilnetx_cli.checkpoint.entries import Entry, Keys
from lilnetx_cli.checkpoint.whole_file import MOST_REPEATS, WholeFile
from lilnetx_cli.measure.tensor_stats import TensorStats, measure_tensor

# In the order in which they are shown.
GROUPS = ("weights", "norms", "buffers", "latents", "copy", "optimizer", "other")
NETWORK = ("weights", "norms", "buffers")
AVERAGES = re.compile(r"(^|[._-])(ema|swa|averaged?|shadow|teacher)([._-]|$)")
STATISTICS = ("running_mean", "running_var")
LARGE_VECTOR = 4096  # elements, from which on `compress` takes a vector for a weight
ALIKE = 0.9  # of the tensors of an entry, which make it a copy of the network
OURS = ("latents", "decoders", "decoder_of")  # of a checkpoint of lilnetx train


@dataclass(frozen=True, eq=False)
class Measured:
    """One tensor of a file, what it is for, and what was measured of it.

    `stats` is None where an earlier tensor is the same memory, or it cannot be read.
    """

    entry: Entry
    group: str
    stats: TensorStats | None


def measure_file(
    whole: WholeFile, progress: Callable[[int], object] | None = None
) -> list[Measured]:
    """Look at all tensors of a file; `progress` is told how many are done."""
    copies = _copies(whole)
    found: list[Measured] = []
    for entry in whole.entries:
        if progress is not None:
            progress(len(found))
        # Views of what is stored already could make a small file much work.
        new = MOST_REPEATS * entry.stored_bytes >= entry.dense_bytes
        stats = measure_tensor(entry.tensor) if entry.dense and new else None
        found.append(Measured(entry, _group(entry, whole, copies), stats))
    return found


def _group(entry: Entry, whole: WholeFile, copies: set[Keys]) -> str:
    if entry.optimizer:
        return "optimizer"
    if entry.keys[:-1] == whole.network:
        return "copy" if AVERAGES.search(entry.keys[-1]) else _part(entry)
    if whole.kind == "lilnetx" and entry.keys[0] in OURS:
        return "latents"
    average = AVERAGES.search(".".join(entry.keys).lower())
    return "copy" if average or entry.keys[:-1] in copies else "other"


def _part(entry: Entry) -> str:
    tensor = entry.tensor
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return "buffers"
    if entry.keys[-1].endswith(STATISTICS):
        return "buffers"
    large = tensor.dim() > 1 or tensor.numel() >= LARGE_VECTOR
    return "weights" if large else "norms"


def _copies(whole: WholeFile) -> set[Keys]:
    """Return the entries that hold tensors of the same shapes as the network."""
    if whole.network is None:
        return set()
    shapes: dict[Keys, Counter[tuple[int, ...]]] = {}
    for entry in whole.entries:
        counts = shapes.setdefault(entry.keys[:-1], Counter())
        counts[_shape(entry.tensor)] += 1
    own = shapes[whole.network]
    return {
        keys
        for keys, counts in shapes.items()
        if keys != whole.network and (own & counts).total() >= ALIKE * own.total()
    }


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)
