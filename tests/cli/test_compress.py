"""`compress` of checkpoints that were not trained here."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import lilnetx_cli as lilnetx
import lnx
from lilnetx_cli.nn import latent_weights, reparameterize
from tests.nn.making import numbers


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A checkpoint with everything awkward in it; not to be changed."""
    rng = np.random.default_rng(0)

    def laplace(*shape):
        return torch.from_numpy(rng.laplace(size=shape).astype(np.float32))

    outlier = laplace(40, 50)
    outlier[0, 0] = 1e6
    broken = laplace(20, 30)
    broken[1, 2] = torch.inf
    undefined = laplace(20, 30)
    undefined[3, 4] = torch.nan
    shared = laplace(64, 32)
    state = {
        "conv.weight": laplace(16, 24, 3, 3) * torch.arange(1, 17)[:, None, None, None],
        "conv.bias": laplace(16),
        "norm.running_var": laplace(16).abs(),
        "norm.num_batches_tracked": torch.tensor(7),
        "half.weight": laplace(30, 40).bfloat16(),
        "float16.weight": laplace(30, 40).half(),
        "float16.bias": laplace(30).half(),
        "strided.weight": laplace(40, 90)[::2, ::3],
        "double.weight": laplace(30, 40).double(),
        "turned.weight": laplace(50, 30).T,
        "embedding.weight": shared,
        "head.weight": shared,
        "outlier.weight": outlier,
        "broken.weight": broken,
        "undefined.weight": undefined,
        "zero.weight": torch.zeros(12, 12),
        "empty.weight": torch.zeros(0, 5),
        "scalar": torch.tensor(0.5),
        "flags": torch.tensor([True, False, True]),
        "flags.matrix": torch.eye(20, dtype=torch.bool),
        "index": torch.arange(900).reshape(30, 30) ** 3,
        "missing": torch.tensor([1.0, torch.nan]),
        "frequencies": 10000 ** -(torch.arange(16) / 16),
        "position": laplace(1, 70, 64),
    }
    path = tmp_path_factory.mktemp("plain") / "model.pt"
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, path)
    return path, state


def bits_of(tensor):
    return bytes(tensor.contiguous().reshape(-1).view(torch.uint8).tolist())


def ratio_db(state, found, names):
    signal = sum(float(state[n].double().square().sum()) for n in names)
    lost = sum(float((state[n] - found[n]).double().square().sum()) for n in names)
    if not lost:
        return float("inf")
    return 10 * np.log10(signal / lost)


def decoded(here, file, folder):
    assert here("decompress", file, "-o", folder / "back.safetensors", "-f").code == 0
    return load_file(folder / "back.safetensors")


MODES = [
    ("--lossless",), (), ("--snr", "10"), ("--snr", "25"), ("--snr", "40"),
    ("--snr", "60"), ("--bits-per-weight", "8"), ("--target-size", "40kB"),
    ("--target-ratio", "4"),
]  # fmt: skip


@pytest.mark.parametrize("options", [
    *MODES, *((*mode, "--exact-side") for mode in MODES[1:])
])  # fmt: skip
def test_everything_comes_back(here, plain, tmp_path, options):
    path, state = plain
    done = here("compress", path, "-o", tmp_path / "m.lnx", *options)
    assert done.code == 0, done.err
    assert ("'broken.weight' is stored exactly" in done.err) != (
        "--lossless" in options
    )
    found = decoded(here, tmp_path / "m.lnx", tmp_path)
    assert set(found) == set(state)
    for name, tensor in state.items():
        assert found[name].dtype == tensor.dtype, name
        assert found[name].shape == tensor.shape, name
    kept = ["norm.num_batches_tracked", "broken.weight", "zero.weight", "empty.weight",
            "undefined.weight", "scalar", "flags", "flags.matrix", "index", "missing",
            "frequencies", "float16.bias"]  # fmt: skip
    if "--exact-side" in options:
        kept += ["conv.bias", "norm.running_var"]
    if "--lossless" in options:
        kept = list(state)
    for name in kept:
        assert bits_of(found[name]) == bits_of(state[name]), name
    # At 10 dB of all weights together the small ones may be zero.
    least = 0 if "10" in options else 5
    coarse = [name for name in state if name not in (*kept, "outlier.weight")]
    for name in coarse:
        assert ratio_db(state, found, [name]) >= least, name
    assert torch.equal(found["embedding.weight"], found["head.weight"])
    assert found["missing"].isnan().tolist() == [False, True]


