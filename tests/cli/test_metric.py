"""`evaluate --metric`: numbers of a function of the user's own."""

import pytest
from torch import nn

import lilnetx_cli as lilnetx
from tests.nn.making import fill

METRIC = """
import math
import sys

import numpy as np
import torch

def numbers(model, loader):
    print("the function says something")
    assert not model.training and not torch.is_grad_enabled()
    images = right = 0
    for x, y in loader:
        images += len(x)
        right += (model(x).argmax(1) == y).sum()
    return {
        "share": right / images, "images": images, "none": math.nan,
        "much": np.float32(np.inf), "flag": True,
    }

def alone(model, loader):
    assert loader is None
    return {"weights": sum(p.numel() for p in model.parameters())}

def broken(model, loader):
    def inner():
        return 1 / 0
    return {"x": inner()}

def text(model, loader):
    return {"x": "large"}

def nothing(model, loader):
    return 3.5

def leaves(model, loader):
    sys.exit(3)

def empty(model, loader):
    return {}

def silent(model, loader):
    pass

def huge(model, loader):
    return {"x": 10**400, "y": 10**300}

def network(channels=1, classes=10):
    return torch.nn.Linear(3, 2)
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("metric")
    (folder / "own.py").write_text(METRIC)
    (folder / "faulty.py").write_text("import math\n\nmath.sine(3)\n")
    (folder / "leaving.py").write_text("raise SystemExit(0)")
    (folder / "wrong.py").write_text("def f(:\n")
    lilnetx.save(fill(nn.Linear(3, 2)), folder / "linear.lnx")
    return folder


@pytest.fixture
def evaluate(here, file):
    def run(name, function, *more):
        return here(
            "evaluate", name, "--metric", f"{file}/{function}", "--no-latency", *more
        )

    return run


def test_a_metric_sees_the_test_images(evaluate, trained):
    done = evaluate(trained / "model.lnx", "own.py:numbers", "--json")
    assert done.code == 0, done.err
    found = done.json["metric"]
    assert list(found) == ["share", "images", "none", "much", "flag"]
    assert 0 <= found["share"] <= 1
    assert found["images"] > 100
    assert (found["none"], found["much"], found["flag"]) == (None, None, 1)
    assert done.json["accuracy"] is None
    assert "the function says something" in done.err
    done = evaluate(trained / "model.lnx", "own.py:numbers", "--pruned")
    assert done.code == 0, done.err
    rows = {line.split()[0]: line for line in done.out.splitlines() if line.split()}
    assert rows["images"].split()[1] == rows["images"].split()[2]
    assert "equal" in rows["images"]
    assert rows["none"].split()[1:] == ["-", "-", "-"]


def test_a_metric_needs_no_data_set_and_no_image(evaluate, file):
    factory = ("--model", f"{file}/own.py:network")
    done = evaluate(file / "linear.lnx", "own.py:alone", *factory, "--json")
    assert done.code == 0, done.err
    assert done.json["metric"] == {"weights": 8}
    assert done.json["macs"] is None
    done = evaluate(file / "linear.lnx", "own.py:alone", *factory)
    assert "weights 8" in done.out
    assert "add --input-shape" in done.err
    done = evaluate(file / "linear.lnx", "own.py:huge", *factory, "--json")
    assert done.code == 0, done.err
    assert done.json["metric"] == {"x": None, "y": 10**300}


@pytest.mark.parametrize(
    ("function", "text"),
    [
        ("own.py:broken", "own.py:broken fails in line 26: ZeroDivisionError"),
        ("own.py:text", "own.py:text returns a str as 'x', expected a number"),
        ("own.py:nothing", "own.py:nothing returns a float, expected a dict"),
        ("own.py:leaves", "own.py:leaves fails in line 36: SystemExit: 3"),
        ("own.py:empty", "own.py:empty returns a dict of 0, expected a dict of 1 to"),
        ("own.py:silent", "own.py:silent returns None, expected a dict"),
        ("leaving.py:f", "leaving.py:f fails in line 1: SystemExit: 0"),
        ("own.py:lost", "has no function 'lost', it has: numbers, alone"),
        ("faulty.py:f", "faulty.py:f fails in line 3: AttributeError"),
        ("wrong.py:f", "wrong.py:f fails in line 1: SyntaxError"),
        ("gone.py:f", "gone.py' does not exist"),
        ("own.py", "is a file, name its function too"),
        ("accuracy", "is not a function: write path/file.py:function"),
    ],
)
def test_faults_of_the_function_are_one_line(evaluate, file, function, text):
    factory = ("--model", f"{file}/own.py:network")
    done = evaluate(file / "linear.lnx", function, *factory)
    assert done.code == 2
    assert text in done.message
