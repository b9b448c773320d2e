"""Numbers of the wire. `formats/SPEC.md` says the same in prose; a test compares."""

from enum import IntEnum
from typing import Final

MAGIC: Final = b"\x89LNX\r\n\x1a\n"
MAJOR: Final = 2
MINOR: Final = 0

PREFIX_BYTES: Final = 38
PREFIX_DIGEST_BYTES: Final = 8
BLOCKS_DIGEST_BYTES: Final = 8
CHUNK_DIGEST_BYTES: Final = 4
CONTENT_DIGEST_BYTES: Final = 8
FILE_DIGEST_BYTES: Final = 16

KNOWN_REQUIRED: Final = 0
KNOWN_OPTIONAL: Final = 0

MAX_HEADER_BYTES: Final = 1 << 24
MAX_BLOCK_BYTES: Final = 1 << 24
MAX_TENSORS: Final = 1 << 15
MAX_NAME_BYTES: Final = 1024
MAX_DIMENSIONS: Final = 16
MAX_ELEMENTS: Final = 1 << 48
MAX_SLICE: Final = 1024
MAX_PLANES: Final = 1 << 18  # table ids of all tensors together
MAX_TABLES: Final = 512
MAX_SYMBOLS: Final = 1 << 14
MAX_TABLE_SYMBOLS: Final = 1 << 18  # of all tables together
MAX_DECODERS: Final = 1 << 15
MAX_REFLECTIONS: Final = 8  # of one decoder
MAX_DECODER_NUMBERS: Final = 1 << 22  # of all decoders together
MAX_CHUNKS: Final = 1 << 17
MAX_CHUNK_CELLS: Final = 1 << 17
MIN_CHUNK_BYTES: Final = 1024  # chunks of a section are at most one more than its
MIN_CHUNK_CELLS: Final = 1 << 16  # bytes by the one and its symbols by the other
SHARE_SLACK: Final = 128  # shares of tensors may be rounded up by a part of the whole
WORK_OF_WEIGHT: Final = 64  # products that decoders may take for each weight,
WORK_OF_BYTE: Final = 1 << 13  # and for each byte of the file
MAX_RECORD_BYTES: Final = 1 << 20
MAX_METADATA_BYTES: Final = 1 << 22
MAX_RECORD_DEPTH: Final = 16
DEFAULT_MAX_SIZE: Final = 16 << 30

CODER_BITS: Final = 24
MIN_TABLE_BITS: Final = 10
MAX_TABLE_BITS: Final = 16
WORD_BYTES: Final = 4
MAX_CODER_CALL: Final = 1 << 20

RAW_TABLE: Final = 0  # a plane of bytes stored as it is, no table behind it
TURNED: Final = 128  # added to a stored type: the sign of floats is their lowest bit
CHUNK_TARGET_BYTES: Final = 4096
TRELLIS_INDICES: Final = 1 << 30  # magnitudes are below
TRELLIS_SEGMENT: Final = 1024  # cells after which the trellis starts again
CLASSES: Final = 40  # scale classes, in half octaves
LEAST_CLASS: Final = -16  # a mean magnitude of 2**-8

# Raw DEFLATE starts from these bytes when it packs a header: they are the words that
# networks use for their tensors, so that short headers pack well.
HEADER_DICTIONARY: Final = (
    b"features.classifier.block.downsample.encoder.decoder.embeddings.attention."
    b"self_attn.in_proj_weightq_proj.weightk_proj.weightv_proj.weightout_proj.weight"
    b"norm1.weightnorm2.weightlayers.0.linear1.linear2.mlp.fc1.fc2.head.stem."
    b'"training":{"accuracy":,"epochs":,"dataset":""},"args":{"classes":10,"channels":3'
    b',"depth":,"width":1},"name":"resnet'
    b"layer4.0.layer3.0.layer2.0.layer1.0.shortcut.0.conv3.weightbn3.weight"
    b"conv1.weightbn1.weightbn1.biasbn1.running_meanbn1.running_var"
    b"bn1.num_batches_trackedconv2.weightbn2.weightbn2.biasbn2.running_mean"
    b"bn2.running_varbn2.num_batches_trackedfc.weightfc.bias"
)


class Kind(IntEnum):
    """How a tensor is stored."""

    LATENT = 1
    EXACT = 2
    FILL = 3
    ALIAS = 4


class Form(IntEnum):
    """What is stored of a decoder, and how wide its floats are."""

    MATRIX_F16 = 2
    COSINE_F16 = 3
    MATRIX_F32 = 4
    COSINE_F32 = 5
    REFLECTIONS = 6


class Packing(IntEnum):
    """How the bytes of the header, the tables or the decoders are stored."""

    PLAIN = 0
    DEFLATE = 1
