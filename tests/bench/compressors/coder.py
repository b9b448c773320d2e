"""One compressor on one network, in a process of its own.

    python coder.py METHOD SETTING SOURCE.pt FILE DECODED.pt

Prints one JSON object: bytes of the file, seconds to encode and to decode, peak memory
of the process. Seconds run from tensors to a file on disk and back, imports left out.
It runs in the environment that has the method's package: it may not import from beside
itself.
"""

import importlib
import json
import logging
import sys
import time
from collections import defaultdict
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import torch

State = dict[str, torch.Tensor]
ZSTD_LEVEL = 19

# What NNCodec imports and does not need in order to code weights: gigabytes.
UNUSED = (
    "cv2", "h5py", "pandas", "ptflops", "sklearn", "sklearn.metrics", "torchmetrics",
    "torchvision", "torchvision.datasets", "torchvision.models",
    "torchvision.transforms", "torchvision.transforms.functional", "wandb",
)  # fmt: skip


def own_copies(state: State) -> State:
    """Return tensors that share no memory, as most formats want them."""
    return {name: tensor.detach().clone(memory_format=torch.contiguous_format)
            for name, tensor in state.items()}  # fmt: skip


# -- lilnetx ---------------------------------------------------------------------------


def encode_lilnetx(state: State, setting: str, file: Path) -> None:
    """Quantize to an SNR in dB, or lose nothing where the setting is "lossless"."""
    import lnx
    from lilnetx_cli.checkpoint import Checkpoint, pack
    from lilnetx_cli.compression import Target, compress_container

    container = pack(Checkpoint(state))
    if setting != "lossless":
        container = compress_container(container, Target(snr=float(setting))).container
    lnx.save(container, file, replace=True)


def decode_lilnetx(file: Path, _: str) -> State:
    from lilnetx_cli import load

    return load(file)


# -- NNCodec ---------------------------------------------------------------------------


def _nncodec():
    logging.disable(logging.CRITICAL)
    sys.modules.update({name: MagicMock() for name in UNUSED})
    from nncodec import nnc

    return nnc


def encode_nncodec(state: State, setting: str, file: Path) -> None:
    """Code with NNCodec's defaults; the setting is qp, 4 of which double the step.

    It codes no 0-d tensors, which are left out, and of integers int32 alone.
    """
    arrays = {
        name: (t.float() if t.is_floating_point() else t.to(torch.int32)).numpy()
        for name, t in state.items()
        if t.dim()
    }
    _nncodec().compress(arrays, bitstream_path=str(file), qp=int(setting))


def decode_nncodec(file: Path, _: str) -> State:
    found = _nncodec().decompress(str(file))
    arrays = found[0] if isinstance(found, tuple) else found
    return {name: torch.from_numpy(np.array(a)) for name, a in arrays.items()}


# -- ZipNN -----------------------------------------------------------------------------

ZIPNN_TYPES = {torch.float32: "float32", torch.bfloat16: "bfloat16",
               torch.float16: "float16"}  # fmt: skip


def encode_zipnn(state: State, setting: str, file: Path) -> None:
    """Pack the .safetensors file ("file"), or tensors one after the other ("raw")."""
    from safetensors.torch import save

    if setting == "file":
        types = defaultdict(int)
        for tensor in state.values():
            types[tensor.dtype] += tensor.nbytes
        parts = {max(types, key=types.get): save(own_copies(state))}
    else:
        parts = defaultdict(bytes)
        for tensor in own_copies(state).values():
            plain = tensor.reshape(-1).view(torch.uint8)
            parts[tensor.dtype] += plain.numpy().tobytes()
    packed = [_zipnn(dtype).compress(bytearray(data)) for dtype, data in parts.items()]
    file.write_bytes(b"".join(packed))
    file.with_suffix(".parts").write_text(
        json.dumps([[str(d), len(p)] for d, p in zip(parts, packed, strict=True)])
    )


