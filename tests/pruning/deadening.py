"""Networks with dead channels, as training leaves them, and how two compare."""

import copy

import torch
from torch import nn
from torchvision import models

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
FILTERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


def torchvision_network(name):
    """Build a network of torchvision whose norms are not those of a fresh one."""
    torch.manual_seed(0)
    options = {"num_classes": 10}
    if name in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "init_weights": False}
    if name == "vit":
        network = models.VisionTransformer(64, 16, 2, 4, 48, 96, num_classes=10)
        nn.init.normal_(network.heads.head.weight)
    else:
        network = models.get_model(name, weights=None, **options)
    if name.startswith(("vgg", "alexnet")):  # as wide as memory of small machines
        width = network.classifier[-1].in_features // 16
        inner = next(m for m in network.classifier if isinstance(m, nn.Linear))
        network.classifier = nn.Sequential(
            nn.Linear(inner.in_features, width), nn.ReLU(), nn.Linear(width, 10)
        )
    return lived_in(network)


def lived_in(network):
    """Give batch norms running statistics and shifts, as training does."""
    for module in network.modules():
        if isinstance(module, NORMS):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            if module.affine:
                nn.init.normal_(module.bias, std=0.2)
    return network.eval()


@torch.no_grad()
def kill_filters(network, share=0.4, *, gated=False, seed=0):
    """Zero random filters; gated, the batch norm that follows is zero there, too.

    Otherwise it makes a constant of them, as do biases.
    """
    generator = torch.Generator().manual_seed(seed)
    layers = [m for m in network.modules() if isinstance(m, (*FILTERS, *NORMS))]
    dead = None
    for module in layers[:-1]:
        if isinstance(module, FILTERS):
            dead = torch.rand(len(module.weight), generator=generator) < share
            module.weight[dead] = 0
            if gated and module.bias is not None:
                module.bias[dead] = 0
        elif gated and dead is not None and len(dead) == module.num_features:
            module.weight[dead] = 0
            module.bias[dead] = 0
            dead = None
    return network


def parameters(network):
    """Return how many parameters a network has."""
    return sum(p.numel() for p in network.parameters())


@torch.no_grad()
def difference(dense, smaller, *inputs):
    """Return the largest difference of outputs in float64, of the largest output."""

    def run(network):
        wide = [to_double(x) for x in inputs]
        return leaves(copy.deepcopy(network).double()(*wide))

    wanted, given = run(dense), run(smaller)
    assert [x.shape for x in wanted] == [x.shape for x in given]
    size = max(float(x.abs().max()) for x in wanted)
    assert size > 0
    apart = max(float((a - b).abs().max()) for a, b in zip(wanted, given, strict=True))
    return apart / size


def to_double(value):
    """Convert float tensors, in lists, too."""
    if isinstance(value, list):
        return [to_double(x) for x in value]
    floating = isinstance(value, torch.Tensor) and value.is_floating_point()
    return value.double() if floating else value


def leaves(output):
    """Return the tensors of whatever a network gives."""
    if isinstance(output, dict):
        output = list(output.values())
    if isinstance(output, (list, tuple)):
        return [x for inner in output for x in leaves(inner)]
    return [output]
