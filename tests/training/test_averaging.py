"""The moving average of the weights: what it holds, and that it ships."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lilnetx_cli.checkpoint import load_checkpoint
from lilnetx_cli.graph.coupling import coupled_channels
from lilnetx_cli.nn import materialize, reparameterize
from lilnetx_cli.nn.latents import latent_weights
from lilnetx_cli.training import Stopped, read_resume, run_training
from lilnetx_cli.training.averaging import Average
from lilnetx_cli.training.growing import grow_steps
from lilnetx_cli.training.macs_control import MacsController
from lilnetx_cli.training.set_up import open_session
from lilnetx_cli.training.state import restore_session
from lilnetx_cli.training.steering import shipping_weights
from tests.training.silent import Silent


@torch.no_grad()
def fill(model, value):
    for tensor in (*model.parameters(), *(b for b in model.buffers() if b.dim())):
        tensor.fill_(value)


def fill_with(model, value):
    fill(model, value)
    return model


def network():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))


def test_the_average_of_steps_is_put_in_place_and_taken_out():
    model, average = network(), Average(0.5)
    for value in (4.0, 2.0, 1.0):
        fill(model, value)
        average.update(model)
    # Decays of 0, 1/11 and 1/6, the smaller ones of the growing decay and 0.5.
    wanted = ((0 * 4 + 4) / 11 + 10 / 11 * 2) / 6 + 5 / 6 * 1
    with average.in_place(model):
        for tensor in (model[0].weight, model[1].bias, model[1].running_var):
            assert tensor.flatten().tolist() == pytest.approx([wanted] * tensor.numel())
    assert bool((model[1].running_mean == 1).all())
    assert bool((model[0].weight == 1).all())


def test_a_copy_goes_its_own_way():
    model, average = network(), Average(0.5)
    average.update(fill_with(model, 4.0))
    copied = average.to(torch.device("cpu"))
    average.update(fill_with(model, 2.0))
    assert bool((copied.values["0.weight"] == 4).all())
    assert bool((average.values["0.weight"] < 4).all())


def test_channels_that_were_taken_out_do_not_ship_from_the_average():
    """The mean remembers them from before they went."""
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 1, 3))
    channels = coupled_channels(model, (torch.zeros(1, 1, 8, 8),))
    reparameterize(model, start="random")
    average = Average(0.9)
    average.update(fill_with(model, 3.0))
    gone = torch.zeros(channels.count, dtype=torch.bool)
    gone[channels.layers["0.weight"].rows[1]] = True
    macs = MacsController(0.5)
    macs.gone = gone
    course = SimpleNamespace(model=model, average=average, macs=macs, channels=channels)
    with shipping_weights(course):
        latents = {name: latent for name, _, latent in latent_weights(model)}
        assert not bool(latents["0.weight"][1].any())
        assert not bool(latents["2.weight"][:, 1].any())
        assert bool(latents["0.weight"][0].all())
    assert bool(latents["0.weight"].all())


def test_weights_stay_the_same_where_steps_grow():
    """Latents shrink as their step grows; their mean is that of the weights."""
    model = nn.Sequential(nn.Conv2d(1, 2, 3))
    reparameterize(model, start="random")
    ((_, weight, latent),) = latent_weights(model)
    with torch.no_grad():
        latent.copy_(torch.arange(18.0).view(2, 1, 3, 3) * 8)
    average = Average(0.9)
    average.update(model)
    before = materialize(model)[0].weight.clone()
    grow_steps(model, torch.optim.Adam(model.parameters()), 4.0)
    with torch.no_grad():
        latent.zero_()
    with average.in_place(model):
        assert torch.allclose(materialize(model)[0].weight, before, atol=1e-6)
    assert not bool(latent.any())
    assert weight.group.step > 0


def go(config, digits, folder, *, stop=lambda: False, resume=None):
    return run_training(
        config, digits, folder, observer=Silent(), should_stop=stop, resume=resume
    )


@pytest.mark.slow
@pytest.mark.parametrize("plain", [True, False])
def test_the_average_ships_and_goes_on_to_the_bit(plain, tiny, digits, tmp_path):
    settings = {"train__max_steps": 4, "train__plain": plain}
    config = tiny(train__ema=0.9, **settings)
    go(config, digits, tmp_path / "whole")
    calls = []

    def stop():
        calls.append(1)
        return len(calls) == 2

    with pytest.raises(Stopped):
        go(config, digits, tmp_path / "parts", stop=stop)
    content = read_resume(tmp_path / "parts" / "resume.pt")
    assert content["average"]["steps"] == 2
    go(config, digits, tmp_path / "parts", resume=content)
    go(tiny(**settings), digits, tmp_path / "raw")
    whole, parts, raw = (
        load_checkpoint(tmp_path / x / "model.pt").state_dict
        for x in ("whole", "parts", "raw")
    )
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert not all(torch.equal(whole[name], raw[name]) for name in whole)


def test_an_average_goes_on_where_the_network_is(tiny, digits, tmp_path):
    """What is read from resume.pt is on the CPU at first."""
    config = tiny(train__ema=0.9, train__max_steps=1)
    go(config, digits, tmp_path)
    session = open_session(config, digits, fresh=False)
    session.model.to("meta")
    session.accelerator = SimpleNamespace(
        device=torch.device("meta"), scaler=None, process_index=0, num_processes=1
    )
    restore_session(session, read_resume(tmp_path / "resume.pt"))
    assert {x.device.type for x in session.average.values.values()} == {"meta"}
