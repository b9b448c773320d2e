"""Trellis-coded quantization: the indices of least squared error plus price.

A Viterbi search over the 16 states of `lnx.tensors.trellis`, all segments side by
side. Source: Marcellin and Fischer 1990; ISO/IEC 15938-17, dependent quantization.

Legend: S segments, T cells of a segment, C classes, K prices of a class.
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
MOST_THREADS = 4
FAR = np.float32(1e30)


@dataclass(frozen=True, eq=False)
class _Best:
    """The best index of one quantizer for even and for odd parity; all (T, S)."""

    even: Indices
    odd: Indices
    even_cost: Floats
    odd_cost: Floats


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
    base = np.ascontiguousarray(classes.T).astype(np.int32) * prices.shape[1]
    first = _best(sizes, base, prices, 0)
    second = _best(sizes, base, prices, 1)
    switched, state = _forward(first, second)
    magnitudes = _backward(first, second, switched, state)
    signed: Indices = magnitudes.T * np.sign(values).astype(np.int32)
    return signed


def _best(sizes: Floats, base: Indices, prices: Floats, second: int) -> _Best:
    """Price the two nearest indices of a quantizer, and zero."""
    flat, last = prices.ravel(), prices.shape[1] - 1

    def cost(index: Indices) -> Floats:
        point = 2 * index - second
        error = sizes - np.maximum(point, 0)
        found: Floats = error * error + flat[base + np.minimum(index, last)]
        return found

    lower = ((sizes + second) * 0.5).astype(np.int32)  # rounds down: sizes are positive
    costs = cost(lower), cost(lower + 1)
    is_odd = (lower & 1).astype(bool)
    even = lower + is_odd
    even_cost = np.where(is_odd, costs[1], costs[0])
    zero = sizes * sizes + flat[base]
    better = zero < even_cost
    return _Best(
        even=np.where(better, 0, even),
        odd=lower + ~is_odd,
        even_cost=np.where(better, zero, even_cost),
        odd_cost=np.where(is_odd, costs[0], costs[1]),
    )


def _forward(first: _Best, second: _Best) -> tuple[NDArray[np.bool_], Indices]:
    """Return whence each state was reached, (T, 16, S), and the best last state.

    State (a, b, c, d) has the number a + 2 b + 4 c + 8 d. The new one (a', b', c', d')
    comes from a = d', b = a' ^ d', d = c' and either c, by an index of parity b' ^ c;
    True is c = 1.
    """
    steps, count = first.even.shape
    even = np.stack((first.even_cost, second.even_cost), axis=1)  # (T, a, S)
    odd = np.stack((first.odd_cost, second.odd_cost), axis=1)
    switched = np.empty((steps, 2, 2, 2, 2, count), np.bool_)  # (T, d', c', b', a', S)
    totals = np.full((2, 2, 2, 2, count), FAR, np.float32)  # (d, c, b, a, S)
    totals[0, 0, 0, 0] = 0
    for step in range(steps):
        old, totals = totals, np.empty_like(totals)
        for b, (low, high) in enumerate(((even, odd), (odd, even))):
            one, other = old[:, 0] + low[step], old[:, 1] + high[step]  # (d, b, a, S)
            way, least = other < one, np.minimum(one, other)
            for a in range(2):  # which is d'; then a' is b, or its opposite
                turned = slice(None, None, -1 if a else 1)
                switched[step, a, :, b] = way[:, turned, a]
                totals[a, :, b] = least[:, turned, a]
    last = np.argmin(totals.reshape(16, count), axis=0).astype(np.int32)
    return switched.reshape(steps, 16, count), last


def _backward(
    first: _Best, second: _Best, switched: NDArray[np.bool_], state: Indices
) -> Indices:
    """Follow the best path back; (T, S)."""
    steps, count = first.even.shape
    found = np.empty((steps, count), np.int32)
    places = np.arange(count)
    for step in range(steps - 1, -1, -1):
        other = switched[step, state, places]
        a, d = state >> 3, state >> 2 & 1
        is_odd = (state >> 1 & 1) != other
        found[step] = np.where(
            a == 1,
            np.where(is_odd, second.odd[step], second.even[step]),
            np.where(is_odd, first.odd[step], first.even[step]),
        )
        state = a + 2 * (state & 1 ^ a) + 4 * other + 8 * d
    return found
