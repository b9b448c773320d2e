import torch
from torch import nn

from lilnetx_cli.nn import latent_weights, reparameterize
from lilnetx_cli.training.fit_size import LARGEST, fit_size, round_to_zero
from tests.nn.making import fill

OVERHEAD = 37


def made():
    network = nn.Sequential(nn.Linear(40, 50), nn.Linear(50, 40))
    return reparameterize(fill(network), start="random", spread=0.6)


def ones(model):
    return sum(int(latent.round().count_nonzero()) for _, _, latent in
               latent_weights(model))  # fmt: skip


def finished(model):
    return ones(model) + OVERHEAD, f"{ones(model)} ones"


def test_a_smaller_size_is_hit():
    for share in (0.2, 0.3, 0.9):
        model = made()
        target = int(share * (ones(model) + OVERHEAD))
        got, text = fit_size(model, target, ones, finished)
        assert (got, text) == finished(model)
        assert 0.97 * target <= got <= target


def test_latents_in_the_hundreds_come_down_to_a_size_as_well():
    model = made()
    with torch.no_grad():
        for _, _, latent in latent_weights(model):
            latent.copy_(200 + 10 * latent)
    got, _ = fit_size(model, 400, ones, finished)
    assert 388 < got <= 400


def test_a_size_that_fits_changes_nothing():
    model = made()
    kept = {name: latent.clone() for name, _, latent in latent_weights(model)}
    fit_size(model, ones(model) + OVERHEAD + 1, ones, finished)
    for name, _, latent in latent_weights(model):
        assert torch.equal(latent, kept[name])


def test_thresholds_move_only_what_is_next_to_zero():
    model = reparameterize(nn.Sequential(nn.Linear(3, 2, bias=False)))
    values = torch.tensor([[0.2, 0.4, -0.45], [0.6, -1.4, 2.6]])
    kept = {"0.weight": values}
    wanted = {
        0.5: [[0, 0, 0], [1, -1, 3]],
        0.7: [[0, 0, 0], [0, -1, 3]],
        2.0: [[0, 0, 0], [0, 0, 3]],
        LARGEST: [[0, 0, 0], [0, 0, 1]],  # a weight never goes as a whole
    }
    for threshold, integers in wanted.items():
        round_to_zero(model, kept, threshold)
        ((_, _, latent),) = latent_weights(model)
        assert latent.round().tolist() == integers
