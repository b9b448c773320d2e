"""The networks: their published sizes, and the way through a file of each."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import get_model_weights  # not under a device: torch 2.8 fails

import lilnetx_cli as lilnetx
from lilnetx_cli.errors import FileError, InputError, UsageError
from lilnetx_cli.models import MODELS, build
from lilnetx_cli.models.registry import build_record, describe

# Parameters and millions of MACs as published, and where.
PAPERS = {
    # He et al. 2015, table 6: parameters in millions, two digits.
    "resnet20": (0.27e6, None, 32, 10),
    "resnet32": (0.46e6, None, 32, 10),
    "resnet44": (0.66e6, None, 32, 10),
    "resnet56": (0.85e6, None, 32, 10),
    "resnet110": (1.7e6, None, 32, 10),
    # The CIFAR form with one linear layer, no convolution biases (Li et al. 2017,
    # Pruning filters, table 1: 3.13e8 multiply-adds, which rounds).
    "vgg16_bn": (14.7e6, 313, 32, 10),
    # chenyaofo/pytorch-cifar-models, mobilenetv2_x1_0: 2.24 M, 88.0 M.
    "mobilenet_v2_cifar": (2.24e6, 88.0, 32, 10),
    # torchvision's table of weights: num_params, and GFLOPS in multiply-adds.
    "resnet18": (11_689_512, 1814, 224, 1000),
    "resnet34": (21_797_672, 3664, 224, 1000),
    "resnet50": (25_557_032, 4089, 224, 1000),
    "mobilenet_v2": (3_504_872, 301, 224, 1000),
}


@pytest.mark.parametrize("name", sorted(PAPERS))
def test_sizes_are_the_published_ones(name):
    parameters, macs, size, classes = PAPERS[name]
    with torch.device("meta"):
        network = build(name, {"channels": 3, "classes": classes}).eval()
        images = torch.zeros(1, 3, size, size)
        with FlopCounterMode(display=False) as counter:
            network(images)
    found = sum(p.numel() for p in network.parameters())
    digits = 3 if name.startswith(("mobile", "resnet5", "vgg")) else 2
    exact = parameters == int(parameters) and parameters % 1000
    assert (
        found == parameters
        if exact
        else _rounded(found, digits) == parameters or (_rounded(found, 2) == parameters)
    )
    if macs is not None:
        assert abs(counter.get_total_flops() / 2e6 - macs) <= 0.6


def _rounded(number, digits):
    return float(f"{number:.{digits - 1}e}")


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "mobilenet_v2"])
def test_torchvision_agrees_on_its_numbers(name):
    meta = get_model_weights(name)["IMAGENET1K_V1"].meta
    assert PAPERS[name][0] == meta["num_params"]
    assert PAPERS[name][1] == pytest.approx(meta["_ops"] * 1000, abs=0.6)


SMALL = {
    **{name: {} for name in MODELS if name.startswith("resnet")},
    **{name: {"percent": 13} for name in MODELS if not name.startswith("resnet")},
}
OUTSIDE = ["timm:mobilenetv3_small_050", "timm:convnext_atto",
           "torchvision:shufflenet_v2_x0_5", "torchvision:squeezenet1_1",
           "torchvision:mobilenet_v3_small",
           "torchvision:googlenet"]  # fmt: skip


SLOW = ("resnet34", "resnet50", "resnet110")  # of the kinds of resnet18 and resnet20


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name
        for name in (*MODELS, *OUTSIDE)
    ],
)
def test_a_network_goes_through_a_file(name, tmp_path):
    torch.manual_seed(0)
    form = {"channels": 3, "classes": 5, **SMALL.get(name, {})}
    network = build(name, form)
    size = 64 if name in OUTSIDE else 32
    images = torch.randn(4, 3, size, size)
    lilnetx.reparameterize(network)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # one step has to do for the statistics
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    task = F.cross_entropy(network.train()(images), torch.tensor([0, 4, 1, 2]))
    (task + lilnetx.penalty(network).total).backward()
    optimizer.step()
    path = tmp_path / "m.lnx"
    lilnetx.save(network, path, architecture=describe(name, form))
    again = lilnetx.load_model(path)
    plain = lilnetx.materialize(network).eval()
    with torch.no_grad():
        assert plain(images).isfinite().all()
        torch.testing.assert_close(again(images), plain(images), rtol=0, atol=0)


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("name", ["vgg11_bn", "mobilenet_v2", "resnet18"])
def test_other_numbers_of_channels(name, channels):
    network = build(name, {"channels": channels, "classes": 7})
    assert network.eval()(torch.zeros(1, channels, 33, 28)).shape == (1, 7)


FACTORY = """
from torch import nn

def make(classes, hidden=4):
    layers = nn.Linear(12, hidden), nn.Linear(hidden, classes)
    return nn.Sequential(nn.Flatten(), *layers)

def number():
    return 3

def fails():
    raise RuntimeError("no luck")
"""


def test_a_factory_of_the_user(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(FACTORY)
    network = build(f"{path}:make", {"channels": 3, "classes": 2, "hidden": 9})
    assert network(torch.zeros(1, 3, 2, 2)).shape == (1, 2)
    assert network[1].out_features == 9
    for name, error, message in (
        (f"{path}:nothing", UsageError, "no function 'nothing'"),
        (f"{tmp_path}/no.py:make", UsageError, "does not exist"),
        (f"{path}:number", InputError, "returns an int"),
        (f"{path}:fails", InputError, "no luck"),
    ):
        with pytest.raises(error, match=message):
            build(name, {"channels": 3, "classes": 2})
    with pytest.raises(UsageError, match="takes no argument 'width'"):
        build(f"{path}:make", {"classes": 2, "width": 2})


def test_a_file_may_not_run_a_factory(tmp_path):
    path = tmp_path / "net.py"
    path.write_text("open('ran', 'w')\ndef make(): pass\n")
    record = describe(f"{path}:make", {"classes": 2})
    with pytest.raises(UsageError, match="may not run"):
        build_record(record)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "name", ["torchvision:os", "torchvision:../x", "timm:no_such", "os.system", "x:y"]
)
def test_other_names_are_refused(name):
    with pytest.raises(FileError):
        build_record(describe(name, {"channels": 3, "classes": 2}))
