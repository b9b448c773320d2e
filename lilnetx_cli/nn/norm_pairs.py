"""Which batch norm follows which filters: what one scales, the other takes away."""

from collections.abc import Callable
from typing import Any, cast

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from lilnetx_cli.nn.evaluating import evaluating

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def filters_before_norms(
    model: nn.Module, run: Callable[[nn.Module], Any]
) -> dict[_BatchNorm, nn.Module]:
    """Return the layer that each batch norm directly follows, at every call the same.

    `run` calls the network once, in evaluation mode. Left out are batch norms without
    scale and shift, those that also follow something else, and layers whose output
    channels are not dimension 0 of their weight.
    """
    # The tensor, kept alive, and its version: what was added to it in place is more
    # than the layer gave.
    made: dict[int, tuple[Tensor, int, nn.Module]] = {}
    before: dict[_BatchNorm, set[nn.Module | None]] = {}

    def after_conv(module: nn.Module, args: Any, output: Tensor) -> None:  # noqa: ANN401
        del args
        made[id(output)] = (output, output._version, module)

    def before_norm(module: _BatchNorm, args: tuple[Tensor, ...]) -> None:
        _, version, conv = made.get(id(args[0]), (None, 0, None))
        same = args[0]._version == version
        before.setdefault(module, set()).add(conv if same else None)

    handles = []
    for module in model.modules():
        if _has_filters(module):
            handles.append(module.register_forward_hook(after_conv))
        elif type(module) in NORMS and cast("_BatchNorm", module).affine:
            handles.append(module.register_forward_pre_hook(before_norm))
    try:
        with evaluating(model):
            run(model)
    finally:
        for handle in handles:
            handle.remove()
    alone = {norm: next(iter(c)) for norm, c in before.items() if len(c) == 1}
    return {norm: conv for norm, conv in alone.items() if conv is not None}


def _has_filters(module: nn.Module) -> bool:
    """Tell whether dimension 0 of the weight is that of output channels."""
    transposed = isinstance(module, _ConvTransposeNd)
    return isinstance(module, _ConvNd | nn.Linear) and not transposed
