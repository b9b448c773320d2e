"""The numbers that a layer keeps of itself, taken from its tensors."""

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd


def describe_layer(module: nn.Module, groups: Mapping[int, int]) -> None:
    """Make the numbers that a layer keeps of itself those of its tensors, in place.

    `groups` are those of convolutions that tensors do not tell, by the weight's
    identity.
    """
    weight = module._parameters.get("weight")
    if isinstance(module, _ConvTransposeNd) and weight is not None:
        module.in_channels = weight.shape[0]
        module.out_channels = weight.shape[1] * module.groups
    elif isinstance(module, _ConvNd) and weight is not None:
        module.groups = groups.get(id(weight), told_groups(module, weight))
        module.out_channels = weight.shape[0]
        module.in_channels = weight.shape[1] * module.groups
    elif isinstance(module, nn.Linear) and weight is not None:
        module.out_features, module.in_features = weight.shape
    elif isinstance(module, _NormBase):
        own = weight if weight is not None else module.running_mean
        module.num_features = len(own) if own is not None else module.num_features
    elif isinstance(module, nn.PReLU) and weight is not None:
        module.num_parameters = len(weight)
    elif isinstance(module, nn.Embedding) and weight is not None:
        module.embedding_dim = weight.shape[1]


def told_groups(conv: _ConvNd, weight: Tensor) -> int:
    """Return the groups of a convolution that gets another weight, as that tells them.

    A depthwise one has as many as there are channels; of others they stay.
    """
    if conv.groups > 1 and conv.in_channels == conv.groups:
        return int(weight.shape[0]) // (conv.out_channels // conv.groups)
    return conv.groups
