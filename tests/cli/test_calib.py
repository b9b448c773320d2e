"""`compress` with a network and its inputs."""

import inspect
import json

import numpy as np
import pytest
import torch

import lilnetx_cli as lilnetx
import lnx
from lilnetx_cli.__main__ import run
from lilnetx_cli.compression.finishing import output_snr
from lilnetx_cli.models import build, describe
from lilnetx_cli.nn import reparameterize
from tests.compression.networks import digits, words_network
from tests.nn.making import filled, numbers, words

FACTORIES = """
import torch
from tests.compression.networks import Digits, Words
from tests.nn.making import numbers, words
from lilnetx_cli.data import load_splits

def network():
    return Digits()

def tokens():
    return Words()

def inputs():
    return numbers(64, 1, 8, 8)

def pair():
    split = load_splits("digits", None).calibration
    return split.__getitems__(list(range(600)))

def batches():
    return [(words(30, 9, count=30, seed=seed),) for seed in range(2)]

def few():
    return numbers(3, 1, 8, 8)

def splits():
    assert not hasattr(splits, "called"), "called twice"
    splits.called = True
    images, labels = load_splits("digits", None).calibration.__getitems__(range(60))
    samples = [(image, int(label)) for image, label in zip(images, labels)]
    return samples, samples[:9], 10

def text():
    return "inputs"

def flat():
    return torch.tensor(1.0)

def other():
    return numbers(64, 3, 9, 9)

def halves():
    return numbers(64, 1, 8, 8), torch.zeros(3)

def holes():
    inputs = numbers(64, 1, 8, 8)
    inputs[20, 0, 3, 3] = float("nan")
    return inputs

def alike():
    return numbers(1, 1, 8, 8).expand(64, -1, -1, -1)

def later():
    return [numbers(40, 1, 8, 8), numbers(40, 1, 7, 7)]

def float_labels():
    return numbers(400, 1, 8, 8), torch.arange(400) % 10 / 1

def strange_labels():
    return numbers(400, 1, 8, 8), torch.arange(400) % 20

def counted():
    with open("calls.txt", "a") as file:
        file.write("once ")
    return inputs()

def breaks():
    raise RuntimeError("no data today")
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with digits.pt, words.pt and mine.py."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(FACTORIES)
    torch.save(digits().state_dict(), "digits.pt")
    torch.save(words_network().state_dict(), "words.pt")
    return tmp_path


def compressed(capsys, *arguments):
    """Run compress, and return its record."""
    assert run(["compress", *arguments, "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


@pytest.mark.usefixtures("folder")
def test_inputs_make_files_far_smaller(capsys):
    plain = compressed(capsys, "digits.pt")
    made = compressed(
        capsys, "digits.pt", "-f", "--model", "mine.py:network", "--calib", "digits"
    )
    assert made["output_bytes"] < 0.75 * plain["output_bytes"]
    assert made["output_snr_db"] >= 25
    assert plain["output_snr_db"] is None


@pytest.mark.usefixtures("folder")
def test_a_function_of_splits_is_called_once(capsys):
    own = "--model", "mine.py:network", "--calib", "mine.py:splits"
    assert compressed(capsys, "digits.pt", *own)["output_snr_db"] >= 25


def test_a_size_with_inputs(folder, capsys):
    made = compressed(
        capsys, "digits.pt", "--model", "mine.py:network", "--calib", "digits",
        "--target-size", "5kB",
    )  # fmt: skip
    assert 4950 <= made["output_bytes"] <= 5000
    assert made["output_bytes"] == (folder / "digits.lnx").stat().st_size


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("calib", ["digits", "mine.py:pair"])
def test_the_smallest_file_of_an_accuracy(capsys, calib):
    made = compressed(
        capsys, "digits.pt", "--model", "mine.py:network", "--calib", calib,
        "--max-accuracy-drop", "2",
    )  # fmt: skip
    assert made["accuracy"] >= made["accuracy_dense"] - 0.02
    assert made["output_bytes"] < 6000
    assert run(["compress", "digits.pt", "-f", "--model", "mine.py:network", "--calib",
                "digits", "--max-accuracy-drop", "2"]) == 0  # fmt: skip
    assert "held-out accuracy:" in capsys.readouterr().out


@pytest.mark.usefixtures("folder")
def test_tokens_in_batches_of_arguments(capsys):
    made = compressed(
        capsys, "words.pt", "--model", "mine.py:tokens", "--calib", "mine.py:batches"
    )
    assert made["output_snr_db"] >= 25
    state = lilnetx.load("words.lnx")
    assert state.keys() == words_network().state_dict().keys()


@pytest.mark.usefixtures("folder")
def test_what_is_named_is_recorded(capsys):
    network = filled(build("vgg11_bn", {"channels": 1, "classes": 10, "percent": 5}),
                     8, 1, 32, 32).eval()  # fmt: skip
    torch.save(network.state_dict(), "vgg.pt")
    compressed(
        capsys, "vgg.pt", "--model", "vgg11_bn", "--model-arg", "percent=5",
        "--model-arg", "channels=1", "--model-arg", "classes=10",
        "--input-shape", "1x32x32", "--snr", "50",
    )  # fmt: skip
    record = lnx.summary("vgg.lnx").architecture
    assert record["name"] == "vgg11_bn"
    assert record["input"] == "1x32x32"
    assert run(["decompress", "vgg.lnx", "-o", "vgg.pt2"]) == 0, capsys.readouterr().err
    rebuilt = lilnetx.load_model("vgg.lnx")
    images = numbers(4, 1, 32, 32, seed=9)
    with torch.no_grad():
        wanted, found = network(images), rebuilt(images)
    assert output_snr(wanted, found) > 20
    assert bool((rebuilt.features[1].running_var == 1).all())  # folded


def test_inputs_are_read_once_for_several_files(folder, capsys):
    (folder / "again.pt").write_bytes((folder / "digits.pt").read_bytes())
    made = compressed(
        capsys, "digits.pt", "again.pt", "--model", "mine.py:network",
        "--calib", "mine.py:counted",
    )  # fmt: skip
    assert len({record["output_bytes"] for record in made["files"]}) == 1
    assert (folder / "calls.txt").read_text() == "once "


def test_a_network_that_does_not_fit_is_refused(folder, capsys):
    for more in ([], ["--lossless"], ["--calib", "mine.py:inputs"]):
        assert run(["compress", "digits.pt", "--model", "mine.py:tokens", *more]) == 2
        assert "does not fit the network" in capsys.readouterr().err
    assert not (folder / "digits.lnx").exists()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--calib", "digits"], 2, "does not say which network"),
        (["--max-accuracy-drop", "1"], 2, "needs --calib"),
        (["--no-recalibrate"], 2, "needs --calib"),
        (["--data-dir", "."], 2, "needs --calib"),
        (["--input-shape", "1x8x8"], 2, "needs --model"),
        (["--calib", "digits", "--lossless"], 2, "cannot be combined"),
        (["--snr", "20", "--max-accuracy-drop", "1"], 2, "cannot be combined"),
    ],
)
def test_options_that_lack_others(capsys, options, code, words):
    assert run(["compress", "digits.pt", *options]) == code
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("calib", "code", "words"),
    [
        ("mine.py:few", 1, "3 inputs"),
        ("mine.py:text", 1, "returns a str"),
        ("mine.py:flat", 1, "0 inputs"),
        ("mine.py:other", 1, "does not run on the inputs"),
        ("mine.py:halves", 1, "inputs and (3,) labels: expected two tensors"),
        ("mine.py:breaks", 1, "no data today"),
        ("mine.py:holes", 1, "NaN or infinity, in batch 0"),
        ("mine.py:alike", 2, "the same for all inputs"),
        ("mine.py:later", 1, "does not run on the inputs, (40, 1, 7, 7)"),
        ("mine.py:float_labels", 1, "labels in float32"),
        ("mine.py:absent", 2, "no function"),
        ("fashion", 2, "fashion-mnist"),
    ],
)
def test_inputs_that_are_none(folder, capsys, calib, code, words):
    arguments = ["compress", "digits.pt", "--model", "mine.py:network"]
    assert run([*arguments, "--calib", calib]) == code
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (folder / "digits.lnx").exists()


@pytest.mark.usefixtures("folder")
def test_accuracy_needs_labels(capsys):
    assert run(["compress", "digits.pt", "--model", "mine.py:network", "--calib",
                "mine.py:inputs", "--max-accuracy-drop", "1"]) == 2  # fmt: skip
    assert "labels" in capsys.readouterr().err


def test_labels_that_the_network_does_not_know(folder, capsys):
    assert run(["compress", "digits.pt", "--model", "mine.py:network", "--calib",
                "mine.py:strange_labels", "--max-accuracy-drop", "1"]) == 1  # fmt: skip
    error = capsys.readouterr().err
    assert "or more) for labels from 0 to 18" in error
    assert error.count("\n") == 1
    assert not (folder / "digits.lnx").exists()


@pytest.mark.usefixtures("folder")
def test_a_size_that_cannot_be_had_with_inputs(capsys):
    assert run(["compress", "digits.pt", "--model", "mine.py:network", "--calib",
                "digits", "--target-size", "150"]) == 2  # fmt: skip
    assert "the smallest takes" in capsys.readouterr().err


def test_latents_that_stay_keep_their_batch_norms(tmp_path, capsys):
    """A finer file would be larger, so that nothing is lost; nor is it on the way."""
    form = {"channels": 1, "classes": 10}
    model = filled(build("resnet20", form), 16, 1, 28, 28)
    reparameterize(model, start="trained")
    source, target = tmp_path / "a.lnx", tmp_path / "b.lnx"
    lilnetx.save(model.eval(), source)
    words = ["compress", source, "-o", target, "--model", "resnet20", "--snr", "80",
             "--model-arg", "channels=1", "--model-arg", "classes=10"]  # fmt: skip
    assert run([str(word) for word in words]) == 0, capsys.readouterr().err
    assert "every bit is kept" in capsys.readouterr().out
    after = lilnetx.load(target)
    for name, value in lilnetx.load(source).items():
        assert torch.equal(value, after[name]), name


class TestInPython:
    """`lilnetx.compress` does what the verb does."""

    def test_a_state_dict(self, tmp_path):
        record = lilnetx.compress(digits().state_dict(), tmp_path / "a.lnx", snr=30)
        assert record["snr_db"] >= 30
        assert record["output_bytes"] == (tmp_path / "a.lnx").stat().st_size

    def test_a_network_with_inputs(self, tmp_path):
        network = digits()
        before = {k: v.clone() for k, v in network.state_dict().items()}
        record = lilnetx.compress(
            network, tmp_path / "a.lnx", inputs=numbers(64, 1, 8, 8), target_size=5000
        )
        assert 4950 <= record["output_bytes"] <= 5000
        for name, value in network.state_dict().items():
            assert torch.equal(value, before[name])

    @pytest.mark.parametrize(
        "inputs",
        [None, pytest.param(numbers(16, 1, 8, 8), marks=pytest.mark.slow)],
    )
    def test_a_state_dict_whose_network_is_known_stays_as_it_is(self, tmp_path, inputs):
        form = {"channels": 1, "classes": 10}
        state = filled(build("resnet20", form), 16, 1, 8, 8).state_dict()
        before = {name: value.clone() for name, value in state.items()}
        lilnetx.compress(
            state, tmp_path / "a.lnx", inputs=inputs,
            architecture=describe("resnet20", form),
        )  # fmt: skip
        for name, value in state.items():
            assert torch.equal(value, before[name]), name

    def test_labels(self, tmp_path):
        from lilnetx_cli.data import load_splits

        split = load_splits("digits", None).calibration
        inputs, labels = split.__getitems__(list(range(600)))
        record = lilnetx.compress(
            digits(), tmp_path / "a.lnx", inputs=inputs, labels=labels,
            max_accuracy_drop=2,
        )  # fmt: skip
        assert record["accuracy"] >= record["accuracy_dense"] - 0.02

    def test_batches(self, tmp_path):
        batches = [words(20, 9, count=30), (words(20, 9, count=30, seed=1),)]
        record = lilnetx.compress(words_network(), tmp_path / "a.lnx", inputs=batches)
        assert record["output_snr_db"] >= 25

    def test_named_arguments(self, tmp_path):
        ids = words(20, 9, count=30)
        both = tmp_path / "named.lnx", tmp_path / "positional.lnx"
        first = next(iter(inspect.signature(words_network().forward).parameters))
        lilnetx.compress(words_network(), both[0], inputs=[{first: ids}, {first: ids}])
        lilnetx.compress(words_network(), both[1], inputs=[ids, ids])
        assert both[0].read_bytes() == both[1].read_bytes()

    def test_a_network_that_torch_compiled(self, tmp_path):
        network = torch.compile(digits(), backend="eager")
        record = lilnetx.compress(
            network, tmp_path / "a.lnx", inputs=numbers(64, 1, 8, 8)
        )
        assert record["output_snr_db"] >= 25

    def test_every_bit(self, tmp_path):
        network = digits()
        record = lilnetx.compress(network, tmp_path / "a.lnx", lossless=True)
        assert record["lossless"] is True
        for name, value in lilnetx.load(tmp_path / "a.lnx").items():
            assert np.array_equal(value.numpy(), network.state_dict()[name].numpy())

    @pytest.mark.parametrize(
        ("wishes", "words"),
        [
            (
                {"snr": 20, "target_size": 5000},
                "snr and target_size cannot be combined",
            ),
            ({"lossless": True, "inputs": numbers(64, 1, 8, 8)}, "cannot be combined"),
            ({"max_accuracy_drop": 1}, "labels"),
            ({"snr": float("nan")}, "snr is nan, expected 1 to 120 dB"),
            ({"bits_per_weight": 0}, "expected 0.01 to 32"),
            ({"target_ratio": 0}, "expected 1 to"),
            ({"target_size": -1}, "expected 1 to"),
            ({"target_size": "2kB"}, "target_size is '2kB', expected a number"),
            ({"max_accuracy_drop": "1"}, "expected a number"),
            ({"max_accuracy_drop": 200}, "max_accuracy_drop is 200, expected 0 to 100"),
            ({"labels": torch.zeros(3)}, "labels need inputs"),
            ({"inputs": numbers(3, 1, 8, 8)}, "3 inputs"),
            ({"inputs": numbers(64, 1, 7, 8)}, "does not run"),
            ({"inputs": {"pixels": numbers(64, 1, 8, 8)}}, "does not run"),
            ({"inputs": [5]}, "int, expected a tensor"),
            ({"inputs": (5,)}, "without a tensor"),
            ({"inputs": []}, "no inputs"),
        ],
    )
    def test_contrary_wishes(self, tmp_path, wishes, words):
        from lilnetx_cli.errors import LilnetxError

        with pytest.raises(LilnetxError, match=words):
            lilnetx.compress(digits(), tmp_path / "a.lnx", **wishes)
        assert not (tmp_path / "a.lnx").exists()

    def test_no_network(self, tmp_path):
        from lilnetx_cli.errors import UsageError

        with pytest.raises(UsageError, match="expected, not None"):
            lilnetx.compress(None, tmp_path / "a.lnx")

    def test_a_state_dict_computes_nothing(self, tmp_path):
        from lilnetx_cli.errors import UsageError

        with pytest.raises(UsageError, match="give the model"):
            lilnetx.compress(
                digits().state_dict(), tmp_path / "a.lnx", inputs=numbers(64, 1, 8, 8)
            )


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
def test_a_network_that_is_lost_is_warned_of(capsys):
    assert run(["compress", "digits.pt", "--model", "mine.py:network", "--calib",
                "digits", "--target-size", "600"]) == 0  # fmt: skip
    assert "the outputs are badly distorted" in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_latents_that_fit_are_kept_with_inputs_too(capsys):
    record = compressed(
        capsys, "digits.pt", "--model", "mine.py:network", "--calib", "digits",
        "--target-size", "5kB",
    )  # fmt: skip
    again = ["compress", "digits.lnx", "-o", "a.lnx", "--calib", "digits",
             "--target-size", "6kB", "--json", "--model"]  # fmt: skip
    assert run([*again, "mine.py:tokens"]) == 2  # it is another network
    assert "does not fit the network" in capsys.readouterr().out
    assert run([*again, "mine.py:network"]) == 0
    kept = json.loads(capsys.readouterr().out)
    assert kept["lossless"]
    assert kept["output_bytes"] <= record["output_bytes"] + 20  # its own record


@pytest.mark.usefixtures("folder")
def test_evaluate_knows_network_and_data(capsys):
    compressed(
        capsys, "digits.pt", "--model", "mine.py:network", "--calib", "digits",
        "--target-size", "5kB",
    )  # fmt: skip
    arguments = ["evaluate", "digits.lnx", "--model", "mine.py:network", "--json"]
    assert run([*arguments, "--no-latency"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] > 0.9
    assert lnx.summary("digits.lnx").architecture["dataset"] == "digits"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("file", "network", "calib", "form"),
    [
        ("digits.pt", "network", "inputs", "1x8x8"),
        ("words.pt", "tokens", "batches", "9:int64"),
    ],
)
def test_what_inputs_look_like_is_recorded(capsys, file, network, calib, form):
    network = f"mine.py:{network}"
    compressed(capsys, file, "--model", network, "--calib", f"mine.py:{calib}")
    made = file.replace(".pt", ".lnx")
    assert lnx.summary(made).architecture["input"] == form
    arguments = ["decompress", made, "--model", network, "-o", "out.pt2"]
    assert run(arguments) == 0, capsys.readouterr().err
