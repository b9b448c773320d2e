"""What zstd and NNCodec make of the same integers; runs in an environment of its own.

    python rivals.py FOLDER     each .npy in it is a matrix of int8

Prints one JSON object: bytes, and seconds to encode and to decode, by rival. NNCodec
codes with its context models, first as fast as it can, then with its parameter search.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import zstandard
from nncodec.extensions import deepCABAC

UNARY_LENGTH = 11  # the default of NNCodec
OFF = (deepCABAC.HdspMode(0), np.zeros(0, np.int8))


def encode_nncodec(symbols: np.ndarray, search: int) -> np.ndarray:
    """Return the bit stream of a matrix of int32."""
    encoder = deepCABAC.Encoder()
    encoder.initCtxModels(UNARY_LENGTH, search)
    skipped = np.zeros(len(symbols), np.int32)
    encoder.encodeLayer(symbols, 0, 0, 0, 0, 0, skipped, *OFF, 0, 0)
    return encoder.finish()


def decode_nncodec(stream: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the float32 weights of a bit stream."""
    symbols = np.zeros(shape, np.int32)
    decoder = deepCABAC.Decoder()
    decoder.setStream(stream)
    decoder.initCtxModels(UNARY_LENGTH)
    decoder.decodeLayer(symbols, 0, 0, 0, 0, *OFF, 0, 0)
    return symbols.astype(np.float32)


def measure_nncodec(matrices: list[np.ndarray], search: int) -> dict[str, float]:
    """Code every matrix as a layer of its own."""
    wide = [matrix.astype(np.int32) for matrix in matrices]
    start = time.perf_counter()
    streams = [encode_nncodec(matrix, search) for matrix in wide]
    middle = time.perf_counter()
    decoded = [decode_nncodec(s, m.shape) for s, m in zip(streams, wide, strict=True)]
    stop = time.perf_counter()
    for matrix, again in zip(wide, decoded, strict=True):
        if not np.array_equal(matrix, again):
            raise SystemExit("NNCodec did not give the integers back")
    size = sum(len(stream) for stream in streams)
    return {"bytes": size, "encode": middle - start, "decode": stop - middle}


def measure_zstd(matrices: list[np.ndarray], level: int) -> dict[str, float]:
    """Pack the bytes of every matrix."""
    packer, unpacker = zstandard.ZstdCompressor(level), zstandard.ZstdDecompressor()
    start = time.perf_counter()
    packed = [packer.compress(matrix.tobytes()) for matrix in matrices]
    middle = time.perf_counter()
    for data in packed:
        np.frombuffer(unpacker.decompress(data), np.int8).astype(np.float32)
    stop = time.perf_counter()
    size = sum(len(data) for data in packed)
    return {"bytes": size, "encode": middle - start, "decode": stop - middle}


def main() -> None:
    """Measure all rivals."""
    matrices = [np.load(path) for path in sorted(Path(sys.argv[1]).glob("*.npy"))]
    found = {
        "zstd -19": measure_zstd(matrices, 19),
        "NNCodec": measure_nncodec(matrices, 0),
        "NNCodec, search": measure_nncodec(matrices, 1),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
