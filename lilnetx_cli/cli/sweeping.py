"""Several sizes of a network in one go, and what else makes the network small."""

import os
import shlex
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from torch import nn

import lnx
from lilnetx_cli.cli.console import Output, percent_text, size_text
from lilnetx_cli.cli.options import Stopwatch, check_input, same_file
from lilnetx_cli.cli.run_folder import SWEEP, check_folder, check_same
from lilnetx_cli.cli.sweep_sizes import size_name, sizes_of
from lilnetx_cli.cli.sweep_tasks import CODED, DENSE, Sweep, Task, tasks_of
from lilnetx_cli.config import RUN_FILES, RunConfig, resolve, to_toml
from lilnetx_cli.data import load_splits
from lilnetx_cli.errors import Interrupted, UsageError
from lilnetx_cli.graph.tracing import GraphError
from lilnetx_cli.measure import measure_accuracy
from lilnetx_cli.measure.front import Point, read_front, write_front
from lilnetx_cli.measure.macs import count_macs
from lilnetx_cli.models import rebuild
from lilnetx_cli.models.inputs import example_input
from lilnetx_cli.models.pruned import with_cuts
from lilnetx_cli.plots import Mark, draw_front
from lilnetx_cli.pruning import prune
from lilnetx_cli.training import Stopped
from lilnetx_cli.training.initial_weights import read_trained
from lilnetx_cli.training.set_up import architecture_of

SETTINGS, TABLE, PICTURE = SWEEP, "front.csv", "front.png"
HEAD = ("method", "whole file", "MACs", "test accuracy", "validation", "file")


def run_sweep(
    config: RunConfig,
    folder: Path,
    count: int,
    out: Output,
    *,
    resume: str | None,
    configured: bool,
    force: bool,
) -> None:
    """Train some sizes, make the files to compare with, write a table and a picture.

    `configured` tells whether settings were given, which have to be those of the sweep
    that goes on. Raises Interrupted at Ctrl-C.
    """
    watch = Stopwatch()
    _check_call(config, resume)
    check_folder(folder, force=force)
    known: list[Point] = []
    if resume is not None:
        config, known = _earlier(config, folder, configured=configured)
    elif (folder / SETTINGS).exists() and not force:
        raise UsageError(
            f"{str(folder)!r} holds a sweep ({SETTINGS}): use --resume, or"
            " overwrite it with -f"
        )
    splits = load_splits(config.data.name, config.data.dir, augment=config.data.augment)
    record = architecture_of(config, splits)
    sizes = sizes_of(config, record, count)
    if resume is None:
        _check_places(config, folder, sizes, force=force)
    if config.model.init is not None:
        record = with_cuts(record, read_trained(config.model.init).architecture)
    sweep = Sweep(config, folder, splits, record, out)
    if resume is None:
        _begin(sweep, sizes)
    try:
        points = _points(sweep, sizes, known)
    except (Stopped, KeyboardInterrupt):
        raise Interrupted(
            f"stopped; resume with: lilnetx train --sweep {count}"
            f" -o {shlex.quote(str(folder))} --resume"
        ) from None
    _tell(points, sweep, watch.seconds)


def _check_call(config: RunConfig, resume: str | None) -> None:
    if config.train.plain:
        raise UsageError("--sweep also trains a plain network: leave out --plain")
    if resume not in (None, "auto"):
        raise UsageError("a sweep goes on in its own folder: -o FOLDER --resume")
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise UsageError("--sweep runs in one process: start it without a launcher")


def _earlier(
    config: RunConfig, folder: Path, *, configured: bool
) -> tuple[RunConfig, list[Point]]:
    """Return the settings of the sweep in a folder, and its files that are done."""
    check_input(folder / SETTINGS)
    stored = resolve(folder / SETTINGS, {})
    check_same(config, stored, configured=configured)
    table = folder / TABLE
    points = read_front(table) if table.exists() else []
    return stored, [point for point in points if _is_there(point, folder)]


def _is_there(point: Point, folder: Path) -> bool:
    path = folder / point.file
    return path.is_file() and path.stat().st_size == point.bytes


