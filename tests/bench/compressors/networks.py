"""What is compressed: state dicts, and where they are told, networks and their data."""

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from lilnetx_cli.checkpoint import read_source
from lilnetx_cli.cli.options import parse_model_args
from lilnetx_cli.config import MODEL
from lilnetx_cli.data import Splits, load_splits
from lilnetx_cli.measure import measure_accuracy
from lilnetx_cli.models import build

State = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Network:
    """One trained network.

    Attributes:
        name: of its file, or of the folder of its run.
        state: every tensor.
        source: a file with the plain state dict.
        model: what `build` takes, with its arguments; None for tensors alone.
        arguments: of the model.
        splits: the data that accuracy is measured on; None without a model.
    """

    name: str
    state: State
    source: Path
    model: str | None
    arguments: dict[str, int]
    splits: Splits | None

    def built(self, state: State) -> nn.Module:
        """Return the network with weights; tensors that are missing stay as trained."""
        if self.model is None or self.splits is None:
            raise ValueError(f"{self.name} came without a model")
        form = {"channels": self.splits.channels, "classes": self.splits.classes}
        model = build(self.model, {**form, **self.arguments})
        model.load_state_dict({**self.state, **state})
        return model.eval()

    def accuracy(self, state: State) -> float | None:
        """Return the accuracy on the test images, or None where there are none."""
        if self.splits is None:
            return None
        return measure_accuracy(self.built(state), self.splits.test).accuracy

    def snr(self, state: State) -> float:
        """Return the SNR in dB over all float tensors of two or more dimensions."""
        signal = error = 0.0
        for name, tensor in self.state.items():
            if tensor.is_floating_point() and tensor.dim() > 1:
                wanted = tensor.double()
                found = state[name].double().reshape(tensor.shape)
                signal += float(wanted.square().sum())
                error += float((wanted - found).square().sum())
        if not error:
            return float("inf")
        return 10 * float(torch.log10(torch.tensor(signal / error)))


def open_networks(options: argparse.Namespace, folder: Path) -> list[Network]:
    """Read the networks that the command line names as FILE or FILE=MODEL,key=count."""
    splits = None
    found = []
    for number, text in enumerate(options.networks):
        file, _, rest = text.partition("=")
        model, *arguments = rest.split(",") if rest else [None]
        if model is not None and splits is None:
            splits = load_splits(options.dataset, options.data_dir)
        state = dict(read_source(Path(file)).checkpoint.state_dict)
        if options.cast:
            kind = getattr(torch, options.cast)
            state = {k: t.to(kind) if t.is_floating_point() else t
                     for k, t in state.items()}  # fmt: skip
        source = folder / f"{number}.pt"
        torch.save(state, source)
        found.append(
            Network(
                _name_of(Path(file)), state, source, model, parse_model_args(arguments),
                splits if model else None,
            )
        )  # fmt: skip
    return found


def _name_of(path: Path) -> str:
    """Return what a file is called: model.pt is named by the folder of its run."""
    return path.parent.name if path.name == MODEL else path.stem