def decode_zipnn(file: Path, setting: str) -> State:
    from safetensors.torch import load

    data, at = file.read_bytes(), 0
    for name, size in json.loads(file.with_suffix(".parts").read_text()):
        dtype = getattr(torch, name.removeprefix("torch."))
        part = bytes(_zipnn(dtype).decompress(data[at : at + size]))
        at += size
    return load(part) if setting == "file" else {}


def _zipnn(dtype: torch.dtype):
    from zipnn import ZipNN

    return ZipNN(input_format="byte", bytearray_dtype=ZIPNN_TYPES.get(dtype, "float32"))


# -- zstd, and integers with a scale an output channel ---------------------------------


def encode_zstd(state: State, setting: str, file: Path) -> None:
    """Pack a .safetensors file: as it is ("0"), or weights rounded to so many bits."""
    import zstandard
    from safetensors.torch import save

    bits = int(setting)
    tensors = own_copies(state)
    if bits:
        tensors = _rounded(tensors, bits)
    file.write_bytes(zstandard.ZstdCompressor(ZSTD_LEVEL).compress(save(tensors)))


def decode_zstd(file: Path, setting: str) -> State:
    import zstandard
    from safetensors.torch import load

    state = load(zstandard.ZstdDecompressor().decompress(file.read_bytes()))
    return _restored(state, int(setting)) if int(setting) else state


def _rounded(state: State, bits: int) -> State:
    """Return each weight as integers, two a byte if 4 bits, and a scale a channel."""
    found: State = {}
    for name, tensor in state.items():
        if tensor.dim() < 2 or not tensor.is_floating_point():
            found[name] = tensor
            continue
        rows = tensor.float().reshape(len(tensor), -1)
        scales = rows.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
        numbers = torch.round(rows / scales.clamp_min(1e-30)).to(torch.int8)
        if bits == 4:
            padding = numbers.new_zeros(numbers.numel() % 2)
            flat = torch.cat((numbers.reshape(-1), padding))
            numbers = (flat[::2] << 4) | (flat[1::2] & 15)
        found[f"{name}:numbers"], found[f"{name}:scales"] = numbers, scales
        found[f"{name}:shape"] = torch.tensor(tensor.shape)
    return found


def _restored(state: State, bits: int) -> State:
    found: State = {}
    for key, tensor in state.items():
        name, _, part = key.partition(":")
        if not part:
            found[name] = tensor
        if part != "numbers":
            continue
        scales, shape = state[f"{name}:scales"], state[f"{name}:shape"].tolist()
        numbers = tensor
        if bits == 4:
            flat = torch.stack((tensor >> 4, (tensor << 4) >> 4), 1).reshape(-1)
            numbers = flat[: int(np.prod(shape))]
        found[name] = (numbers.reshape(len(scales), -1) * scales).reshape(shape)
    return found


# --------------------------------------------------------------------------------------

METHODS = {
    "lilnetx": (encode_lilnetx, decode_lilnetx),
    "nncodec": (encode_nncodec, decode_nncodec),
    "zipnn": (encode_zipnn, decode_zipnn),
    "zstd": (encode_zstd, decode_zstd),
}
PACKAGES = {"lilnetx": "lilnetx_cli.compression", "zstd": "zstandard"}


def _import(method: str) -> None:
    """Load a method's package, so that the clock does not count it."""
    if method == "nncodec":
        _nncodec()
    else:
        importlib.import_module(PACKAGES.get(method, method))


def peak_bytes() -> int:
    """Return the largest resident size of this process so far.

    `ru_maxrss` may start from what the parent took, so Linux is asked for its own.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if "VmHWM" in x)
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Code one network once."""
    method, setting, *names = sys.argv[1:]
    encode, decode = METHODS[method]
    source, file, decoded = map(Path, names)
    torch.set_num_threads(1)
    _import(method)
    state = torch.load(source)
    start = time.perf_counter()
    encode(state, setting, file)
    middle = time.perf_counter()
    found = decode(file, setting)
    stop = time.perf_counter()
    record = {"bytes": file.stat().st_size, "encode": middle - start,
              "decode": stop - middle, "peak": peak_bytes()}  # fmt: skip
    torch.save(found, decoded)
    json.dump(record, sys.stdout)


if __name__ == "__main__":
    main()
