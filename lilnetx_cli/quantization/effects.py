"""How far the outputs of a network change where its side values do.

Legend: N examples, M numbers that are seen of the outputs of each, P side values.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils import _pytree as pytree

from lilnetx_cli.calls import Call
from lilnetx_cli.quantization.outputs import change_of, float_tensors, outputs_of

EXAMPLES = 64  # that J is computed on
AT_ONCE = 8  # of them, for the sake of memory
SEEN = 16  # numbers of the outputs of an example; of more, as many random sums
NUDGE = 2.0**-5  # of the size of a tensor, by which it is moved to see what changes


@torch.no_grad()  # of all else; jacrev computes its own derivatives
def joint_effects(
    model: nn.Module, chosen: Mapping[str, Tensor], calls: Sequence[Call]
) -> Tensor | None:
    """Return J, (N * M, P); None for a network that it cannot be computed of.

    Rows are scaled so that the square of J d is the mean square change of the outputs.
    Computed is J of networks that return one float tensor, on the first call.
    """
    leaves, form = pytree.tree_flatten((calls[0].args, dict(calls[0].kwargs)))
    count = min(EXAMPLES, calls[0].size)
    batched = [_is_batch(leaf, calls[0].size) for leaf in leaves]
    places = [0 if is_batch else None for is_batch in batched]
    few = [x[:count] if y else x for x, y in zip(leaves, batched, strict=True)]

    def seen(values: dict[str, Tensor], *own: Any) -> Tensor:  # noqa: ANN401
        example = [x[None] if y else x for x, y in zip(own, batched, strict=True)]
        args, kwargs = pytree.tree_unflatten(example, form)
        (found,) = float_tensors(functional_call(model, values, args, kwargs))
        flat = found.flatten() / math.sqrt(found.numel() * count)
        return flat if len(flat) <= SEEN else flat @ _signs(len(flat)).to(flat)  # (M,)

    per_example = vmap(jacrev(seen), in_dims=(None, *places), chunk_size=AT_ONCE)
    values = {name: p.detach() for name, p in chosen.items()}
    try:
        with sdpa_kernel(SDPBackend.MATH):  # other kernels know no vmap, and warn
            parts = per_example(values, *few)
    except Exception:  # it runs, but is not a function that torch can derive like this
        return None
    found = [part.flatten(0, 1).flatten(1) for part in parts.values()]  # (N * M, ...)
    effects = torch.cat([p.reshape(len(p), -1) for p in found], 1).double()
    return effects if bool(effects.isfinite().all()) else None


@torch.no_grad()
def single_effect(
    model: nn.Module, value: Tensor, calls: Sequence[Call], wanted: Sequence[Tensor]
) -> float:
    """Return how far the outputs move where one number of a tensor moves by 1.

    That is a mean over its numbers, found by moving all of them a little at random.
    The change is relative to the outputs, `wanted`.
    """
    kept, generator = value.detach().clone(), torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, value.shape, generator=generator) * 2.0 - 1.0
    size = NUDGE * float(kept.double().square().mean().sqrt())
    value.add_(size * signs.to(value))
    change = change_of(outputs_of(model, calls), wanted)
    value.copy_(kept)
    return change / (size * math.sqrt(value.numel()))


def _is_batch(leaf: object, size: int) -> bool:
    return isinstance(leaf, Tensor) and leaf.dim() > 0 and len(leaf) == size


def _signs(count: int) -> Tensor:
    """Return random signs over the root of SEEN, (count, SEEN): the same every time."""
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, (count, SEEN), generator=generator) * 2.0 - 1.0
    return signs / math.sqrt(SEEN)
