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

LEAVES_OUT: Final = 1  # a required feature: fixed tensors may follow others
KNOWN_REQUIRED: Final = LEAVES_OUT

MAX_HEADER_BYTES: Final = 1 << 24
MAX_BLOCK_BYTES: Final = 1 << 24
MAX_TENSORS: Final = 1 << 15
MAX_NAME_BYTES: Final = 1024
MAX_DIMENSIONS: Final = 16
MAX_ELEMENTS: Final = 1 << 48
MAX_SLICE: Final = 1024
MAX_PLANES: Final = 1 << 18  # table ids of all tensors together
MAX_TABLES: Final = 512
MAX_GEOMETRIC: Final = 1 << 10  # symbols of a geometric table
MAX_ZERO_WEIGHT: Final = 191  # code of the largest weight of its symbol 0
MAX_SYMBOLS: Final = 1 << 14
MAX_TABLE_SYMBOLS: Final = 1 << 18  # of all tables together
MAX_DECODERS: Final = 1 << 15
MAX_REFLECTIONS: Final = 8  # of one decoder
MAX_DECODER_NUMBERS: Final = 1 << 22  # of all decoders together
MAX_CHUNKS: Final = 1 << 17
MAX_CHUNK_CELLS: Final = 1 << 17
MIN_CHUNK_BYTES: Final = 1024  # chunks of a section are at most one more than its
MIN_CHUNK_CELLS: Final = 1 << 16  # bytes by the one and its symbols by the other
SHARE_UNIT: Final = 32  # of a byte, that one non-zero latent takes
WORK_OF_WEIGHT: Final = 64  # products that decoders may take for each weight,
WORK_OF_BYTE: Final = 1 << 13  # and for each byte of the file
MAX_RECORD_BYTES: Final = 1 << 20
MAX_METADATA_BYTES: Final = 1 << 22
MAX_RECORD_DEPTH: Final = 16
DEFAULT_MAX_SIZE: Final = 16 << 30

CODER_BITS: Final = 24
MIN_TABLE_BITS: Final = 10
MAX_TABLE_BITS: Final = 16
GEOMETRIC: Final = 16  # added to the precision of a geometric table
WORD_BYTES: Final = 4
MAX_CODER_CALL: Final = 1 << 20

RAW_TABLE: Final = 0  # a plane of bytes stored as it is, no table behind it
MAX_EXPONENT: Final = 100  # of the power of two behind fixed-point numbers,
MAX_MULTIPLE: Final = (1 << 15) - 1  # and what it is multiplied with; magnitudes
TURNED: Final = 128  # added to a stored type: the sign of floats is their lowest bit
CHUNK_TARGET_BYTES: Final = 4096
TRELLIS_INDICES: Final = 1 << 30  # magnitudes are below
TRELLIS_SEGMENT: Final = 1024  # cells after which the trellis starts again
CLASSES: Final = 40  # scale classes, in half octaves
ZERO_SCALE: Final = -128  # of a row whose latents are all zero
LEAST_CLASS: Final = -16  # a mean magnitude of 2**-8

# Raw DEFLATE starts from these bytes when it packs a header: they are the words that
# networks use for their tensors, so that short headers pack well.
HEADER_DICTIONARY: Final = (
    b"embeddingsencoderdecoderattentionself_attn.in_proj_weightin_proj_biasout_proj"
    b"q_projk_projv_projo_projgate_projup_projdown_projinput_layernormlinear1linear2"
    b"norm1norm2layersblocksattn.qkvattn.projmlp.fc1mlp.fc2normhead.stemclassifier"
    b'{"args":{"channels":3,"classes":100},"name":"mobilenet_v2","size":32}'
    b'{"args":{"channels":1,"classes":10},"name":"resnet20","size":28}'
    b'{"accuracy":0.,"dataset":"cifar10","epochs":20,"seed":0,"validation_accuracy":0.'
    b'{"accuracy":0.9,"dataset":"fashion-mnist","epochs":5,"seed":0,'
    b'"validation_accuracy":0.9'
    b"weightbiasrunning_meanrunning_varnum_batches_trackedfeatures0.0.weight0.1conv"
    b"conv1.weightbn1conv2.weightbn2conv3.weightbn3shortcut.0.weightdownsample.1"
    b"0123456789101112131415161718conv1.weightbn1layer1layer2layer3layer4fc"
)


class Kind(IntEnum):
    """How a tensor is stored."""

    LATENT = 1
    EXACT = 2
    FILL = 3
    ALIAS = 4
    FIXED = 5


class Form(IntEnum):
    """What is stored of a decoder, and how wide its floats are."""

    MATRIX_F16 = 2
    COSINE_F16 = 3
    MATRIX_F32 = 4
    COSINE_F32 = 5
    REFLECTIONS = 6
    MATRIX_I8 = 7


class Packing(IntEnum):
    """How the bytes of the header, the tables or the decoders are stored."""

    PLAIN = 0
    DEFLATE = 1