def test_the_snr_is_what_was_asked_for(here, plain, tmp_path):
    path, state = plain
    done = here("compress", path, "-o", tmp_path / "m.lnx", "--snr", "30", "--json")
    found = decoded(here, tmp_path / "m.lnx", tmp_path)
    names = [n for n, t in state.items() if t.is_floating_point() and t.dim() > 1]
    names = [
        n
        for n in names
        if n not in ("broken.weight", "undefined.weight", "head.weight")
    ]
    assert done.json["snr_db"] == pytest.approx(ratio_db(state, found, names), abs=0.01)
    names.remove("outlier.weight")
    assert 29.8 <= ratio_db(state, found, names) <= 31.5


def test_an_outlier_and_a_tiny_tensor_erase_nothing(here, plain, tmp_path):
    """By the SNR of all weights together, all but the outlier could be zero."""
    state = {**plain[1], "tiny.weight": plain[1]["position"] * 1e-4}
    torch.save(state, tmp_path / "m.pt")
    here("compress", tmp_path / "m.pt", "--snr", "30")
    found = decoded(here, tmp_path / "m.lnx", tmp_path)
    for name in ("conv.weight", "half.weight", "turned.weight", "embedding.weight",
                 "tiny.weight", "position"):  # fmt: skip
        assert ratio_db(state, found, [name]) > 8, name
    rest = state["outlier.weight"].clone(), found["outlier.weight"].clone()
    for tensor in rest:
        tensor[0, 0] = 0
    assert ratio_db({"x": rest[0]}, {"x": rest[1]}, ["x"]) > 10


@pytest.mark.parametrize(
    ("option", "value", "asked"),
    [
        ("--target-size", "20kB", 20_000),
        ("--target-ratio", "6", 40_000),
        ("--bits-per-weight", "3", 22_500),
    ],
)
def test_sizes_are_met_from_below(here, tmp_path, option, value, asked):
    weights = np.random.default_rng(1).laplace(size=(300, 200)).astype(np.float32)
    torch.save({"a.weight": torch.from_numpy(weights)}, tmp_path / "m.pt")
    done = here("compress", tmp_path / "m.pt", option, value, "--json")
    assert 0.99 * asked <= done.json["output_bytes"] <= asked
    assert (tmp_path / "m.lnx").stat().st_size == done.json["output_bytes"]


@pytest.mark.parametrize(
    ("share", "size"),
    [(0.04, 2500), (0.04, 4000), (0.04, 9000), (0.04, 14000), (0.003, 1104)],
)
def test_sizes_of_sparse_weights_are_met(here, tmp_path, share, size):
    """A finer step costs no bit of a weight that is zero.

    The last size is a little above that of 30 dB, where the search starts.
    """
    rng = np.random.default_rng(7)
    weights = rng.laplace(size=(400, 400)) * (rng.random((400, 400)) < share)
    state = {"a.weight": torch.from_numpy(weights.astype(np.float32))}
    torch.save(state, tmp_path / "m.pt")
    done = here("compress", tmp_path / "m.pt", "--target-size", f"{size}B", "--json")
    assert 0.99 * size <= done.json["output_bytes"] <= size
    assert done.json["snr_db"] > 2


def test_little_that_is_left_is_said(here, tmp_path):
    torch.save({"a.weight": numbers(50, 40)}, tmp_path / "m.pt")
    done = here("compress", tmp_path / "m.pt", "--snr", "2")
    assert "the weights are badly distorted (2." in done.err


