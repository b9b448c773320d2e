"""What a file has to say of a pruned network beside its tensors."""

from dataclasses import replace

from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm

from lilnetx_cli.nn.cuts import Cuts, bits_of
from lilnetx_cli.nn.layer_sizes import told_groups
from lilnetx_cli.nn.padding import PadChannels
from lilnetx_cli.pruning.surgery import Slicing


def cuts_between(dense: nn.Module, smaller: nn.Module, slicing: Slicing) -> Cuts:
    """Return what the shapes of a pruned network's tensors do not tell of the cut."""
    groups: dict[str, int] = {}
    features: dict[str, int] = {}
    padding: dict[str, tuple[int, int]] = {}
    before = dict(dense.named_modules())
    for name, module in smaller.named_modules():
        old = before.get(name)
        if isinstance(module, _ConvNd) and isinstance(old, _ConvNd):
            if module.groups != told_groups(old, module.weight):
                groups[name] = module.groups
        elif isinstance(module, _InstanceNorm) and isinstance(old, _InstanceNorm):
            if module.num_features != old.num_features and not module.state_dict():
                features[name] = module.num_features
        elif isinstance(module, PadChannels) and isinstance(old, PadChannels):
            pair = module.before, module.after
            if pair != (old.before, old.after):
                padding[name] = pair
    return Cuts(groups, features, padding, _unstored(dense, slicing))


def _unstored(dense: nn.Module, slicing: Slicing) -> dict[str, dict[int, str]]:
    """Return what stays of tensors that no state dict holds."""
    stored = dense.state_dict().keys()
    found = {
        name: {
            axis: bits_of(stays.numpy())
            for axis, stays in slicing.axes(name, tensor).items()
        }
        for name, tensor in dense.named_buffers()
        if name not in stored
    }
    return {name: axes for name, axes in found.items() if axes}


def all_cuts(before: Cuts, pruned: nn.Module, later: Cuts) -> Cuts:
    """Return the cuts of a network that was cut before, and now once more.

    `pruned` is what is left of it: layers that became constants are told by their
    tensors.
    """
    cuts, modules = before.then(later), dict(pruned.named_modules())
    groups = {
        name: count
        for name, count in cuts.groups.items()
        if isinstance(modules.get(name), _ConvNd)
    }
    return replace(cuts, groups=groups)
