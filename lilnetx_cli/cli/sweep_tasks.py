"""The files of a sweep: trained to a size, plain, and made from the plain network."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

import lnx
from lilnetx_cli.api import load
from lilnetx_cli.checkpoint import Checkpoint, load_checkpoint, pack, save_checkpoint
from lilnetx_cli.cli.console import Output
from lilnetx_cli.cli.progress import watched
from lilnetx_cli.cli.run_folder import read_run
from lilnetx_cli.cli.sweep_sizes import size_name
from lilnetx_cli.compression.int8 import load_int8, save_int8
from lilnetx_cli.compression.to_snr import save_to_output_snr, save_to_snr
from lilnetx_cli.config import MODEL, RESUME, RunConfig, as_plain
from lilnetx_cli.data import Splits
from lilnetx_cli.data.calibration import calibration_of
from lilnetx_cli.errors import UsageError
from lilnetx_cli.models import rebuild
from lilnetx_cli.training import OutOfReach
from lilnetx_cli.training.initial_weights import read_trained

DENSE, CODED = "dense", "model.lnx"  # the folder of the plain network; in each run
TRAINED, COMPRESSED, CALIBRATED = "lilnetx train", "compress", "compress --calib"
INT8 = "int8 + zstd -19"
SNRS = (40, 30, 25, 20)  # dB, of weights
OUTPUT_SNRS = (25, 20, 15)  # dB, of outputs


@dataclass(frozen=True, eq=False)
class Sweep:
    """What all files of a sweep have in common; `record` is of the architecture."""

    config: RunConfig
    folder: Path
    splits: Splits
    record: dict[str, Any]
    out: Output


@dataclass(frozen=True, eq=False)
class Task:
    """One file to be made.

    Attributes:
        method: how.
        file: its path in the folder of the sweep.
        make: writes it there.
        load: reads its state dict.
        refusal: what says that there is no such file, and stops no other.
    """

    method: str
    file: str
    make: Callable[[Path], object]
    load: Callable[[Path], Mapping[str, Tensor]] = load
    refusal: type[UsageError] = UsageError


def tasks_of(sweep: Sweep, sizes: list[int]) -> list[Task]:
    """Return all files of a sweep in the order in which they are made."""
    return [*_trainings(sweep, sizes), _dense(sweep), *_baselines(sweep)]


def _trainings(sweep: Sweep, sizes: list[int]) -> Iterator[Task]:
    share = sweep.config.target.macs
    for number, size in enumerate(sizes, 1):
        macs = None if share is None else share**number
        wanted = {"size": size, "ratio": None, "macs": macs}
        target = sweep.config.target.model_copy(update=wanted)
        config = sweep.config.model_copy(update={"target": target})

        def make(path: Path, config: RunConfig = config) -> None:
            _train(config, path.parent, sweep)
            lnx.save(pack(load_checkpoint(path.parent / MODEL)), path)

        yield Task(TRAINED, f"{size_name(size)}/{CODED}", make, refusal=OutOfReach)


def _train(config: RunConfig, folder: Path, sweep: Sweep) -> None:
    """Train, or go on with a run that was stopped, unless it is finished."""
    if (folder / MODEL).exists():
        return
    content = None
    if (folder / RESUME).exists():
        content, _ = read_run(folder, "auto", config, True, False)
    watched(config, sweep.splits, folder, sweep.out, resume=content, last=False)


def _dense(sweep: Sweep) -> Task:
    """Return how the plain network is had: the one to start from, or trained."""

    def make(path: Path) -> None:
        network = _given(sweep)
        if network is None:
            _train(as_plain(sweep.config), path.parent, sweep)
            return
        sweep.out.note(f"the plain network is {sweep.config.model.init}")
        path.parent.mkdir(exist_ok=True)
        state = network.state_dict()
        save_checkpoint(Checkpoint(state, architecture=sweep.record), path)

    def state_of(path: Path) -> Mapping[str, Tensor]:
        return load_checkpoint(path).state_dict

    return Task(DENSE, f"{DENSE}/{MODEL}", make, state_of, OutOfReach)


def _given(sweep: Sweep) -> nn.Module | None:
    """Return the network of --init if it is a plain one that fits."""
    path = sweep.config.model.init
    if path is None:
        return None
    checkpoint = read_trained(path)
    if checkpoint.latents:
        return None
    try:
        return rebuild(sweep.record, checkpoint.state_dict, str(path), trusted=True)
    except UsageError:  # such as one with a head for other classes
        return None


def _baselines(sweep: Sweep) -> Iterator[Task]:
    """Yield what is made of the plain network without training."""

    def network() -> nn.Module:
        state = load_checkpoint(sweep.folder / DENSE / MODEL).state_dict
        return rebuild(sweep.record, state, DENSE, trusted=True).eval()

    def placed(path: Path) -> Path:
        path.parent.mkdir(exist_ok=True)
        return path

    for snr in SNRS:

        def without(path: Path, snr: float = snr) -> None:
            with sweep.out.progress("quantizing, tries") as ticker:
                save_to_snr(network(), sweep.record, snr, placed(path), ticker.move)

        yield Task(COMPRESSED, f"compress/{snr}dB.lnx", without)
    for snr in OUTPUT_SNRS:

        def with_inputs(path: Path, snr: float = snr) -> None:
            inputs = calibration_of(sweep.splits).calls
            with sweep.out.progress("rounding, rounds") as ticker:
                save_to_output_snr(
                    network(), sweep.record, inputs, snr, placed(path), ticker.move
                )

        yield Task(CALIBRATED, f"calib/{snr}dB.lnx", with_inputs)

    def int8(path: Path) -> None:
        save_int8(network().state_dict(), placed(path))

    yield Task(INT8, "int8/model.safetensors.zst", int8, load_int8)
