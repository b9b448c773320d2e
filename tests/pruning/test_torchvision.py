"""Networks of torchvision with dead channels: pruned, equal, and as small as can be.

The dead set of the first test is one that Torch-Pruning chose, by its own coupling;
what it removes of the same network is the bar.
"""

import copy

import pytest
import torch
import torch_pruning as tp
from torch import nn
from torchvision.models import detection, segmentation

from lilnetx_cli.pruning import prune
from tests.pruning.deadening import (
    difference,
    kill_filters,
    parameters,
    torchvision_network,
)
from tests.pruning.traces import share

NETWORKS = [
    "alexnet", "vgg11", "vgg13_bn", "resnet18", "resnet50", "resnext50_32x4d",
    "densenet121", "googlenet", "inception_v3", "squeezenet1_0", "squeezenet1_1",
    "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "mnasnet0_5",
    "shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "efficientnet_b0", "regnet_x_400mf",
    "regnet_y_400mf", "convnext_tiny", "swin_t", "vit",
]  # fmt: skip
# Torch-Pruning 1.6 cannot trace the first two, loses its way in grouped convolutions,
# and takes 20 GB of memory for the last.
BEYOND_TORCH_PRUNING = {
    "shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "resnext50_32x4d", "regnet_x_400mf",
    "regnet_y_400mf", "swin_t",
}  # fmt: skip
# One of each kind that takes a few seconds at most; `make test` leaves out the others.
QUICK = {
    "alexnet", "resnet18", "squeezenet1_1", "mobilenet_v3_small", "shufflenet_v2_x0_5",
    "vit",
}  # fmt: skip
# Why dead channels may stay: because of what the network is, not for want of a rule.
OF_THE_NETWORK = {
    "attention heads",
    "constant that a padded convolution sees",
    "coupled with channels in use",
    "equal groups of a convolution",
    "equal parts of a split",
    "hard-coded size in expand",  # of the class token, to the batch
    "joined with the parameter 'encoder.pos_embedding'",
    "layer_norm mixes channels",
    "not constant after avg_pool2d",
    "not constant after view",
    "output of the network",
}
MIXES_CHANNELS = (nn.LayerNorm, nn.MultiheadAttention)


def marked(names):
    """Return parameters of a test, what is not quick marked as slow."""
    slow = pytest.mark.slow
    return [pytest.param(x, marks=() if x in QUICK else slow) for x in sorted(names)]


def images(name):
    side = {"inception_v3": 80}.get(name, 64)
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))


def chosen_groups(graph, network):
    """Return (layer, how, indices) for half of the channels of each coupled group."""
    *_, last = (m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear)))
    groups = graph.get_all_groups(
        ignored_layers=[last], root_module_types=[nn.Conv2d, nn.Linear]
    )
    generator = torch.Generator().manual_seed(2)
    for group in list(groups):
        members = [dependency.target.module for dependency, _ in group]
        if any(isinstance(m, MIXES_CHANNELS) for m in members):
            continue
        layer, how = group[0].dep.target.module, group[0].dep.handler
        count = graph.get_out_channels(layer)
        indices = torch.randperm(count, generator=generator)[: count // 2].tolist()
        coupled = graph.get_pruning_group(layer, how, indices)
        if graph.check_pruning_group(coupled):
            yield layer, how, indices, coupled


@torch.no_grad()
def deaden(coupled):
    """Zero what makes the channels of a group, their norms with them."""
    for dependency, indices in coupled:
        module = dependency.target.module
        makes = "out" in dependency.handler.__name__
        if isinstance(module, nn.BatchNorm2d) or (
            makes and isinstance(module, (nn.Conv2d, nn.Linear))
        ):
            module.weight[indices] = 0
            if module.bias is not None:
                module.bias[indices] = 0


@pytest.mark.parametrize("name", marked(set(NETWORKS) - BEYOND_TORCH_PRUNING))
def test_as_small_as_torch_pruning_makes_it(name, monkeypatch):
    share(monkeypatch, name)
    network, example = torchvision_network(name), images(name)
    graph = tp.DependencyGraph().build_dependency(network, example, ignored_params=[])
    chosen = list(chosen_groups(graph, network))
    for *_, coupled in chosen:
        deaden(coupled)
    dense = copy.deepcopy(network)
    for layer, how, indices, _ in chosen:
        graph.get_pruning_group(layer, how, indices).prune()
    assert difference(dense, network, example) < 1e-9  # so the dead set is a fair one
    smaller = prune(dense, (example,)).model
    assert difference(dense, smaller, example) < 1e-5
    assert parameters(smaller) <= parameters(network) < parameters(dense)


@pytest.mark.parametrize(
    ("name", "gated"),
    [
        *(pytest.param(*x.values, False, marks=x.marks) for x in marked(NETWORKS)),
        *((name, True) for name in sorted(QUICK)),
    ],
)
def test_dead_filters_leave_and_outputs_stay(name, gated, monkeypatch):
    share(monkeypatch, name)
    example = images(name)
    dense = kill_filters(torchvision_network(name), gated=gated)
    pruned = prune(dense, (example,))
    assert difference(dense, pruned.model, example) < 1e-5
    assert parameters(pruned.model) < 0.98 * parameters(dense)
    assert pruned.removed_channels > 0
    assert {kept.reason for kept in pruned.held} <= OF_THE_NETWORK


def levels():
    generator = torch.Generator().manual_seed(3)
    sizes = (16, 8)
    return [torch.randn(2, 32, size, size, generator=generator) for size in sizes]


HEADS = {
    "retinanet": (lambda: detection.retinanet.RetinaNetHead(32, 3, 5), levels),
    "fcos": (lambda: detection.fcos.FCOSHead(32, 1, 5, 2), levels),
    "ssd": (lambda: detection.ssd.SSDHead([32, 32], [4, 4], 5), levels),
    "rpn": (lambda: detection.rpn.RPNHead(32, 3, conv_depth=2), levels),
    "box": (
        lambda: nn.Sequential(
            detection.faster_rcnn.TwoMLPHead(32 * 64, 64),
            detection.faster_rcnn.FastRCNNPredictor(64, 5),
        ),
        lambda: levels()[1],
    ),
    "mask": (
        lambda: nn.Sequential(
            detection.mask_rcnn.MaskRCNNHeads(32, (32, 32), 1),
            detection.mask_rcnn.MaskRCNNPredictor(32, 32, 5),
        ),
        lambda: levels()[0],
    ),
    "fcn": (lambda: segmentation.fcn.FCNHead(32, 5), lambda: levels()[0]),
    "deeplab": (
        lambda: segmentation.deeplabv3.DeepLabHead(32, 5, (2, 4)), lambda: levels()[0]
    ),
    "lraspp": (
        lambda: segmentation.lraspp_mobilenet_v3_large(
            weights=None, weights_backbone=None, num_classes=5
        ),
        lambda: torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)),
    ),
}  # fmt: skip


# The layers of one make nothing but outputs, the group norms of the other mix channels.
STAY = ("ssd", "fcos")


@pytest.mark.parametrize(
    "name",
    [pytest.param(x, marks=pytest.mark.slow if x == "lraspp" else ()) for x in HEADS],
)
def test_heads_of_detection_and_segmentation(name):
    torch.manual_seed(0)
    make, given = HEADS[name]
    dense = kill_filters(make().eval())
    pruned = prune(dense, (given(),))
    assert difference(dense, pruned.model, given()) < 1e-5
    if name not in STAY:
        assert parameters(pruned.model) < parameters(dense)
