"""What a header says, as frozen values: a record for each tensor and each chunk."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple

from lnx import spec
from lnx.dtypes import DType
from lnx.spec import Kind, Packing
from lnx.tensors.classes import grid_of
from lnx.tensors.container import Metadata, Record, elements


@dataclass(frozen=True)
class LatentRecord:
    """One latent tensor.

    Attributes:
        slice_length: L; the tensor has N = elements / L slices.
        decoder: index of its decoder.
        trellis: whether its symbols are indices of the trellis.
        dtype: element type, a float.
        mask_table: id of the table of its slice mask, 0 without a mask.
        scale_table: id of the table of its scales, 0 where planes have tables.
        tables: ids of the tables of its L planes; none with scales.
        nonzero: number of latents that are not zero.
        zero_slices: number of slices with nothing but zeros.
        zero_rows: indices of dimension 0 with nothing but zeros.
        zero_columns: indices of dimension 1 with nothing but zeros.
        share: weight of a non-zero latent when the bytes of the payload are shared out
            among tensors, for display.
    """

    kind: ClassVar[Kind] = Kind.LATENT
    name: str
    shape: tuple[int, ...]
    slice_length: int
    decoder: int
    trellis: bool
    dtype: DType
    mask_table: int
    scale_table: int
    tables: tuple[int, ...]
    nonzero: int
    zero_slices: int
    zero_rows: int
    zero_columns: int
    share: int

    @property
    def classed(self) -> bool:
        """Whether the scale class of a cell picks its table."""
        return self.scale_table != 0

    @cached_property
    def grid(self) -> tuple[int, int, int]:
        """(O, I, L): how scales see the slices."""
        return grid_of(self.shape, self.slice_length)

    @property
    def masked(self) -> bool:
        """Whether a mask says which slices are zero, and their latents are left out."""
        return self.mask_table != 0

    @cached_property
    def slices(self) -> int:
        """N, the number of slices."""
        return elements(self.shape) // self.slice_length

    @property
    def channels(self) -> tuple[int, int]:
        """Sizes of dimensions 0 and 1, where slices lie within them; else (0, 0)."""
        counts = len(self.shape) > 1 and elements(self.shape) > 0
        if not counts or elements(self.shape[2:]) % self.slice_length:
            return 0, 0
        return self.shape[0], self.shape[1]

    @property
    def coded_slices(self) -> int:
        """The number of slices whose values are coded."""
        return self.slices - self.zero_slices if self.masked else self.slices


@dataclass(frozen=True)
class ExactRecord:
    """One tensor stored byte for byte.

    Attributes:
        dtype: its element type.
        stored_type: the element type of what is stored: dtype, or a shorter one that
            gives every bit back.
        turned: whether the sign of what is stored is its lowest bit, not its highest.
        tables: id of the table of each byte of a stored element, lowest byte first.
    """

    kind: ClassVar[Kind] = Kind.EXACT
    name: str
    shape: tuple[int, ...]
    dtype: DType
    stored_type: DType
    turned: bool
    tables: tuple[int, ...]


@dataclass(frozen=True)
class FixedRecord:
    """One exact F32 tensor stored in fixed point, a symbol for each element.

    Attributes:
        exponent: e; elements are symbols times 2**e.
        table: id of the table of the symbols.
        back: how many places before it, or behind it if negative, the latent tensor
            stands whose zero rows are zero here, too, and left out; 0 for none.
        left_out: the number of them.
    """

    kind: ClassVar[Kind] = Kind.FIXED
    dtype: ClassVar[DType] = DType.F32
    name: str
    shape: tuple[int, ...]
    exponent: int
    table: int
    back: int = 0
    left_out: int = 0

    @property
    def stored(self) -> int:
        """The number of elements that are stored."""
        return elements(self.shape) - self.left_out


@dataclass(frozen=True)
class FillRecord:
    """One tensor that repeats one element, given by its bytes."""

    kind: ClassVar[Kind] = Kind.FILL
    name: str
    shape: tuple[int, ...]
    dtype: DType
    element: bytes


@dataclass(frozen=True)
class AliasRecord:
    """One more name of the earlier tensor at index target."""

    kind: ClassVar[Kind] = Kind.ALIAS
    name: str
    target: int


TensorRecord = LatentRecord | ExactRecord | FixedRecord | FillRecord | AliasRecord


class Chunk(NamedTuple):
    """An independently decodable run of rows of one section.

    Attributes:
        rows: number of its rows, which may be those of several tensors.
        words: length of its range-coded stream, in 32-bit words.
        digest: BLAKE2b over its stored bytes.
    """

    rows: int
    words: int
    digest: bytes


@dataclass(frozen=True)
class PackedBlock:
    """The tables or the decoders: packing, and lengths in bytes, packed and plain."""

    packing: Packing
    stored: int
    plain: int


@dataclass(frozen=True)
class ClassTables:
    """The tables of scale classes: ids[i] belongs to class first + i."""

    first: int = 0
    ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class Header:
    """All that is known of a file without decoding it.

    Attributes:
        blocks_digest: of the stored tables and decoders.
        architecture, training, metadata: plain records, as in a `Container`.
    """

    records: tuple[TensorRecord, ...]
    tables: PackedBlock
    decoders: PackedBlock
    blocks_digest: bytes
    class_tables: ClassTables
    scales: tuple[Chunk, ...]
    masks: tuple[Chunk, ...]
    latents: tuple[Chunk, ...]
    fixed: tuple[Chunk, ...]
    exact: tuple[Chunk, ...]
    integers_digest: bytes
    rebuilt_digest: bytes
    architecture: Record | None
    training: Record | None
    metadata: Metadata | None

    @property
    def required(self) -> int:
        """The features that a reader must know."""
        leaves_out = any(isinstance(r, FixedRecord) and r.back for r in self.records)
        return spec.LEAVES_OUT if leaves_out else 0

    def chunks(self, section: str) -> tuple[Chunk, ...]:
        """Return the chunks of the section of a name."""
        return {
            "scales": self.scales,
            "masks": self.masks,
            "latents": self.latents,
            "fixed": self.fixed,
            "exact": self.exact,
        }[section]
