"""What `evaluate` measures, as the record that it prints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lilnetx_cli.cli.console import Output
from lilnetx_cli.errors import LilnetxError, UsageError, refusing
from lnx.errors import printable

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lilnetx_cli.cli.loading import Loaded
    from lilnetx_cli.data import Splits
    from lilnetx_cli.measure.metric import Metric
    from lilnetx_cli.models.inputs import InputForm

# What is measured on test images; null without any.
ACCURACY = ("accuracy", "top5", "loss", "examples", "predictions")
# What one pass of the network takes; null where no input is known.
WORK = ("macs", "latency_ms")


@dataclass(frozen=True)
class Timing:
    """How long a network takes is measured like this.

    Attributes:
        wanted: whether it is measured at all.
        threads: of the processor, None for what torch chooses.
        seconds: for each timing.
    """

    wanted: bool
    threads: int | None
    seconds: float


@dataclass(frozen=True)
class Examples:
    """The examples of a data set that networks are run on."""

    name: str
    splits: "Splits"
    batch_size: int
    workers: int


def examples_of(
    record: Mapping[str, Any],
    name: str | None,
    folder: Path | None,
    batch_size: int,
    workers: int,
) -> Examples | None:
    """Return the data set that is named, by the user or by a file; None for neither."""
    chosen = name or _recorded(record)
    if chosen is not None:
        from lilnetx_cli.data import load_splits

        return Examples(chosen, load_splits(chosen, folder), batch_size, workers)
    if folder is not None:
        raise UsageError("--data-dir needs --dataset: this file records no data set")
    return None


def loaded_with_examples(
    file: Path,
    model: tuple[str | None, Mapping[str, int]],
    data: tuple[str | None, Path | None],
    batch_size: int,
    workers: int,
) -> tuple["Loaded", Examples | None]:
    """Read a network and the data set that is named, by the user or by the file.

    `model` and `data` are what the user says: a name with arguments, one with a folder.
    A data set that the user names completes the arguments of a network of ours.
    """
    from lilnetx_cli.cli.loading import load_network
    from lilnetx_cli.user_code import is_factory

    (name, arguments), (dataset, folder) = model, data
    examples, form = None, {}
    if dataset is not None and name is not None and not is_factory(name):
        examples = examples_of({}, dataset, folder, batch_size, workers)
    if examples is not None:
        splits = examples.splits
        form = {"channels": splits.channels, "classes": splits.classes}
    loaded = load_network(file, name, arguments, form=form)
    if examples is None:
        known = {**(loaded.architecture or {}), **loaded.training}
        examples = examples_of(known, dataset, folder, batch_size, workers)
    return loaded, examples


def split_notes(examples: Examples | None) -> list[str]:
    """Return what was made of the images of a data set, if the user should know."""
    note = "" if examples is None else examples.splits.note
    return [note] if note else []


def data_notes(
    file: Path, training: Mapping[str, Any], dataset: str | None, *, measured: bool
) -> list[str]:
    """Return what to say of the data set that a file was trained on.

    That is why it gives none, where nothing is measured, and that it is not the one
    that the user names.
    """
    from lilnetx_cli.user_code import is_factory

    name = training.get("dataset")
    made = f"was trained on {printable(name)}" if isinstance(name, str) else None
    if not measured:
        why = f"{made}, which a file may not run: name it with --dataset"
        why = "names no data set, add --dataset" if made is None else why
        return [f"accuracy is not measured: {file} {why}"]
    names = [x for x in (name, dataset) if isinstance(x, str) and not is_factory(x)]
    other = len(set(names)) == 2
    return [f"{file} {made}"] if other else []


def example_of(
    architecture: Mapping[str, Any] | None,
    form: "InputForm | None",
    network: "nn.Module",
    *,
    needed: bool,
) -> "Tensor | None":
    """Return an input of a network; None where it is unknown, unless it is needed."""
    from lilnetx_cli.models.inputs import example_input

    try:
        return example_input(architecture, form, network)
    except UsageError:
        if needed:
            raise
        return None


def qualities(
    networks: "Sequence[nn.Module]",
    examples: Examples | None,
    metric: "Metric | None",
    out: Output,
) -> list[dict[str, Any]]:
    """Return how good each network is: by the user's metric, or its accuracy."""
    nothing: dict[str, Any] = {**dict.fromkeys(ACCURACY), "metric": None}
    if metric is not None:
        from lilnetx_cli.measure.metric import Loader

        loader = None
        if examples is not None:
            test = examples.splits.test
            loader = Loader(test, examples.batch_size, examples.workers)
        return [{**nothing, "metric": metric.measure(x, loader)} for x in networks]
    if examples is None:
        return [dict(nothing) for _ in networks]
    return [{**nothing, **_accuracy(network, examples, out)} for network in networks]


def add_work(
    records: list[dict[str, Any]],
    networks: "Sequence[nn.Module]",
    example: "Tensor | None",
    timing: Timing,
    out: Output,
) -> None:
    """Add multiply-adds and times to the records of networks."""
    for record, network in zip(records, networks, strict=True):
        record["parameters"] = sum(p.numel() for p in network.parameters())
        record |= {**dict.fromkeys(WORK), "uncounted_operations": []}
        record["latencies_ms"] = []
    if example is None:
        return
    import torch

    from lilnetx_cli.measure.side_by_side import (
        describe_work,
        latency_record,
        measure_all,
    )

    if example.is_floating_point():
        generator = torch.Generator().manual_seed(0)
        example = torch.randn(example.shape, generator=generator)
    form = tuple(example.shape[1:])
    for record, network in zip(records, networks, strict=True):
        with refusing(f"the network does not take inputs of shape {form}", UsageError):
            record |= describe_work(network, example)
    if not timing.wanted:
        return
    count = timing.threads or torch.get_num_threads()
    out.detail(f"torch {torch.__version__}: timing with {count} threads")
    times, left_out = measure_all(networks, example, count, timing.seconds)
    if left_out is not None:
        out.warn(f"not timed in onnxruntime: {left_out}")
    for record, entries in zip(records, times, strict=True):
        record |= latency_record(entries)


def check_alike(record: dict[str, Any]) -> None:
    """Fail where the pruned network predicts otherwise on the test images."""
    smaller = record.get("pruned")
    if smaller is None or record["accuracy"] is None:
        return
    apart = abs(smaller["accuracy"] - record["accuracy"])
    if smaller["predictions"] != record["predictions"] and apart > 0.001:
        error = LilnetxError(
            "the predictions of the pruned network differ from those of the dense one"
        )
        error.record = record
        raise error


def _recorded(record: Mapping[str, Any]) -> str | None:
    """Return the data set that a file names, unless it is code of the user's own."""
    from lilnetx_cli.user_code import is_factory

    name = record.get("dataset")
    return name if isinstance(name, str) and not is_factory(name) else None


def _accuracy(network: "nn.Module", examples: Examples, out: Output) -> dict[str, Any]:
    from lilnetx_cli.measure import measure_accuracy

    refused = f"the network does not take images of {printable(examples.name)}"
    progress = out.progress("evaluating", len(examples.splits.test))
    with progress as ticker, refusing(refused, UsageError):
        measured = measure_accuracy(
            network,
            examples.splits.test,
            batch_size=examples.batch_size,
            workers=examples.workers,
            progress=ticker.move,
        )
    return {key: getattr(measured, key) for key in ACCURACY}
