import dataclasses
import sys

import pytest
import torch
from torch import nn

import lilnetx_cli as lilnetx
import lnx
from lilnetx_cli.checkpoint import (
    Checkpoint,
    capture,
    load_checkpoint,
    pack,
    read_source,
    save_checkpoint,
    unpack,
)
from lilnetx_cli.errors import FileError, InputError, LilnetxError, UsageError
from lilnetx_cli.models import build, describe

FORM = {"channels": 1, "classes": 10}


def trained(seed=0):
    torch.manual_seed(seed)
    return lilnetx.reparameterize(build("resnet20", FORM))


def assert_states_equal(one, other):
    assert list(one) == list(other)
    for name, tensor in one.items():
        assert tensor.dtype == other[name].dtype, name
        assert tensor.shape == other[name].shape, name
        same = tensor.contiguous().reshape(-1).view(torch.uint8)
        assert torch.equal(same, other[name].reshape(-1).view(torch.uint8)), name


def test_a_network_goes_to_a_file_and_back(tmp_path):
    model = trained()
    path = tmp_path / "m.lnx"
    size = lilnetx.save(model, path, architecture=describe("resnet20", FORM))
    assert size == path.stat().st_size
    state = lilnetx.load(path)
    assert_states_equal(lilnetx.materialize(model).state_dict(), state)
    again = lilnetx.load_model(path)
    assert not again.training
    x = torch.randn(3, 1, 12, 12)
    assert torch.equal(lilnetx.materialize(model).eval()(x), again(x))


def test_numpy_reads_the_same_bits(tmp_path):
    path = tmp_path / "m.lnx"
    lilnetx.save(trained(), path)
    arrays = lnx.arrays(path)
    for name, tensor in lilnetx.load(path).items():
        assert arrays[name].tobytes() == tensor.numpy().tobytes()


def test_checkpoints_come_back(tmp_path):
    checkpoint = capture(trained(), architecture={"name": "x"}, training={"epochs": 1})
    path = tmp_path / "model.pt"
    save_checkpoint(checkpoint, path)
    again = load_checkpoint(path)
    assert_states_equal(checkpoint.state_dict, again.state_dict)
    assert lnx.dumps(pack(again)) == lnx.dumps(pack(checkpoint))
    plain = torch.load(path, weights_only=True)["state_dict"]
    build("resnet20", FORM).load_state_dict(plain)


def test_changed_weights_are_refused():
    checkpoint = capture(trained())
    with torch.no_grad():
        checkpoint.state_dict["fc.weight"][0, 0] += 1e-6
    with pytest.raises(InputError, match=r"'fc\.weight' are not what"):
        pack(checkpoint)


def test_latents_that_do_not_fit_are_refused():
    checkpoint = capture(trained())
    name = "layer1.0.conv1.weight"
    entry = checkpoint.latents[name]
    rows = entry.symbols
    for symbols in (rows[1:], rows.reshape(-1), rows.reshape(-1, 3)):
        latents = {name: dataclasses.replace(entry, symbols=symbols)}
        with pytest.raises(InputError, match=rf"latents of '{name}' do not fit"):
            pack(dataclasses.replace(checkpoint, latents=latents))


TYPES = [
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
    torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64,
    torch.float8_e4m3fn, torch.float8_e5m2, torch.uint16, torch.uint32, torch.uint64,
]  # fmt: skip


def test_any_state_dict_comes_back():
    torch.manual_seed(0)
    state = {}
    for dtype in TYPES:
        noise = torch.randint(0, 2 if dtype is torch.bool else 256, (6, 8))
        raw = noise.to(torch.uint8).reshape(-1)
        name = str(dtype)
        state[name] = raw.view(dtype) if dtype is not torch.bool else noise.bool()
        state[f"{name} scalar"] = torch.zeros(()).to(dtype)
        state[f"{name} empty"] = torch.zeros(0, 4).to(dtype)
    state["turned"] = torch.randn(4, 6).t()
    state["last"] = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    state["special"] = torch.tensor([float("nan"), float("inf"), -0.0])
    again = unpack(lnx.rebuild_all(lnx.loads(lnx.dumps(pack(Checkpoint(state))))))
    assert_states_equal(state, again)


def test_a_single_element_may_have_any_stride():
    state = {"one": torch.tensor(3.0).expand(1)}
    again = unpack(lnx.rebuild_all(lnx.loads(lnx.dumps(pack(Checkpoint(state))))))
    assert torch.equal(again["one"], torch.tensor([3.0]))


def test_tied_tensors_are_stored_once_and_tied_again():
    shared = torch.randn(50, 40)
    state = {"embed": shared, "other": torch.randn(3), "head": shared}
    data = lnx.dumps(pack(Checkpoint(state)))
    assert len(data) < 1.2 * shared.numel() * 4
    again = unpack(lnx.rebuild_all(lnx.loads(data)))
    assert again["head"].data_ptr() == again["embed"].data_ptr()
    assert_states_equal(state, again)


def test_types_that_files_do_not_hold_are_named():
    state = {"x": torch.zeros(3, dtype=torch.complex128)}
    with pytest.raises(InputError, match=r"'x' has type torch\.complex128"):
        pack(Checkpoint(state))
    with pytest.raises(InputError, match="not a dense tensor"):
        pack(Checkpoint({"x": torch.zeros(3).to_sparse()}))


