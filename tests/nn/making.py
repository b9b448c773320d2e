"""Networks and inputs for tests, made with numpy's generator and not with torch's.

What torch draws for a seed differs from release to release; no test may hang on it.
"""

import numpy as np
import torch

from lilnetx_cli.nn.batch_norm import calibrate_batch_norms


def numbers(*shape, seed=0):
    """Return standard normal values."""
    values = np.random.default_rng(seed).standard_normal(shape)
    return torch.from_numpy(values.astype(np.float32))


def words(*shape, count=11, seed=0):
    """Return integers below count."""
    return torch.from_numpy(np.random.default_rng(seed).integers(0, count, shape))


@torch.no_grad()
def fill(model, seed=0):
    """Give every parameter values that look trained, in place; return the model.

    Signals pass: each output takes most from one input. The rest has heavy tails, rows
    and columns of unequal size, and kernels that fall off. Norms have scales and shifts
    of their own.
    """
    rng = np.random.default_rng(seed)
    for parameter in model.parameters():
        make = _weight if parameter.dim() > 1 else _vector
        parameter.copy_(torch.from_numpy(make(rng, parameter).astype(np.float32)))
    return model


@torch.no_grad()
def drawn(model, seed=0):
    """Give weights the values that nn.init.kaiming_normal_ draws, and no shifts."""
    for number, parameter in enumerate(model.parameters()):
        if parameter.dim() > 1:
            draw = numbers(*parameter.shape, seed=1000 * seed + number)
            parameter.copy_((2 / parameter[0].numel()) ** 0.5 * draw)
        elif not bool((parameter == 1).all()):
            parameter.zero_()
    return model


def lively(outputs):
    """Tell whether outputs say something: a comparison of constants shows nothing."""
    outputs = outputs.detach()
    return bool(outputs.isfinite().all()) and float(outputs.std()) > 0.01


def filled(model, *shape, seed=0):
    """Fill a network, and measure its batch norms on made inputs of a shape."""
    fill(model, seed)
    calibrate_batch_norms(model, [numbers(*shape, seed=seed + 1)])
    return model


def _weight(rng, like):
    shape = tuple(like.shape)
    values = rng.laplace(size=shape)
    for axis, size in enumerate(shape):
        scale = rng.lognormal(0, 0.4, size) if axis < 2 else np.hanning(size + 2)[1:-1]
        form = [1] * len(shape)
        form[axis] = size
        values *= scale.reshape(form)
    values *= 0.5 / np.sqrt(np.mean(values**2) * np.prod(shape[1:]))
    middle = tuple(size // 2 for size in shape[2:])
    for row in range(shape[0]):
        values[(row, row % shape[1], *middle)] += 1
    return values


def _vector(rng, like):
    """Return scales near 1 where ones are, else shifts near 1/2."""
    middle = 1.0 if bool((like == 1).all()) else 0.5
    return middle + 0.3 * rng.standard_normal(tuple(like.shape))
