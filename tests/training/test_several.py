"""Several processes train what one does: the same steps, the same network in all."""

import json
import statistics
from pathlib import Path

import pytest

from tests.training import member
from tests.training.launching import launch

FILE = Path(member.__file__)
TINY = {
    "data.name": "digits",
    "train.device": "cpu",
    "train.epochs": 20,
    "train.calibration_images": 600,
}
FAST, STEPS = 30, 200
PLAIN = {**TINY, "model.name": f"{FILE}:network", "train.batch_size": 128,
         "train.max_steps": STEPS}  # fmt: skip
NORMS = {**TINY, "model.name": f"{FILE}:normed", "train.batch_size": 300,
         "train.epochs": 3, "train.max_steps": 5}  # fmt: skip


def seen(processes, cases, folder):
    """Return what each process of some runs saw."""
    folder.mkdir()
    (folder / "cases.json").write_text(json.dumps(cases))
    code, said = launch(
        processes, "tests.training.member", folder / "cases.json", folder
    )
    assert code == 0, said
    assert "Warning" not in said
    files = [folder / f"seen-{rank}.json" for rank in range(processes)]
    return [json.loads(file.read_text()) for file in files]


def halved(case):
    return {**case, "train.batch_size": case["train.batch_size"] // 2}


def differences(one, other):
    return [
        abs(a - b) / abs(a) for a, b in zip(one["losses"], other["losses"], strict=True)
    ]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Runs of two processes, all in one launch, since that takes longest."""
    curve = {**PLAIN, "train.max_steps": FAST}
    macs = {**NORMS, "target.macs": 0.6, "train.max_steps": 4}
    cases = {
        "curve": halved(curve),
        "accumulated": {**halved(halved(curve)), "train.accumulate": 2},
        "clipped": {**halved(curve), "train.clip_grad": 0.1},
        "norms": halved(NORMS),
        "parts": {**halved(NORMS), "interrupted": 3},
        "size": {**halved(NORMS), "target.size": 1500},
        "macs": halved(macs),
        "idle": {**halved(NORMS), "model.name": f"{FILE}:idle"},
    }
    return seen(2, cases, tmp_path_factory.mktemp("two") / "runs")


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("curve", {}),
        ("accumulated", {"train.batch_size": 64, "train.accumulate": 2}),
        ("clipped", {"train.clip_grad": 0.1}),
    ],
)
def test_two_processes_take_the_steps_of_one(name, changes, two, tmp_path):
    """The loss curve is that of one process with the doubled batch.

    A latent that rounds the other way after a difference in the last bit makes them
    part later on.
    """
    alone = member.go({**PLAIN, "train.max_steps": FAST, **changes}, tmp_path)
    apart = differences(alone, two[0][name])
    assert len(apart) == FAST
    assert max(apart[:10]) < 1e-6
    assert statistics.median(apart) < 1e-5
    assert max(apart) < 0.05


@pytest.mark.parametrize("name", ["curve", "norms", "size", "macs", "parts"])
def test_all_processes_ship_one_network(name, two):
    first, second = (run[name] for run in two)
    for key in ("file", "predictions", "accuracy", "bytes"):
        assert first[key] == second[key], key
    assert first["losses"]
    assert not second["losses"]  # one of them speaks


def test_two_interrupted_processes_go_on_to_the_bit(two):
    """Within an epoch, where the process that does not write was asked to stop."""
    for run in two:
        assert run["parts"]["at"] == 3
        assert run["parts"]["file"] == run["norms"]["file"]


def test_two_processes_train_a_network_with_an_idle_layer(two):
    """At steps without a penalty its latents have no gradient of their own."""
    assert len(two[0]["idle"]["losses"]) == 5
    assert two[0]["idle"]["file"] == two[1]["idle"]["file"]


def test_shared_measurements_are_those_of_one_process(two):
    for run in two:
        assert run["shared work"]["shared"] == run["shared work"]["alone"]


@pytest.mark.slow
def test_two_hundred_steps_of_two_processes(tmp_path):
    gentle = {**PLAIN, "train.plain": True, "train.lr": 0.001}
    cases = {"penalty": PLAIN, "plain": gentle}
    halves = {name: halved(case) for name, case in cases.items()}
    two = seen(2, halves, tmp_path / "two")[0]
    for name, case in cases.items():
        apart = differences(member.go(case, tmp_path / name), two[name])
        assert len(apart) == STEPS
        assert statistics.median(apart) < 1e-4, name
        assert max(apart) < 0.15, name  # rounding makes much of little, late


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_runs_interrupted_anywhere_are_those_that_were_not(processes, tmp_path):
    case = {**NORMS, "train.batch_size": 100 // processes, "train.accumulate": 2,
            "train.ema": 0.9, "train.max_steps": 14, "target.size": 1500}  # fmt: skip
    stops = {f"after {step}": {**case, "interrupted": step} for step in (1, 6, 11)}
    runs = seen(processes, {"whole": case, **stops}, tmp_path / "runs")
    for run in runs:
        files = {run[name]["file"] for name in ("whole", *stops)}
        assert len(files) == 1
    assert [runs[0][name]["at"] for name in stops] == [1, 6, 11]


@pytest.mark.slow
def test_four_processes_finish_a_run(tmp_path):
    four = seen(4, {"run": {**NORMS, "train.batch_size": 75}}, tmp_path / "four")
    assert len({run["run"]["file"] for run in four}) == 1
    assert four[0]["shared work"]["shared"] == four[0]["shared work"]["alone"]
