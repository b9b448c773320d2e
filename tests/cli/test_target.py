"""`train` with a size, and with a teacher."""

import json

import pytest

from tests.cli.running import TRAIN


def test_a_size_is_kept_by_the_file(cli, tmp_path):
    done = cli(*TRAIN, "--target-size", "20kB", "-o", "run", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    assert done.json["estimated_bytes"] <= 20_000
    packed = cli("compress", "run/model.pt", "--json", cwd=tmp_path)
    assert 0.9 * 20_000 <= packed.json["output_bytes"] <= 20_000


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--target-size", "10kB", "--target-ratio", "9"), "give one"),
        (("--target-size", "9 apples"), "is not a size"),
        (("--target-size", "100B"), "100 bytes is out of reach"),
        (("--target-size", "1GB"), "1,000,000,000 bytes is more than this network"),
        (("--target-ratio", "0.5"), "target.ratio"),
        (("--target-macs", "1.5"), "target.macs"),
        (("--target-macs", "0.5", "--channel-weight", "1"), "give one"),
        (("--target-macs", "0.00001"), "out of reach"),
        (("--teacher", "missing.pt"), "missing.pt"),
    ],
)
def test_wishes_that_cannot_be_had(cli, tmp_path, options, said):
    done = cli(*TRAIN, *options, "-o", "run", cwd=tmp_path)
    assert done.code == 2, done.err
    assert said in done.message
    assert not (tmp_path / "run" / "model.pt").exists()


@pytest.mark.slow
def test_a_teacher_is_learned_from(cli, trained, tmp_path):
    """With its weight at 1 the labels no longer count: another loss is reported."""
    losses = {}
    for weight in ("0.0", "1.0"):
        folder = tmp_path / weight
        done = cli(
            *TRAIN, "--teacher", str(trained / "run" / "model.pt"), "-o", str(folder),
            "--set", f"train.teacher_weight={weight}", cwd=tmp_path,
        )  # fmt: skip
        assert done.code == 0, done.err
        lines = (folder / "metrics.jsonl").read_text("utf-8").splitlines()
        losses[weight] = json.loads(lines[0])["task_loss"]
    assert losses["0.0"] != pytest.approx(losses["1.0"], rel=0.01)
