"""Where a section is cut into chunks."""

from collections.abc import Sequence

from lnx import spec
from lnx.coding.tables import PRICE_BITS
from lnx.parts.sections import Layout

MOST_CHUNKS = 1 << 15
LONGER = 8  # chunks of exact tensors, most of whose bytes are raw
LANES = 160  # this many decode fast with numpy alone


def cut(
    layouts: Sequence[Layout], prices: Sequence[int], target_bytes: int
) -> list[int]:
    """Return the number of rows of each chunk of about target_bytes.

    Prices are per matrix, in 2**-16 bits.

    Small tensors share a chunk, large ones are cut, so that the end of a stream stays
    a small part of it, and a chunk can be decoded in bounded time.
    """
    whole = max(target_bytes, (sum(prices) >> PRICE_BITS + 3) // MOST_CHUNKS)
    target = whole * 8 << PRICE_BITS
    sizes: list[int] = []
    rows = filled = cells = 0
    for layout, price in zip(layouts, prices, strict=True):
        left = layout.rows
        while left:
            fits = -(-(target - filled) * layout.rows // max(price, 1))
            room = (spec.MAX_CHUNK_CELLS - cells) // layout.columns
            take = min(left, max(fits, 1), room)
            rows += take
            left -= take
            cells += take * layout.columns
            filled += price * take // layout.rows
            if filled >= target or left:
                sizes.append(rows)
                rows = filled = cells = 0
    return [*sizes, rows] if rows else sizes


def cut_exact(layouts: Sequence[Layout], prices: Sequence[int]) -> list[int]:
    """Return the number of rows of each chunk of exact tensors.

    Raw bytes make nothing of chunks, so these are LONGER times as long as others where
    there are enough for LANES. Fewer symbols are cut into about LANES chunks of
    equally many symbols, none of them shorter than chunks of latents.
    """
    coded = [layout.cells - layout.raw_bytes for layout in layouts]
    target = LONGER * spec.CHUNK_TARGET_BYTES
    lane = max(sum(coded) // LANES, 1)  # symbols
    fills = [
        max(price, min(LONGER * price, symbols * (target * 8 << PRICE_BITS) // lane))
        for price, symbols in zip(prices, coded, strict=True)
    ]
    return cut(layouts, fills, target)
