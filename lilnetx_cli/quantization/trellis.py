"""Trellis-coded quantization: the indices of least squared error plus price.

A Viterbi search over the 64 states of `lnx.tensors.trellis`, all segments side by
side. Source: Marcellin and Fischer 1990; ISO/IEC 15938-17, dependent quantization.

Legend: S segments, T cells of a segment, C classes, K prices of a class. State
(a, b, c, d, e, f) has the number 32 a + 16 b + 8 c + 4 d + 2 e + f. A move is a parity
and a quantizer.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Indices = NDArray[np.int32]

BLOCK_CELLS = 1 << 20  # what a thread searches at once, so that memory stays bounded
CACHED_CELLS = 1 << 15  # what a processor's cache holds with its temporaries
MOST_THREADS = 4
STATES = 64
FAR = np.float32(1e30)


def _ways_back() -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the states before a state, by their last bit, and their moves; (64, 2).

    A move is 2 * parity + quantizer.
    """
    state, last = np.indices((STATES, 2))
    before = 2 * state % STATES + last
    a, b, d = (before >> place & 1 for place in (5, 4, 2))
    parity = state >> 5 ^ a ^ last
    return before, 2 * parity + (b ^ d)


BEFORE, MOVES = _ways_back()
# Bits c and e of the state before do not matter for its move, and a new state with
# a = 1 swaps what f gives: these moves, (f, ab, 1, d, 1), are all.
AXES = (4, 2, 2, 2)  # of states before, (ab, c, d, e), f left out
SHORT_MOVES = MOVES.reshape(2, *AXES, 2)[0, :, :1, :, :1].transpose(4, 0, 1, 2, 3)


@dataclass(frozen=True, eq=False)
class _Best:
    """The best index of each move, and its cost.

    Attributes:
        indices: magnitudes, (T, parity, quantizer, S).
        costs: the same shape.
    """

    indices: Indices
    costs: Floats


def choose_indices(
    values: Floats,
    classes: NDArray[np.uint8],
    prices: Floats,
    tick: Callable[[float], object] | None = None,
) -> Indices:
    """Return the indices of segments, (S, T), that cost the least together.

    values: (S, T) in steps. classes: (S, T). prices: (C, K), what index magnitude k
    costs in a class, in squared steps; larger indices cost what the last one does.
    tick: is told after each block which part is done.
    """
    found = np.empty(values.shape, np.int32)
    block: int = max(1, BLOCK_CELLS // values.shape[1])

    def search(start: int) -> float:
        part = slice(start, start + block)
        found[part] = _search(values[part], classes[part], prices)
        return min((start + block) / len(values), 1.0)

    threads = ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1))
    try:  # numpy computes outside of Python's lock
        for done in threads.map(search, range(0, len(values), block)):
            if tick is not None:
                tick(done)
    finally:
        threads.shutdown(cancel_futures=True)
    return found


def _search(values: Floats, classes: NDArray[np.uint8], prices: Floats) -> Indices:
    sizes = np.ascontiguousarray(np.abs(values).T)  # (T, S)
    base = np.ascontiguousarray(classes.T).astype(np.intp) * prices.shape[1]
    best = _best(sizes, base, prices)
    ways, state = _forward(best.costs)
    magnitudes = _backward(best.indices, ways, state)
    signed: Indices = magnitudes.T * np.sign(values).astype(np.int32)
    return signed


def _best(sizes: Floats, base: NDArray[np.intp], prices: Floats) -> _Best:
    """Price the two nearest indices of each quantizer, and zero; a few steps a time."""
    steps, count = sizes.shape
    indices = np.empty((steps, 2, 2, count), np.int32)
    costs = np.empty((steps, 2, 2, count), np.float32)
    few: int = max(1, CACHED_CELLS // count)
    for start in range(0, steps, few):
        part = slice(start, start + few)
        for second in (0, 1):
            _price(
                sizes[part],
                base[part],
                prices,
                second,
                _Best(indices[part, :, second], costs[part, :, second]),
            )
    return _Best(indices, costs)


def _price(
    sizes: Floats, base: NDArray[np.intp], prices: Floats, second: int, best: _Best
) -> None:
    """Find the best even index and the best odd one of a quantizer."""
    flat, last = prices.ravel(), prices.shape[1] - 1

    def cost(index: Indices) -> Floats:
        error = sizes - np.maximum(2 * index - second, 0)
        error *= error
        error += flat[base + np.minimum(index, last)]
        return error

    lower = ((sizes + second) * 0.5).astype(np.int32)  # rounds down: sizes >= 0
    low, high = cost(lower), cost(lower + 1)
    is_odd = (lower & 1).astype(bool)
    even_cost = np.where(is_odd, high, low)
    zero = sizes * sizes + flat[base]
    best.indices[:, 0] = (lower + is_odd) * (even_cost <= zero)
    best.indices[:, 1] = lower | 1
    np.minimum(zero, even_cost, out=best.costs[:, 0])
    best.costs[:, 1] = np.where(is_odd, low, high)


def _forward(costs: Floats) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    """Return from which state each was reached, and the best last state, (S,).

    The first is the last bit of the state before, packed; (T, 64, bytes of S bits).
    """
    steps, _, _, count = costs.shape
    ways = np.empty((steps, STATES, -(-count // 8)), np.uint8)
    totals, others = np.full((2, STATES, count), FAR, np.float32)
    totals[0] = 0
    sums = np.empty((2, *AXES, count), np.float32)
    way = np.empty((2, *AXES, count), np.bool_)
    for step in range(steps):
        old = totals.reshape(*AXES, 2, count)
        new = others.reshape(2, *AXES, count)
        cost = costs[step].reshape(4, count)[SHORT_MOVES]  # (f, ab, 1, d, 1, S)
        for a in range(2):
            for f in range(2):
                np.add(old[..., f, :], cost[f ^ a], out=sums[f])
            np.less(sums[1], sums[0], out=way[a])
            np.minimum(sums[0], sums[1], out=new[a])
        ways[step] = np.packbits(way.reshape(STATES, count), axis=1, bitorder="little")
        totals, others = others, totals
    last: NDArray[np.intp] = np.argmin(totals, axis=0)
    return ways, last


def _backward(
    indices: Indices, ways: NDArray[np.uint8], state: NDArray[np.intp]
) -> Indices:
    """Follow the best path back; (T, S)."""
    steps, _, _, count = indices.shape
    found = np.empty((steps, count), np.int32)
    places = np.arange(count)
    byte, bit = places >> 3, (places & 7).astype(np.uint8)
    for step in range(steps - 1, -1, -1):
        last = ways[step, state, byte] >> bit & 1
        move = MOVES[state, last]
        found[step] = indices[step].reshape(-1)[move * count + places]
        state = BEFORE[state, last]
    return found
