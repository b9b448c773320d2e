"""A pruned network refuses sizes at which it would not be the dense one."""

import copy
import io

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lilnetx_cli.errors import UsageError
from lilnetx_cli.graph import GraphError
from lilnetx_cli.graph.coupling import coupled_channels
from lilnetx_cli.graph.recorder import returning
from lilnetx_cli.measure.macs import count_macs
from lilnetx_cli.pruning import prune
from tests.pruning.made import REFUSED, Net, apart, filled, made


def branch(s, x):
    y = F.relu(s.a(x))
    return s.c(F.relu(s.b(s.d(y) if x.shape[-1] > 32 else y)))


def images(size, batch=2):
    return made(batch, 3, size, size)


@pytest.fixture(scope="module")
def dense():
    layers = {"a": nn.Conv2d(3, 8, 1), "b": nn.Conv2d(8, 8, 1), "c": nn.Conv2d(8, 4, 1)}
    return filled(Net(branch, **layers, d=nn.Conv2d(8, 8, 1)))


@pytest.fixture(scope="module")
def pruned(dense):
    return prune(dense, (images(8),)).model


@pytest.fixture
def smaller(pruned):
    return copy.deepcopy(pruned)


def test_the_layer_is_named(smaller):
    with pytest.raises(GraphError, match=r"2 x 3 x 33 x 33: .* first at 'd'; prune it"):
        smaller(images(33))


def test_it_runs_on_after_a_refusal(dense, smaller):
    with pytest.raises(GraphError, match=REFUSED):
        smaller(images(40))
    for size, batch in ((8, 2), (20, 1), (20, 5)):
        assert apart(dense, smaller, images(size, batch)) < 1e-5


def test_its_own_errors_come_out(smaller):
    with pytest.raises(RuntimeError, match="expected input"):
        smaller(made(2, 4, 12, 12))
    assert smaller(images(12)).shape == (2, 4, 12, 12)


