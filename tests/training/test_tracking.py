"""Trackers: the numbers of a run, sent through accelerate."""

import json
from typing import ClassVar

import accelerate.tracking
import pytest
from accelerate.tracking import GeneralTracker
from accelerate.utils import LoggerType

from lilnetx_cli.errors import InputError, UsageError
from lilnetx_cli.training import run_training, tracking
from tests.training.silent import Silent


class Kept(GeneralTracker):
    """A tracker that keeps what it is sent, in the place of accelerate's own."""

    name = "tensorboard"
    requires_logging_directory = True
    sent: ClassVar = []
    fails = False

    def __init__(self, project, logging_dir=None):
        super().__init__()
        self.sent.append(("made", project, logging_dir))

    @property
    def tracker(self):
        return self.sent

    def store_init_configuration(self, values):
        if self.fails:
            raise OSError("no\naccount")
        self.sent.append(("settings", values))

    def log(self, values, step=None):
        self.sent.append(("line", step, values))

    def finish(self):
        self.sent.append(("end",))


@pytest.fixture
def kept(monkeypatch):
    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, Kept.name, Kept)
    for module in (tracking, accelerate.tracking):
        monkeypatch.setattr(
            module, "get_available_trackers", lambda: [LoggerType.TENSORBOARD]
        )
    monkeypatch.setattr(Kept, "sent", [])
    return Kept


def go(config, digits, folder):
    return run_training(
        config, digits, folder, observer=Silent(), should_stop=lambda: False
    )


def test_a_tracker_hears_the_settings_and_every_line(kept, tiny, digits, tmp_path):
    result = go(tiny(train__track=Kept.name, train__max_steps=2), digits, tmp_path)
    made, (_, settings), epoch, final, end = kept.sent
    assert made == ("made", "lilnetx", str(tmp_path))
    assert settings["train.batch_size"] == 32
    assert settings["model.name"] == "resnet20"
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    written = [json.loads(line) for line in lines]
    assert epoch[:2] == ("line", 2)
    assert epoch[2]["loss"] == written[0]["loss"]
    assert final[2]["final_accuracy"] == result.accuracy
    assert "final_loss" not in final[2]
    assert end == ("end",)


def test_a_tracker_that_does_not_start_is_told(kept, tiny, digits, tmp_path):
    kept.fails = True
    try:
        with pytest.raises(InputError, match="--track tensorboard fails: no account"):
            go(tiny(train__track=Kept.name), digits, tmp_path)
    finally:
        kept.fails = False


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wandb", r"--track wandb needs its package: pip install wandb"),
        ("comet_ml", r"pip install comet-ml"),
        ("tensorbord", r"no tracker is named 'tensorbord', did you mean 'tensorboard'"),
    ],
)
def test_trackers_that_are_not_there(
    name, message, tiny, digits, tmp_path, monkeypatch
):
    monkeypatch.setattr(tracking, "get_available_trackers", list)
    with pytest.raises(UsageError, match=message):
        go(tiny(train__track=name), digits, tmp_path / "run")
    assert not (tmp_path / "run").exists()
