import pytest

from lilnetx_cli.config import resolve
from lilnetx_cli.data import load_splits

TINY = {
    "data.name": "digits",
    "train.batch_size": 32,
    "train.epochs": 3,
    "train.max_steps": 6,
    "train.device": "cpu",
    "train.calibration_images": 64,
}


@pytest.fixture(scope="session")
def digits():
    return load_splits("digits", None)


@pytest.fixture
def tiny():
    def make(**changes):
        return resolve(
            None, {**TINY, **{k.replace("__", "."): v for k, v in changes.items()}}
        )

    return make
