"""The controller alone, and runs that are to end at a size."""

import json
import math

import pytest
import torch

import lnx
from lilnetx_cli.checkpoint import load_checkpoint, pack
from lilnetx_cli.errors import UsageError
from lilnetx_cli.models import build
from lilnetx_cli.nn import materialize
from lilnetx_cli.training import Stopped, finish, read_resume
from lilnetx_cli.training.fit_size import fit_size
from lilnetx_cli.training.set_up import open_session, wanted_size
from lilnetx_cli.training.size_control import AIM, SizeController, spread_of
from tests.nn.making import fill
from tests.training.test_run import assert_same_model, run

BEGIN = 0.4


def steered(target, first, *, updates=200, drift=0.0):
    """Return the sizes of a file that shrinks as steps grow, and grows by itself."""
    controller = SizeController(target, 200_000, BEGIN)
    size, sizes = float(first), []
    usual = controller.factor
    for number in range(updates):
        progress = number / updates
        growth = controller.update(progress, int(size))
        pressed = 0.02 * (controller.factor / usual - 1)
        falling = 0.03 if progress < BEGIN else 0.0
        size *= growth**-1.5 * (1 + drift - pressed - falling)
        sizes.append(size)
    return controller, sizes


@pytest.mark.parametrize("first", [20_000, 60_000, 200_000])
@pytest.mark.parametrize("drift", [-0.01, 0.0, 0.01])
def test_a_size_is_reached_and_kept(first, drift):
    controller, sizes = steered(10_000, first, drift=drift)
    for number, size in enumerate(sizes[120:], start=120):
        assert abs(size / controller.planned(number / 200) - 1) < 0.15
    assert abs(sizes[-1] / 10_000 - AIM) < 0.1


def test_fine_steps_grow_more_for_the_same_change_of_the_size():
    """Values of b bits each take 1 / (b ln 2) of what steps grow by."""
    controller = SizeController(100_000, 200_000, BEGIN)  # 4 bits a weight
    size = 140_000.0
    for number in range(200):
        growth = controller.update(number / 200, int(size))
        size *= growth ** (-1 / (4 * math.log(2))) * 1.002  # weights grow meanwhile
    assert abs(size / 100_000 - AIM) < 0.02


def test_latents_that_were_pressed_hard_do_not_shrink_far_below_the_size():
    """What grew far too large first is pressed hard, and later needs it no more."""
    controller = SizeController(100_000, 200_000, BEGIN)  # 4 bits a weight
    size, usual = 100_000.0, controller.factor
    for number in range(100):
        progress = number / 100
        growth = controller.update(progress, int(size))
        pressed = 0.01 * (controller.factor / usual - 1)
        size *= growth ** (-1 / (4 * math.log(2))) * (1 - pressed)
        if progress < BEGIN / 2:
            size *= 1.03  # weights grow meanwhile
        if progress > 0.7:
            assert abs(math.log(size / controller.planned(progress))) < 0.03
    assert abs(size / 100_000 - AIM) < 0.02


@pytest.mark.parametrize("begin", [0.0, 0.4, 0.9, 1.0])
def test_a_plan_leaves_room_for_what_files_shrink_by(begin):
    """More for latents of many bits, none at the end."""
    fine, coarse, other = (
        SizeController(100_000, weights, begin, first=100_000.0)
        for weights in (200_000, 2_000_000, 512)
    )
    early = max(begin, 0.5)
    if begin < 1:
        assert fine.planned(early) > coarse.planned(early) > AIM * 100_000
    assert other.planned(early) == pytest.approx(AIM * 100_000, rel=0.02)
    for controller in (fine, coarse, other):
        assert controller.planned(0.99) <= 100_000
        assert controller.planned(1.0) == pytest.approx(AIM * 100_000)


@pytest.mark.parametrize(
    ("alone", "least", "most"), [(0.0, 0.0, 0.01), (0.1, 0.03, 0.05)]
)
def test_a_plan_counts_on_what_a_file_shrinks_by_itself(alone, least, most):
    """Otherwise steps grow to the very end for it, or the file ends far too small."""
    controller = SizeController(20_000, 270_000, BEGIN, watching=True)
    size = 40_000.0
    for number in range(81):
        progress = number / 100
        growth = controller.update(progress, int(size))
        size *= growth ** (-1 / controller.answer)
        size *= 0.96 if progress < BEGIN else 1 - alone * (progress >= 0.6) / 40
    room = controller.planned(0.8) / (AIM * 20_000) - 1
    assert least <= room <= most


