"""Networks of torchvision and timm come back from what a file holds of them."""

import pytest
import timm
import torch
from torchvision import models

import lilnetx_cli as lilnetx
import lnx
from lilnetx_cli.checkpoint import Checkpoint, pack
from lilnetx_cli.errors import UsageError
from lilnetx_cli.models import build, describe, rebuild
from tests.models.constant_files import FORM, constant_state, differing

TORCHVISION = [f"torchvision:{name}" for name in models.list_models(module=models)]

# Small ones of more than 40 families, as timm divides them into modules. The last six
# compute with their weights while they are made, have tied or recurrent ones.
TIMM = [f"timm:{name}" for name in (
    "lcnet_050", "mobilevit_xxs", "repghostnet_050", "ghostnet_050", "efficientvit_b0",
    "efficientvit_m0", "xcit_nano_12_p8_224", "efficientformerv2_s0", "fastvit_t8",
    "pvt_v2_b0", "rexnet_100", "hardcorenas_a", "mobileone_s0", "repvit_m1",
    "tinynet_a", "tiny_vit_5m_224", "edgenext_xx_small", "convit_tiny",
    "deit_tiny_patch16_224", "eva02_tiny_patch14_224", "vit_tiny_patch16_224",
    "crossvit_tiny_240", "densenet121", "maxvit_pico_rw_256", "levit_128s",
    "convnext_atto", "resnest14d", "visformer_tiny", "pit_ti_224", "halonet26t",
    "hrnet_w18_small", "resnet10t", "efficientformer_l1", "skresnet18",
    "cait_xxs24_224", "dpn68", "dla46_c", "nest_tiny", "mvitv2_tiny", "gcvit_xxtiny",
    "vit_tiny_r_s16_p8_224", "swin_tiny_patch4_window7_224", "swinv2_cr_tiny_ns_224",
    "swinv2_tiny_window8_256", "sequencer2d_s", "coat_tiny",
)]  # fmt: skip
# Those that go through a file in every run; the others do where slow tests run.
QUICK = ["torchvision:regnet_y_400mf", "torchvision:mnasnet0_5",
         "torchvision:squeezenet1_1", "timm:mobilevit_xxs", "timm:edgenext_xx_small",
         "timm:vit_tiny_r_s16_p8_224", "timm:coat_tiny"]  # fmt: skip


def is_large(name):
    """Tell whether a network is only rebuilt, since its file would take long.

    What a network can get wrong is in its names and in how it is made, not in its size.
    """
    if name in TIMM:
        return False
    weights = models.get_model_weights(name.removeprefix("torchvision:")).DEFAULT
    return weights.meta["num_params"] > 30e6


def test_they_are_enough():
    assert len(TORCHVISION) >= 80
    assert sum(not is_large(name) for name in TORCHVISION) >= 35
    families = {
        timm.model_entrypoint(name.removeprefix("timm:")).__module__ for name in TIMM
    }
    assert len(families) >= 40
    assert {*QUICK} <= {*TORCHVISION, *TIMM}


@pytest.mark.parametrize("name", [*TORCHVISION, *TIMM])
def test_a_network_is_rebuilt_from_its_state_dict(name):
    state = constant_state(name)
    network = rebuild(describe(name, FORM), state, "m.lnx")
    assert not differing(network, state)
    left_out = {k: x for k, x in network.named_buffers() if k not in state}
    if left_out:
        made = dict(build(name, FORM).named_buffers())
        assert [k for k, x in left_out.items() if not torch.equal(x, made[k])] == []


@pytest.mark.parametrize(
    "name",
    [
        name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
        for name in [*TORCHVISION, *TIMM]
        if not is_large(name)
    ],
)
def test_a_network_goes_to_a_file_and_back(name, tmp_path):
    state, record = constant_state(name), describe(name, FORM)
    path = tmp_path / "m.lnx"
    lnx.save(pack(Checkpoint(state, architecture=record)), path)
    assert not differing(lilnetx.load_model(path), state)


def test_names_of_older_layers_are_understood():
    name = "torchvision:vit_b_32"
    state = constant_state(name)
    old = {
        key.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): value
        for key, value in state.items()
    }
    assert old.keys() != state.keys()
    assert not differing(rebuild(describe(name, FORM), old, "m.lnx"), state)


@pytest.mark.parametrize(
    "name", ["fasterrcnn_resnet50_fpn", "fcn_resnet50", "r3d_18", "quantized_resnet18"]
)
def test_networks_for_other_tasks_are_refused_by_name(name):
    with pytest.raises(UsageError, match="is not a classifier"):
        build(f"torchvision:{name}", FORM)
