"""Products with weights are seen in every layer, with their inputs."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lilnetx_cli.compression.uses import Watch, plain_operations
from tests.nn.making import fill, numbers, words


class Functions(nn.Module):
    """Products that no layer makes."""

    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.empty(6, 5))
        self.b = nn.Parameter(torch.empty(4, 5))

    def forward(self, x):
        return F.linear(x @ self.a, self.b)


class Attention(nn.Module):
    """Self-attention by the layer that packs three weights into one."""

    def __init__(self):
        super().__init__()
        self.inner = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        return self.inner(x, x, x)[0]


class First(nn.Module):
    """The output of a recurrent layer, without its state."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x)[0]


LAYERS = {
    "linear": (nn.Linear(6, 4), (3, 6)),
    "linear, more axes": (nn.Linear(6, 4), (3, 5, 2, 6)),
    "conv1d": (nn.Conv1d(4, 6, 3, stride=2, padding=1), (2, 4, 9)),
    "conv2d": (nn.Conv2d(3, 5, (3, 2), (2, 1), (1, 0), (1, 2)), (2, 3, 9, 8)),
    "conv3d": (nn.Conv3d(2, 3, 2, padding=1), (2, 2, 3, 4, 5)),
    "grouped": (nn.Conv2d(6, 4, 3, groups=2, bias=False), (2, 6, 5, 5)),
    "depthwise": (nn.Conv2d(6, 6, 3, groups=6, padding=1), (2, 6, 5, 5)),
    "reflected": (nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"), (2, 2, 5, 5)),
}
NETWORKS = {
    "transposed": (nn.ConvTranspose2d(4, 6, 3, 2, groups=2), (2, 4, 5, 5)),
    "functions": (Functions(), (3, 7, 6)),
    "attention": (Attention(), (2, 5, 8)),
    "encoder": (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (2, 5, 8)),
    "lstm": (First(nn.LSTM(6, 5, 2, bidirectional=True)), (4, 2, 6)),
    "gru": (First(nn.GRU(6, 5, batch_first=True)), (4, 2, 6)),
    "rnn": (First(nn.RNN(6, 5)), (4, 2, 6)),
}


def watched(network, inputs):
    """Return the weights of a network and all their uses."""
    network = fill(network).eval()
    weights = {k: p for k, p in network.named_parameters() if p.dim() > 1}
    uses = []
    with plain_operations(network), Watch(weights, uses.append):
        outputs = network(inputs)
    return weights, uses, outputs


@pytest.mark.parametrize("name", LAYERS)
def test_matrices_times_columns_are_the_outputs(name):
    layer, shape = LAYERS[name]
    weights, (use,), outputs = watched(layer, numbers(*shape))
    matrices = use.part.matrices(weights[use.part.name])
    made = torch.cat([matrices @ columns for columns in use.columns()], 2)
    if layer.bias is not None:
        made = made + layer.bias.reshape(len(made), -1, 1)
    made = made.flatten(0, 1)  # (O, places)
    last = isinstance(layer, nn.Linear)
    wanted = outputs.flatten(0, -2).T if last else outputs.transpose(0, 1).flatten(1)
    assert torch.allclose(made, wanted, atol=1e-4)


@pytest.mark.parametrize("name", [*LAYERS, *NETWORKS])
def test_every_weight_is_seen_in_rows_that_fit_its_inputs(name):
    network, shape = {**LAYERS, **NETWORKS}[name]
    weights, uses, _ = watched(network, numbers(*shape))
    assert {use.part.name for use in uses} == set(weights)
    for use in uses:
        weight = weights[use.part.name]
        matrices = use.part.matrices(weight)
        columns = next(use.columns())
        assert (len(matrices), matrices.shape[2]) == columns.shape[:2]
        rows = weight[use.part.start : use.part.stop].flatten(1)
        assert torch.equal(use.part.rows(matrices), rows)


def test_a_recurrent_weight_is_seen_at_every_step():
    _, uses, _ = watched(nn.LSTM(6, 5), numbers(4, 2, 6))
    names = [use.part.name for use in uses]
    assert names.count("weight_hh_l0") == 4


def test_queries_and_keys_of_other_inputs_are_parts_of_one_weight():
    layer = nn.MultiheadAttention(8, 2)
    fill(layer).eval()
    uses = []
    with plain_operations(layer), Watch(dict(layer.named_parameters()), uses.append):
        layer(numbers(3, 2, 8), numbers(5, 2, 8, seed=1), numbers(5, 2, 8, seed=1))
    parts = {(u.part.start, u.part.stop) for u in uses if "in_proj" in u.part.name}
    rows = [row for start, stop in parts for row in range(start, stop)]
    assert (0, 8) in parts
    assert sorted(rows) == list(range(24))


def test_look_ups_are_not_products():
    _, uses, _ = watched(nn.Embedding(11, 4), words(2, 5))
    assert uses == []


def test_settings_of_torch_come_back():
    before = torch.backends.mha.get_fastpath_enabled(), torch.backends.mkldnn.enabled
    with pytest.raises(ValueError, match="stop"), plain_operations(nn.LSTM(2, 2)):
        raise ValueError("stop")
    after = torch.backends.mha.get_fastpath_enabled(), torch.backends.mkldnn.enabled
    assert after == before
    assert torch.is_grad_enabled()


class Shared(nn.Module):
    """Two weights in one storage."""

    def __init__(self):
        super().__init__()
        together = numbers(60)
        self.a = nn.Parameter(together[:20].view(5, 4))
        self.b = nn.Parameter(together[20:].view(8, 5))

    def forward(self, x):
        return F.linear(F.linear(x, self.a), self.b)


def test_weights_of_one_storage_are_told_apart():
    network, uses = Shared(), []
    with (
        plain_operations(network),
        Watch(dict(network.named_parameters()), uses.append),
    ):
        network(numbers(3, 4))
    found = [(use.part.name, use.part.start, use.part.stop) for use in uses]
    assert found == [("a", 0, 5), ("b", 0, 8)]
