"""Why a checkpoint is as large as it is."""

import numpy as np
import pytest
import torch

from lilnetx_cli.checkpoint.whole_file import read_whole
from lilnetx_cli.measure.findings import find_reasons
from lilnetx_cli.measure.groups import measure_file

RNG = np.random.default_rng(0)


def noise(*shape):
    return torch.from_numpy(RNG.normal(size=shape).astype(np.float32))


A, B = noise(100, 90), noise(100, 90)
HOLES = noise(100, 90)
HOLES[:30] = 0
HOLES[:, 7] = 0


def model(**more):
    return {"a.weight": A, "a.bias": noise(100), **more}


def findings(content, path):
    torch.save(content, path)
    whole = read_whole(path)
    return {f.kind: f for f in find_reasons(whole, measure_file(whole))}


def groups(content, path):
    torch.save(content, path)
    return {m.entry.name: m.group for m in measure_file(read_whole(path))}


@pytest.mark.parametrize(
    ("kind", "content", "size", "words"),
    [
        ("full_precision", model(), 18_200, "2 tensors such as 'a.weight'"),
        ("optimizer", {"model": model(), "optimizer": {"state": {0: {"exp_avg": B}},
         "param_groups": []}}, 36_000, "'optimizer.state.0.exp_avg'"),
        ("copy", {"model": model(), "shadow": {"weights": B}}, 36_000, "ship one"),
        ("copy", {"model": {"a.weight": A}, "best": {"a.weight": B}}, 36_000, "best"),
        ("other", {"model": model(), "queue": {"x": noise(9000)}}, 36_000, "queue.x"),
        ("repeated", model(b=A.clone()), 36_000, "'b' equals 'a.weight'"),
        ("repeated", model(b=A.clone(), c=A.clone()), 72_000, "and 1 more pairs"),
        ("master_copy", {"model": {"a": A.half()}, "fp32": {"a": A}}, 36_000, "F32"),
        ("master_copy", {"model": {"a": A.bfloat16()}, "optimizer": {"fp32": [A]}},
         36_000, "'optimizer.fp32.0'"),
        ("wider_type", model(b=B.double()), 36_000, "F64 where F32"),
        ("wider_type", model(b=B.bfloat16().float()), 18_000, "BF16 holds"),
        ("wider_type", model(b=torch.arange(9000)), 54_000, "I64 where I16"),
        ("unused_storage", model(b=noise(1000, 90)[:100]), 324_000, "'b'"),
        ("zeros", model(a=HOLES), 4 * (30 * 90 + 70), "30 output and 1 input channels"),
        ("container", {str(n): noise(4, 4) for n in range(40)}, None, "40 tensors"),
        ("prefix", {f"module.{k}": v for k, v in model().items()}, 0, "harmless"),
    ],
)  # fmt: skip
def test_each_reason_is_named(tmp_path, kind, content, size, words):
    found = findings(content, tmp_path / "m.pt")
    assert words in found[kind].message
    assert size is None or found[kind].bytes == size


@pytest.mark.parametrize("kind", ["wider_type", "repeated", "zeros", "master_copy",
                                  "container", "prefix", "optimizer", "copy", "other",
                                  "unused_storage"])  # fmt: skip
def test_a_plain_network_has_none_of_them(tmp_path, kind):
    constant = {"n1.weight": torch.ones(9000), "n2.weight": torch.ones(9000)}
    assert kind not in findings(model(b=B, **constant), tmp_path / "m.pt")


def test_the_largest_reason_is_first(tmp_path):
    content = {"module.a": A, "module.b": A.clone(), "module.c": B.bfloat16().float()}
    torch.save(content, tmp_path / "m.pt")
    whole = read_whole(tmp_path / "m.pt")
    found = find_reasons(whole, measure_file(whole))
    sizes = [finding.bytes for finding in found]
    assert sizes == sorted(sizes, reverse=True)
    assert found[-1].kind == "prefix"


def test_every_tensor_has_a_group(tmp_path):
    content = {
        "state_dict": {
            "conv.weight": noise(4, 4, 3, 3),
            "conv.bias": noise(4),
            "bn.running_var": noise(4),
            "bn.num_batches_tracked": torch.tensor(3),
            "position": noise(5000),
            "ema.conv.weight": noise(4, 4, 3, 3),
        },
        "optimizer_states": [{"state": {0: {"exp_avg": noise(4)}}, "param_groups": []}],
        "model_ema": {"conv.weight": noise(4, 4, 3, 3)},
        "rng": torch.zeros(8, dtype=torch.uint8),
    }
    assert groups(content, tmp_path / "m.pt") == {
        "state_dict.conv.weight": "weights",
        "state_dict.conv.bias": "norms",
        "state_dict.bn.running_var": "buffers",
        "state_dict.bn.num_batches_tracked": "buffers",
        "state_dict.position": "weights",
        "state_dict.ema.conv.weight": "copy",
        "optimizer_states.0.state.0.exp_avg": "optimizer",
        "model_ema.conv.weight": "copy",
        "rng": "other",
    }