def test_channels_that_are_taken_out_do_not_count_as_shrinking():
    rooms = []
    for cut in (1.0, 0.8):
        controller = SizeController(20_000, 270_000, BEGIN, watching=True)
        size = 20_200.0
        for number in range(71):
            growth = controller.update(number / 100, int(size))
            size *= growth ** (-1 / controller.answer)
            if number == 62:
                size *= cut
                controller.skip_change()
        rooms.append(controller.planned(0.8) / (AIM * 20_000) - 1)
    assert rooms[1] == pytest.approx(rooms[0], abs=0.01)


@pytest.mark.parametrize(
    ("start", "share", "watching"),
    [(False, None, False), (True, None, True), (False, 0.5, True)],
)
def test_a_run_plans_by_what_is_to_happen(
    tmp_path, tiny, digits, start, share, watching
):
    dense = fill(build("resnet20", {"channels": 1, "classes": 10}))
    torch.save(dense.state_dict(), tmp_path / "dense.pt")
    init = {"model__init": tmp_path / "dense.pt"} if start else {}
    config = tiny(target__size=15_000, target__macs=share, **init)
    assert open_session(config, digits).controller.watching is watching


def test_finer_steps_come_early():
    """Each change rounds all latents anew, which late in a run nothing repairs."""
    controller = SizeController(100_000, 200_000, BEGIN)
    controller.update(0.0, 100_000)
    moves = [controller.update(p, 90_000) for p in (0.4, 0.6, 0.8, 1.0)]
    assert moves == sorted(moves)
    assert moves[0] < 0.96
    assert moves[-1] == 1
    assert controller.update(1.0, 110_000) > 1  # never above the size


def test_a_file_that_is_mostly_something_else_moves_steps_no_faster():
    """Excluded layers are in the file, and not among the weights with latents."""
    controller = SizeController(60_000, 512, BEGIN)
    controller.update(0.4, 61_000)
    assert 1 < controller.update(0.5, 61_000) < 1.2
    assert 0.7 < controller.update(0.6, 50_000) < 1


def test_steps_are_left_alone_until_they_have_grown():
    controller = SizeController(10_000, 200_000, BEGIN)
    before = controller.factor
    assert controller.update(0.0, 90_000) == 1
    assert controller.update(0.39, 90_000) == 1
    assert controller.factor > 2 * before
    assert controller.update(0.4, 40_000) > 1
    assert controller.update(0.5, 5_000) < 1


def test_growth_waits_for_the_plan_where_a_file_is_far_too_small():
    """Steps that go on growing would kill what has to come back to life later."""
    controller = SizeController(10_000, 200_000, BEGIN)
    controller.update(0.0, 90_000)
    planned = controller.planned(0.2)
    assert controller.update(0.2, int(planned * math.exp(-0.15))) == 1
    slow = controller.update(0.2, int(planned * math.exp(-0.3)))
    slower = controller.update(0.2, int(planned * math.exp(-0.4)))
    assert 0.9 < slower < slow < 1


def test_the_penalty_presses_harder_where_files_would_grow():
    pressed, _ = steered(10_000, 20_000, drift=0.02)
    released, _ = steered(10_000, 20_000, drift=-0.02)
    assert released.factor < SizeController(10_000, 200_000, 0).factor < pressed.factor


def test_small_files_are_pressed_harder_from_the_start():
    small, large = (SizeController(size, 200_000, 0.4) for size in (5_000, 50_000))
    assert small.factor == pytest.approx(10 * large.factor)
    assert spread_of(3.0) == pytest.approx(1.94, abs=0.01)


def test_exact_sizes_set_estimates_right():
    controller = SizeController(10_000, 200_000, BEGIN)
    assert not controller.wants_exact(0.5)
    assert controller.wants_exact(0.6)
    controller.update(0.6, 10_000)
    before = controller.now
    controller.hear(10_000, 9_000)
    controller.update(0.6, 10_000)
    assert controller.now == pytest.approx(before + math.log(0.9))
    assert not controller.wants_exact(0.84)
    assert controller.wants_exact(0.85)


