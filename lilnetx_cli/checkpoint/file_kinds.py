"""What a file is that was taken for a checkpoint, by its first bytes."""

import zipfile
from pathlib import Path

STARTS = (
    (b"version https://git-lfs", "a Git LFS pointer: fetch the file with git lfs pull"),
    (b"<!DOCTYPE", "a web page: the download went wrong"),
    (b"<html", "a web page: the download went wrong"),
    (b"\x1f\x8b", "a gzip file: unpack it first"),
    (b"\x89HDF", "an HDF5 file"),
    (b"GGUF", "a GGUF file"),
    (b"\x89LNX", "a .lnx file"),
)
ZIP = b"PK\x03\x04"  # how torch.save begins a file
LOOKED_AT = 256
JSON_AT = 8  # a .safetensors file: the length of its header, then the header


def kind_of(path: Path) -> str | None:
    """Return what a file is, or None where its bytes do not tell; raises OSError."""
    with path.open("rb") as file:
        head = file.read(LOOKED_AT)
    if not head:
        return "an empty file"
    for start, kind in STARTS:
        if head.startswith(start):
            return kind
    if head[JSON_AT : JSON_AT + 2] == b'{"' and path.suffix != ".safetensors":
        return "a .safetensors file: give it that suffix"
    if head.startswith(ZIP) and path.suffix == ".safetensors":
        return "a zip archive, as torch.save writes: give it the suffix .pt"
    if path.suffix == ".onnx":  # it begins with no mark of its own
        return "an ONNX file, which says too little of its network"
    return "a text file" if _is_text(head) else None


def program_kind(path: Path) -> str | None:
    """Return which program of torch a zip file is, or None; raises OSError."""
    try:
        with zipfile.ZipFile(path) as file:
            names = file.namelist()
    except zipfile.BadZipFile:
        return None
    if any("/code/" in name for name in names):
        return "a TorchScript program: save the state dict of its network instead"
    if any(name.endswith("archive_format") for name in names):
        return "a .pt2 program: save the state dict of its network instead"
    return None


def is_zip_start(path: Path) -> bool:
    """Tell whether a file begins as torch.save begins one; raises OSError."""
    with path.open("rb") as file:
        return file.read(len(ZIP)) == ZIP


def _is_text(head: bytes) -> bool:
    # A letter of several bytes may be cut off at the end.
    text = head.decode("utf-8", errors="replace").removesuffix("\ufffd")
    return all(char.isprintable() or char in "\t\n\r" for char in text) and (
        "\ufffd" not in text
    )
