"""One process of a run under test: `python -m tests.training.member CASES.json OUT`.

Trains what each case says, one after the other, and writes what it saw as a process.
"""

import dataclasses
import hashlib
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import nn

import lnx
from lilnetx_cli.checkpoint import pack
from lilnetx_cli.config import resolve
from lilnetx_cli.data import load_splits
from lilnetx_cli.measure import measure_accuracy
from lilnetx_cli.nn.batch_norm import running_statistics
from lilnetx_cli.processes import ALONE, Processes
from lilnetx_cli.training import Stopped, read_resume, run, run_training
from lilnetx_cli.training.finalize import calibrate
from tests.training.silent import Silent

CPU = torch.device("cpu")
RANK, COUNT = (int(os.environ.get(*x)) for x in (("RANK", "0"), ("WORLD_SIZE", "1")))


def network(channels, classes):
    """A network without batch norm."""
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(256, classes),
    )


def normed(channels, classes):
    """A network with batch norms, behind convolutions that can die."""
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, classes),
    )


class WithIdle(nn.Module):
    """A network and a layer that it does not use: only the penalty sees its latents."""

    def __init__(self, used):
        super().__init__()
        self.used = used
        self.idle = nn.Conv2d(4, 4, 3, bias=False)

    def forward(self, x):
        return self.used(x)


def idle(channels, classes):
    """A network with an idle layer."""
    return WithIdle(network(channels, classes))


def go(settings, folder, *, stop=lambda: False, resume=None):
    """Return what one process of a run sees of it."""
    watcher, shipped = Silent(), []
    finish = run.finish

    def noted(session):
        shipped.append(finish(session))
        return shipped[0]

    run.finish = noted
    try:
        result = run_training(
            resolve(None, settings),
            load_splits("digits", None),
            folder,
            observer=watcher,
            should_stop=stop,
            resume=resume,
        )
    finally:
        run.finish = finish
    file = lnx.dumps(pack(shipped[0].checkpoint))
    return {
        "losses": [report.loss for report in watcher.steps],
        "notes": watcher.notes,
        "file": hashlib.sha256(file).hexdigest(),
        "predictions": result.predictions,
        "accuracy": result.accuracy,
        "bytes": result.estimated_bytes,
    }


def interrupted(settings, folder, after):
    """Stop a run after a step, asked of its last process alone, and go on with it."""
    calls = []

    def stop():
        calls.append(1)
        return len(calls) == after and RANK == COUNT - 1

    try:
        go(settings, folder, stop=stop)
    except Stopped:
        content = read_resume(folder / "resume.pt")
        return {"at": content["step"], **go(settings, folder, resume=content)}
    raise RuntimeError("the run did not stop")


def shared_work():
    """Return what processes find that share a measurement, and what one finds."""
    torch.manual_seed(0)
    splits = load_splits("digits", None)
    settings = {"data.name": "digits", "train.calibration_images": 1111}
    found = {}
    for name, processes in (
        ("shared", Processes(RANK, COUNT)),
        ("alone", ALONE),
    ):
        torch.manual_seed(0)
        model = normed(1, 10)
        session = SimpleNamespace(
            config=resolve(None, settings),
            splits=splits,
            processes=processes,
            accelerator=SimpleNamespace(device=CPU),
        )
        calibrate(model, session)
        measured = measure_accuracy(
            model, splits.test, batch_size=100, processes=processes
        )
        statistics = torch.cat(running_statistics(model)).numpy().tobytes()
        found[name] = [
            dataclasses.asdict(measured), hashlib.sha256(statistics).hexdigest(),
        ]  # fmt: skip
    return found


def main():
    cases, out = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    seen = {}
    for name, case in cases.items():
        after = case.pop("interrupted", None)
        folder = out / name
        seen[name] = interrupted(case, folder, after) if after else go(case, folder)
    if COUNT > 1:
        seen["shared work"] = shared_work()
    (out / f"seen-{RANK}.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    main()
