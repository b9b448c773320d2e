"""Weights that stay as they are, since nothing is known of the layers they are in."""

import warnings
from collections import Counter

from torch import nn

from lilnetx_cli.nn.targets import Chosen, Target, find_targets

MANY = 0.1  # times the weights with latents
NAMED = 3  # types in a message


class PlainWeightsWarning(UserWarning):
    """Many weights of a network get no latents, so that files stay large."""


def warn_of_plain_weights(
    model: nn.Module, targets: list[Target], exclude: Chosen
) -> None:
    """Warn, in one line, where many weights beside `targets` could have latents.

    Those that are excluded or frozen, and embeddings, are meant to stay.
    """
    taken = {id(target.weight): target.weight.numel() for target in targets}
    others: Counter[str] = Counter()
    for other in find_targets(model, exclude, [nn.Module])[0]:
        meant = isinstance(other.module, nn.Embedding | nn.EmbeddingBag)
        meant = meant or not other.weight.requires_grad
        if id(other.weight) not in taken and not meant:
            others[type(other.module).__name__] += other.weight.numel()
    if others.total() <= MANY * sum(taken.values()):
        return
    names = ", ".join(name for name, _ in others.most_common(NAMED))
    warnings.warn(
        f"{others.total():,} weights get no latents and stay large, since their layers"
        f" ({names}) are of no known type: name the weights, or in Python the types, in"
        " include",
        PlainWeightsWarning,
        stacklevel=4,
    )
