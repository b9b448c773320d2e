"""Give a network the tensors of a file: all of them, exactly, or none."""

import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode
from torch.utils import swap_tensors

from lilnetx_cli.errors import UsageError, reason_of
from lnx.errors import printable

SHOWN = 3
FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
INTEGERS = {
    torch.uint8, torch.uint16, torch.uint32, torch.uint64,
    torch.int8, torch.int16, torch.int32, torch.int64,
}  # fmt: skip
OTHER_NETWORK = (
    "name the network that was saved, with --model and --model-arg (in Python,"
    " load_model(path, model=...))"
)
OTHER_TYPES = (
    "convert one of the two, as model.float() does: the network to fill, or the saved"
    " one"
)

Take = Callable[[Tensor, Tensor], None]


def fill(network: nn.Module, state: Mapping[str, Tensor], file: str) -> None:
    """Give a network the tensors of a state dict, in place.

    Parameters keep the type that the network has for them: a tensor of another type is
    converted where no value changes, such as float16 to float32. Parameters on the meta
    device take over the memory of the state dict. `file` is named in errors.

    Raises UsageError, which names at most three tensors, where tensors are missing,
    unknown, of another shape, or of a type that cannot be converted; then the network
    stays as it was.
    """
    own = network.state_dict(keep_vars=True)
    state = _with_versions(state, own)
    misfits, hint = _misfits(network, state, own)
    if misfits:
        more = [f"{len(misfits) - SHOWN:,} more"] if len(misfits) > SHOWN else []
        found = "; ".join([*misfits[:SHOWN], *more])
        raise UsageError(f"{file!r} does not fit the network: {found}: {hint}")
    try:
        _load(network, state, _give)
    except RuntimeError as error:
        raise UsageError(
            f"{file!r} cannot fill the network: {reason_of(error)}"
        ) from error


class _Copies(TorchFunctionMode):
    """Hands every copy of one tensor into another to a function instead."""

    def __init__(self, take: Take) -> None:
        super().__init__()
        self._take = take

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        if func is not Tensor.copy_:
            return func(*args, **(kwargs or {}))
        self._take(args[0], args[1])
        return args[0]


def _load(
    network: nn.Module, state: Mapping[str, Tensor], take: Take
) -> tuple[list[str], list[str]]:
    """Let torch find which tensor goes where; return missing and unknown names."""
    with _Copies(take), warnings.catch_warnings():
        # It warns that a copy to the meta device does nothing; `_give` does not copy.
        warnings.filterwarnings("ignore", message=".* is a no-op", category=UserWarning)
        found = network.load_state_dict(state, strict=False)
    return found.missing_keys, found.unexpected_keys


def _with_versions(
    state: Mapping[str, Tensor], own: Mapping[str, Tensor]
) -> Mapping[str, Tensor]:
    """Return a state dict with the versions of its layers.

    Where a state dict has none, layers take it for an old one, and translate its names.
    Files have none: where all names are those of today, so are the versions.
    """
    if state.keys() != own.keys():
        return state
    known = OrderedDict(state)
    known._metadata = own._metadata  # type: ignore[attr-defined]
    return known


def _misfits(
    network: nn.Module, state: Mapping[str, Tensor], own: Mapping[str, Tensor]
) -> tuple[list[str], str]:
    """Return what does not fit, and what to do about it; changes nothing."""
    pairs: list[tuple[Tensor, Tensor]] = []
    try:
        missing, unknown = _load(network, state, lambda *pair: pairs.append(pair))
    except (RuntimeError, ValueError) as error:
        shapes = _other_shapes(state, own)
        return shapes or [reason_of(error)], OTHER_NETWORK
    names = [f"{printable(name)} is missing" for name in missing]
    names += [f"{printable(name)} is not part of it" for name in unknown]
    if names:
        return names, OTHER_NETWORK
    return _other_types(pairs, own), OTHER_TYPES


def _other_shapes(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[str]:
    return [
        f"{printable(name)} has shape {tuple(state[name].shape)},"
        f" expected {tuple(tensor.shape)}"
        for name, tensor in own.items()
        if name in state and not is_lazy(tensor) and tensor.shape != state[name].shape
    ]


def _other_types(
    pairs: list[tuple[Tensor, Tensor]], own: Mapping[str, Tensor]
) -> list[str]:
    names = {id(tensor): name for name, tensor in own.items()}
    return [
        f"{printable(names[id(target)])} is {_name(source.dtype)}, expected"
        f" {_name(target.dtype)}"
        for target, source in pairs
        if id(target) in names and not _is_exact(source, target.dtype)
    ]


def _is_exact(source: Tensor, dtype: torch.dtype) -> bool:
    """Tell whether no value changes when a tensor is converted to a type."""
    if source.dtype == dtype:
        return True
    if {source.dtype, dtype} <= FLOATS:
        given, kept = source.double(), source.to(dtype).double()
        return torch.allclose(given, kept, rtol=0, atol=0, equal_nan=True)
    if {source.dtype, dtype} <= INTEGERS:
        small, large = torch.iinfo(source.dtype), torch.iinfo(dtype)
        return large.min <= small.min and small.max <= large.max
    return False


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _give(target: Tensor, source: Tensor) -> None:
    """Copy a tensor into another one, which takes over its memory if it has none."""
    if not target.is_meta:
        target.copy_(source)
        return
    given = source.detach().to(target.dtype)
    if isinstance(target, nn.Parameter):
        given = nn.Parameter(given, requires_grad=target.requires_grad)
    given.__dict__.update(target.__dict__)
    # The tensor stays the same object, for all that refer to it: ties, lists, layers.
    swap_tensors(target, given)  # type: ignore[no-untyped-call]
