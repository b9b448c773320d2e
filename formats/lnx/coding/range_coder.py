"""The range coder of the file; the only module that knows constriction.

A message is a list of runs of symbols, each run under one table. Words are 32 bits,
stored little-endian; a run under a table of one symbol takes nothing. Where
constriction is missing, or does not code as the file needs, `numpy_coder` takes over.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from lnx import spec
from lnx.coding.interrupts import interrupt_later
from lnx.coding.numpy_coder import decode_lanes, encode_lanes
from lnx.coding.tables import Table
from lnx.dtypes import Symbols
from lnx.errors import CorruptError

try:
    import constriction
except ImportError:  # no wheel for this platform
    constriction = None

# Frequencies of precision 14, a message of symbol indices, and its words. They meet a
# carry through words that are kept back, and the extra word at the end.
GOLDEN = (
    ((8192, 4096, 2048, 1024, 1024), (0, 1, 2, 3, 4, 0, 0, 0, 1, 4, 3, 2), "d85fbc5b"),
    ((1, 16382, 1), (0, 1, 0, 0, 2, 2, 0), "10000000fff73f00004000fc"),
    ((5, 7, 16362, 2, 8), (3, 3, 0, 3, 3), "c0fedffffd9bff0200000000"),
)


_MODELS: WeakKeyDictionary[Table, Any] = WeakKeyDictionary()  # as long as the tables


def batch_cells() -> int:
    """Return how many symbols are best given to `encode` or `decode` at once."""
    return 1 << 20 if constriction_is_exact() else 1 << 22


def encode(messages: Sequence[Sequence[tuple[Table, Symbols]]]) -> list[bytes]:
    """Return the words of each message; symbols must be in their tables."""
    if constriction_is_exact():
        return [_encode_one(runs) for runs in messages]
    return encode_lanes(messages)


def decode(
    messages: Sequence[tuple[bytes, Sequence[tuple[Table, int]]]],
) -> list[list[Symbols]]:
    """Return the symbols of each run of each message; lengths must be affordable.

    Most damaged words give wrong symbols and no error: the caller checks a hash first.
    Raises CorruptError for the rest.
    """
    for data, runs in messages:
        if data and not any(n and len(table.values) > 1 for table, n in runs):
            raise CorruptError("words for symbols that take none")
    if constriction_is_exact():
        return [_decode_one(data, runs) for data, runs in messages]
    return decode_lanes(messages)


@cache
def constriction_is_exact() -> bool:
    """Return whether constriction is there and codes the golden messages."""
    if constriction is None:
        return False
    with interrupt_later():  # its first call imports from numpy, and panics at Ctrl-C
        return _codes_golden()


def _codes_golden() -> bool:
    for frequencies, symbols, words in GOLDEN:
        table = Table(np.arange(len(frequencies)), np.array(frequencies, np.int64), 14)
        message = np.array(symbols, np.int32)
        if _encode_one([(table, message)]).hex() != words:
            return False
        (decoded,) = _decode_one(bytes.fromhex(words), [(table, len(message))])
        if not np.array_equal(decoded, message):
            return False
    return True


def _encode_one(runs: Sequence[tuple[Table, Symbols]]) -> bytes:
    encoder = constriction.stream.queue.RangeEncoder()
    for table, symbols in runs:
        if len(table.values) > 1 and len(symbols):
            indices = np.ascontiguousarray(table.indices(symbols))
            encoder.encode(indices, _model(table))
    return bytes(encoder.get_compressed().astype("<u4").tobytes())


def _decode_one(data: bytes, runs: Sequence[tuple[Table, int]]) -> list[Symbols]:
    words = np.frombuffer(data, "<u4").astype(np.uint32)
    decoder = constriction.stream.queue.RangeDecoder(words)
    found = [_decode_run(decoder, table, count) for table, count in runs]
    if not decoder.maybe_exhausted():
        raise CorruptError("words are left over at the end of a stream")
    return found


def _decode_run(decoder: Any, table: Table, count: int) -> Symbols:  # noqa: ANN401
    if len(table.values) == 1 or not count:
        return np.full(count, table.values[0], table.symbol_type)
    model = _model(table)
    pieces = []
    for start in range(0, count, spec.MAX_CODER_CALL):
        size = min(spec.MAX_CODER_CALL, count - start)
        pieces.append(_guarded(decoder, model, size))
    indices = np.concatenate(pieces) if len(pieces) != 1 else pieces[0]
    return table.symbols(indices)


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
    model = _MODELS.get(table)
    if model is None:
        weights = table.frequencies << (spec.CODER_BITS - table.bits)
        probabilities = np.ascontiguousarray(weights - 1, dtype=np.float64)
        model = constriction.stream.model.Categorical(probabilities, perfect=False)
        _MODELS[table] = model
    return model
