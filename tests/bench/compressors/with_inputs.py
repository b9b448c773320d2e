"""Rows of methods that look at inputs of the network, such as 512 images.

A method takes a network and returns its decoded state dict and the bytes of the whole
file; `network.built(state)` is the model, `network.splits.calibration` holds images.
"""

import time
from collections.abc import Callable

import lnx
from lilnetx_cli.checkpoint import Checkpoint, pack, unpack
from lilnetx_cli.compression import Target
from lilnetx_cli.compression.with_inputs import compress_with_inputs
from lilnetx_cli.data.calibration import calibration_of
from tests.bench.compressors.networks import Network, State
from tests.bench.compressors.running import Row

Method = Callable[[Network, str], tuple[State, int]]


def ours(network: Network, decibels: str) -> tuple[State, int]:
    """Compress with inputs, to an SNR of the outputs."""
    if network.splits is None:
        raise ValueError(f"{network.name} came without a model")
    dense = network.built(network.state)
    container = pack(Checkpoint(dense.state_dict()))
    made = compress_with_inputs(
        container,
        dense,
        calibration_of(network.splits).batches,
        Target(output_snr=float(decibels)),
    )
    data = lnx.dumps(made.lossy.container)
    return unpack(lnx.rebuild_all(lnx.loads(data))), len(data)


# By name: the method, and its settings.
METHODS: dict[str, tuple[Method, tuple[str, ...]]] = {
    "ours, 512 inputs": (ours, ("15", "18", "21", "25")),
}


def rows_with_inputs(network: Network) -> list[Row]:
    """Return the rows of all methods, coded in this process."""
    if network.splits is None:
        return []
    return [
        _row(network, name, method, setting)
        for name, (method, settings) in METHODS.items()
        for setting in settings
    ]


def _row(network: Network, name: str, method: Method, setting: str) -> Row:
    start = time.perf_counter()
    state, size = method(network, setting)
    seconds = time.perf_counter() - start
    return Row(
        network.name, name, setting, network.snr(state), size,
        network.accuracy(state), seconds, 0.0, None,
    )  # fmt: skip
