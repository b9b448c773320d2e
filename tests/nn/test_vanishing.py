import torch
from torch import nn

from lilnetx_cli.nn import latent_weights, reparameterize
from lilnetx_cli.nn.vanishing import Thin, spare_last, thin_layers, with_one_left


def network():
    return reparameterize(
        nn.Sequential(nn.Conv2d(1, 16, 3), nn.Conv2d(16, 64, 3), nn.Linear(4, 4))
    )


@torch.no_grad()
def set_latents(model, **values):
    for name, _, latent in latent_weights(model):
        latent.fill_(values[f"layer{name[0]}"])


def test_layers_with_few_filters_are_named():
    model = network()
    set_latents(model, layer0=0.3, layer1=0.3, layer2=0.3)
    latents = {name: latent for name, _, latent in latent_weights(model)}
    with torch.no_grad():
        latents["0.weight"][3, 0, 1, 1] = -0.6
        latents["1.weight"][:3] = 1
    # 3 of 64 filters are more than one in 32; a layer of 4 is too small for a word.
    assert thin_layers(model) == [Thin("0.weight", 1, 16)]
    with torch.no_grad():
        latents["1.weight"][0] = 0
    assert thin_layers(model)[1] == Thin("1.weight", 2, 64)


def test_one_latent_of_each_weight_stays():
    model = network()
    set_latents(model, layer0=0.3, layer1=2.0, layer2=0.1)
    latents = {name: latent for name, _, latent in latent_weights(model)}
    with torch.no_grad():
        latents["0.weight"][5, 0, 2, 0] = -0.4
    others = latents["1.weight"].clone()
    spare_last(model)
    alive = latents["0.weight"].round().nonzero().tolist()
    assert alive == [[5, 0, 2, 0]]
    assert latents["0.weight"][5, 0, 2, 0] == -1
    assert torch.equal(latents["1.weight"], others)
    assert latents["2.weight"].round().count_nonzero() == 1


def test_what_is_alive_or_empty_stays_as_it_is():
    alive, empty = torch.tensor([0.2, 0.7]), torch.zeros(0, 3)
    assert with_one_left(alive, alive) is alive
    assert with_one_left(empty, empty) is empty
    gone = with_one_left(torch.zeros(3), torch.tensor([0.6, -3.0, 1.0]))
    assert gone.tolist() == [0, -1, 0]
