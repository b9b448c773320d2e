"""The numbers in the text are those of the code."""

import re
from pathlib import Path

import pytest

from lnx import spec
from lnx.dtypes import ITEM_BYTES, ROUNDED_TO, DType
from lnx.spec import Kind

TEXT = (Path(__file__).parents[2] / "formats" / "SPEC.md").read_text("utf-8")
FLAT = " ".join(TEXT.split())


@pytest.mark.parametrize(
    "sentence",
    [
        f"| prefix | {spec.PREFIX_BYTES} |",
        f"| file digest | {spec.FILE_DIGEST_BYTES} | digest {spec.FILE_DIGEST_BYTES}",
        f"`{spec.MAGIC.hex(' ').upper()}`",
        f"| major version | {spec.MAJOR};",
        f"| minor version | {spec.MINOR};",
        f"| 30 | {spec.PREFIX_DIGEST_BYTES} | digest {spec.PREFIX_DIGEST_BYTES} |",
        f"`header_stored` | 1 to {spec.MAX_HEADER_BYTES}",
        f"N tensors (N at most {spec.MAX_TENSORS},",
        f"each name at most {spec.MAX_NAME_BYTES} bytes of UTF-8",
        f"number of dimensions (at most {spec.MAX_DIMENSIONS})",
        f"at most 2^{spec.MAX_ELEMENTS.bit_length() - 1}; a 0-d",
        f"slice length L (1 to {spec.MAX_SLICE},",
        f"without scales together at most {spec.MAX_PLANES})",
        f"in {spec.SHARE_UNIT} parts of a byte",
        f"with at most {spec.MAX_TABLE_SYMBOLS} symbols together",
        f"MUST have at most {spec.MAX_DECODER_NUMBERS} entries",
        f"more than {spec.MAX_CHUNK_CELLS} cells, raw ones included, in a chunk",
        f"section divided by {spec.MIN_CHUNK_BYTES} plus",
        f"its cells divided by {spec.MIN_CHUNK_CELLS}.",
        f"at most {spec.WORK_OF_WEIGHT} times their elements",
        f"plus {spec.WORK_OF_BYTE} times the bytes of the file",
        f"(each at most {spec.MAX_BLOCK_BYTES})",
        f"varint C (at most {spec.MAX_CHUNKS}) chunks",
        f"C digests {spec.CHUNK_DIGEST_BYTES} of each",
        f"Digest {spec.BLOCKS_DIGEST_BYTES} of the stored tables",
        f"digest {spec.CONTENT_DIGEST_BYTES} of the integers",
        f"each as text (at most {spec.MAX_RECORD_BYTES} bytes)",
        f"then metadata as text (at most {spec.MAX_METADATA_BYTES} bytes)",
        f"nested at most {spec.MAX_RECORD_DEPTH} deep",
        f"Varint count (at most {spec.MAX_TABLES}), then the tables",
        f"({spec.MIN_TABLE_BITS} to {spec.MAX_TABLE_BITS})",
        f"n symbols (1 to {spec.MAX_SYMBOLS},",
        f"zigzag varints ({-spec.MAX_EXPONENT} to {spec.MAX_EXPONENT})",
        f"bit {spec.LEAVES_OUT.bit_length() - 1}: fixed tensors may follow",
        f"of dimension 0 whose scale a is\n{spec.ZERO_SCALE}, and these",
        f"fixed tensors {-spec.MAX_MULTIPLE} to {spec.MAX_MULTIPLE}.",
        f"the first varint is {spec.MIN_TABLE_BITS + spec.GEOMETRIC} to"
        f" {spec.MAX_TABLE_BITS + spec.GEOMETRIC}, the table",
        f"its k is {spec.GEOMETRIC} less, n is 1 to {spec.MAX_GEOMETRIC},",
        f"z (at most {spec.MAX_ZERO_WEIGHT})",
        f"the byte of the stored type MAY be\n   {spec.TURNED} more",
        f"have one (at most {spec.CLASSES}), varint first class",
        f"c(j) + {-spec.LEAST_CLASS}, cut to 0 and {spec.CLASSES - 1},",
        f"less than 2^{spec.TRELLIS_INDICES.bit_length() - 1} in magnitude",
        f"again after every {spec.TRELLIS_SEGMENT} cells",
        " or ".join([", ".join(t.name for t in ROUNDED_TO[:3]), ROUNDED_TO[3].name]),
        *(f"{form.value} {form.name}" for form in spec.Form),
        f"Varint count (at most {spec.MAX_DECODERS}); for each decoder",
        f"varint R (1 to {spec.MAX_REFLECTIONS}, less than L - 1)",
        f"`w = f << ({spec.CODER_BITS} - k)`",
        f"s = range >> {spec.CODER_BITS}",
        f"({8 * spec.WORD_BYTES} bits each)",
        f"(default {spec.DEFAULT_MAX_SIZE} bytes)",
        ", ".join(f"{c.value} {c.name} ({ITEM_BYTES[c]})" for c in DType),
        ", ".join(f"{code.value} {code.name.lower()}" for code in Kind),
    ],
)
def test_number_is_in_the_text(sentence):
    assert " ".join(sentence.split()) in FLAT


def test_the_dictionary_is_in_the_text():
    block = TEXT.split("```")[-2]
    assert block.replace("\n", "").encode() == spec.HEADER_DICTIONARY
    assert f"these {len(spec.HEADER_DICTIONARY)} bytes" in FLAT


def test_every_named_file_exists():
    root = Path(__file__).parents[2]
    for name in set(re.findall(r"`([\w/]+\.py)`", TEXT)):
        homes = [root / "formats" / "lnx", root / "tests" / "format"]
        assert any((home / name).is_file() for home in homes), name


def test_no_number_of_the_code_is_missing_from_this_test():
    source = Path(__file__).read_text("utf-8")
    named = {
        name
        for name in vars(spec)
        if name.isupper() and isinstance(getattr(spec, name), int)
    }
    internal = {"KNOWN_REQUIRED", "MAX_CODER_CALL", "RAW_TABLE"}
    internal |= {"CHUNK_TARGET_BYTES"}
    missing = {name for name in named - internal if f"spec.{name}" not in source}
    assert not missing
