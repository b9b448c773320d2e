"""A teacher is another network than the one that is trained, where the user says so."""

import pytest
import torch

from lilnetx_cli.config import resolve
from lilnetx_cli.errors import InputError, UsageError
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
    with pytest.raises(UsageError, match="another network: ") as caught:
        load_teacher(path, own)
    assert "--set train.teacher_model=NAME" in str(caught.value)
    assert "--model-arg" not in str(caught.value)
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


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"classes": 7}, r"returns \(2, 7\) for two images, expected \(2, 10\)"),
        ({"channels": 3}, r"does not take images of shape \(1, 8, 8\)"),
    ],
)
def test_a_teacher_of_other_images_is_refused(tmp_path, digits, arguments, reason):
    form = {**FORM, **arguments}
    network = filled(build("resnet20", form), 2, form["channels"], 28, 28)
    torch.save(network.state_dict(), tmp_path / "other.pt")
    settings = {
        "data.name": "digits", "train.device": "cpu",
        "train.teacher": str(tmp_path / "other.pt"),
        "train.teacher_model": "resnet20", "train.teacher_args": arguments,
    }  # fmt: skip
    with pytest.raises(InputError, match=reason):
        open_session(resolve(None, settings), digits)


def test_a_misspelled_argument_is_told_as_anywhere(wide):
    own = describe("resnet20", {**FORM, "width": 1})
    named = {"name": "resnet20", "args": {**FORM, "witdh": 2}}
    with pytest.raises(UsageError, match=r"^'resnet20' takes no argument 'witdh'"):
        load_teacher(wide[1], own, named)


def test_arguments_without_a_name_are_refused(wide, digits):
    settings = {"train.teacher": str(wide[1]), "train.teacher_args": {"width": 2}}
    config = resolve(None, {"data.name": "digits", **settings})
    with pytest.raises(UsageError, match="teacher_args is set, but no network"):
        open_session(config, digits)


def test_a_name_without_weights_is_refused(digits):
    config = resolve(None, {"data.name": "digits", "train.teacher_model": "resnet20"})
    with pytest.raises(UsageError, match="no trained weights: add --teacher"):
        open_session(config, digits)
