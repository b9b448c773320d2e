"""`Compressor` in loops of one's own: schedules and controllers as `train` has them."""

import io

import pytest
import torch
from torch import nn

import lilnetx_cli as lilnetx
from lilnetx_cli.errors import InputError, UsageError
from lilnetx_cli.measure.latency import Latency
from lilnetx_cli.measure.macs import count_macs
from lilnetx_cli.nn.latents import latent_groups, latent_weights
from lilnetx_cli.training import cutting, own_loop, steering
from lilnetx_cli.training.fit_size import fit_size
from lilnetx_cli.training.growing import grow_steps
from lilnetx_cli.training.macs_control import macs_share
from lilnetx_cli.training.reach import OutOfReach
from tests.nn.making import drawn, fill, numbers

STEPS = 60


@pytest.fixture(autouse=True)
def _few_updates(monkeypatch):
    """Controllers look at the size every fourth step, not at each of so few."""
    monkeypatch.setattr(steering, "UPDATES", 15)


def network():
    """Without batch norm; takes one image or two of them."""
    return Both()


class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(2, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 16, 3, padding=1)
        self.last = nn.Linear(16, 3)

    def forward(self, x, other=None):
        x = x if other is None else x + other
        x = torch.relu(self.second(torch.relu(self.first(x))))
        return self.last(x.mean((2, 3)))


def images(seed=0):
    return numbers(16, 2, 6, 6, seed=seed)


def task(model, seed):
    x = images(seed)
    wanted = torch.stack([x.mean((1, 2, 3)), x.std((1, 2, 3)), x.amax((1, 2, 3))], 1)
    return nn.functional.mse_loss(model(x), wanted)


def adam(groups):
    return torch.optim.Adam(groups, lr=0.01)


OPTIMIZERS = {
    "Adam": adam,
    "AdamW": lambda groups: torch.optim.AdamW(groups, lr=0.01, weight_decay=0.1),
    "SGD": lambda groups: torch.optim.SGD(groups, lr=0.01, momentum=0.9, nesterov=True),
    "RMSprop": lambda groups: torch.optim.RMSprop(groups, lr=0.01, momentum=0.5),
}


def loop(compressor, optimizer, first=0, last=STEPS):
    """Take steps as a user would; return the loss of each."""
    losses = []
    for step in range(first, last):
        loss = task(compressor.model, step)
        optimizer.zero_grad()
        (loss + compressor.penalty().total).backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def opened(make=adam, inputs=None, lr=0.01, **options):
    torch.manual_seed(0)
    options = {"steps": STEPS, "start": "random", **options}
    inputs = images() if inputs is None else inputs
    compressor = lilnetx.Compressor(drawn(network()), inputs, **options)
    optimizer = make(compressor.parameter_groups(lr=lr))
    compressor.attach(optimizer)
    return compressor, optimizer


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_loop_learns_and_ends_at_its_size(name, tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(
        own_loop, "fit_size", lambda *args: given.append(args[4]) or fit_size(*args)
    )
    compressor, optimizer = opened(OPTIMIZERS[name], target_size=1400)
    losses = loop(compressor, optimizer)
    assert compressor.step == STEPS
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])
    final = compressor.finalize(training={"loss": losses[-1]})
    known = 0 if name.startswith("SGD") else len(final.checkpoint.latents)
    assert len(given[0]) == known
    size = lilnetx.save(final, tmp_path / "model.lnx")
    assert 700 < size <= 1400
    again = lilnetx.load_model(tmp_path / "model.lnx", model=network())
    assert torch.equal(again(images()), final.model(images()))


