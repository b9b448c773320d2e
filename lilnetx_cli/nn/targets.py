"""Which weights of a network can become latents, and which of them are tied."""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize

Chosen = Iterable[str | type[nn.Module]]  # by name or by type


@dataclass(frozen=True, eq=False)
class Target:
    """One weight of a module.

    Attributes:
        name: of the tensor in the module.
        order: names of all parameters of the module, in its own order.
    """

    module: nn.Module
    name: str
    order: tuple[str, ...]

    @property
    def weight(self) -> Tensor:
        """The weight itself."""
        return cast("Tensor", getattr(self.module, self.name))

    @property
    def kernel(self) -> tuple[int, ...]:
        """The shape of a slice: the kernel of a convolution, () for one value."""
        is_conv = isinstance(self.module, _ConvNd)
        return tuple(self.weight.shape[2:]) if is_conv else ()

    @property
    def group(self) -> str:
        """The name of its group, which shares a decoder and a density."""
        if isinstance(self.module, nn.Embedding | nn.EmbeddingBag):
            return "embedding"
        if isinstance(self.module, nn.RNNBase):
            return "recurrent"
        if not isinstance(self.module, _ConvNd):
            return "dense"
        conv = self.module
        size = "x".join(str(k) for k in conv.kernel_size)
        depthwise = conv.groups > 1 and conv.groups == conv.in_channels
        return f"depthwise{size}" if depthwise else f"conv{size}"


@dataclass(frozen=True, eq=False)
class Tie:
    """A weight that is tied to that of an earlier target."""

    target: Target
    owner: Target


def find_targets(
    model: nn.Module, exclude: Chosen, include: Chosen = ()
) -> tuple[list[Target], list[Tie]]:
    """Return the weights that become latents, and those tied to them.

    Left out are modules excluded by name or type, with all that is in them, and modules
    with a parametrization of their own. A weight that an excluded module shares stays
    as it is everywhere. Included are weights of other layers: see `names_of`. Raises
    ValueError for a name that no module or no weight has.
    """
    excluded, included = list(exclude), list(include)
    modules = dict(model.named_modules())
    _check_names(modules, excluded)
    _check_included(modules, included)
    apart = names_apart(model, excluded)
    owners: dict[int, Target | None] = {}
    free: list[Target] = []
    for name, module in modules.items():
        kept = _is_kept(name, module, apart)
        names = () if kept else names_of(name, module, included)
        order = tuple(module._parameters)
        free += [Target(module, tensor, order) for tensor in names]
        others = (p for n, p in module._parameters.items() if n not in names)
        owners.update((id(p), None) for p in others if p is not None)
    targets: list[Target] = []
    ties: list[Tie] = []
    for target in free:
        owner = owners.setdefault(id(target.weight), target)
        if owner is target:
            targets.append(target)
        elif owner is not None:
            ties.append(Tie(target, owner))
    return targets, ties


def names_apart(model: nn.Module, exclude: Chosen) -> list[str]:
    """Return the names of the modules that are excluded by name or type."""
    asked = list(exclude)
    types = tuple(x for x in asked if isinstance(x, type))
    named = [x for x in asked if isinstance(x, str)]
    return [
        name
        for name, module in model.named_modules()
        if name in named or isinstance(module, types)
    ]


def is_inside(name: str, modules: Iterable[str]) -> bool:
    """Tell whether a module is one of some, or in one."""
    return any(not x or name == x or name.startswith(f"{x}.") for x in modules)


def names_of(name: str, module: nn.Module, include: Chosen) -> tuple[str, ...]:
    """Return the names of the weights of one layer, `name`, that become latents.

    Those of the kinds that are known. In a layer of an included type, all floats of two
    or more dimensions as well; and those whose full name is included, in which `*`
    stands for anything.
    """
    known = weight_names(module)
    return (*known, *(x for x in _included(name, module, include) if x not in known))


def _included(name: str, module: nn.Module, include: Chosen) -> list[str]:
    asked = list(include)
    types = tuple(x for x in asked if isinstance(x, type))
    names = [x for x in asked if isinstance(x, str)]
    found = []
    for own, weight in module._parameters.items():
        if weight is None or weight.dim() < 2 or not weight.is_floating_point():
            continue
        full = f"{name}.{own}".removeprefix(".")
        if isinstance(module, types) or any(fnmatchcase(full, x) for x in names):
            found.append(own)
    return found


def weight_names(module: nn.Module) -> tuple[str, ...]:
    """Return the names of the weights of a layer of a kind that is known."""
    if isinstance(module, _ConvNd | nn.Linear):
        names: tuple[str, ...] = ("weight",)
    elif isinstance(module, nn.Embedding | nn.EmbeddingBag):
        # Layers that change the weight in place, or want sparse gradients, stay plain.
        plain = module.max_norm is None and not module.sparse
        names = ("weight",) if plain else ()
    elif isinstance(module, nn.MultiheadAttention):
        names = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
    elif isinstance(module, nn.RNNBase):
        names = tuple(n for n in module._parameters if n.startswith("weight_"))
    else:
        names = ()
    return tuple(n for n in names if module._parameters.get(n) is not None)


def check_alike(key: str, members: list[Target]) -> None:
    """Raise ValueError unless weights of a group are float32 and on one device."""
    for target in members:
        if target.weight.dtype != torch.float32:
            raise ValueError(
                f"a weight of group {key} is {target.weight.dtype}, expected"
                " torch.float32: call model.float(), and train under autocast"
            )
    if len({target.weight.device for target in members}) > 1:
        raise ValueError(f"weights of group {key} are on several devices")


def _is_kept(name: str, module: nn.Module, apart: list[str]) -> bool:
    inside = is_inside(name, apart)
    behind = isinstance(module, parametrize.ParametrizationList)
    return inside or behind or parametrize.is_parametrized(module)


def _check_names(
    modules: dict[str, nn.Module], excluded: list[str | type[nn.Module]]
) -> None:
    unknown = sorted(x for x in excluded if isinstance(x, str) and x not in modules)
    if unknown:
        raise ValueError(f"no module named {unknown[0]!r} to exclude")


def _check_included(
    modules: dict[str, nn.Module], included: list[str | type[nn.Module]]
) -> None:
    for asked in included:
        if not any(_included(*item, [asked]) for item in modules.items()):
            found = f"named {asked!r}"
            if isinstance(asked, type):
                found = f"in a layer of type {asked.__name__}"
            raise ValueError(f"no weight of two or more dimensions {found} to include")