class Custom(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(6, 6)
        self.b = nn.Linear(6, 6)
        self.b.weight = self.a.weight
        self.c = nn.Conv1d(2, 3, 5)


def test_networks_of_ones_own(tmp_path):
    model = lilnetx.reparameterize(Custom())
    path = tmp_path / "m.lnx"
    lilnetx.save(model, path)
    again = lilnetx.load_model(path, model=Custom())
    assert_states_equal(lilnetx.materialize(model).state_dict(), again.state_dict())
    with pytest.raises(UsageError, match="which network"):
        lilnetx.load_model(path)
    with pytest.raises(UsageError, match="does not fit"):
        lilnetx.load_model(path, model=nn.Linear(2, 2))


def test_plain_networks_are_held_byte_for_byte(tmp_path):
    model = build("resnet20", FORM)
    path = tmp_path / "m.lnx"
    lilnetx.save(model, path)
    assert_states_equal(model.state_dict(), lilnetx.load(path))


@pytest.mark.parametrize(
    "record",
    [
        {"name": "os.system", "args": {}},
        {"name": "../x.py", "args": {}},
        {"name": "resnet20", "args": {"classes": 1 << 40, "channels": 1}},
        {"name": "resnet20", "args": {"classes": "10", "channels": 1}},
        {"name": "resnet20", "args": {"classes": 10}},
        {"name": "resnet20", "args": {**FORM, "shell": 1}},
        {"name": "resnet20"},
        {"name": ["resnet20"], "args": {}},
    ],
)
def test_architecture_records_cannot_run_code(tmp_path, record):
    path = tmp_path / "m.lnx"
    lilnetx.save(trained(), path, architecture=record)
    with pytest.raises((FileError, UsageError)):
        lilnetx.load_model(path)


def test_incomplete_checkpoints_are_refused(tmp_path):
    path = tmp_path / "model.pt"
    for content, message in (
        ({"state_dict": {}}, "not a lilnetx checkpoint"),
        ({"lilnetx": 99}, "version 99"),
        ({"lilnetx": 1}, "version 1, expected 2"),
        ({"lilnetx": 2}, "an incomplete lilnetx checkpoint"),
        ([1, 2], "not a lilnetx checkpoint"),
    ):
        torch.save(content, path)
        with pytest.raises(LilnetxError, match=message):
            load_checkpoint(path)
    torch.save(nn.Linear(2, 2), path)
    with pytest.raises(FileError, match=r"needs 'torch\.nn\.modules\.linear\.Linear"):
        load_checkpoint(path)
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(FileError, match="not a PyTorch checkpoint"):
        load_checkpoint(path)


def test_old_checkpoints_without_the_zip_form_load(tmp_path):
    checkpoint = capture(trained())
    path = tmp_path / "model.pt"
    save_checkpoint(checkpoint, path)
    content = torch.load(path, weights_only=True)
    torch.save(content, path, _use_new_zipfile_serialization=False)
    assert_states_equal(checkpoint.state_dict, load_checkpoint(path).state_dict)


def test_any_checkpoint_is_a_source(tmp_path):
    from safetensors.torch import save_file

    state = dict(build("resnet20", FORM).state_dict())
    wrapped = {f"module._orig_mod.{k}": v for k, v in state.items()}
    path = tmp_path / "m.pt"
    cases = [
        (state, None, 0),
        (wrapped, None, 2),
        ({"epoch": 3, "state_dict": state, "optimizer": {}}, None, 1),
        ({"epoch": 3, "model": wrapped, "best": torch.ones(())}, None, 3),
        ({"ema": {"net": state}, "model": {"x": torch.ones(2)}}, "ema.net", 1),
        ({**state, "epoch": 7}, None, 1),
    ]
    for content, key, notes in cases:
        torch.save(content, path)
        source = read_source(path, key=key)
        assert len(source.notes) == notes, source.notes
        assert_states_equal(state, source.checkpoint.state_dict)
    path = tmp_path / "m.safetensors"
    save_file(state, path)
    again = read_source(path).checkpoint.state_dict
    assert_states_equal({k: state[k] for k in again}, again)
    assert set(again) == set(state)


def test_whole_modules_load_only_when_trusted(tmp_path):
    path = tmp_path / "m.pt"
    model = nn.Linear(3, 2)
    torch.save(model, path)
    with pytest.raises(FileError, match="--unsafe-pickle"):
        read_source(path)
    source = read_source(path, unsafe_pickle=True)
    assert_states_equal(model.state_dict(), source.checkpoint.state_dict)


def test_a_module_whose_code_is_missing_is_named(tmp_path, monkeypatch):
    (tmp_path / "their_net.py").write_text(
        "from torch import nn\n\n\nclass Net(nn.Linear):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from their_net import Net

    torch.save(Net(2, 2), tmp_path / "m.pt")
    monkeypatch.undo()
    monkeypatch.delitem(sys.modules, "their_net")
    with pytest.raises(FileError, match=r"No module named 'their_net'; .*PYTHONPATH"):
        read_source(tmp_path / "m.pt", unsafe_pickle=True)


def test_real_weights_shrink_without_loss(tmp_path):
    model = build("resnet20", {**FORM, "width": 2})
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.05)
    size = lilnetx.save(model, tmp_path / "m.lnx")
    assert size < 0.9 * sum(p.numel() * 4 for p in model.parameters())


def test_summary_and_architecture_travel(tmp_path):
    checkpoint = capture(trained(), architecture=describe("resnet20", FORM))
    checkpoint = dataclasses.replace(checkpoint, training={"accuracy": 0.5})
    path = tmp_path / "m.lnx"
    lnx.save(pack(checkpoint), path)
    about = lnx.summary(path)
    assert about.architecture == describe("resnet20", FORM)
    assert about.training == {"accuracy": 0.5}