def test_it_is_saved_with_the_network_and_not_in_the_state_dict(dense, smaller):
    assert smaller.state_dict().keys() == dense.state_dict().keys()
    file = io.BytesIO()
    torch.save(smaller, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    assert torch.equal(loaded(images(8)), smaller(images(8)))
    with pytest.raises(GraphError, match=REFUSED):
        loaded(images(40))


def test_what_trains_is_not_watched(smaller):
    smaller.train()
    with pytest.raises(RuntimeError, match="to have 8 channels"):
        smaller(images(40))


def test_an_interrupt_leaves_no_trace(dense, smaller, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(nn.Conv2d, "_conv_forward", interrupt)
    with pytest.raises(KeyboardInterrupt):
        smaller(images(12))
    monkeypatch.undo()
    assert torch.ones(3).sin().sum() > 2
    assert apart(dense, smaller, images(12)) < 1e-5


def test_an_interrupt_of_a_trace_leaves_none_either(dense, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(nn.Conv2d, "_conv_forward", interrupt)
    with pytest.raises(KeyboardInterrupt), returning(dense, frozenset((0,))):
        dense(images(8))
    assert torch._C._len_torch_function_stack() == 0


def test_what_is_counted_is_counted_once(dense, smaller):
    assert count_macs(smaller, images(12)).macs < count_macs(dense, images(12)).macs


def told(s, x):
    torch._assert(x.shape[1] == 3, f"three channels, not those of {x.shape}")
    with torch.no_grad():
        weight = x.mean()
    return branch(s, x) * weight * (x > torch.finfo(x.dtype).min).to(x.dtype).mean()


def test_texts_types_and_gradients_are_no_part_of_a_path():
    layers = {name: nn.Conv2d(8, 8, 1) for name in "bcd"}
    dense = filled(Net(told, a=nn.Conv2d(3, 8, 1), **layers))
    smaller = prune(dense, (images(8),)).model
    assert apart(dense, smaller, images(12)) < 1e-5  # in float64
    assert smaller(images(13)).requires_grad
    with torch.inference_mode():
        assert torch.allclose(smaller(images(14)), dense(images(14)), atol=1e-5)


def counting(s, x):
    s.seen.add_(1)
    return branch(s, x) * s.seen


def test_what_forward_changes_changes_once():
    layers = {name: nn.Conv2d(8, 8, 1) for name in "bcd"}
    dense = filled(Net(counting, a=nn.Conv2d(3, 8, 1), **layers))
    dense.register_buffer("seen", torch.zeros(1))
    smaller = prune(dense, (images(8),)).model
    for size in (8, 12, 12):
        assert torch.allclose(smaller(images(size)), dense(images(size)), atol=1e-5)
    assert smaller.seen == 3


def test_a_compiled_network_runs(dense, smaller):
    compiled = torch.compile(smaller, backend="eager")
    assert torch.allclose(compiled(images(12)), dense(images(12)), atol=1e-5)


def exported(network, *sizes):
    dims = dict.fromkeys((0, *sizes), torch.export.Dim.AUTO)
    return torch.export.export(
        network, (images(12),), dynamic_shapes=((dims,),), strict=False
    )


@pytest.mark.parametrize("sizes", [(), (2, 3)])
def test_it_leaves_nothing_in_what_is_exported(dense, smaller, sizes):
    program = exported(smaller, *sizes)
    plain = copy.deepcopy(smaller)
    plain._forward_pre_hooks.clear()
    nodes = [node.name for node in exported(plain, *sizes).graph.nodes]
    assert [node.name for node in program.graph.nodes] == nodes
    module = program.module()
    for size in (12, 13, 20) if sizes else (12,):
        wanted = dense(images(size, 3))
        assert torch.allclose(module(images(size, 3)), wanted, atol=1e-5)
    with pytest.raises((AssertionError, RuntimeError)):
        module(images(40))


def far_number(s, x):
    return s.c(F.relu(s.b(F.relu(s.a(x)) + x.shape[-1] // 40)))


def test_no_number_that_was_never_seen_is_exported():
    layers = {"a": nn.Conv2d(3, 8, 1), "b": nn.Conv2d(8, 8, 1), "c": nn.Conv2d(8, 4, 1)}
    smaller = prune(filled(Net(far_number, **layers)), (images(8),)).model
    assert len(smaller.a.bias) == 4
    with pytest.raises(GraphError, match=REFUSED):
        exported(smaller, 2, 3)


def by_size(s, x):
    """Adds a number that is 0 for all that is small."""
    return s.c(F.relu(s.b(F.relu(s.a(x)) + max(x.shape[-1] - 30, 0))))


def test_numbers_are_watched_too():
    layers = {"a": nn.Conv2d(3, 8, 1), "b": nn.Conv2d(8, 8, 1), "c": nn.Conv2d(8, 4, 1)}
    dense = filled(Net(by_size, **layers))
    smaller = prune(dense, (images(8),)).model
    assert len(smaller.a.bias) == 4
    assert apart(dense, smaller, images(30)) < 1e-5
    with pytest.raises(GraphError, match=r"31 x 31: .* first at 'the network'"):
        smaller(images(31))


class Flagged(nn.Module):
    """Adds to channels that are zero, where it is told to."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3)
        self.last = nn.Conv2d(8, 4, 3)

    def forward(self, x, shift=False, by=0.0):
        y = self.first(x)
        y = y + 0.5 if shift else y
        y = y + by if by else y
        return self.last(y.relu())


def flagged():
    return filled(Flagged(), bias=0.0, dead=["first"])


@pytest.mark.parametrize("size", [8, 12])  # one that was compared, and a new one
@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((), {"shift": True}), ((), {"by": 0.5}), ((True,), {}), ((False, 0.5), {})],
)
def test_flags_and_numbers_that_are_new_are_watched(size, args, kwargs):
    dense = flagged()
    smaller = prune(dense, (images(8),)).model
    assert len(smaller.first.bias) == 4
    x = images(size)
    same = dense(x, shift=False, by=0.0)
    assert torch.allclose(smaller(x, shift=False, by=0.0), same, atol=1e-6)
    with pytest.raises(GraphError, match="a different path"):
        smaller(x, *args, **kwargs)
    assert torch.allclose(smaller(x), same, atol=1e-6)


def test_settings_of_layers_that_forward_changes_are_watched():
    def forward(s, x):
        s.b.padding = (1, 1) if x.shape[-1] > 100 else (0, 0)
        return s.b(s.a(x)).mean((2, 3))

    layers = {"a": nn.Conv2d(3, 8, 3), "b": nn.Conv2d(8, 8, 3)}
    dense = filled(Net(forward, **layers), dead=["a"])
    smaller = prune(dense, (images(8),)).model
    assert len(smaller.a.bias) == 4
    assert torch.allclose(smaller(images(9)), dense(images(9)), atol=1e-5)
    with pytest.raises(GraphError, match="a different path"):
        smaller(images(104))


def test_a_network_of_which_nothing_leaves_takes_what_it_took(dense):
    alive = copy.deepcopy(dense)
    with torch.no_grad():
        for layer in alive.children():
            layer.weight.copy_(made(*layer.weight.shape))
    smaller = prune(alive, (images(8),)).model
    assert torch.equal(smaller(images(40)), alive(images(40)))


def test_hooks_that_are_added_later_run_once_and_are_no_part_of_the_path(smaller):
    seen = []
    smaller.b.register_forward_hook(lambda _m, _i, y: seen.append(y[:, :2].mean()))
    smaller(images(12))
    assert len(seen) == 1


def test_hooks_of_the_network_are_part_of_it(dense):
    hooked = copy.deepcopy(dense)
    hooked.register_forward_pre_hook(lambda _m, inputs: (inputs[0] * 2,))
    smaller = prune(hooked, (images(8),)).model
    assert apart(hooked, smaller, images(12)) < 1e-5
    with pytest.raises(GraphError, match=REFUSED):
        smaller(images(33))


def test_one_tensor_may_be_given_by_itself(dense):
    assert prune(dense, images(8)).removed_channels > 0
    channels = [coupled_channels(dense, x) for x in (images(8), (images(8),))]
    assert channels[0].count == channels[1].count


def test_a_list_may_be_the_one_argument(dense):
    class Listed(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = copy.deepcopy(dense)

        def forward(self, parts):
            return self.inner(parts[0] + parts[1])

    assert prune(Listed().eval(), [images(8), images(8)]).removed_channels > 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": None}, "model is None, expected a network"),
        ({"multiple": 0}, "multiple is 0, expected 1 or more"),
    ],
)
def test_other_arguments_are_named(dense, change, words):
    with pytest.raises(UsageError, match=words):
        prune(**{"model": dense, "inputs": images(8), **change})
