"""Read files that were changed at random: python -m tests.format.mutate [COUNT] [SEED]

Half of them with hashes, half blind to them. Stops at the first finding with the bytes
in hexadecimal; run by the tests in a process of its own, under a memory limit.
"""

import random
import sys
import time

import lnx
from tests.format.fuzzing import check, check_hashed, limit_memory, seeds

INTERESTING = (0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF)
SLOW = 1.0  # seconds for one file of a few hundred bytes


def mutated(data, rng):
    """Change, insert, remove or repeat a few bytes."""
    text = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        at = rng.randrange(len(text) or 1)
        kind = rng.randrange(6)
        if kind == 0 and text:
            text[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and text:
            text[at] = rng.choice(INTERESTING)
        elif kind == 2:
            text[at:at] = rng.randbytes(rng.randrange(1, 9))
        elif kind == 3:
            del text[at : at + rng.randrange(1, 9)]
        elif kind == 4:
            stop = at + rng.randrange(1, 40)
            text[at:at] = text[at:stop]
        elif text:
            text[at] = rng.randrange(256)
    return bytes(text)


def run(count, seed):
    """Try count mutations; return how many loaded all the same."""
    rng = random.Random(seed)
    files = [(data, lnx.loads(data)) for data in seeds()]
    for number in range(count):
        data, origin = rng.choice(files)
        changed = mutated(data, rng)
        start = time.monotonic()
        try:
            if number % 2:
                check(right_length(changed))
            else:
                check_hashed(changed, origin)
        except BaseException:
            print(f"mutation {number} of seed {seed}: {changed.hex()}", flush=True)
            raise
        if time.monotonic() - start > SLOW:
            raise SystemExit(f"mutation {number} of seed {seed} is slow: {data.hex()}")


def right_length(data):
    """Put the length of the file into its prefix, or nothing gets far."""
    return data[:14] + len(data).to_bytes(8, "little") + data[22:]


if __name__ == "__main__":
    limit_memory()
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    run(wanted, int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    print(f"{wanted} mutations: documented errors or equal results only")
