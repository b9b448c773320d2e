"""Batch norms: measure their statistics again, fold them, and undo that."""

from collections.abc import Collection, Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lilnetx_cli.calls import Call
from lilnetx_cli.nn.evaluating import evaluating

OWN = "weight", "bias", "running_mean", "running_var"


@torch.no_grad()
def calibrate_batch_norms(
    model: nn.Module,
    images: Iterable[Tensor | Call],
    without: Collection[nn.Module] = (),
) -> None:
    """Measure the running statistics of batch norms again, as plain averages.

    The old averages are of weights that have moved since, and rounding moved them more.
    The norms in `without` stay as they are.
    """
    set_statistics(model, batch_statistics(model, images, without), without)


@torch.no_grad()
def batch_statistics(
    model: nn.Module,
    images: Iterable[Tensor | Call],
    without: Collection[nn.Module] = (),
) -> list[Tensor]:
    """Return the statistics of the inputs of batch norms, (1 + 2C,) a batch.

    That is the number of images, then means and variances that training normalizes
    with; the running ones are lost. Without batch norms nothing is run.
    """
    norms = _tracking(model, without)
    if not norms:
        return []
    momenta, found = [norm.momentum for norm in norms], []
    with evaluating(model):
        for norm in norms:
            norm.momentum = None  # a mean over the uses of a norm that is used again
            norm.train()
        for batch in images:
            for norm in norms:
                norm.reset_running_stats()
            model(batch)
            count = batch.size if isinstance(batch, Call) else len(batch)
            own = [x.flatten().cpu() for x in running_statistics(model, without)]
            found.append(torch.cat([torch.tensor([float(count)]), *own]))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return found


@torch.no_grad()
def set_statistics(
    model: nn.Module, found: Sequence[Tensor], without: Collection[nn.Module] = ()
) -> None:
    """Make the mean of what `batch_statistics` found the running statistics.

    A batch counts by its images.
    """
    if not found:
        return
    rows = torch.stack([x.double() for x in found])
    mean = rows[:, 0] / rows[:, 0].sum() @ rows[:, 1:]
    own = running_statistics(model, without)
    parts = torch.split(mean, [tensor.numel() for tensor in own])
    for tensor, part in zip(own, parts, strict=True):
        tensor.copy_(part.view_as(tensor))
    for norm in _tracking(model, without):
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.fill_(len(found))


def running_statistics(
    model: nn.Module, without: Collection[nn.Module] = ()
) -> list[Tensor]:
    """Return running means and variances of batch norms: the tensors, no copies."""
    norms = _tracking(model, without)
    pairs = [(norm.running_mean, norm.running_var) for norm in norms]
    return [tensor for pair in pairs for tensor in pair if tensor is not None]


def _tracking(model: nn.Module, without: Collection[nn.Module]) -> list[_BatchNorm]:
    apart = {id(module) for module in without}
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    return [
        norm for norm in norms if norm.track_running_stats and id(norm) not in apart
    ]


def norms_with(model: nn.Module, tensors: Collection[str]) -> list[nn.Module]:
    """Return the batch norms that have one of some tensors, by their plain names."""
    return [
        module
        for name, module in model.named_modules()
        if isinstance(module, _BatchNorm)
        and any(f"{name}.{own}".removeprefix(".") in tensors for own in OWN)
    ]


@torch.no_grad()
def fold_batch_norms(model: nn.Module, without: Collection[nn.Module] = ()) -> None:
    """Fold running statistics and eps of batch norms into scale and shift, in place.

    Afterwards the mean is 0 and the variance 1. Outputs in evaluation mode stay the
    same, up to float32 rounding. A channel that was always zero gets scale 0. The norms
    in `without` stay as they are.
    """
    for norm in _tracking(model, without):
        if norm.affine:
            _fold(norm)


def _fold(norm: _BatchNorm) -> None:
    if norm.running_mean is None or norm.running_var is None:
        return
    mean, variance = norm.running_mean.double(), norm.running_var.double()
    scale = norm.weight.double() / torch.sqrt(variance + norm.eps)
    scale = torch.where((variance == 0) & (mean == 0), 0.0, scale)
    shift = norm.bias.double() - mean * scale
    norm.weight.copy_(scale * (1 + norm.eps) ** 0.5)
    norm.bias.copy_(shift)
    norm.reset_running_stats()


@torch.no_grad()
def unfold_batch_norms(
    network: nn.Module,
    images: Iterable[Tensor | Call],
    without: Collection[nn.Module] = (),
) -> int:
    """Undo the folding of batch norms, in place; return how many were folded.

    Statistics are those of the images, and scale and shift make up for them, so that
    the outputs stay the same. A folded network cannot be trained: its batch norms would
    also divide by the deviation of each batch. Norms that nothing has trained have the
    statistics of folded ones, and stay as they are; so do those in `without`.
    """
    norms = [norm for norm in _tracking(network, without) if _folded(norm)]
    seen: dict[nn.Module, list[Tensor]] = {norm: [] for norm in norms}
    handles = [
        norm.register_forward_pre_hook(
            lambda module, args: seen[module].append(args[0].transpose(0, 1).flatten(1))
        )
        for norm in norms
    ]
    with evaluating(network):
        for batch in images if norms else ():
            network(batch)
    for handle in handles:
        handle.remove()
    for norm, inputs in seen.items():
        if isinstance(norm, _BatchNorm) and inputs:
            _unfold(norm, torch.cat(inputs, 1))
    return len(norms)


def _folded(norm: _BatchNorm) -> bool:
    mean, variance = norm.running_mean, norm.running_var
    if not norm.affine or mean is None or variance is None or _fresh(norm):
        return False
    return bool((mean == 0).all() and (variance == 1).all())


def _fresh(norm: _BatchNorm) -> bool:
    """Tell whether a norm has the scale and shift that it was made with."""
    return bool((norm.weight == norm.weight[:1]).all() and (norm.bias == 0).all())


def _unfold(norm: _BatchNorm, values: Tensor) -> None:
    """Take mean and variance of inputs, (C, N), out of scale and shift."""
    mean, variance = values.mean(1), values.var(1, unbiased=False)
    factor = norm.weight / (1 + norm.eps) ** 0.5
    norm.weight.copy_(factor * (variance + norm.eps).sqrt())
    norm.bias.add_(factor * mean)
    if norm.running_mean is not None and norm.running_var is not None:
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