@pytest.mark.slow
@pytest.mark.parametrize("wanted", [6_000, 18_000])
def test_a_run_of_some_length_uses_what_it_may(tmp_path, tiny, digits, wanted):
    config = tiny(target__size=wanted, train__epochs=4, train__max_steps=None)
    result, _ = run(config, tmp_path, splits=digits)
    size = len(lnx.dumps(pack(load_checkpoint(result.checkpoint))))
    assert 0.97 * wanted <= size <= wanted


def test_a_run_ends_at_its_size(tmp_path, tiny, digits, monkeypatch):
    given = []
    monkeypatch.setattr(
        finish, "fit_size", lambda *args: given.append(args[4]) or fit_size(*args)
    )
    config = tiny(train__max_steps=24, target__size=12_000)
    result, _ = run(config, tmp_path, splits=digits)
    assert len(given[0]) == len(load_checkpoint(result.checkpoint).latents)
    size = len(lnx.dumps(pack(load_checkpoint(result.checkpoint))))
    assert 0.9 * 12_000 <= size <= 12_000
    lines = (tmp_path / "metrics.jsonl").read_text("utf-8").splitlines()
    assert json.loads(lines[-1])["estimated_bytes"] == pytest.approx(size, rel=0.01)


def test_a_ratio_is_one_of_the_dense_bytes(tiny):
    assert wanted_size(tiny(target__ratio=90.5), lambda: 1_086_000) == 12_000
    assert wanted_size(tiny(target__size=9_000), lambda: 1_086_000) == 9_000
    assert wanted_size(tiny(), lambda: 1_086_000) is None


@pytest.mark.slow
def test_a_run_with_a_size_goes_on_to_the_bit(tmp_path, tiny):
    dense = fill(build("resnet20", {"channels": 1, "classes": 10}))
    torch.save(dense.state_dict(), tmp_path / "dense.pt")
    config = tiny(target__size=15_000, model__init=tmp_path / "dense.pt")
    run(config, tmp_path / "whole")
    asked = iter([False, False, True])
    with pytest.raises(Stopped):
        run(config, tmp_path / "parts", stop=lambda: next(asked))
    content = read_resume(tmp_path / "parts" / "resume.pt")
    run(config, tmp_path / "parts", resume=content)
    assert_same_model(tmp_path / "whole", tmp_path / "parts")


def test_a_trained_start_grows_coarse_without_a_size_too(tmp_path, tiny):
    dense = fill(build("resnet20", {"channels": 1, "classes": 10}))
    torch.save(dense.state_dict(), tmp_path / "dense.pt")
    grown = tiny(model__init=tmp_path / "dense.pt")
    kept = tiny(model__init=tmp_path / "dense.pt", train__spread=4.0)
    sizes = [
        run(config, tmp_path / name)[0].estimated_bytes
        for config, name in ((grown, "grown"), (kept, "kept"))
    ]
    assert 5 * sizes[0] < 2 * sizes[1]


@pytest.mark.parametrize(
    ("size", "said"),
    [(300, "with nearly all weights zero"), (10**7, "more than this network can fill")],
)
def test_a_size_out_of_reach_is_told_before_the_first_step(
    tmp_path, tiny, digits, size, said
):
    with pytest.raises(UsageError, match=said):
        run(tiny(target__size=size), tmp_path, splits=digits)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_steps_become_finer_for_a_large_file(tmp_path, tiny, digits):
    config = tiny(target__size=150_000)
    result, _ = run(config, tmp_path, splits=digits)
    assert 0.9 * 150_000 <= result.estimated_bytes <= 150_000


def test_a_ratio_is_kept_by_the_controller(tiny, digits):
    session = open_session(tiny(target__ratio=90), digits)
    dense = sum(t.nbytes for t in materialize(session.model).state_dict().values())
    assert session.controller.target == int(dense / 90)


def test_two_sizes_are_refused(tmp_path, tiny, digits):
    with pytest.raises(UsageError, match="give one"):
        run(tiny(target__size=9000, target__ratio=9.0), tmp_path, splits=digits)
