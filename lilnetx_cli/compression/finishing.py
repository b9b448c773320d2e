"""A rounded network -> a container: its latents, and what is beside them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils import _pytree as pytree

import lnx
from lilnetx_cli.calls import Call, first_calls
from lilnetx_cli.checkpoint.convert import TO_TORCH, to_bytes
from lilnetx_cli.compression.calibrated import RoundedNetwork
from lilnetx_cli.compression.problem import slice_length
from lilnetx_cli.nn.batch_norm import fold_batch_norms
from lilnetx_cli.nn.side_rounding import round_side
from lnx.dtypes import ROUNDED_TO, shortest_type

SIDE_SHARE = 0.25  # of the change by rounded weights, that norms and biases may add
LEAST_CHANGE, MOST_CHANGE = 2.0**-10, 0.03  # of the outputs
LEAST_SIGNAL = 1e-12  # of the energy of outputs; float32 rounds away what is below
PROBED = 256  # inputs that this is found on


@dataclass(frozen=True, eq=False)
class Finished:
    """A container, and the network that it decodes to."""

    container: lnx.Container
    network: nn.Module


def finish(
    container: lnx.Container,
    rounded: RoundedNetwork,
    dense: nn.Module,
    calls: Sequence[Call],
    *,
    exact_side: bool,
) -> Finished:
    """Fold batch norms, round norms and biases, and put everything in a container.

    The network of `rounded` is changed, unless `exact_side` keeps what is beside its
    weights. `container` holds the dense network, whose other tensors stay.
    """
    network = rounded.network
    _as_kept(network, container)
    if not exact_side:
        fold_batch_norms(network)
        few = first_calls(calls, PROBED)
        change = _change(output_matrix(dense, few), output_matrix(network, few))
        tolerance = min(max(SIDE_SHARE * change, LEAST_CHANGE), MOST_CHANGE)
        round_side(
            network,
            lambda net: output_matrix(net, few),
            tolerance,
            without=rounded.indices.keys(),
        )
        _as_kept(network, container)
    return Finished(assembled(container, rounded), network)


@torch.no_grad()
def _as_kept(network: nn.Module, container: lnx.Container) -> None:
    """Round what a network holds in longer types than its file, as the file does."""
    state = network.state_dict()
    for tensor in container.tensors:
        if not isinstance(tensor, lnx.Alias) and tensor.dtype in ROUNDED_TO:
            value = state.get(tensor.name)
            if value is not None:
                value.copy_(value.to(TO_TORCH[tensor.dtype]))


def assembled(container: lnx.Container, rounded: RoundedNetwork) -> lnx.Container:
    """Return a container with the latents of rounded weights, and what is beside."""
    state = rounded.network.state_dict()
    decoders: list[NDArray[np.float32]] = []
    places: dict[float, int] = {}
    for step in rounded.steps.values():
        if step not in places:
            places[step] = len(decoders)
            decoders.append(np.full((1, 1), step, np.float32))
    tensors: list[lnx.Latent | lnx.Exact | lnx.Alias] = []
    for tensor in container.tensors:
        name = tensor.name
        if name in rounded.indices and isinstance(tensor, lnx.Exact):
            place = places[rounded.steps[name]]
            tensors.append(_latent(tensor, rounded.indices[name], place))
        elif isinstance(tensor, lnx.Exact) and name in state:
            tensors.append(_exact(tensor, state[name]))
        else:
            tensors.append(tensor)
    return replace(container, tensors=tuple(tensors), decoders=tuple(decoders))


def folded(container: lnx.Container, network: nn.Module) -> lnx.Container:
    """Return a container whose batch norms are two vectors each instead of four.

    The network holds its tensors, and is changed as well.
    """
    fold_batch_norms(network)
    state = network.state_dict()
    norms = names_of_norms(network) & state.keys()
    tensors = [
        _exact(tensor, state[tensor.name])
        if isinstance(tensor, lnx.Exact) and tensor.name in norms
        else tensor
        for tensor in container.tensors
    ]
    return replace(container, tensors=tuple(tensors))


def names_of_norms(network: nn.Module) -> set[str]:
    """Return the names of all tensors that folding a batch norm may change."""
    return {
        f"{name}.{key}"
        for name, module in network.named_modules()
        if isinstance(module, _BatchNorm)
        for key in ("weight", "bias", "running_mean", "running_var")
    }


@torch.no_grad()
def output_matrix(network: nn.Module, calls: Sequence[Call]) -> Tensor | None:
    """Return all float outputs on some inputs, one row each.

    Of several outputs those count that have a row for each input, if there are any.
    None where rows differ in length, where there are none, or for NaN and infinity.
    """
    rows = []
    for call in calls:
        found: Any = call.copied().on(network)
        leaves = [
            leaf.float().flatten(1).cpu()
            for leaf in pytree.tree_leaves(found)
            if isinstance(leaf, Tensor) and leaf.is_floating_point() and leaf.dim()
        ]
        leaves = [leaf for leaf in leaves if len(leaf) == call.size] or leaves
        if leaves and len({len(leaf) for leaf in leaves}) == 1:
            rows.append(torch.cat(leaves, 1))
    widths = {row.shape[1] for row in rows}
    if len(widths) != 1 or len(rows) != len(calls):
        return None
    together = torch.cat(rows)
    return together if bool(together.isfinite().all()) else None


def differ(outputs: Tensor) -> bool:
    """Tell whether outputs (N, M) depend on the inputs by more than rounding does."""
    signal = float((outputs - outputs.mean(0)).double().square().sum())
    return signal > LEAST_SIGNAL * float(outputs.double().square().sum())


def output_snr(dense: Tensor, other: Tensor) -> float:
    """Return how close outputs are, in dB; both are (N, M), a row for each input.

    What is the same for all inputs is not a signal.
    """
    signal = float((dense - dense.mean(0)).double().square().sum())
    error = float((dense - other).double().square().sum())
    return 10 * float(np.log10(max(signal, 1e-30) / max(error, 1e-30)))


def _change(dense: Tensor | None, other: Tensor | None) -> float:
    """Return the RMS change of outputs over their RMS."""
    if dense is None or other is None:
        return 0.0
    size = float(dense.double().square().mean().sqrt())
    return float((other - dense).double().square().mean().sqrt()) / (size or 1.0)


def _latent(tensor: lnx.Exact, indices: NDArray[np.int32], decoder: int) -> lnx.Latent:
    symbols = indices.reshape(-1, slice_length(tensor.shape))  # (N, L)
    kind = shortest_type(min(int(symbols.min()), -1), int(symbols.max()))
    short = np.ascontiguousarray(symbols, kind)
    return lnx.Latent(tensor.name, tensor.shape, short, decoder, dtype=tensor.dtype)


def _exact(tensor: lnx.Exact, value: Tensor) -> lnx.Exact:
    """Return a tensor with the value that the network has for it now."""
    dtype = TO_TORCH[tensor.dtype] if tensor.dtype in ROUNDED_TO else None
    if dtype is None or tuple(value.shape) != tensor.shape:
        return tensor
    return replace(tensor, data=to_bytes(value.detach().to(dtype)))
