"""Networks are made for the tensors of a file, and never much larger than these."""

import threading
import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lilnetx_cli.errors import FileError, UsageError
from lilnetx_cli.models import describe, rebuild
from lilnetx_cli.models.registry import MODELS, ModelInfo

FORM = {"channels": 1, "classes": 2}


class Plain(nn.Module):
    """(B, 4) -> (B, 2); the ones below do the same in odd ways."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.b = nn.Linear(4, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.b(self.a(x)))


class Numbers(Plain):
    """Reads numbers that a tensor has computed, as RegNet does."""

    def __init__(self):
        super().__init__()
        self.sizes = torch.arange(1, 4).mul(2).tolist()

    def forward(self, x):
        return super().forward(x) * sum(self.sizes)


class Table(Plain):
    """Has a buffer that state dicts leave out."""

    def __init__(self):
        super().__init__()
        self.register_buffer("table", torch.linspace(1, 2, 4), persistent=False)

    def forward(self, x):
        return super().forward(x * self.table)


class Loose(Plain):
    """Has a tensor that is not a buffer."""

    def __init__(self):
        super().__init__()
        self.scales = [torch.tensor([3.0])]

    def forward(self, x):
        return super().forward(x) * self.scales[0]


class FromWeights(Plain):
    """Has a buffer with the device of its weights."""

    def __init__(self):
        super().__init__()
        ones = torch.ones_like(self.a.bias)
        self.register_buffer("shift", ones, persistent=False)

    def forward(self, x):
        return super().forward(x + self.shift)


class LooseFromWeights(Plain):
    """Has a tensor with the device of its weights, deep in a list."""

    def __init__(self):
        super().__init__()
        self.shifts = {"x": [(torch.ones_like(self.a.bias),)]}

    def forward(self, x):
        return super().forward(x + self.shifts["x"][0][0])


class Tried(Plain):
    """Runs a layer to learn how large its output is."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(self.b(torch.zeros(1, 4)).shape[1], 2)


class Numpy(Plain):
    """Reads its weights."""

    def __init__(self):
        super().__init__()
        self.size = float(np.abs(self.a.weight.detach().numpy()).max() * 0 + 5)

    def forward(self, x):
        return super().forward(x) * self.size


class Listed(Plain):
    """Uses its weights by a list of its own."""

    def __init__(self):
        super().__init__()
        self.weights = [self.a.weight, self.b.weight]

    def forward(self, x):
        return self.head(F.linear(F.linear(x, self.weights[0]), self.weights[1]))


class Tied(Plain):
    """Has one weight under two names."""

    def __init__(self):
        super().__init__()
        self.b.weight = self.a.weight


class Recurrent(Plain):
    """Has a layer that keeps weak references to its weights."""

    def __init__(self):
        super().__init__()
        self.a = nn.LSTM(4, 4, batch_first=True)

    def forward(self, x):
        return self.head(self.b(self.a(x[:, None])[0][:, 0]))


class Marked(Plain):
    """Marks weights for an optimizer, one before and one after a layer has it."""

    def __init__(self):
        super().__init__()
        weight = nn.Parameter(torch.ones(4, 4), requires_grad=False)
        weight.no_decay = True
        self.a.weight = weight
        self.b.weight.no_decay = True


KINDS = [Plain, Numbers, Table, Loose, FromWeights, LooseFromWeights, Tried, Numpy,
         Listed, Tied, Recurrent, Marked]  # fmt: skip


@pytest.fixture
def rebuilt(monkeypatch):
    """Return a function that rebuilds a network of a class from a state dict."""

    def run(make, state, form=FORM):
        def maker(*, channels, classes):  # noqa: ARG001
            return make()

        monkeypatch.setitem(MODELS, "odd", ModelInfo("", maker))
        return rebuild(describe("odd", form), state, "m.lnx")

    return run


def filled(kind):
    network = kind()
    numbers = np.random.default_rng(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.from_numpy(numbers.normal(size=parameter.shape)))
    return network.eval()


@pytest.mark.parametrize("kind", KINDS)
def test_networks_made_in_odd_ways(rebuilt, kind):
    images = torch.linspace(-1, 1, 12).reshape(3, 4)
    made = filled(kind)
    state = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    again = rebuilt(kind, state).eval()
    with torch.no_grad():
        assert made(images).std() > 0
        assert torch.equal(again(images), made(images))
    for network in (made, again):
        network(images).sum().backward()
    for mine, theirs in zip(again.parameters(), made.parameters(), strict=True):
        assert mine.requires_grad == theirs.requires_grad
        assert vars(mine) == vars(theirs)
        assert (mine.grad is None) == (theirs.grad is None)


@pytest.mark.parametrize("kind", [Plain, Numbers, Table, Loose, Listed, Tied, Marked])
def test_most_take_over_the_memory_of_the_state_dict(rebuilt, kind):
    state = filled(kind).state_dict()
    places = {tensor.data_ptr() for tensor in state.values()}
    again = rebuilt(kind, state)
    assert {parameter.data_ptr() for parameter in again.parameters()} <= places
    assert (again.a.weight is again.b.weight) == (kind is Tied)


def test_a_file_cannot_make_a_network_large(rebuilt):
    """The weights asked for would take 32 TB; nothing that large is touched."""

    def make():
        return nn.Sequential(*(nn.Linear(1 << 16, 1 << 16) for _ in range(2000)))

    begun = time.process_time()
    with pytest.raises(UsageError, match=r"does not fit.*holds 3 weights.* has more"):
        rebuilt(make, {"0.weight": torch.ones(3)})
    assert time.process_time() - begun < 1


def test_what_was_set_up_is_taken_down(rebuilt):
    with pytest.raises(FileError, match="no luck"):
        rebuilt(failing, {})
    with pytest.raises(UsageError, match="does not fit"):
        rebuilt(Plain, {})
    assert not nn.Linear(1, 1).weight.is_meta


def failing():
    raise ValueError("no luck")


def test_networks_of_other_threads_have_their_memory(rebuilt):
    others = []

    def make():
        thread = threading.Thread(target=lambda: others.append(Plain()))
        thread.start()
        thread.join()
        return Plain()

    rebuilt(make, filled(Plain).state_dict())
    assert [other.a.weight.is_meta for other in others] == [False]


def test_a_record_may_not_name_what_it_likes():
    for name in ("torchvision:os", "timm:../x", "os.system", "odd.py:make"):
        for trusted in (False, True):
            with pytest.raises((FileError, UsageError)):
                rebuild(describe(name, FORM), {}, "m.lnx", trusted=trusted)
    with pytest.raises(UsageError, match="does not say which network"):
        rebuild(None, {}, "m.lnx")
