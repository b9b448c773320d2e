"""`model.pt`: the network that ships, as a plain state dict and the latents behind it.

The file is a dict that loads with `weights_only=True`. Its key `state_dict` is the
dense network, for anyone; the other keys are what `compress` codes instead of it.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lilnetx_cli.checkpoint.torch_file import load_torch
from lilnetx_cli.errors import FileError, InputError, one_line, typed_reason
from lilnetx_cli.nn.decoding import decode_exact, decode_matmul
from lilnetx_cli.nn.latents import LatentWeight, latent_groups, latent_weights
from lilnetx_cli.nn.materialize import materialize
from lilnetx_cli.nn.reparameterize import keep_energy
from lnx import write_atomic
from lnx.dtypes import shortened
from lnx.errors import printable

MARK = "lilnetx"
VERSION = 2
RESUME_MARK = "lilnetx_resume"  # of resume.pt, the state of a run
LARGEST_LATENT = 2**31


@dataclass(frozen=True)
class LatentEntry:
    """Integers behind one weight: (N, L) int8, int16 or int32, and their decoder."""

    symbols: Tensor
    decoder: int


@dataclass(frozen=True)
class Checkpoint:
    """A network that is finished.

    Attributes:
        state_dict: every tensor of the plain network, dense, in its own order.
        latents: by weight name; the weight is what they decode to, to the bit.
        decoders: float32, (L, L) or (1, 1).
        architecture: the record it is rebuilt from, or None.
        training: the training record, what a run says of itself, or None.
        metadata: what a `.safetensors` file said of itself, or None; not in `model.pt`.
    """

    state_dict: Mapping[str, Tensor]
    latents: Mapping[str, LatentEntry] = field(default_factory=dict)
    decoders: tuple[Tensor, ...] = ()
    architecture: Mapping[str, Any] | None = None
    training: Mapping[str, Any] | None = None
    metadata: Mapping[str, str] | None = None


def capture(
    model: nn.Module,
    *,
    architecture: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
) -> Checkpoint:
    """Take a network, reparameterized or plain, as it is now."""
    model = getattr(model, "_orig_mod", model)  # torch.compile wraps a network
    plain = materialize(model)
    latents, decoders = take_latents(model)
    return Checkpoint(plain.state_dict(), latents, decoders, architecture, training)


def take_latents(
    model: nn.Module,
) -> tuple[dict[str, LatentEntry], tuple[Tensor, ...]]:
    """Return the rounded latents and the decoders of a reparameterized network.

    Raises InputError for latents that are not numbers any more.
    """
    groups = list(latent_groups(model).values())
    numbers = {id(group): number for number, group in enumerate(groups)}
    latents = {}
    for name, weight, latent in latent_weights(model):
        values = torch.round(weight.rows(latent.detach())).cpu()
        if not bool((values.abs() < LARGEST_LATENT).all()):
            raise InputError(
                f"latents of {printable(name)} are NaN or too large: training diverged,"
                " lower the learning rate or clip gradients"
            )
        rows = values.to(torch.int32)
        latents[name] = LatentEntry(rows, numbers[id(weight.group)])
    decoders = tuple(g.decoder.detach().cpu().float().clone() for g in groups)
    return latents, decoders


@torch.no_grad()
def put_latents(model: nn.Module, checkpoint: Checkpoint) -> None:
    """Give a reparameterized network the latents and decoders of a checkpoint.

    The mirror of `take_latents`: what decodes to the same weights as in the checkpoint
    is held by the same integers. A weight that the checkpoint has not, in another shape
    or with other latents than its own, keeps its values; where its group takes over a
    decoder, they are written again in steps of that.
    """
    members: dict[int, list[tuple[str, LatentWeight, Tensor]]] = {}
    for name, weight, latent in latent_weights(model):
        members.setdefault(id(weight.group), []).append((name, weight, latent))
    for group in members.values():
        decoders = [_decoder_of(*member, checkpoint) for member in group]
        number = next((d for d in decoders if d is not None), None)
        if number is None:
            continue
        old = group[0][1].group.decoder.detach()
        group[0][1].group.set_decoder(checkpoint.decoders[number])
        for (name, weight, latent), decoder in zip(group, decoders, strict=True):
            if decoder == number:
                symbols = checkpoint.latents[name].symbols
                latent.copy_(symbols.reshape(latent.shape))
            else:
                values = decode_matmul(weight.rows(latent), old)
                latent.copy_(weight.right_inverse(values.reshape(latent.shape)))
                keep_energy(latent)


def _decoder_of(
    name: str, weight: LatentWeight, latent: Tensor, checkpoint: Checkpoint
) -> int | None:
    """Return the decoder behind a weight, None where its latents cannot be used."""
    entry, dense = checkpoint.latents.get(name), checkpoint.state_dict.get(name)
    if entry is None or dense is None or dense.shape != latent.shape:
        return None
    decoder = checkpoint.decoders[entry.decoder]
    fits = entry.symbols.shape == weight.rows(latent).shape
    if not fits or decoder.shape != weight.group.decoder.shape:
        return None
    same = torch.equal(decode_exact(entry.symbols, decoder).reshape(dense.shape), dense)
    return entry.decoder if same else None


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> int:
    """Write `model.pt` atomically; return its length in bytes."""
    content = {
        MARK: VERSION,
        "state_dict": dict(checkpoint.state_dict),
        "latents": {
            name: torch.from_numpy(shortened(entry.symbols.numpy()))
            for name, entry in checkpoint.latents.items()
        },
        "decoder_of": {k: v.decoder for k, v in checkpoint.latents.items()},
        "decoders": list(checkpoint.decoders),
        "architecture": _plain(checkpoint.architecture),
        "training": _plain(checkpoint.training),
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_atomic(buffer.getvalue(), path)
    return len(buffer.getvalue())


def load_checkpoint(path: Path) -> Checkpoint:
    """Read `model.pt`; raises InputError for anything else, saying what it is."""
    content = load_torch(path)
    if not isinstance(content, Mapping) or MARK not in content:
        raise InputError(f"{str(path)!r} is not a lilnetx checkpoint")
    return read_checkpoint(content, path)


def read_checkpoint(content: Mapping[str, Any], path: Path) -> Checkpoint:
    """Return the checkpoint in a mapping that has the mark; raises FileError."""
    if content[MARK] != VERSION:
        raise FileError(
            f"{str(path)!r} is a checkpoint of version {one_line(repr(content[MARK]))},"
            f" expected {VERSION}: use the lilnetx that wrote it"
        )
    try:
        owners = content["decoder_of"]
        latents = {
            name: LatentEntry(_integers(symbols), int(owners[name]))
            for name, symbols in content["latents"].items()
        }
        return Checkpoint(
            content["state_dict"],
            latents,
            tuple(content["decoders"]),
            content["architecture"],
            content["training"],
        )
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise FileError(
            f"{str(path)!r} is an incomplete lilnetx checkpoint: {typed_reason(error)}"
        ) from error


def _integers(symbols: Tensor) -> Tensor:
    """Return symbols in a type that files hold; a mapped file stays where it is."""
    held = (torch.int8, torch.int16, torch.int32)
    return symbols if symbols.dtype in held else symbols.to(torch.int32)


def _plain(record: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if record is None else dict(record)