@pytest.mark.parametrize("asked", ["--target-size=2kB", "--snr=20"])
def test_latents_that_are_small_enough_stay_as_they_are(here, tmp_path, asked):
    model = reparameterize(nn.Sequential(nn.Conv2d(24, 24, 3, bias=False)))
    ((_, weight, latent),) = latent_weights(model)
    with torch.no_grad():  # a kernel of one latent decodes to nine different numbers
        latent.copy_((numbers(24, 24, 3, 3, seed=3) / 4).round())
        weight.group.basis += numbers(9, 9) / 3
    lilnetx.save(model, tmp_path / "m.lnx")
    size = (tmp_path / "m.lnx").stat().st_size
    done = here("compress", tmp_path / "m.lnx", asked, "-o", tmp_path / "n.lnx",
                "--json")  # fmt: skip
    assert done.json["lossless"]
    assert done.json["output_bytes"] == size
    record = lilnetx.compress(model, tmp_path / "p.lnx", target_size=size)
    assert record["lossless"]


def test_a_size_that_cannot_be_had_names_the_smallest(here, plain, tmp_path):
    path, _ = plain
    done = here("compress", path, "-o", tmp_path / "m.lnx", "--target-size", "900B")
    assert done.code == 2
    assert "is out of reach: the smallest takes" in done.err
    assert not (tmp_path / "m.lnx").exists()


def test_contrary_wishes_are_refused(here, plain):
    done = here("compress", plain[0], "--snr", "30", "--lossless")
    assert done.code == 2
    assert "--snr and --lossless cannot be combined" in done.err


def test_the_default_says_what_it_does_and_how_to_lose_nothing(here, plain, tmp_path):
    done = here("compress", plain[0], "-o", tmp_path / "m.lnx")
    assert "quantized to 40 dB" in done.err
    assert "--lossless keeps every bit" in done.err
    assert "signal-to-noise ratio of the weights" in done.out


def test_a_file_can_be_compressed_again(here, plain, tmp_path):
    state = {k: v for k, v in plain[1].items() if k != "outlier.weight"}
    torch.save(state, tmp_path / "m.pt")
    here("compress", tmp_path / "m.pt", "-o", tmp_path / "fine.lnx", "--snr", "50")
    again = here("compress", tmp_path / "fine.lnx", "-o", tmp_path / "same.lnx",
                 "--json")  # fmt: skip
    assert again.json["snr_db"] is None
    coarse = here("compress", tmp_path / "fine.lnx", "-o", tmp_path / "coarse.lnx",
                  "--snr", "20", "--json")  # fmt: skip
    assert 20 <= coarse.json["snr_db"] <= 20.1
    sizes = [(tmp_path / f"{n}.lnx").stat().st_size for n in ("fine", "same", "coarse")]
    assert sizes[1] == sizes[0] > 1.5 * sizes[2]


def test_equal_wishes_give_equal_bytes(here, plain, tmp_path):
    for name in ("one", "two"):
        here("compress", plain[0], "-o", tmp_path / f"{name}.lnx", "--snr", "20")
    assert (tmp_path / "one.lnx").read_bytes() == (tmp_path / "two.lnx").read_bytes()


def test_small_vectors_keep_their_table(here, plain, tmp_path):
    """Numbers in order are a table, such as frequencies: not one of them moves."""
    here("compress", plain[0], "-o", tmp_path / "m.lnx", "--snr", "10")
    about = json.loads(here("inspect", tmp_path / "m.lnx", "--json").out)
    kinds = {tensor["name"]: tensor["kind"] for tensor in about["tensors"]}
    assert kinds["position"] == kinds["outlier.weight"] == "latent"
    assert kinds["frequencies"] == kinds["broken.weight"] == "exact"
    assert lnx.verify(tmp_path / "m.lnx") == len(kinds)


def test_a_size_that_lossless_coding_meets_loses_nothing(here, tmp_path):
    weights = np.random.default_rng(2).random((50, 40), np.float32)
    torch.save({"a.weight": torch.from_numpy(weights)}, tmp_path / "m.pt")
    done = here("compress", tmp_path / "m.pt", "--target-size", "20kB")
    assert "lossless: every bit is kept" in done.out
    found = decoded(here, tmp_path / "m.lnx", tmp_path)
    assert torch.equal(found["a.weight"], torch.from_numpy(weights))


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(20, 30), (300,)])
def test_no_size_is_passed_over(here, tmp_path, shape):
    """Not even that of a checkpoint without weights, or one just below the smallest."""
    state = {"a": torch.arange(int(np.prod(shape))).reshape(shape) ** 2 % 977}
    if len(shape) > 1:
        state["w.weight"] = torch.from_numpy(
            np.random.default_rng(3).laplace(size=shape).astype(np.float32)
        )
    torch.save(state, tmp_path / "m.pt")
    done = here("compress", tmp_path / "m.pt", "--target-size", "100B")
    least = int(done.err.split("takes ")[1].replace(",", ""))
    for size in range(least - 2, least + 3):
        done = here("compress", tmp_path / "m.pt", "-f", "--target-size", f"{size}B")
        assert done.code == (2 if size < least else 0), done.err
        if done.code == 0:
            assert (tmp_path / "m.lnx").stat().st_size <= size


