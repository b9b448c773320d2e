"""A teacher is another network than the one that is trained, where the user says so."""

import pytest
import torch

from lilnetx_cli.config import resolve
from lilnetx_cli.errors import UsageError
from lilnetx_cli.models import build, describe
from lilnetx_cli.training.set_up import open_session
from lilnetx_cli.training.teacher import load_teacher
from tests.nn.making import filled

FORM = {"channels": 1, "classes": 10}


@pytest.fixture
def wide(tmp_path):
    """The plain state dict of a network that is wider than the one that is trained."""
    network = filled(build("resnet20", {**FORM, "width": 2}), 2, 1, 28, 28).eval()
    torch.save(network.state_dict(), tmp_path / "wide.pt")
    return network, tmp_path / "wide.pt"


def test_a_teacher_of_another_network_is_named(wide):
    network, path = wide
    own = describe("resnet20", {**FORM, "width": 1})
    with pytest.raises(UsageError, match=r"add --set train\.teacher_model=NAME"):
        load_teacher(path, own)
    named = describe("resnet20", {**FORM, "width": 2})
    teacher = load_teacher(path, own, named)
    images = torch.linspace(-1, 1, 2 * 28 * 28).view(2, 1, 28, 28)
    assert torch.equal(teacher(images), network(images))
    assert not any(p.requires_grad for p in teacher.parameters())


def test_a_run_builds_the_teacher_that_is_set(wide, digits):
    network, path = wide
    settings = {
        "data.name": "digits", "train.device": "cpu", "train.teacher": str(path),
        "train.teacher_model": "resnet20", "train.teacher_args": {"width": 2},
    }  # fmt: skip
    session = open_session(resolve(None, settings), digits)
    weights = session.teacher.state_dict()
    assert torch.equal(weights["fc.weight"], network.state_dict()["fc.weight"])


def test_a_name_without_weights_is_refused(digits):
    config = resolve(None, {"data.name": "digits", "train.teacher_model": "resnet20"})
    with pytest.raises(UsageError, match="no trained weights: add --teacher"):
        open_session(config, digits)