class Transfer(nn.Module):
    """A backbone of another data set, and a head."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(2, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU()
        )
        self.body = nn.Conv2d(8, 8, 3)
        self.head = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 3))

    def forward(self, x):
        return self.head(self.body(self.backbone(x)).relu().mean((2, 3)))


@pytest.mark.parametrize(
    ("options", "frozen", "stays"),
    [
        ({"exclude": ["head"]}, "backbone", ("head.", "backbone.")),
        ({"exclude": [nn.LayerNorm]}, "", ("head.0.",)),
        ({"exact": ["backbone", "body.bias"]}, "", ("backbone.1.", "body.bias")),
    ],
)
def test_what_is_frozen_excluded_or_exact_keeps_every_bit(options, frozen, stays):
    model = fill(Transfer())
    model.backbone[1].running_mean.copy_(numbers(8))
    model.backbone[1].running_var.fill_(1.5)
    model.train()
    if frozen:
        model.backbone.requires_grad_(False).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    compressor = lilnetx.Compressor(model, images(), steps=2, **options)
    assert model.body.training
    assert model.backbone[1].training == (not frozen)
    model.eval()
    optimizer = torch.optim.SGD(compressor.parameter_groups(lr=0.0), lr=0.0)
    compressor.attach(optimizer)
    for step in range(2):
        task(model, step).backward()
        optimizer.step()
        optimizer.zero_grad()
    state = compressor.finalize().model.state_dict()
    kept = [name for name in before if name.startswith(stays)]
    assert kept
    for name in kept:
        assert torch.equal(state[name], before[name]), name


@pytest.mark.parametrize("tolerance", [-1, 2, float("nan")])
def test_a_tolerance_is_a_share(tolerance):
    with pytest.raises(UsageError, match="expected a share from 0 to 1"):
        lilnetx.Compressor(drawn(network()), images(), steps=2, tolerance=tolerance)
    model = lilnetx.reparameterize(fill(network()))
    with pytest.raises(UsageError, match="expected a share from 0 to 1"):
        lilnetx.finalize(model, images(), tolerance=tolerance)


@pytest.mark.parametrize("early", [False, True])
def test_rates_of_sgd_follow_a_schedule_whenever_it_is_attached(early):
    torch.manual_seed(0)
    compressor = lilnetx.Compressor(drawn(network()), images(), steps=9, growth=0.0)
    optimizer = torch.optim.SGD(compressor.parameter_groups(lr=0.01), lr=0.01)
    if early:
        compressor.attach(optimizer)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.1**step)
    compressor.attach(optimizer)
    steps = latent_groups(compressor.model)
    seen = []

    def see(optimizer, *_):
        groups = [g for g in optimizer.param_groups if "latents" in g]
        seen.append([g["lr"] * float(steps[g["latents"]].step) ** 2 for g in groups])

    optimizer.register_step_pre_hook(see)
    for _ in range(3):
        task(compressor.model, 0).backward()
        optimizer.step()
        schedule.step()
    for number, rates in enumerate(seen):
        assert rates == pytest.approx([0.01 * 0.1**number] * len(rates))


def test_a_step_that_fails_leaves_rates_as_they_were():
    compressor, optimizer = opened()
    rates = [group["lr"] for group in optimizer.param_groups]

    def fails():
        raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            optimizer.step(fails)
    loop(compressor, optimizer, last=1)
    assert [group["lr"] for group in optimizer.param_groups] == rates


def test_drawn_scales_of_norms_are_not_taken_for_folded_ones():
    model = nn.Sequential(nn.Conv2d(2, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU())
    model = fill(model)
    with torch.no_grad():
        model[1].weight.copy_(1 + 0.02 * numbers(8))
        model[1].bias.zero_()
    model[1].reset_running_stats()
    before = model[1].weight.detach().clone()
    lilnetx.Compressor(model, images() * 0.01, steps=2, start="random")
    assert torch.equal(model[1].weight, before)


def test_a_layer_without_outputs_is_no_obstacle():
    layers = [nn.Conv2d(2, 32, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    model = fill(nn.Sequential(*layers, nn.Linear(32, 0)))
    lilnetx.Compressor(model, images(), steps=3, target_size=500)


class Positions(nn.Module):
    """Most of its numbers are no weights of a layer."""

    def __init__(self):
        super().__init__()
        self.positions = nn.Parameter(torch.empty(64, 96))
        self.layer = nn.Linear(96, 8)

    def forward(self, x):
        return self.layer(x + self.positions[: len(x)]).tanh()


@pytest.mark.filterwarnings("ignore::lilnetx_cli.PlainWeightsWarning")
def test_a_size_that_coarse_positions_reach_is_not_refused():
    model = drawn(Positions())
    with torch.no_grad():
        model.positions.mul_(1e-3)  # rounded to nothing, they change no output
    x = numbers(32, 96)
    with pytest.raises(OutOfReach, match="with nearly all weights zero"):
        lilnetx.Compressor(drawn(Positions()), x, steps=5, target_size=1500)
    lilnetx.Compressor(model, x, steps=5, target_size=1500, tolerance=0.1)


def test_a_loop_without_an_attached_optimizer_is_told():
    compressor = lilnetx.Compressor(drawn(network()), images(), steps=5)
    compressor.penalty()
    with pytest.warns(UserWarning, match=r"compressor\.attach"):
        compressor.penalty()
    compressor.penalty()


def test_without_anything_to_train_backward_only_tells_the_penalty():
    compressor, _ = opened()
    compressor.model.requires_grad_(False)
    assert float(compressor.backward().total) > 0


def test_steps_grow_from_fine_to_coarse_and_the_network_trains_on():
    compressor, optimizer = opened()
    before = {n: float(g.step) for n, g in latent_groups(compressor.model).items()}
    loop(compressor, optimizer, last=STEPS // 2)
    kept = {n: p.clone() for n, p in compressor.model.state_dict().items()}
    compressor.finalize()
    for name, group in latent_groups(compressor.model).items():
        assert 10 < float(group.step) / before[name] < 20  # of 4 steps to 0.3
    state = compressor.model.state_dict()
    assert all(torch.equal(state[name], value) for name, value in kept.items())
    loop(compressor, optimizer, first=STEPS // 2)


def test_steps_of_a_tiny_network_are_no_finer_than_its_size_asks_for():
    """Though much of the file is not weights: with coarser steps it is too small."""
    model = fill(nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)))
    compressor = lilnetx.Compressor(
        model, numbers(64, 16), steps=STEPS, start="random", target_size=900
    )
    course = compressor._course
    grow_steps(
        compressor.model, course.optimizer, 2 * course.spread / course.growth.last
    )
    assert compressor.estimated_bytes() < 900


def test_rates_are_the_users_own_between_steps():
    """A schedule sees its own numbers, though steps are taken with others."""
    compressor, optimizer = opened()
    seen = []
    optimizer.register_step_pre_hook(lambda *_: seen.append(rates(optimizer)))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.9**step)
    for step in range(3):
        loop(compressor, optimizer, step, step + 1)
        schedule.step()
        assert rates(optimizer)[0] == pytest.approx(0.01 * 0.9 ** (step + 1))
        assert rates(optimizer)[1] == pytest.approx(0.02 * 0.9 ** (step + 1))
    assert seen[0][0] == pytest.approx(0.01)
    assert seen[0][1] == pytest.approx(0.02 * 4 / 0.3)


def rates(optimizer):
    return [group["lr"] for group in optimizer.param_groups]


def test_sgd_moves_weights_as_it_does_those_of_a_plain_network():
    """Before rounding, and without a penalty."""
    sgd = OPTIMIZERS["SGD"]
    compressor, optimizer = opened(sgd, growth=1.0, start="trained")
    with torch.no_grad():
        for _, _, latent in latent_weights(compressor.model):
            latent.copy_(latent.round())
    plain = lilnetx.materialize(compressor.model)
    other = sgd(plain.parameters())
    before = dict(lilnetx.materialize(compressor.model).named_parameters())
    for seed in range(3):
        for net, steps in ((compressor.model, optimizer), (plain, other)):
            steps.zero_grad()
            task(net, seed).backward()
            steps.step()
    for name, weight, latent in latent_weights(compressor.model):
        rows = weight.rows(latent.detach()) @ weight.group.decoder.detach()
        start, goal = before[name].detach(), plain.get_parameter(name).detach()
        apart = float((rows.reshape(goal.shape) - goal).norm())
        assert apart < 0.25 * float((goal - start).norm())


@pytest.mark.parametrize(
    ("name", "key", "power"),
    [
        ("Adam", "exp_avg", 1),
        ("Adam", "exp_avg_sq", 2),
        ("SGD", "momentum_buffer", 1),
        ("RMSprop", "square_avg", 2),
        ("RMSprop", "momentum_buffer", 0),
    ],
)
def test_what_optimizers_know_grows_with_the_gradients(name, key, power):
    compressor, optimizer = opened(OPTIMIZERS[name])
    loop(compressor, optimizer, last=2)
    latent = next(latent for _, _, latent in latent_weights(compressor.model))
    before = optimizer.state[latent][key].clone()
    assert bool(before.any())
    grow_steps(compressor.model, optimizer, 4.0)
    assert torch.equal(optimizer.state[latent][key], before * 4.0**power)


def test_a_loop_that_is_resumed_goes_on_to_the_bit():
    options = {"target_size": 1400, "target_macs": 0.6, "ema": 0.9}
    whole, optimizer = opened(**options)
    loop(whole, optimizer)
    compressor, optimizer = opened(**options)
    loop(compressor, optimizer, last=47)
    file = io.BytesIO()
    torch.save(
        (compressor.model.state_dict(), optimizer.state_dict(),
         compressor.state_dict(), torch.get_rng_state()),
        file,
    )  # fmt: skip
    file.seek(0)
    compressor, optimizer = opened(**options)
    model, moments, state, random = torch.load(file, weights_only=True)
    compressor.model.load_state_dict(model)
    optimizer.load_state_dict(moments)
    compressor.load_state_dict(state)
    torch.set_rng_state(random)
    loop(compressor, optimizer, first=47)
    one, two = whole.model.state_dict(), compressor.model.state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    one, two = (c.finalize().model.state_dict() for c in (whole, compressor))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_the_average_ships_at_its_size(tmp_path):
    """Of weights that jump at the last step, hardly anything is in the file."""
    compressor, optimizer = opened(target_size=1400, ema=0.9)
    loop(compressor, optimizer, last=STEPS - 1)
    calm = compressor.finalize()
    for group in optimizer.param_groups:
        group["lr"] *= 50
    loop(compressor, optimizer, first=STEPS - 1)
    final = compressor.finalize()
    with torch.no_grad():
        wanted, *found = (
            model(images()) for model in (calm.model, final.model, compressor.model)
        )
    near, far = (float((x - wanted).norm() / wanted.norm()) for x in found)
    assert near < far / 3
    assert lilnetx.save(final, tmp_path / "model.lnx") <= 1400


def test_a_state_of_the_average_is_a_copy_and_must_be_one():
    compressor, optimizer = opened(ema=0.9)
    loop(compressor, optimizer, last=4)
    state = compressor.state_dict()
    before = {k: v.clone() for k, v in state["average"]["values"].items()}
    loop(compressor, optimizer, first=4, last=8)
    now = state["average"]["values"]
    assert all(torch.equal(before[name], now[name]) for name in before)
    for values in (None, {"a": 1}, {"a": torch.zeros(2)}):
        wrong = {**state, "average": {"decay": 0.9, "values": values, "steps": 1}}
        with pytest.raises(InputError, match="not a Compressor state"):
            compressor.load_state_dict(wrong)
    assert compressor.step == 8
    compressor.load_state_dict({**state, "average": None})  # of one without `ema`
    assert compressor.state_dict()["average"] is not None


def test_an_average_leaves_integers_alone():
    torch.manual_seed(0)
    model = drawn(network())
    model.places = nn.Parameter(torch.arange(4), requires_grad=False)
    compressor = lilnetx.Compressor(model, images(), steps=STEPS, ema=0.9)
    optimizer = torch.optim.Adam(compressor.parameter_groups(lr=0.01))
    compressor.attach(optimizer)
    loop(compressor, optimizer, last=2)
    assert model.places.tolist() == [0, 1, 2, 3]


def test_a_bad_average_is_refused_before_anything_changes():
    model = drawn(network())
    with pytest.raises(UsageError, match="ema is 0"):
        lilnetx.Compressor(model, images(), steps=STEPS, ema=0.0)
    lilnetx.Compressor(model, images(), steps=STEPS, ema=0.9)


@pytest.mark.parametrize("last", [STEPS, 10])
def test_a_share_of_the_multiply_adds_is_left(last):
    compressor, optimizer = opened(target_macs=0.5)
    loop(compressor, optimizer, last=last)
    final = compressor.finalize().model
    cut = lilnetx.prune(final, (images(),)).model
    assert cut.second.out_channels < 16
    channels = lilnetx.coupled_channels(network(), (images(),))
    assert macs_share(lilnetx.reparameterize(final), channels) <= 0.5


def test_channels_are_chosen_in_multiples():
    # Without other priors, and with fine steps, none dies by itself.
    free = {"rate_weight": 0.0, "slice_weight": 0.0, "growth": 1.0}
    compressor, optimizer = opened(target_macs=0.6, round_channels=4, **free)
    loop(compressor, optimizer, last=STEPS * 3 // 4)
    gone = compressor.state_dict()["macs"]["gone"]
    channels = lilnetx.coupled_channels(network(), (images(),))
    kept = [int((~gone)[layer.rows].sum()) for layer in channels.layers.values()]
    assert kept[:2] != [16, 16]
    assert kept[0] % 4 == kept[1] % 4 == 0


def test_a_share_of_the_time_is_left(monkeypatch):
    def as_multiply_adds(_, **__):
        works = [count_macs(model, images()).macs for model in timed[-1]]
        return [Latency("torch", 32, 1, work, work, 1) for work in works]

    timed = []
    monkeypatch.setattr(cutting, "torch_runs", lambda models, _: timed.append(models))
    monkeypatch.setattr(cutting, "measure_latency", as_multiply_adds)
    compressor, optimizer = opened(target_latency=0.5)
    loop(compressor, optimizer)
    cut = lilnetx.prune(compressor.finalize().model, (images(),)).model
    left = count_macs(cut, images()).macs / count_macs(network(), images()).macs
    assert 0.3 < left <= 0.5
    with pytest.raises(OutOfReach, match=r"0\.001 of the time is out of reach"):
        opened(target_latency=0.001)


def test_several_inputs_and_named_ones_are_taken():
    for inputs in ((images(), images(1)), {"x": images(), "other": images(1)}):
        compressor, optimizer = opened(inputs=inputs, target_size=1500)
        loop(compressor, optimizer, last=20)
        compressor.finalize()
    with pytest.raises(UsageError, match="positional inputs"):
        opened(inputs=inputs, target_macs=0.5)


def test_the_gradient_of_the_penalty_is_added_without_a_loss():
    compressor, optimizer = opened()
    parameters = list(compressor.model.parameters())
    optimizer.zero_grad()
    torch.manual_seed(0)
    (task(compressor.model, 0) + compressor.penalty().total).backward()
    wanted = [p.grad.clone() for p in parameters]
    optimizer.zero_grad()
    task(compressor.model, 0).backward()
    state = torch.get_rng_state()
    compressor.backward()
    assert torch.equal(torch.get_rng_state(), state)
    for parameter, gradient in zip(parameters, wanted, strict=True):
        assert torch.allclose(parameter.grad, gradient, atol=1e-5, rtol=1e-4)


def test_fresh_batch_norms_start_as_they_were_made():
    layers = [nn.Conv2d(2, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten()]
    model = nn.Sequential(*layers, nn.Linear(128, 3))
    lilnetx.Compressor(model, images(), steps=STEPS, start="random")
    assert bool((model[1].weight == 1).all())
    assert bool((model[1].bias == 0).all())


def test_a_trained_network_is_not_lost():
    model, x = fill(network()), images()
    with torch.no_grad():
        before = model(x)
        compressor = lilnetx.Compressor(model, x, steps=STEPS)
        after = compressor.model(x)
    assert float((after - before).norm() / before.norm()) < 0.1


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"steps": 0}, UsageError, "steps is 0, expected 1 or more"),
        ({"target_size": 40}, OutOfReach, "a file of 40 bytes is out of reach"),
        ({"target_macs": 0.001}, OutOfReach, "0.001 of the multiply-adds is out"),
        ({"target_size": "9kB"}, UsageError, "target_size is .9kB., expected a whole"),
        ({"target_macs": 2.0}, UsageError, "expected a share between 0 and 1"),
        ({"target_macs": 0.5, "target_latency": 0.5}, UsageError, "give one"),
        ({"round_channels": 8}, UsageError, "round_channels needs target_macs"),
        (
            {"target_latency": 0.5, "inputs": (images(), images())},
            UsageError,
            "for networks that take one tensor",
        ),
        ({"inputs": numbers(4, 7, 6, 6)}, InputError, "does not run on the inputs"),
        ({"ema": 1.0}, UsageError, "ema is 1.0, expected a share between 0 and 1"),
        ({"exact": ["lost"]}, UsageError, "no tensor is named 'lost'"),
    ],
)
def test_what_cannot_be_is_said_at_once(options, error, text):
    with pytest.raises(error, match=text):
        opened(**options)


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (nn.ReLU(), "the network has no parameters"),
        (nn.ReLU, "model is a type, expected a network"),
        (nn.DataParallel(nn.Conv2d(2, 3, 1)), "build the Compressor first"),
        (nn.Conv2d(2, 3, 1).requires_grad_(False), "no weights to train"),
        (nn.Conv2d(2, 3, 1).half(), r"call model.float\(\)"),
    ],
)
def test_what_is_no_network_to_train_is_said(model, text):
    x = images().half() if "float" in text else images()
    with pytest.raises((UsageError, InputError), match=text):
        lilnetx.Compressor(model, x, steps=STEPS)


def test_a_network_that_is_refused_stays_as_it_was():
    model = fill(nn.Sequential(nn.Conv2d(2, 8, 3), nn.BatchNorm2d(8)))
    model.requires_grad_(False)
    before = {name: x.clone() for name, x in model.state_dict().items()}
    with pytest.raises(UsageError, match="no weights to train"):
        lilnetx.Compressor(model, images(), steps=STEPS)
    assert all(torch.equal(before[name], x) for name, x in model.state_dict().items())


@pytest.mark.parametrize("name", ["exclude", "exact"])
def test_one_name_is_not_a_list_of_names(name):
    with pytest.raises(UsageError, match=f"{name} is 'last', expected a list"):
        opened(**{name: "last"})


def test_an_optimizer_that_was_never_attached_is_missed():
    compressor = lilnetx.Compressor(drawn(network()), images(), steps=STEPS)
    with pytest.raises(UsageError, match="give the optimizer to compressor"):
        compressor.finalize()


def test_missing_steps_are_told():
    compressor, optimizer = opened()
    loop(compressor, optimizer, last=STEPS // 2)
    with pytest.warns(UserWarning, match="after 30 of 60 steps"):
        compressor.finalize()


def test_frozen_layers_keep_every_bit():
    model = nn.Sequential(
        nn.Conv2d(2, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(128, 3),
    )
    fill(model)[0].weight.requires_grad_(False)
    before = model[0].weight.clone()
    compressor = lilnetx.Compressor(model, images(), steps=STEPS)
    optimizer = adam(compressor.parameter_groups(lr=0.01))
    compressor.attach(optimizer)
    loop(compressor, optimizer)
    assert torch.equal(compressor.finalize().model[0].weight, before)


@pytest.mark.parametrize(
    ("options", "text"),
    [({"target_size": 1500}, "target_size 1400"), ({"steps": 50}, "steps 60")],
)
def test_a_state_of_other_goals_is_refused(options, text):
    state = opened(target_size=1400)[0].state_dict()
    compressor, _ = opened(**{"target_size": 1400, **options})
    with pytest.raises(InputError, match=text):
        compressor.load_state_dict(state)


def test_an_optimizer_of_the_plain_weights_is_refused():
    model = drawn(network())
    early = torch.optim.Adam(model.parameters())
    compressor = lilnetx.Compressor(model, images(), steps=STEPS)
    with pytest.raises(UsageError, match="build it after the Compressor"):
        compressor.attach(early)
    with pytest.raises(InputError, match="not a Compressor state"):
        compressor.load_state_dict({"step": 1})
