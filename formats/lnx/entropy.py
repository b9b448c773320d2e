"""The range coder; the only file that knows constriction.

Messages are runs of symbols, each run under one table. Words are 32 bits, stored
little-endian; a run under a table of one symbol takes nothing.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnx import spec
from lnx.errors import CoderError, CorruptError
from lnx.tables import Table

try:
    import constriction
except ImportError:  # no wheel for this platform
    constriction = None

Run = tuple[Table, NDArray[np.int32]]


def encode(runs: Iterable[Run]) -> bytes:
    """Return the words of a message; symbols must be in their tables."""
    encoder = _coder().RangeEncoder()
    for table, symbols in runs:
        if len(table.values) > 1 and len(symbols):
            indices = np.ascontiguousarray(table.indices(symbols))
            encoder.encode(indices, _model(table))
    return bytes(encoder.get_compressed().astype("<u4").tobytes())


def decode(data: bytes, runs: Sequence[tuple[Table, int]]) -> list[NDArray[np.int32]]:
    """Return the symbols of each run; its length must be known to be affordable.

    Damaged words give wrong symbols without a word: the caller checks a hash first.
    """
    words = np.frombuffer(data, "<u4").astype(np.uint32)
    decoder = _coder().RangeDecoder(words)
    return [_decode_run(decoder, table, count) for table, count in runs]


def _decode_run(decoder: Any, table: Table, count: int) -> NDArray[np.int32]:  # noqa: ANN401
    values = table.values.astype(np.int32)
    if len(values) == 1:
        return np.full(count, values[0], np.int32)
    model = _model(table)
    pieces = []
    for start in range(0, count, spec.MAX_CODER_CALL):
        size = min(spec.MAX_CODER_CALL, count - start)
        pieces.append(values[_guarded(decoder, model, size)])
    return np.concatenate(pieces) if pieces else np.empty(0, np.int32)


def _guarded(decoder: Any, model: Any, size: int) -> NDArray[np.int32]:  # noqa: ANN401
    try:
        decoded: NDArray[np.int32] = decoder.decode(model, size)
    except Exception as error:
        raise CorruptError(f"stream does not decode: {error}") from error
    except BaseException as error:
        # A panic of the coder does not derive from Exception.
        if type(error).__name__ != "PanicException":
            raise
        raise CorruptError("stream does not decode") from error
    return decoded


def _model(table: Table) -> Any:  # noqa: ANN401
    """Return the model whose cumulative function is the table's, to the integer.

    constriction turns probabilities into 24-bit frequencies by giving one to each
    symbol and sharing out the rest, hence w - 1 (`formats/SPEC.md`, Range coder).
    """
    weights = table.frequencies << (spec.CODER_BITS - table.bits)
    probabilities = np.ascontiguousarray(weights - 1, dtype=np.float64)
    return _stream().model.Categorical(probabilities, perfect=False)


def _stream() -> Any:  # noqa: ANN401
    if constriction is None:
        raise CoderError(
            "entropy coding needs the package constriction, which is not installed"
            " or has no wheel for this platform"
        )
    return constriction.stream


def _coder() -> Any:  # noqa: ANN401
    return _stream().queue