def test_dead_layers_and_numbers_near_the_limit_come_back(here, tmp_path):
    rng = np.random.default_rng(4)
    usual = torch.from_numpy(rng.laplace(size=(40, 30)).astype(np.float32))
    state = {
        "usual": usual,
        "dead": usual * 1e-41,
        "huge": usual.clone().fill_(3e38).mul_(usual.sign()),
        "half": (usual.clamp(-3, 3) * 20_000).half(),
    }
    torch.save(state, tmp_path / "m.pt")
    done = here("compress", tmp_path / "m.pt", "--snr", "25")
    assert done.code == 0, done.err
    found = decoded(here, tmp_path / "m.lnx", tmp_path)
    assert all(found[name].isfinite().all() for name in state)
    assert ratio_db(state, found, ["usual"]) > 20


@pytest.mark.parametrize("scale", [1e-5, 1e8])
def test_fitted_bases_keep_the_snr_at_any_scale(here, tmp_path, scale):
    along = np.cumsum(np.random.default_rng(5).normal(size=(512, 25)), axis=1)
    weights = (along * scale).astype(np.float32).reshape(32, 16, 5, 5)
    torch.save({"a.weight": torch.from_numpy(weights)}, tmp_path / "m.pt")
    done = here("compress", tmp_path / "m.pt", "--json")
    assert 40 <= done.json["snr_db"] <= 40.1


def test_an_snr_that_is_too_fine_says_so(here, tmp_path):
    weights = np.random.default_rng(6).laplace(size=(300, 300)).astype(np.float32)
    torch.save({"a.weight": torch.from_numpy(weights)}, tmp_path / "m.pt")
    done = here("compress", tmp_path / "m.pt", "--snr", "100")
    assert done.code == 2
    assert "too fine: use --lossless" in done.err


@pytest.mark.parametrize("options", [(), ("--lossless",), ("--target-size", "2kB")])
def test_a_name_that_is_too_long_says_so(here, tmp_path, options):
    """It was "an SNR of 40 dB is too fine", after the search for it."""
    weights = torch.arange(100.0).reshape(10, 10)
    torch.save({"a" * 1025: weights}, tmp_path / "m.pt")
    done = here("compress", tmp_path / "m.pt", *options)
    assert "name of 1025 bytes" in done.err
    assert "too fine" not in done.err


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("snr", [40, 48])
def test_an_snr_is_reached_in_types_that_round(here, tmp_path, dtype, snr):
    """The search saw no rounding to bfloat16, and ended at 39.95 dB."""
    weights = np.random.default_rng(8).normal(size=(64, 96)).astype(np.float32)
    torch.save({"a.weight": torch.from_numpy(weights).to(dtype)}, tmp_path / "m.pt")
    done = here("compress", tmp_path / "m.pt", "--snr", snr, "--json")
    assert snr <= done.json["snr_db"] <= snr + 0.3


def test_norms_keep_three_bits_at_any_snr(here, tmp_path):
    rng = np.random.default_rng(3)
    state = {
        "a.weight": torch.from_numpy(rng.normal(size=(40, 50)).astype(np.float32)),
        "a.running_var": torch.from_numpy(np.exp(rng.normal(size=40), dtype="f4")),
    }
    torch.save(state, tmp_path / "m.pt")
    here("compress", tmp_path / "m.pt", "--snr", "5")
    found = decoded(here, tmp_path / "m.lnx", tmp_path)["a.running_var"]
    lost = (found / state["a.running_var"] - 1).abs()
    assert 0.02 < lost.max() <= 2**-4