def _folders(folder: Path, sizes: list[int]) -> list[Path]:
    return [folder / name for name in (*map(size_name, sizes), DENSE)]


def _old_files(folder: Path, sizes: list[int]) -> list[Path]:
    names = (*RUN_FILES, CODED)
    return [run / name for run in _folders(folder, sizes) for name in names]


def _check_places(
    config: RunConfig, folder: Path, sizes: list[int], *, force: bool
) -> None:
    """Raise UsageError where a run, or what is read, would be overwritten."""
    for run in _folders(folder, sizes):
        check_folder(run, force=force)
    old = _old_files(folder, sizes)
    for source in (config.model.init, config.train.teacher):
        if source is not None and any(same_file(source, file) for file in old):
            raise UsageError(
                f"{str(source)!r} would be overwritten: give another --output"
            )


def _begin(sweep: Sweep, sizes: list[int]) -> None:
    """Clear the folders of the runs, and write what the sweep is told."""
    old = _old_files(sweep.folder, sizes)
    for file in (*old, sweep.folder / TABLE, sweep.folder / PICTURE):
        file.unlink(missing_ok=True)
    sweep.folder.mkdir(parents=True, exist_ok=True)
    lnx.write_atomic(to_toml(sweep.config).encode(), sweep.folder / SETTINGS)


def _points(sweep: Sweep, sizes: list[int], known: list[Point]) -> list[Point]:
    """Make all files that are not there yet; the table grows with each."""
    tasks = tasks_of(sweep, sizes)
    done = {point.file: point for point in known}
    points: list[Point] = []
    for number, task in enumerate(tasks, 1):
        if task.method == DENSE and not points:
            raise UsageError("no size is within reach: set another --target-size")
        point = done.get(task.file)
        if point is None:
            sweep.out.note(f"{number} of {len(tasks)}: {task.method}, {task.file}")
            point = _made(task, sweep)
        if point is not None:
            points.append(point)
            later = [x for x in known if x not in points]
            write_front([*points, *later], sweep.folder / TABLE)
    write_front(points, sweep.folder / TABLE)
    return points


def _made(task: Task, sweep: Sweep) -> Point | None:
    """Make a file and measure it; None where there is no such file."""
    path = sweep.folder / task.file
    try:
        task.make(path)
    except task.refusal as error:
        sweep.out.warn(f"{task.file} is skipped: {error}")
        return None
    state, workers = task.load(path), sweep.config.data.workers
    network = rebuild(sweep.record, state, str(path), trusted=True).eval()
    test, validation = (
        measure_accuracy(network, images, workers=workers).accuracy
        for images in (sweep.splits.test, sweep.splits.validation)
    )
    return Point(
        task.method,
        path.stat().st_size,
        _macs_once_pruned(network, sweep),
        round(test, 6),
        round(validation, 6),
        task.file,
    )


def _macs_once_pruned(network: nn.Module, sweep: Sweep) -> int:
    """Return the multiply-adds of an image, without dead channels where they can go."""
    example = example_input(sweep.record)
    with suppress(GraphError):
        network = prune(network, (example,)).model
    return count_macs(network, example).macs


def _tell(points: list[Point], sweep: Sweep, seconds: float) -> None:
    table, picture = sweep.folder / TABLE, sweep.folder / PICTURE
    curves: dict[str, list[Mark]] = {}
    for point in points:
        mark = Mark(point.bytes, point.macs, point.accuracy)
        curves.setdefault(point.method, []).append(mark)
    draw_front(curves, picture)
    placed = [replace(x, file=str(sweep.folder / x.file)) for x in points]
    sweep.out.table(HEAD, [_cells(point) for point in placed], optional=1)
    sweep.out.result(
        {
            "points": [asdict(point) for point in placed],
            "csv": str(table),
            "png": str(picture),
            "seconds": seconds,
        },
        f"{table}, {picture}",
    )


def _cells(point: Point) -> tuple[str, ...]:
    return (
        point.method,
        size_text(point.bytes),
        f"{point.macs:,}",
        f"{100 * point.accuracy:.2f} %",
        percent_text(point.validation_accuracy),
        point.file,
    )
