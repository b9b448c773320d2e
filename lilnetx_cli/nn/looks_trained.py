"""Tell a trained network from one whose weights were only drawn."""

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

DEVIATIONS = 6.0  # of chance, which drawn weights do not reach


def looks_trained(model: nn.Module) -> bool:
    """Tell whether a plain network shows traces of training.

    These are norms whose scales or shifts differ among themselves, and rows of unequal
    size in most weights. Brief training of a network without norms leaves no trace.
    """
    if any(_differ(vector) for vector in _norm_vectors(model)):
        return True
    floats = (p.detach() for p in model.parameters() if p.is_floating_point())
    weights = [p for p in floats if p.dim() > 1]
    unequal = sum(w.numel() for w in weights if _rows_are_unequal(w))
    return unequal > sum(w.numel() for w in weights) / 2


def _norm_vectors(model: nn.Module) -> Iterator[Tensor]:
    for module in model.modules():
        if isinstance(module, _NormBase | nn.LayerNorm | nn.GroupNorm):
            for parameter in module.parameters(recurse=False):
                yield parameter.detach()


def _differ(vector: Tensor) -> bool:
    return bool((vector != vector.reshape(-1)[:1]).any())


def _rows_are_unequal(weight: Tensor) -> bool:
    """Tell whether the energies of rows differ more than those of drawn rows would.

    The mean square of n independent values with kurtosis k has the relative variance
    (k - 1) / n; over r rows, chance moves what is measured of it by sqrt(2 / (r - 1)).
    """
    rows = weight.double().flatten(1)  # (r, n)
    mean = rows.square().mean()
    if rows.shape[0] < 2 or not bool(mean > 0):
        return False
    by_chance = (rows.pow(4).mean() / mean**2 - 1) / rows.shape[1]
    found = (rows.square().mean(1) / mean).var()
    limit = 1 + DEVIATIONS * (2 / (rows.shape[0] - 1)) ** 0.5
    return bool(found > limit * by_chance)
